"""Reading train.jsonl and eval.jsonl, and turning their rows into tokens.

A row is {"prompt": [messages], "completion": [messages]}, TRL's conversational form. Prompt and
completion become tokens apart, so the model meets in training exactly what it meets in use.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from jinja2 import TemplateError

from training.engine.errors import EngineError

ROLES = ("system", "user", "assistant")
MAX_SHOWN = 20


@dataclass(frozen=True)
class Row:
    """One line of a file, with the texts that the chat template makes of it."""

    file: str
    number: int
    """Line in the file, from 1."""
    question: str
    reference: str
    prompt_text: str
    completion_text: str


@dataclass(frozen=True)
class Encoded:
    """A row in tokens. Only the completion is trained; it ends with the end-of-turn token."""

    row: Row
    prompt_ids: list[int]
    completion_ids: list[int]

    @property
    def input_ids(self) -> list[int]:
        return self.prompt_ids + self.completion_ids

    @property
    def labels(self) -> list[int]:
        """Return one label a token; -100 where nothing is learned."""
        return [-100] * len(self.prompt_ids) + self.completion_ids

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)


def bad_data(problems: list[str]) -> EngineError:
    """Return the error that names the first problem and counts the others."""
    more = f" ({len(problems) - 1} more like this.)" if len(problems) > 1 else ""
    return EngineError("bad_data", problems[0] + more, {"problems": problems[:MAX_SHOWN]})


def read_rows(path: Path, tokenizer) -> list[Row]:
    """Return all rows of a file; raises `EngineError` bad_data that names file and row."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise bad_data([f"{path.name} cannot be read: {error}."]) from error
    marks = turn_marks(tokenizer)
    rows, problems = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(_row(path.name, number, line, tokenizer, marks))
        except ValueError as error:
            problems.append(f"{path.name} row {number}: {error}")
    if problems:
        raise bad_data(problems)
    if not rows:
        raise bad_data([f"{path.name} has no rows. Generate or approve more examples."])
    return rows


def _row(file: str, number: int, line: str, tokenizer, marks: set[str]) -> Row:
    values = json.loads(line)
    if not isinstance(values, dict):
        raise ValueError("is not a JSON object.")
    prompt, completion = (_messages(values, name) for name in ("prompt", "completion"))
    _refuse_marks(prompt + completion, marks)
    if completion[-1]["role"] != "assistant":
        raise ValueError("the completion does not end with the assistant's turn.")
    prompt_text = _render(tokenizer, prompt, add_generation_prompt=True)
    whole = _render(tokenizer, prompt + completion, add_generation_prompt=False)
    if not whole.startswith(prompt_text):
        raise ValueError("the model's chat template changes the prompt once an answer follows.")
    return Row(
        file=file,
        number=number,
        question=prompt[-1]["content"],
        reference=completion[-1]["content"],
        prompt_text=prompt_text,
        completion_text=whole[len(prompt_text) :],
    )


def turn_marks(tokenizer) -> set[str]:
    """Return the special tokens that the chat template writes around turns, as text."""
    special = {
        i: str(token) for i, token in tokenizer.added_tokens_decoder.items() if token.special
    }
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    try:
        text = _render(tokenizer, turns, add_generation_prompt=False)
    except ValueError:
        return set()  # Each row will say what is wrong with the template.
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return {special[i] for i in ids if i in special}


def _refuse_marks(messages: list[dict], marks: set[str]) -> None:
    """Raise for a text in which the tokenizer would see a turn begin or end."""
    for message in messages:
        found = next((mark for mark in marks if mark in message["content"]), None)
        if found:
            raise ValueError(
                f"its text contains {found}, with which this model marks turns; it would be "
                "learned as a real turn. Edit or reject that example, then start a new training."
            )


def _messages(values: dict, name: str) -> list[dict]:
    messages = values.get(name)
    if not isinstance(messages, list) or not messages:
        raise ValueError(f"{name} is not a list of messages.")
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise ValueError(f"a message of {name} has no known role.")
        content = message.get("content")
        if not isinstance(content, str) or not content.strip():
            raise ValueError(f"a message of {name} has no text.")
    return [{"role": m["role"], "content": m["content"]} for m in messages]


def _render(tokenizer, messages: list[dict], *, add_generation_prompt: bool) -> str:
    try:
        return tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=add_generation_prompt
        )
    except TemplateError as error:
        raise ValueError(f"the model's chat template refuses it: {error}.") from error


def encode(tokenizer, row: Row, stop_ids: set[int]) -> Encoded:
    """Return the row in tokens, cut behind the end-of-turn token.

    Templates write a line end behind it. The model is never asked for that one, and it would make
    every loss look better than it is.
    """
    prompt_ids, completion_ids = (
        tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in (row.prompt_text, row.completion_text)
    )
    last = max((i for i, token in enumerate(completion_ids) if token in stop_ids), default=None)
    if last is not None and not tokenizer.decode(completion_ids[last + 1 :]).strip():
        completion_ids = completion_ids[: last + 1]
    return Encoded(row, prompt_ids, completion_ids)


def spread(rows: list, count: int) -> list:
    """Return at most `count` of the rows, evenly over all: neighbours are of one document."""
    count = min(count, len(rows))
    return [rows[number * len(rows) // count] for number in range(count)]

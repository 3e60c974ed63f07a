"""What in a row of a ready dataset is an example: usual formats, or columns by hand. Pure code.

Nothing is guessed in silence: a row that is no example raises `BadRow` with the reason.
"""

from dataclasses import dataclass

from datasets.generation import texts
from datasets.import_rows import UNSTORABLE

MAX_CHARACTERS = 200_000
COLUMNS = "columns"
TITLES = {
    "messages": "messages (OpenAI)",
    "conversational": "prompt and completion as turns (TRL)",
    "sharegpt": "conversations (ShareGPT)",
}
# The names that each of these formats reads.
NAMES = {
    "messages": {"messages"},
    "conversational": {"prompt", "completion"},
    "sharegpt": {"conversations"},
}
# Names of columns, lower case, the usual ones first.
PROMPTS = ("prompt", "instruction", "question", "query", "user")
CONTEXTS = ("context", "input", "passage")
COMPLETIONS = ("completion", "response", "output", "answer", "answers", "assistant")
FLAT_TITLES = {
    ("instruction", "output"): "instruction, input and output (Alpaca)",
    ("question", "answer"): "questions and answers",
    ("question", "answers"): "questions and answers",
    ("prompt", "completion"): "prompts and completions",
}
SYSTEM = "a system turn, which examples cannot hold yet"
USERS, ASSISTANTS = {"user", "human"}, {"assistant", "gpt", "model", "bot"}


class BadRow(Exception):
    """The row is no example; the text says why."""


@dataclass(frozen=True)
class Mapping:
    """How rows become examples. For `columns` the names count; an empty context means none."""

    format: str
    prompt: str = ""
    context: str = ""
    completion: str = ""

    def to_json(self) -> dict:
        return vars(self).copy()

    @property
    def title(self) -> str:
        if self.format != COLUMNS:
            return TITLES[self.format]
        pair = self.prompt.lower(), self.completion.lower()
        return FLAT_TITLES.get(pair, f"{self.prompt} and {self.completion}")

    def unused(self, columns: list[str]) -> list[str]:
        """Return those of `columns` that no example takes anything from."""
        if self.format == COLUMNS:
            return [c for c in columns if c not in (self.prompt, self.context, self.completion)]
        return [c for c in columns if c.lower() not in NAMES[self.format]]


def recognise(rows: list[dict]) -> Mapping | None:
    """Return how the rows become examples, by their names; None when nothing fits."""
    names = list(rows[0]) if rows else []
    lower = {name.lower(): name for name in reversed(names)}
    if "messages" in lower:
        return Mapping("messages")
    if "conversations" in lower:
        return Mapping("sharegpt")
    found = [
        next((lower[name] for name in usual if name in lower), "")
        for usual in (PROMPTS, CONTEXTS, COMPLETIONS)
    ]
    prompt, context, completion = found
    if not (prompt and completion):
        return None
    if isinstance(rows[0][prompt], list):
        return Mapping("conversational")
    return Mapping(COLUMNS, prompt, context, completion)


def to_example(values: dict, mapping: Mapping) -> tuple[str, str, str]:
    """Return (prompt, context, completion) of a row as they are stored; raises `BadRow`."""
    if mapping.format == COLUMNS:
        names = (mapping.prompt, mapping.context, mapping.completion)
        found = tuple(_text(values, name) if name else "" for name in names)
    else:
        found = _of_turns(_turns(values, mapping.format))
    if sum(map(len, found)) > MAX_CHARACTERS:
        raise BadRow(f"longer than {MAX_CHARACTERS:,} characters")
    prompt, context, completion = (_storable(text) for text in found)
    if not prompt:
        raise BadRow("the prompt is empty")
    if not completion:
        raise BadRow("the completion is empty")
    return prompt, context, completion


def _storable(text: str) -> str:
    if found := UNSTORABLE.search(text):
        raise BadRow("a NUL character" if found[0] == "\0" else "half a character (a surrogate)")
    return texts.clean(text).strip()


def _text(values: dict, name: str) -> str:
    """Return a column's text. A list of one text counts as that text (SQuAD's answers)."""
    value = values.get(name)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        return ""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise BadRow(f"column {name[:60]} is not a text")
    return str(value)


def _turns(values: dict, format_: str) -> list[tuple[str, str]]:
    lower = {name.lower(): value for name, value in values.items()}
    if lower.get("system"):
        raise BadRow(SYSTEM)
    if format_ == "conversational":
        turns = [*_list(lower, "prompt"), *_list(lower, "completion")]
    else:
        turns = _list(lower, "messages" if format_ == "messages" else "conversations")
    found = []
    for turn in turns:
        if not isinstance(turn, dict):
            raise BadRow("a turn is not an object")
        role = turn.get("role", turn.get("from"))
        text = turn.get("content", turn.get("value"))
        if not isinstance(role, str) or not isinstance(text, str):
            raise BadRow("a turn has no role or no text")
        found.append((role.lower(), text))
    return found


def _list(values: dict, name: str) -> list:
    value = values.get(name)
    if not isinstance(value, list):
        raise BadRow(f"{name} is not a list of turns")
    return value


def _of_turns(turns: list[tuple[str, str]]) -> tuple[str, str, str]:
    """One question and its answer. More than that would change when it is cut, so it is refused."""
    roles = [role for role, _ in turns]
    if "system" in roles:
        raise BadRow(SYSTEM)
    if len(turns) > 2:
        raise BadRow("several turns, which examples cannot hold yet")
    if len(turns) < 2 or roles[0] not in USERS or roles[1] not in ASSISTANTS:
        raise BadRow("not one turn of the user and one of the assistant")
    return turns[0][1], "", turns[1][1]

"""One item of a reply: which keys mean what, and whether it can be an example. Pure code."""

import re
from typing import Any

from datasets.generation import texts
from datasets.generation.candidates import TRUNCATED, Item

REFUSAL = "the model refused"
MAX_PROMPT, MAX_COMPLETION, MAX_CONTEXT = 2_000, 8_000, 8_000

_PROMPT = ("question", "instruction", "prompt", "query", "q", "user", "consigne", "human", "task")
_COMPLETION = (
    "answer", "output", "response", "completion", "reply", "a", "assistant", "réponse", "reponse",
    "gpt", "result",
)  # fmt: skip
_CONTEXT = ("context", "input", "contexte")
_EVIDENCE = ("evidence", "quote", "source", "citation", "supporting_text", "preuve", "excerpt")
_NO_WORD = re.compile(r"\W+")
MAX_KEY = 100
_PLACEHOLDER = re.compile(
    r"^\W*$|^[<\[{(].{0,60}[>\]})]$|^(?:string|text|your |the )?(?:question|answer|instruction|"
    r"response|output)(?: here| \d+| goes here| text)?\W*$|^(?:n/?a|none|null|todo|tbd)\W*$",
    re.IGNORECASE,
)
_SPEAKS_OF_TEXT = re.compile(
    r"\b(?:according to|in|from|does|based on) (?:the|this) (?:text|passage|document|excerpt|chunk)"
    r"|\b(?:d'après|selon|dans) (?:le|ce) (?:texte|passage|document|extrait)\b",
    re.IGNORECASE,
)


class Refused(ValueError):
    """The item cannot be an example; the text is the reason shown to the person."""


def find_items(value: Any, depth: int = 0) -> list:
    """Return what may be an item below a JSON value: objects with a prompt, or odd leftovers."""
    if isinstance(value, dict):
        if (
            _messages_of(value)
            or _pick(value, _PROMPT)
            or isinstance(_pick(value, _COMPLETION), str)
        ):
            return [value]
        nested = [part for part in value.values() if isinstance(part, dict | list)]
        if nested and depth < 4:
            return [item for part in nested for item in find_items(part, depth + 1)]
        return [value] if value else []
    if isinstance(value, list) and depth < 4:
        return [item for part in value for item in find_items(part, depth + 1)]
    return [value]


def read_item(item: Any) -> dict[str, str]:
    """Return prompt, context, completion and evidence of an item; raises `Refused`."""
    if not isinstance(item, dict):
        raise Refused("not an object with a question and an answer")
    if getattr(item, "ambiguous", None):
        raise Refused(f"the key {item.ambiguous[0]} is there twice with different values")
    if item.get("truncated") is True:
        raise Refused(TRUNCATED)
    item = _messages_of(item) or item
    prompt, context = _text(_pick(item, _PROMPT)), _text(_pick(item, _CONTEXT))
    if not prompt:
        # "input" is the question where nothing else is one.
        prompt, context = context, ""
    return {
        "prompt": prompt,
        "context": context,
        "completion": _text(_pick(item, _COMPLETION)),
        "evidence": _text(_pick(item, _EVIDENCE)),
    }


def check(fields: dict[str, str], *, task_type: str) -> list[str]:
    """Return flags for a person's eye; raises `Refused` when this can be no example."""
    prompt, completion = fields["prompt"], fields["completion"]
    if not prompt:
        raise Refused("no question" if task_type == "qa" else "no instruction")
    if not completion:
        raise Refused("no answer")
    if len(prompt) > MAX_PROMPT or len(completion) > MAX_COMPLETION:
        raise Refused("too long")
    if len(fields["context"]) > MAX_CONTEXT:
        raise Refused("too long")
    if _PLACEHOLDER.match(prompt) or _PLACEHOLDER.match(completion):
        raise Refused("a placeholder instead of text")
    if prompt.casefold() == completion.casefold():
        raise Refused("the answer repeats the question")
    if texts.is_refusal(completion):
        raise Refused(REFUSAL)
    flags = []
    if task_type == "qa" and not prompt.rstrip("\"'» ").endswith(("?", "？")):
        flags.append("no_question_mark")
    if _SPEAKS_OF_TEXT.search(prompt):
        flags.append("speaks_of_the_text")
    return flags


def _pick(item: dict, names: tuple[str, ...]) -> Any:
    """Return the first value whose key is one of `names`, case, marks and numbers ignored."""
    keys = {_name_of(key): key for key in reversed(list(item))}
    for name in names:
        if name in keys and item[keys[name]] not in (None, ""):
            return item[keys[name]]
    return None


def _name_of(key: Any) -> str:
    return _NO_WORD.sub("", str(key)[:MAX_KEY].casefold()).rstrip("_0123456789")


def _text(value: Any) -> str:
    """Return a value as text; lists of texts become lines, other structures nothing."""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = "\n".join(value)
    return value.strip() if isinstance(value, str) else ""


def _messages_of(item: dict) -> dict | None:
    """Return {"user", "assistant"} of a chat in an item, or None when it holds no chat."""
    turns = item.get("messages") or item.get("conversations")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        return None
    pairs = [
        (str(turn.get("role") or turn.get("from")), turn.get("content") or turn.get("value"))
        for turn in turns
    ]
    return Item(pair for pair in pairs if pair[0] != "system") if len(pairs) >= 2 else None

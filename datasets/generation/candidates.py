"""Finding JSON values in a reply: strict ones anywhere, then one repair per broken object.

Each object is judged alone, so that one broken or cut item never spoils or hides its neighbours.
"""

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

from datasets.generation import texts
from finetuneflow.lib import json_repair

BROKEN = "not readable as JSON"
TRUNCATED = "cut off in the middle"
MAX_FAILURES = 60
REPAIR_SECONDS = 2.0

_FENCE = re.compile(r"```[\w-]*[ \t]*\n?")
_BRACKET = re.compile(r"[\[{]")
_CLOSED_END = re.compile(r"[\"\]}\d]\s*$")


class Item(dict):
    """A JSON object that remembers the keys it had twice with different values."""

    def __init__(self, pairs) -> None:
        super().__init__()
        self.ambiguous: list[str] = []
        for key, value in pairs:
            if key in self and self[key] != value:
                self.ambiguous.append(key)
            self[key] = value


@dataclass
class Found:
    """`values` are (JSON value, flags); `broken` are (text, reason).

    `seconds_left` is what all repairs of one reply may take together.
    """

    values: list[tuple[Any, list[str]]] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    seconds_left: float = REPAIR_SECONDS


_decoder = json.JSONDecoder(object_pairs_hook=Item, parse_constant=lambda name: None, strict=False)


def find(text: str, *, is_cut: bool) -> Found:
    """Return the JSON values in `text`. `is_cut`: the reply ended at its length limit."""
    found = Found()
    whole = _whole(text)
    if whole is not None:
        found.values.append((_tidy(whole), []))
        return found
    _scan(_FENCE.sub("", text), found, is_cut)
    return found


def _whole(text: str) -> Any:
    """Return the value of a reply that is nothing but JSON, also as a JSON string of JSON."""
    for _ in range(2):
        try:
            value = _decoder.decode(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, str):
            return value if isinstance(value, dict | list) else None
        text = value.strip()
    return None


def _scan(text: str, found: Found, is_cut: bool) -> None:
    """Walk over the text: take strict values, repair broken objects, go on behind each."""
    position, failures = 0, 0
    while (match := _BRACKET.search(text, position)) is not None:
        start = match.start()
        if failures > MAX_FAILURES:
            found.broken.append((text[start:], f"{BROKEN}: too many brackets"))
            return
        try:
            value, position = _decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            failures += 1
            position = _after_broken(text, start, found, is_cut)
            continue
        if _holds_objects(value):
            found.values.append((_tidy(value), []))


def _holds_objects(value: Any) -> bool:
    """False for brackets of prose such as [1] or [], which are no candidates."""
    if isinstance(value, dict):
        return bool(value)
    return any(isinstance(item, dict | list) for item in value)


def _after_broken(text: str, start: int, found: Found, is_cut: bool) -> int:
    """Deal with a bracket that opens no strict value; return where to go on."""
    if text[start] == "[":
        return start + 1
    end = _closing(text, start)
    inner = text.find("{", start + 1, end)
    if inner != -1 and _is_key_position(text, start, inner):
        return start + 1  # A wrapper: its objects are judged one by one.
    if end is None:
        _judge_open(text, start, found, is_cut)
        return len(text)
    candidate = text[start : end + 1]
    if ":" not in candidate and "=" not in candidate:
        return end + 1  # Braces of prose.
    _repair(candidate, found)
    return end + 1


def _is_key_position(text: str, start: int, inner: int) -> bool:
    """True when the inner brace follows `[`, `:` or `,`: it is structure, not part of a text."""
    return text[start + 1 : inner].rstrip()[-1:] in ("[", ":", ",", "")


def _judge_open(text: str, start: int, found: Found, is_cut: bool) -> None:
    """An object without its end: only closed values of a finished reply may be completed."""
    candidate = text[start:].rstrip().rstrip("`").rstrip()
    if not is_cut and ":" not in candidate:
        found.broken.append((candidate, f"{BROKEN}: a brace without an object"))
        return
    if is_cut or not _CLOSED_END.search(candidate) or candidate.count('"') % 2:
        found.broken.append((candidate, TRUNCATED))
        return
    _repair(candidate, found)


def _repair(candidate: str, found: Found) -> None:
    started = time.monotonic()
    try:
        value = json_repair.repair(candidate, max_seconds=max(0.01, found.seconds_left / 2))
    except json_repair.CannotRepair as error:
        found.broken.append((candidate, f"{BROKEN}: {error}"))
        return
    finally:
        found.seconds_left -= time.monotonic() - started
    found.values.append((_tidy(value), ["repaired"]))


def _closing(text: str, start: int) -> int | None:
    """Return the index of the brace that closes the one at `start`, strings respected.

    It looks as far as a repair would: anything longer counts as open.
    """
    depth, in_string, position = 0, False, start
    while position < min(len(text), start + json_repair.MAX_CHARACTERS):
        character = text[position]
        if character == "\\" and in_string:
            position += 1
        elif character == '"':
            in_string = not in_string
        elif not in_string and character in "{}":
            depth += 1 if character == "{" else -1
            if depth == 0:
                return position
        position += 1
    return None


def _tidy(value: Any, depth: int = 0) -> Any:
    """Return the value with cleaned strings: JSON escapes can hold NUL and lone surrogates."""
    if isinstance(value, str):
        return texts.clean(value)
    if depth > 6:
        return None
    if isinstance(value, list):
        return [_tidy(item, depth + 1) for item in value]
    if isinstance(value, dict):
        for key in value:
            value[key] = _tidy(value[key], depth + 1)
    return value

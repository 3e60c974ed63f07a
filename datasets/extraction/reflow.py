"""Joining the lines that a page's width broke, and only those: tables and lists keep theirs."""

import re

_ENDS = re.compile(r"[.!?:;。！？…]['\"”’»)\]]*$")
_ITEM = re.compile(r"^\s*(?:[-–—•*·▪◦|#]|\(?\d{1,3}[.)]\s|[a-z][.)]\s)")
LONG = 0.7
PROSE_WORDS = 7


def join_wrapped_lines(text: str) -> str:
    """Return `text` with a space instead of a line end inside a sentence.

    A line is continued when it is long for its page, does not end a sentence, and the next one
    goes on in lower case, or both look like prose: several words, the last one a word.
    """
    lines = [line.rstrip() for line in text.split("\n")]
    lengths = sorted(len(line) for line in lines if line)
    if not lengths:
        return ""
    long = LONG * lengths[min(len(lengths) - 1, int(0.9 * len(lengths)))]
    parts = [lines[0]]
    for before, line in zip(lines, lines[1:], strict=False):
        parts.append(" " if _continues(before, line, long) else "\n")
        parts.append(line)
    return "".join(parts)


def _continues(before: str, line: str, long: float) -> bool:
    if not before or not line or len(before) < long or _ENDS.search(before) or _ITEM.match(line):
        return False
    if line[0].islower():
        return True
    return len(before.split()) >= PROSE_WORDS and (before[-1].isalpha() or before[-1] == ",")

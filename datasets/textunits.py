"""Dividing a text into the units that chunks are packed from: sentences, words, characters.

Pure code. Every pattern is possessive or bounded: a hostile text costs time in proportion to its
length. A unit carries the white space before it, as most tokenizers do.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

HEADING = re.compile(r"^#{1,6}[ \t]+(\S[^\n]*)", re.MULTILINE)
TERMINAL = re.compile(r"[.!?:…。！？][\"'”’»)\]」』）]*\s*\Z")
_LINE = re.compile(r"[^\n]*\n\s*|[^\n]+\Z")
_SENTENCE_END = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]]*+\s++(?=\S)|(?<![。！？])[。！？]++[」』”’）]*+\s*+(?=\S)"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Za-z]|Dr|Mr|Mrs|Ms|Prof|St|Mme|Mlle|No|Nr|Art|Fig|vs|etc|ca|cf|approx)"
    r"|^\s*\d{1,3})\.\s+\Z"
)
_ITEM = re.compile(r"[-*•|]|\d{1,3}[.)]\s")
_WORD = re.compile(r"\s*\S+|\s+")
# Longer runs of combining marks are not language (Unicode's stream-safe format allows 30).
MAX_CLUSTER = 32
PIECE_CHARACTERS = 16


class Level(IntEnum):
    """How good a place is to cut *before* a unit."""

    CHARACTER = 0
    WORD = 1
    LINE = 2
    SENTENCE = 3
    PARAGRAPH = 4
    HEADING = 5


@dataclass(frozen=True, slots=True)
class Unit:
    """`text[start:end]`, its tokens when counted alone, and how well one can cut before it."""

    start: int
    end: int
    tokens: int
    level: Level


def divide(text: str, count_tokens: Callable[[str], int], most: int) -> list[Unit]:
    """Return units of sentences, or of words and characters where one has over `most` tokens.

    They lie side by side and cover the whole text.
    """
    spans = list(_sentences(text))
    counts = _count_many(count_tokens, [text[start:end] for start, end, _ in spans])
    units: list[Unit] = []
    for (start, end, level), tokens in zip(spans, counts, strict=True):
        if tokens <= most:
            units.append(Unit(start, end, tokens, level))
        else:
            units.extend(_divide_long(text, start, end, level, count_tokens, most))
    return units


def _divide_long(text, start, end, level, count_tokens, most) -> Iterator[Unit]:
    """Yield the units of one long sentence: words, pieces of 16 characters, characters."""
    parts, inner = list(_words(text, start, end)), Level.WORD
    if len(parts) == 1:
        parts, inner = list(_pieces(text, start, end)), Level.CHARACTER
    if len(parts) == 1:
        parts = list(_clusters(text, start, end))
    counts = _count_many(count_tokens, [text[a:b] for a, b in parts])
    for (a, b), tokens in zip(parts, counts, strict=True):
        here = level if a == start else inner
        if tokens <= most or len(parts) == 1:
            yield Unit(a, b, tokens, here)
        else:
            yield from _divide_long(text, a, b, here, count_tokens, most)


def _count_many(count_tokens, texts: list[str]) -> list[int]:
    many = getattr(count_tokens, "count_many", None)
    return many(texts) if many else [count_tokens(text) for text in texts]


def _sentences(text: str) -> Iterator[tuple[int, int, Level]]:
    """Yield (start, end, level) of every sentence or line, with the white space before it."""
    start, level = 0, Level.PARAGRAPH
    for begin, following in _starts(text):
        end = begin - _blanks_before(text, begin)
        if end > start:
            yield start, end, level
            start = end
        level = following
    if start < len(text):
        yield start, len(text), level


def _blanks_before(text: str, at: int) -> int:
    """Return how many white space characters stand before offset `at`."""
    count = 0
    while count < at and text[at - count - 1].isspace():
        count += 1
    return count


def _starts(text: str) -> Iterator[tuple[int, Level]]:
    """Yield the offset of the first character of every sentence or line, and its level."""
    for line in _LINE.finditer(text):
        content = line.group()
        level = _line_level(text, line.start(), content)
        yield line.start(), level
        if level < Level.HEADING:
            for end in _sentence_ends(content):
                yield line.start() + end, Level.SENTENCE


def _line_level(text: str, start: int, line: str) -> Level:
    """Return how well one can cut before this line, by it and by what stands before it."""
    if HEADING.match(line):
        return Level.HEADING
    before = text[max(0, start - 200) : start]
    if before[len(before.rstrip()) :].count("\n") != 1:
        return Level.PARAGRAPH
    if TERMINAL.search(before) or _ITEM.match(line):
        return Level.SENTENCE
    return Level.LINE


def _sentence_ends(line: str) -> Iterator[int]:
    """Yield the offsets in the line at which a further sentence begins."""
    for match in _SENTENCE_END.finditer(line):
        before, following = line[match.end() - 1], line[match.end()]
        if following.islower() or _belongs(before, following):
            continue
        if not _ABBREVIATION.search(line[max(0, match.end() - 12) : match.end()]):
            yield match.end()


def _words(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for match in _WORD.finditer(text[start:end]):
        yield start + match.start(), start + match.end()


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    begin = start
    for _, behind in _clusters(text, start, end):
        if behind - begin >= PIECE_CHARACTERS or behind == end:
            yield begin, behind
            begin = behind


def _clusters(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield characters together with the marks that belong to them."""
    begin = start
    for at in range(start + 1, end):
        if not _belongs(text[at - 1], text[at]) or at - begin >= MAX_CLUSTER:
            yield begin, at
            begin = at
    yield begin, end


def _belongs(before: str, character: str) -> bool:
    """True when a cut between the two would tear one visible character apart."""
    return (
        unicodedata.category(character).startswith("M")
        or "\u200d" in (character, before)
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\u1160" <= character <= "\u11ff"
        or (before == "\r" and character == "\n")
    )

"""Cutting a document's text into overlapping chunks that are exact pieces of it. Pure code.

The rules: chunks are in order; each is `text[start:end]` of `join_pages(pages)`; between two
chunks, before the first and behind the last there is at most white space; none has more than
`size` tokens unless it is one single indivisible character.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from datasets.textunits import HEADING, TERMINAL, Level, Unit, divide

# A unit is divided further when it is over this part of a chunk: fine enough for the overlap.
FINE = 4
# What is left over must be at least this part of a chunk, else the last two share evenly.
SMALL_TAIL = 4
# How full a chunk must be before a cut of this level is taken, best level first.
FILL = ((Level.HEADING, 0.5), (Level.PARAGRAPH, 0.65), (Level.SENTENCE, 0.5), (Level.LINE, 0.6))


@dataclass(frozen=True)
class ChunkSpan:
    """One chunk; `start` and `end` are offsets in `join_pages(pages)`, in characters."""

    index: int
    text: str
    start: int
    end: int
    token_count: int
    first_page: int
    last_page: int
    section: str


def join_pages(pages: Sequence) -> str:
    """Return the document's text: every offset in the product counts in this string.

    A page that ends in the middle of a sentence goes on after one line end, else after two.
    """
    return "".join(part for page in _parts(pages) for part in page)


def _parts(pages: Sequence) -> Iterator[tuple[str, str]]:
    """Yield for every page the separator before it and its text."""
    before = None
    for page in pages:
        if before is None:
            separator = ""
        else:
            separator = "\n" if before and not TERMINAL.search(before[-80:]) else "\n\n"
        yield separator, page.text
        before = page.text


def chunk_pages(
    pages: Sequence,
    *,
    count_tokens: Callable[[str], int],
    size: int = 512,
    overlap: int = 50,
) -> list[ChunkSpan]:
    """Cut the pages into chunks of at most `size` tokens.

    A chunk ends before a heading, else at a paragraph's, else at a sentence's end, if it is full
    enough by then (`FILL`), else at a line or word. The next one repeats at most `overlap` tokens
    of it in whole sentences (in words where it had to be cut inside a sentence), and nothing
    when a new heading begins. When the rest is little more than one chunk, the last two share it
    evenly, so that no small tail is left. Raises `ValueError` for an overlap over half the size.
    """
    if size < 1 or not 0 <= overlap <= size // 2:
        raise ValueError("The overlap must be at least 0 and at most half the chunk size.")
    text = join_pages(pages)
    units = divide(text, count_tokens, max(1, size // FINE))
    cutter = _Cutter(text, units, count_tokens, size, overlap)
    places = _Places(pages, text)
    return [
        ChunkSpan(index, text[start:end], start, end, tokens, *places.of(start, end))
        for index, (start, end, tokens) in enumerate(cutter.spans())
    ]


class _Places:
    """Finds the pages and the section of a span."""

    def __init__(self, pages: Sequence, text: str) -> None:
        lengths = [len(separator) + len(page) for separator, page in _parts(pages)]
        self.ends = list(accumulate(lengths))
        self.numbers = [page.number for page in pages]
        headings = [(m.start(), m.group(1).strip()) for m in HEADING.finditer(text)]
        self.heading_starts = [start for start, _ in headings]
        self.titles = [title for _, title in headings]

    def of(self, start: int, end: int) -> tuple[int, int, str]:
        """Return first page, last page, and the last heading at or before `start`."""
        first = self.numbers[bisect_right(self.ends, start)]
        last = self.numbers[bisect_left(self.ends, end)]
        heading = bisect_right(self.heading_starts, start) - 1
        return first, last, self.titles[heading] if heading >= 0 else ""


class _Cutter:
    """Packs units into chunks. Their token counts are added up to find a cut, then the chunk is
    counted as a whole: tokens do not quite add up, and the bound is a promise."""

    def __init__(self, text: str, units: list[Unit], count_tokens, size: int, overlap: int) -> None:
        self.text = text
        self.units = units
        self.count_tokens = count_tokens
        self.size = size
        self.overlap = overlap
        # sums[i]: tokens of the units before i.
        self.sums = [0, *accumulate(unit.tokens for unit in units)]

    def spans(self) -> Iterator[tuple[int, int, int]]:
        """Yield start, end and token count of each chunk."""
        first, done, reached = 0, 0, 0
        while done < len(self.units):
            behind, span = self._fit(first, done)
            # Nothing but overlap and white space is no chunk of its own.
            if span is not None and span[1] > reached:
                yield span
                reached = span[1]
            first, done = self._next_first(first, behind), behind

    def _fit(self, first: int, done: int):
        """Return the unit behind the chunk and its span; it goes beyond unit `done`."""
        limit = self.size
        while True:
            behind = self._cut(first, done, limit)
            span = self._span(first, behind)
            if span is None or span[2] <= self.size:
                return behind, span
            if behind > done + 1:
                estimate = self.sums[behind] - self.sums[first]
                limit = min(estimate - 1, limit - 1, limit * self.size // span[2])
            elif first < done:
                first += 1  # Give up overlap rather than the bound.
            else:
                return behind, span

    def _cut(self, first: int, done: int, limit: int) -> int:
        """Return the best unit to end before, at least one beyond `done`."""
        base, left = self.sums[first], self.sums[-1] - self.sums[first]
        if left <= limit:
            return len(self.units)
        if limit < left < limit + self.size // SMALL_TAIL:
            limit = max(1, (left + self.overlap + 1) // 2)
        last = bisect_right(self.sums, base + limit) - 1
        last = max(last, done + 1)
        if last == len(self.units):
            return last
        for level, fill in FILL:
            least = max(done + 1, bisect_left(self.sums, base + int(fill * limit)))
            for unit in range(last, least - 1, -1):
                if self._is_good(unit, level):
                    return unit
        return self._last_word(done, last)

    def _is_good(self, unit: int, level: Level) -> bool:
        """True for a cut of this level that does not leave a heading alone at the end."""
        return self.units[unit].level >= level and self.units[unit - 1].level < Level.HEADING

    def _last_word(self, done: int, last: int) -> int:
        for unit in range(last, done, -1):
            if self.units[unit].level >= Level.WORD:
                return unit
        return last

    def _span(self, first: int, behind: int) -> tuple[int, int, int] | None:
        """Return the chunk without the white space around it; None when nothing is left."""
        start, end = self.units[first].start, self.units[behind - 1].end
        text = self.text[start:end]
        core = text.strip()
        if not core:
            return None
        start += len(text) - len(text.lstrip())
        return start, start + len(core), self.count_tokens(core)

    def _next_first(self, first: int, behind: int) -> int:
        """Return where the next chunk begins: before `behind` by at most the overlap."""
        if behind >= len(self.units) or self.units[behind].level >= Level.HEADING:
            return behind
        wanted = min(self.units[behind].level, Level.SENTENCE)
        least = max(first + 1, bisect_left(self.sums, self.sums[behind] - self.overlap))
        for unit in range(least, behind):
            if self.units[unit].level >= wanted:
                return unit
        return behind

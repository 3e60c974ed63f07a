"""Reading one document's text, passage by passage, for the page that shows it."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from django.core.paginator import Page, Paginator
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce

from datasets.file_selectors import page_ranges
from datasets.models import Chunk, Example
from projects.models import SourceFile

PASSAGES = 20


@dataclass(frozen=True)
class Passage:
    """A chunk as the page shows it: `again` is the part that the passage before ends with."""

    chunk: Chunk
    again: str
    text: str
    empty_pages: str

    @property
    def number(self) -> int:
        return self.chunk.index + 1


def place_of(file: SourceFile, at: int) -> tuple[int, int] | None:
    """Return the page of passages and the passage's number that hold page `at` of the document.

    Behind the last page it is the last passage; None when the file has none.
    """
    chunks = Chunk.objects.filter(file=file)
    indexes = chunks.filter(last_page__gte=at).values_list("index", flat=True)
    index = indexes.first()
    if index is None:
        index = chunks.values_list("index", flat=True).last()
    return None if index is None else (index // PASSAGES + 1, index + 1)


def text_page(file: SourceFile, number: str | None) -> tuple[Page, list[Passage]]:
    """Return a page of the file's passages.

    Chunks are numbered from 0 without a gap, so a page of them needs no look at those before.
    """
    chunks = Chunk.objects.filter(file=file)
    page = Paginator(chunks, PASSAGES).get_page(number)
    start = (page.number - 1) * PASSAGES
    rows = list(_with_examples(chunks.filter(index__gte=start - 1, index__lt=start + PASSAGES)))
    rows = rows if start else [None, *rows]
    empty = sorted(file.report.get("empty_pages") or [])
    return page, [_passage(before, chunk, empty) for before, chunk in pairwise(rows)]


def _with_examples(chunks):
    """Add how many examples came from each chunk; those of the preview and the bin do not count."""
    made = Example.objects.filter(chunk=OuterRef("pk")).order_by()
    made = made.exclude(split=Example.Split.PREVIEW).exclude(review=Example.Review.DELETED)
    counted = made.values("chunk").annotate(n=Count("pk")).values("n")
    return chunks.annotate(made=Coalesce(Subquery(counted), 0))


def _passage(before: Chunk | None, chunk: Chunk, empty: Sequence[int]) -> Passage:
    cut = max(0, before.end - chunk.start) if before else 0
    after_page = before.last_page if before else 0
    skipped = empty[bisect_right(empty, after_page) : bisect_left(empty, chunk.last_page)]
    return Passage(chunk, chunk.text[:cut], chunk.text[cut:], page_ranges(skipped))


def pages_behind(file: SourceFile, passages: Sequence[Passage]) -> str:
    """Return the pages without text behind the last passage."""
    last = passages[-1].chunk.last_page if passages else 0
    empty = sorted(file.report.get("empty_pages") or [])
    return page_ranges(empty[bisect_right(empty, last) :])

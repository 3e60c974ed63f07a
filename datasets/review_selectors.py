"""Reading examples for review: what fits the filters, a page of it, the last change.

A page costs the same at a hundred thousand examples: what an index can answer is counted exactly;
a search through the texts stops at `SCAN_LIMIT` hits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import F, OuterRef, Q, QuerySet, Subquery, TextField
from django.db.models.functions import Cast, JSONObject
from django.utils import timezone

from datasets.models import Chunk, Example, ReviewChange
from projects import access
from projects.models import Project

SCAN_LIMIT = 10_000
UNDO_FOR = timedelta(days=1)
FLAGS = {
    "no_question_mark": "no question mark",
    "speaks_of_the_text": "speaks of the text",
    "repaired": "repaired reply",
    "no_evidence": "no quote given",
    "evidence_not_found": "quote not in the text",
}
ANY_FLAG, NO_FLAG = "any", "none"
SORTS = {
    "": ("pk",),
    "newest": ("-pk",),
    "short": ("token_count", "pk"),
    "long": ("-token_count", "-pk"),
    "state": ("review", "pk"),
}
# As a sum, so that a search does not go by the index of lengths: in its order the rows lie all over
# the disk.
LENGTH = F("token_count") + 0
_SHOWN = (Example.Review.PENDING, Example.Review.APPROVED, Example.Review.REJECTED)
_DATASET = (Example.Split.NONE, Example.Split.TRAIN, Example.Split.EVAL)


@dataclass(frozen=True)
class Filters:
    q: str = ""
    review: str = ""
    split: str = ""
    flag: str = ""
    file: int | None = None
    shortest: int | None = None
    longest: int | None = None

    @property
    def is_indexed(self) -> bool:
        """True when state and side alone decide: an index counts them."""
        return self == Filters(review=self.review, split=self.split)


@dataclass(frozen=True)
class ExamplePage:
    rows: list[Example]
    count: int
    is_capped: bool
    number: int
    pages: int

    @property
    def previous(self) -> int | None:
        return self.number - 1 if self.number > 1 else None

    @property
    def next(self) -> int | None:
        return self.number + 1 if self.number < self.pages else None


def matching(project: Project, filters: Filters) -> QuerySet:
    """Return the dataset's examples that fit all filters; the bin only when it is asked for."""
    examples = Example.objects.filter(_place_of(filters), project=project)
    examples = examples.alias(length=LENGTH)
    if filters.shortest is not None:
        examples = examples.filter(length__gte=filters.shortest)
    if filters.longest is not None:
        examples = examples.filter(length__lte=filters.longest)
    if filters.file:
        chunks = Chunk.objects.filter(file=filters.file).order_by().values("pk")
        examples = examples.filter(Q(chunk__in=chunks) | Q(source_file=filters.file))
    for word in filters.q.split():
        examples = examples.filter(Q(prompt__icontains=word) | Q(completion__icontains=word))
    return with_flag(examples, filters.flag)


def _place_of(filters: Filters) -> Q:
    """Side and state as equalities, which the index over both can use."""
    split = Q(split=filters.split) if filters.split else Q(split__in=_DATASET)
    return split & (Q(review=filters.review) if filters.review else Q(review__in=_SHOWN))


def with_flag(examples: QuerySet, flag: str) -> QuerySet:
    """Return the examples with this mark, any, or none.

    The list as text holds a name in quotes on SQLite and PostgreSQL alike.
    """
    if flag == NO_FLAG:
        return examples.filter(flags=[])
    if flag == ANY_FLAG:
        return examples.exclude(flags=[])
    if flag:
        text = Cast("flags", TextField())
        return examples.alias(flags_text=text).filter(flags_text__contains=f'"{flag}"')
    return examples


def page_of_examples(
    project: Project,
    filters: Filters,
    *,
    sort: str = "",
    number: int = 1,
    size: int = 25,
    reviews: Mapping[str, int] | None = None,
) -> ExamplePage:
    """Return the page, the nearest one when there is no such page. Two queries.

    `reviews` are the dataset's examples by state, if known: they save counting.
    """
    order = SORTS[sort]
    if filters.is_indexed:
        count, is_capped = _count(project, filters, reviews), False
        number, pages = _nearest(number, count, size)
        keys = _keys(project, filters, order, (number - 1) * size, count, size)
    else:
        found = matching(project, filters).order_by(*_scanned(order))
        hits = list(found.values_list("pk", flat=True)[: SCAN_LIMIT + 1])
        is_capped = len(hits) > SCAN_LIMIT
        count = min(len(hits), SCAN_LIMIT)
        number, pages = _nearest(number, count, size)
        keys = hits[(number - 1) * size : min(number * size, count)]
    rows = list(_rows(project).filter(pk__in=keys).order_by(*order)) if count else []
    return ExamplePage(rows, count, is_capped, number, pages)


def _count(project: Project, filters: Filters, reviews: Mapping[str, int] | None) -> int:
    if reviews is None or filters.split:
        return matching(project, filters).count()
    return sum(reviews[state] for state in ([filters.review] if filters.review else _SHOWN))


def _nearest(number: int, count: int, size: int) -> tuple[int, int]:
    pages = max(1, -(-count // size))
    return min(max(1, number), pages), pages


def _scanned(order: tuple[str, ...]) -> list:
    lengths = {"token_count": LENGTH.asc(), "-token_count": LENGTH.desc()}
    return [lengths.get(name, name) for name in order]


def _keys(project: Project, filters: Filters, order, start: int, count: int, size: int) -> QuerySet:
    """Return the keys of one page as a subquery; the second half is walked from its end."""
    found = matching(project, filters)
    if "token_count" in order[0]:
        # Told what to leave out, the database reads two indexes and no row.
        hidden = Example.objects.filter(~_place_of(filters), project=project)
        found = Example.objects.filter(project=project).exclude(
            pk__in=hidden.order_by().values("pk")
        )
    stop = min(start + size, count)
    if start > count // 2:
        start, stop = count - stop, count - start
        order = [name[1:] if name.startswith("-") else f"-{name}" for name in order]
    return found.order_by(*order).values("pk")[start:stop]


def _rows(project: Project) -> QuerySet:
    examples = Example.objects.filter(project=project).select_related("chunk__file", "source_file")
    return examples.defer("chunk__text", "chunk__file__report", "source_file__report", "context")


def example_of(user, pk: int) -> Example:
    """Return an example that `user` may see with all that its opened row shows, or raise 404."""
    examples = Example.objects.select_related(
        "project", "chunk__file", "source_file", "request__job"
    )
    examples = examples.defer("chunk__file__report", "request__raw_response", "request__rejected")
    return access.get_owned(examples, user, pk=pk)


def around(project: Project) -> tuple[list[tuple[int, str]], dict | None]:
    """Return the files to choose from and the change that can still be undone, by one query."""
    changes = ReviewChange.objects.filter(
        project=OuterRef("pk"), undone_at=None, created_at__gt=timezone.now() - UNDO_FOR
    ).order_by("-pk")
    change = JSONObject(pk="pk", review="review", count="count")
    rows = (
        Project.objects.filter(pk=project.pk)
        .order_by("files__pk")
        .annotate(change=Subquery(changes.annotate(all=change).values("all")[:1]))
        .values_list("files__pk", "files__original_name", "change")
    )
    rows = list(rows)
    return [(pk, name) for pk, name, _ in rows if pk], rows[0][2] if rows else None


def passage(example: Example) -> dict | None:
    """Return the source passage in three parts: before the quote, the quote, behind it."""
    chunk = example.chunk
    if chunk is None:
        return None
    start, end = example.evidence_start, example.evidence_end
    if start is None or end is None or not 0 <= start < end <= len(chunk.text):
        return {"before": chunk.text, "quote": "", "after": ""}
    text = chunk.text
    return {"before": text[:start], "quote": text[start:end], "after": text[end:]}


def last_change(project: Project) -> dict | None:
    """Return the newest change that can still be undone, as `around` does."""
    changes = ReviewChange.objects.filter(
        project=project, undone_at=None, created_at__gt=timezone.now() - UNDO_FOR
    )
    return changes.order_by("-pk").values("pk", "review", "count").first()

"""Reading a project's documents for the page that lists them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.conf import settings
from django.db.models import Count, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from datasets.extraction.encodings import label_of
from datasets.extraction.report import OCR_HINT
from datasets.models import Chunk
from finetuneflow.lib.storage import shown_size
from projects.models import Project, SourceFile
from projects.selectors import page_count
from projects.services import DOCUMENT_EXTENSIONS

RANGES_SHOWN = 8
TEXT_ENDINGS = (".txt", ".md")
_ONE_PAGE = re.compile(r"Page (\d+) (?:is )?(.+)")
_NO_TEXT = re.compile(r"\d+ of \d+ pages have no text")


@dataclass(frozen=True)
class FileRow:
    """What the table says of one document; numbers are 0 where nothing was read."""

    file: SourceFile
    pages: int = 0
    characters: int = 0
    passages: int = 0
    tokens: int = 0
    notes: list[str] = field(default_factory=list)
    is_text: bool = False
    encoding: str = ""

    @property
    def is_unread(self) -> bool:
        return self.file.state == SourceFile.State.UPLOADED

    @property
    def is_failed(self) -> bool:
        return self.file.state == SourceFile.State.FAILED

    @property
    def is_guess(self) -> bool:
        return not self.file.encoding


@dataclass(frozen=True)
class Documents:
    """A project's documents, and sums over them."""

    rows: list[FileRow]

    @property
    def unread(self) -> int:
        return sum(row.is_unread for row in self.rows)

    @property
    def failed(self) -> int:
        return sum(row.is_failed for row in self.rows)

    @property
    def read(self) -> int:
        return len(self.rows) - self.unread - self.failed

    @property
    def with_notes(self) -> int:
        return sum(bool(row.notes) for row in self.rows)

    @property
    def pages(self) -> int:
        return sum(row.pages for row in self.rows)

    @property
    def characters(self) -> int:
        return sum(row.characters for row in self.rows)

    @property
    def passages(self) -> int:
        return sum(row.passages for row in self.rows)

    @property
    def tokens(self) -> int:
        return sum(row.tokens for row in self.rows)


def documents_of(project: Project) -> Documents:
    """Return the project's documents; ready datasets are files too, but none of these."""
    files = SourceFile.objects.filter(project=project, kind=SourceFile.Kind.RAW_DOC)
    files = list(_with_passages(files))
    tokens = _tokens_of(files)
    return Documents([file_row(file, file.passages, tokens.get(file.pk, 0)) for file in files])


def _with_passages(files):
    """Add the number of each file's chunks; by a join all reports would be sorted."""
    chunks = Chunk.objects.filter(file=OuterRef("pk")).order_by().values("file")
    return files.annotate(
        passages=Coalesce(Subquery(chunks.annotate(n=Count("pk")).values("n")), 0)
    )


def _tokens_of(files: list[SourceFile]) -> dict[int, int]:
    """Return the tokens of each file's chunks: its report says them, since they were counted.

    Summing them up reads every chunk's row, so it is done only for a report without the number.
    """
    known = {file.pk: file.report["tokens"] for file in files if "tokens" in file.report}
    unknown = [file.pk for file in files if file.passages and file.pk not in known]
    if unknown:
        chunks = Chunk.objects.filter(file__in=unknown).order_by()
        known |= dict(chunks.values_list("file").annotate(Sum("token_count")))
    return known


def file_row(file: SourceFile, passages: int = 0, tokens: int = 0) -> FileRow:
    """Return what is shown of one document, from its row and its report."""
    report = file.report
    ends_as_text = file.original_name.lower().endswith(TEXT_ENDINGS)
    return FileRow(
        file=file,
        pages=page_count(report),
        characters=report.get("characters", 0),
        passages=passages,
        tokens=tokens,
        notes=notes_of(report),
        is_text=file.detected_type == "text" or (not file.detected_type and ends_as_text),
        encoding=label_of(file.encoding or report.get("encoding") or ""),
    )


def notes_of(report: dict) -> list[str]:
    """Return the report's warnings for a person, those about single pages put together."""
    notes, pages_by_text = [], {}
    for warning in map(str, report.get("warnings") or []):
        found = _ONE_PAGE.fullmatch(warning)
        if found:
            pages_by_text.setdefault(found[2], []).append(int(found[1]))
        elif not _NO_TEXT.match(warning):
            notes.append(warning)
    empty = report.get("empty_pages") or []
    if empty:
        notes.insert(0, _without_text(empty, report))
    for text, pages in pages_by_text.items():
        notes.append(f"Page{'s' * (len(pages) > 1)} {page_ranges(pages)}: {text}")
    return notes


def _without_text(empty: list[int], report: dict) -> str:
    of = f"{len(empty)} of {page_count(report):,} pages"
    verb = "has" if len(empty) == 1 else "have"
    hint = f" {OCR_HINT}" if report.get("needs_ocr") else ""
    return f"{of} {verb} no text: {page_ranges(empty)}.{hint}"


def page_ranges(numbers: Iterable[int], *, limit: int = RANGES_SHOWN) -> str:
    """Return page numbers shortly: "3, 7–9", and the number of those behind `limit` ranges."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = [f"{a}" if a == b else f"{a}–{b}" for a, b in ranges[:limit]]
    more = sum(b - a + 1 for a, b in ranges[limit:])
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def upload_limits(project: Project) -> dict:
    """Return what a person should know before choosing files."""
    used = SourceFile.objects.filter(project=project).aggregate(bytes=Sum("size_bytes"))["bytes"]
    left = max(0, settings.PROJECT_QUOTA_BYTES - (used or 0))
    return {
        "file_bytes": min(settings.MAX_UPLOAD_BYTES, left),
        "file": shown_size(settings.MAX_UPLOAD_BYTES),
        "left": shown_size(left),
        "quota": shown_size(settings.PROJECT_QUOTA_BYTES),
        "is_full": not left,
        "types": sorted(DOCUMENT_EXTENSIONS),
    }

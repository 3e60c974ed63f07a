"""Reading a project's documents: extract, chunk, store. One file's failure never stops the rest.

A file is done when its row says so, and that is written in the transaction that writes its
chunks: however often the job runs or dies, no chunk exists twice and none is missing.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Sum

from datasets.chunking import ChunkSpan, chunk_pages
from datasets.extraction import Extraction, ExtractionError, extract
from datasets.models import Chunk
from finetuneflow.lib import storage
from finetuneflow.lib.tokens import TokenCounter, counter_for
from projects import jobs
from projects.models import Job, JobEvent, Project, SourceFile
from projects.services import raw_path

logger = logging.getLogger(__name__)

SECTION_LIMIT = Chunk._meta.get_field("section").max_length
BATCH = 500
REASONS_SHOWN = 3


def read_documents(*, job: Job, reporter: jobs.Reporter) -> jobs.Outcome:
    """Read and chunk every document of the job's project that is not read yet.

    `job.params` may name `chunk_size` and `chunk_overlap`; else the project's settings count. A
    file is read again when these or the token counter differ from what its chunks were made with.
    Raises `jobs.JobFailed` (no_files, no_text) when the project has no text in the end.
    """
    project = job.project
    counter = counter_for(tokenizer_path(project))
    wanted = chunking_settings(project, job.params, counter)
    files = list(documents_of(project))
    if not files:
        raise jobs.JobFailed("no_files", "The project has no documents. Add some, then read them.")
    to_read = [file for file in files if not is_done(file, wanted)]
    for number, file in enumerate(to_read):
        reporter(number, len(to_read), f"Reading {file.original_name}")
        _read_file(file, wanted, counter, reporter)
    reporter(len(to_read), len(to_read), "All documents are read")
    reporter.flush()
    return _outcome(project, counter, skipped=len(files) - len(to_read))


def documents_of(project: Project):
    return SourceFile.objects.filter(project=project, kind=SourceFile.Kind.RAW_DOC)


def tokenizer_path(project: Project) -> Path | None:
    """Return the base model's tokenizer.json in the models folder; None when it is not there."""
    try:
        path = storage.safe_path(settings.MODELS_DIR, project.base_model, "tokenizer.json")
    except storage.UnsafePath:
        return None
    return path if path.is_file() else None


def chunking_settings(project: Project, params: dict, counter: TokenCounter) -> dict:
    """Return what a file's chunks depend on; stored in its report."""
    return {
        "size": params.get("chunk_size", project.chunk_size),
        "overlap": params.get("chunk_overlap", project.chunk_overlap),
        "token_counter": counter.name,
    }


def is_done(file: SourceFile, wanted: dict) -> bool:
    return file.state == SourceFile.State.EXTRACTED and file.report.get("chunking") == wanted


def _read_file(file: SourceFile, wanted: dict, counter: TokenCounter, reporter) -> None:
    """Extract, chunk and store one file; what cannot be read is written on the file."""
    try:
        extraction = extract(
            raw_path(file),
            name=file.original_name,
            encoding=file.encoding,
            memory_bytes=settings.EXTRACT_MEMORY_BYTES,
            seconds=settings.EXTRACT_SECONDS,
            on_wait=reporter.flush,
        )
        spans = chunk_pages(
            extraction.pages,
            count_tokens=counter,
            size=wanted["size"],
            overlap=wanted["overlap"],
        )
    except ExtractionError as error:
        _store_failure(file, error)
        text = f"{file.original_name}: {error.message}"
        reporter.log(text, level=JobEvent.Level.ERROR, data={"code": error.code})
        return
    reporter.flush()  # A job cancelled while it cut the text stores nothing more.
    tokens = sum(span.token_count for span in spans)
    extraction.report |= {"chunking": wanted, "tokens": tokens}
    if store_chunks(file, extraction, spans):
        _log_file(file, extraction, spans, reporter)


def store_chunks(file: SourceFile, extraction: Extraction, spans: Sequence[ChunkSpan]) -> bool:
    """Replace the file's chunks and mark it read, in one transaction.

    Chunks that would come out the same are left alone, with what refers to them. False when the
    file was deleted in the meantime.
    """
    with transaction.atomic():
        if not SourceFile.objects.select_for_update().filter(pk=file.pk).exists():
            return False
        if not _are_stored(file, spans):
            Chunk.objects.filter(file=file).delete()
            rows = [_row(file, span) for span in spans]
            Chunk.objects.bulk_create(rows, batch_size=BATCH)
        _update(
            file,
            state=SourceFile.State.EXTRACTED,
            detected_type=extraction.report["type"],
            report=extraction.report,
            error_text="",
        )
    return True


def _are_stored(file: SourceFile, spans: Sequence[ChunkSpan]) -> bool:
    stored = Chunk.objects.filter(file=file).order_by("index")
    fields = ("index", "text", "token_count", "start", "end")
    wanted = [tuple(getattr(span, name) for name in fields) for span in spans]
    return list(stored.values_list(*fields)) == wanted


def _row(file: SourceFile, span: ChunkSpan) -> Chunk:
    return Chunk(
        file=file,
        index=span.index,
        text=span.text,
        token_count=span.token_count,
        start=span.start,
        end=span.end,
        first_page=span.first_page,
        last_page=span.last_page,
        section=span.section[:SECTION_LIMIT],
    )


def _store_failure(file: SourceFile, error: ExtractionError) -> None:
    """Write why the file cannot be read. Chunks of an earlier reading are of no file any more."""
    with transaction.atomic():
        Chunk.objects.filter(file=file).delete()
        _update(
            file,
            state=SourceFile.State.FAILED,
            report={"error": error.code},
            error_text=error.message,
        )


def _update(file: SourceFile, **values) -> None:
    for name, value in values.items():
        setattr(file, name, value)
    SourceFile.objects.filter(pk=file.pk).update(**values)


def _log_file(file: SourceFile, extraction: Extraction, spans, reporter) -> None:
    report = extraction.report
    reporter.log(
        f"{file.original_name}: {report['pages']} pages, {len(spans)} chunks, "
        f"{sum(span.token_count for span in spans)} tokens.",
        data={"file": file.pk, "type": report["type"], "parser": report["parser"]},
    )
    for warning in report["warnings"]:
        reporter.log(f"{file.original_name}: {warning}", level=JobEvent.Level.WARNING)


def _outcome(project: Project, counter: TokenCounter, *, skipped: int) -> jobs.Outcome:
    """Count over the whole project, so that a second run reports the same numbers."""
    files = list(documents_of(project))
    failed = [file for file in files if file.state == SourceFile.State.FAILED]
    chunks = Chunk.objects.filter(file__in=files)
    result = {
        "files": len(files),
        "skipped": skipped,
        "pages": sum(file.report.get("pages", 0) for file in files),
        "empty_pages": sum(len(file.report.get("empty_pages", [])) for file in files),
        "chunks": chunks.count(),
        "tokens": chunks.aggregate(total=Sum("token_count"))["total"] or 0,
        "failed": [{"file": file.original_name, "why": file.error_text} for file in failed],
        "token_counter": counter.name,
    }
    if not result["chunks"]:
        raise jobs.JobFailed("no_text", _nothing_usable(failed))
    good = f"{len(files) - len(failed)} of {len(files)} documents read"
    message = f"{good}: {result['pages']} pages, {result['chunks']} chunks."
    if not failed:
        return jobs.Outcome(message, result=result)
    return jobs.Outcome(
        message,
        status=Job.Status.COMPLETED_WITH_ERRORS,
        result=result,
        error_code="some_failed",
        error_text="\n".join(f"{file.original_name}: {file.error_text}" for file in failed),
    )


def _nothing_usable(failed: list[SourceFile]) -> str:
    reasons = [f"{file.original_name}: {file.error_text}" for file in failed[:REASONS_SHOWN]]
    more = len(failed) - len(reasons)
    rest = f" And {more} more." if more > 0 else ""
    return f"None of the documents has usable text. {' '.join(reasons)}{rest}".strip()

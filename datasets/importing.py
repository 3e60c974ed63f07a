"""Importing a ready dataset: every row becomes an example or is counted with its line and reason.

Streaming, and safe to run again after a kill: a row that is there already is not added twice.
"""

import csv
import io
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from datasets import exporting, splitting
from datasets.generation import store
from datasets.import_formats import BadRow, Mapping, recognise, to_example
from datasets.import_rows import BadFile, Row, encoding_of, place_of, read_rows
from datasets.models import Example
from finetuneflow.lib import storage
from projects import jobs, services
from projects.models import Job, Project, SourceFile
from projects.services import raw_path

logger = logging.getLogger(__name__)

BATCH = 500
LOOK_ROWS, LOOK_BYTES, LOOK_COLUMNS = 200, 1024 * 1024, 100
ROWS_SHOWN = 10
ERRORS_SHOWN = 50
GONE = "The file is no longer on the disk. Delete it here and add it again."
NO_EVALUATION = (
    "Nothing is left for evaluation: all rows share a question or an answer, and such rows stay "
    "together. Import more that differ."
)
COUNT_FIELDS = ("read", "added", "there_already", "rejected")


@dataclass
class Look:
    """What the first rows of a file say: how they would become examples, and what would not."""

    mapping: Mapping | None = None
    columns: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    place: str = "Line"
    encoding: str = ""
    examples: list[dict] = field(default_factory=list)
    errors: list[tuple[int, str]] = field(default_factory=list)
    good: int = 0
    bad: int = 0
    seen: int = 0
    problem: str = ""


def look_at(file: SourceFile, mapping: Mapping | None = None) -> Look:
    """Read LOOK_ROWS rows or LOOK_BYTES of the beginning; `mapping` overrides what is recognised.

    Never raises.
    """
    look, path, name = Look(mapping=mapping), raw_path(file), file.original_name
    try:
        look.place, look.encoding = place_of(name), encoding_of(path, name)
        rows = _first(read_rows(path, name, limit_bytes=LOOK_BYTES))
    except (BadFile, OSError) as error:
        look.problem = str(error) if isinstance(error, BadFile) else GONE
        return look
    readable = [row.values for row in rows if row.values]
    columns = dict.fromkeys(name for values in readable for name in values)
    look.columns = list(columns)[:LOOK_COLUMNS]
    look.mapping = mapping or recognise(readable)
    look.seen = len(rows)
    if not rows:
        look.problem = "The file has no rows. Add one with at least a few examples."
    if look.mapping:
        look.unused = look.mapping.unused(look.columns)
        _judge(rows, look)
    return look


def _judge(rows: list[Row], look: Look) -> None:
    for row in rows:
        try:
            prompt, context, completion = _example(row, look.mapping)
        except BadRow as error:
            look.errors.append((row.line, str(error)))
        else:
            look.good += 1
            shown = {"line": row.line, "prompt": prompt, "context": context}
            look.examples.append(shown | {"completion": completion})
    look.bad = len(look.errors)
    look.examples = look.examples[:ROWS_SHOWN]
    look.errors = look.errors[:ERRORS_SHOWN]


def _first(rows: Iterator[Row]) -> list[Row]:
    return list(islice(rows, LOOK_ROWS))


def _example(row: Row, mapping: Mapping) -> tuple[str, str, str]:
    if row.values is None:
        raise BadRow(row.problem)
    return to_example(row.values, mapping)


def start_import(*, file: SourceFile, mapping: Mapping) -> Job:
    """Queue the import; raises `jobs.JobAlreadyActive`."""
    return jobs.enqueue(
        project=file.project,
        kind=Job.Kind.IMPORT,
        func="datasets.tasks.import_dataset",
        params={"file": file.pk, "mapping": mapping.to_json()},
    )


def import_dataset(*, job: Job, reporter: jobs.Reporter) -> jobs.Outcome:
    """Add the file's rows as examples, split the dataset and write its files.

    Raises `JobFailed`: no_file, bad_file, no_rows.
    """
    file = SourceFile.objects.select_related("project").filter(pk=job.params["file"]).first()
    if file is None:
        raise jobs.JobFailed("no_file", "The file was deleted. Add it again, then import it.")
    mapping = Mapping(**job.params["mapping"])
    counts, reasons = Counter(dict.fromkeys(COUNT_FIELDS, 0)), Counter()
    try:
        total = _count_rows(file, reporter)
        _add_rows(file, mapping, reporter, total, counts, reasons)
    except (BadFile, FileNotFoundError) as error:
        text = str(error) if isinstance(error, BadFile) else GONE
        _keep(file, SourceFile.State.FAILED, {}, text)
        raise jobs.JobFailed("bad_file", text) from error
    except jobs.JobCancelled:
        _keep_unfinished(file, counts, reasons, mapping)
        raise
    if not counts["added"] and not counts["there_already"]:
        text = _nothing(reasons)
        _keep(file, SourceFile.State.FAILED, _report(counts, reasons, mapping), text)
        raise jobs.JobFailed("no_rows", text)
    reporter(total, total, "Splitting into training and evaluation")
    split = splitting.split_examples(file.project)
    exporting.write_dataset(file.project, job=job)
    _keep(file, SourceFile.State.EXTRACTED, _report(counts, reasons, mapping))
    return _outcome(counts, reasons, split)


def _count_rows(file: SourceFile, reporter: jobs.Reporter) -> int:
    """Read the whole file before the first row is added: one that breaks off adds nothing."""
    total = 0
    for _ in read_rows(raw_path(file), file.original_name):
        total += 1
        reporter(0, 0, f"Counting rows: {total:,}")
    return total


def _keep_unfinished(file: SourceFile, counts: Counter, reasons: Counter, mapping: Mapping) -> None:
    """What a cancelled import added stays and takes part; a full disk must not hide the end."""
    if not counts["added"]:
        return
    report = _report(counts, reasons, mapping) | {"stopped": True}
    _keep(file, SourceFile.State.UPLOADED, report)
    try:
        splitting.split_examples(file.project)
        exporting.write_dataset(file.project)
    except OSError:
        logger.exception("the examples of a cancelled import could not be written")


def _add_rows(
    file: SourceFile,
    mapping: Mapping,
    reporter: jobs.Reporter,
    total: int,
    counts: Counter,
    reasons: Counter,
) -> None:
    """Add the rows in batches; the refused ones go to the errors file as they come."""
    counter, batch = store.token_counter(file.project), []
    for leftover in errors_path(file).parent.glob(f"{errors_path(file).name}.*.tmp"):
        leftover.unlink(missing_ok=True)  # Of an import whose process was killed.
    with storage.atomic_writer(errors_path(file)) as errors:
        errors.write(_line(place_of(file.original_name).lower(), "reason"))
        for row in read_rows(raw_path(file), file.original_name):
            counts["read"] += 1
            try:
                batch.append((row.line, *_example(row, mapping)))
            except BadRow as error:
                counts["rejected"] += 1
                reasons[str(error)] += 1
                errors.write(_line(row.line, str(error)))
            if len(batch) == BATCH:
                _add(file, batch, counter, counts)
                batch.clear()
            reporter(counts["read"], total, "Adding the rows")
        _add(file, batch, counter, counts)


def _line(*cells) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode("utf-8", "replace")


def _add(file: SourceFile, batch: list[tuple], counter, counts: Counter) -> None:
    """Insert what the project does not have; rows that this file added before count as added."""
    new: dict[str, Example] = {}
    for line, prompt, context, completion in batch:
        mark = store.fingerprint(prompt, context, completion)
        if mark in new:
            counts["there_already"] += 1
            continue
        new[mark] = Example(
            project=file.project,
            prompt=prompt,
            context=context,
            completion=completion,
            token_count=store.count_tokens(counter, prompt, context, completion),
            fingerprint=mark,
            source_file=file,
            source_line=line,
        )
    known = Example.objects.filter(project=file.project, fingerprint__in=new)
    known = known.exclude(split=Example.Split.PREVIEW)
    for mark, source, line in known.values_list("fingerprint", "source_file_id", "source_line"):
        is_ours = source == file.pk and line == new[mark].source_line
        counts["added" if is_ours else "there_already"] += 1
        del new[mark]
    # Another process could add the same between the two queries: the constraint decides.
    Example.objects.bulk_create(new.values(), ignore_conflicts=True)
    added = Example.objects.filter(
        project=file.project, source_file=file, fingerprint__in=new
    ).count()
    counts["added"] += added
    counts["there_already"] += len(new) - added


def _report(counts: Counter, reasons: Counter, mapping: Mapping) -> dict:
    return {"import": dict(counts) | {"reasons": reasons.most_common()}, "mapping": mapping.title}


def _keep(file: SourceFile, state: str, report: dict, error_text: str = "") -> None:
    SourceFile.objects.filter(pk=file.pk).update(state=state, report=report, error_text=error_text)


def _outcome(counts: Counter, reasons: Counter, split: dict) -> jobs.Outcome:
    text = f"{counts['added']:,} of {counts['read']:,} rows are examples now."
    if counts["there_already"]:
        text += f" {counts['there_already']:,} were there already."
    result = dict(counts) | {"reasons": reasons.most_common(), "split": split}
    if split["train"] and not split["eval"]:
        text += f" {NO_EVALUATION}"
    if not counts["rejected"]:
        return jobs.Outcome(text, result=result)
    text += f" {counts['rejected']:,} were refused: {_reasons(reasons)}."
    return jobs.Outcome(
        text,
        status=Job.Status.COMPLETED_WITH_ERRORS,
        result=result,
        error_code="rows_refused",
        error_text=f"{counts['rejected']:,} rows were refused: {_reasons(reasons)}.",
    )


def _reasons(reasons: Counter, most: int = 3) -> str:
    return "; ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common(most))


def _nothing(reasons: Counter) -> str:
    why = f" Most often: {_reasons(reasons)}." if reasons else " It has no rows."
    return f"No row of the file is an example.{why} Choose other columns, or correct the file."


def errors_path(file: SourceFile) -> Path:
    """Return where the refused rows of the last import are listed as CSV."""
    return exporting.dataset_folder(file.project) / f"import-{file.pk}-errors.csv"


def dataset_files(project: Project):
    return project.files.filter(kind=SourceFile.Kind.DATASET).order_by("-pk")


def delete_file(*, file: SourceFile) -> None:
    """Delete the file, not its examples; raises `jobs.JobAlreadyActive` while one is read."""
    services.delete_file(file=file)
    errors_path(file).unlink(missing_ok=True)

"""Projects as they look half-way and at the end, made of rows: no worker, no model, no network."""

import io
import math
import zipfile
from datetime import timedelta

from django.utils import timezone

from datasets.models import Chunk, Example, GenerationRequest
from finetuneflow.lib import storage
from projects import queues, services
from projects.models import Job, JobEvent, Project, SourceFile
from training import live
from training.engine.config import EngineConfig
from training.models import Export, Run
from training.services import exports_folder

QUESTIONS = (
    ("How often are the scales calibrated?", "On the first Tuesday of each month."),
    ("What does error E-31 mean?", "The flow is below 1.6 litres per minute; the heater stops."),
    ("Who approves claims handed in late?", "Only the head of finance, Mrs Oduya."),
    ("How long does the pump run on?", "Eight minutes after the heater stops."),
)


def workers_are_alive() -> None:
    for queue in ("default", "gpu"):
        queues.beat(queue, pid=1)


def job(project: Project, kind: str, **fields) -> Job:
    now = timezone.now()
    times = {"started_at": now - timedelta(seconds=95), "queued_at": now - timedelta(seconds=97)}
    if fields.get("status", Job.Status.SUCCEEDED) not in Job.ACTIVE:
        times["finished_at"] = now - timedelta(seconds=3)
    defaults = {"status": Job.Status.SUCCEEDED, "func": "x.y", "done": 10, "total": 10} | times
    return Job.objects.create(project=project, kind=kind, **(defaults | fields))


def files(project: Project) -> list[SourceFile]:
    """Three files that were read, with chunks, and one that could not be."""
    made = []
    for name, pages in (("handbook.pdf", 4), ("k7-manual.docx", 6), ("voyages.txt", 1)):
        file = services.add_file(project=project, name=name, pieces=[name.encode()])
        file.state = SourceFile.State.EXTRACTED
        file.report = {"pages": pages, "characters": pages * 1810, "warnings": []}
        file.save()
        made.append(file)
        Chunk.objects.bulk_create(
            Chunk(
                file=file, index=i, text=f"Text {i}", token_count=400, start=i * 10, end=i * 10 + 6
            )
            for i in range(pages * 2)
        )
    failed = services.add_file(project=project, name="scan.pdf", pieces=[b"scan"])
    failed.state = SourceFile.State.FAILED
    failed.error_text = "All 12 pages are pictures without text. Run OCR on it, then add it again."
    failed.save()
    return made


def examples(project: Project, count: int, **fields) -> list[Example]:
    chunks = list(Chunk.objects.filter(file__project=project))
    start = Example.objects.filter(project=project).count()
    return Example.objects.bulk_create(
        Example(
            project=project,
            chunk=chunks[i % len(chunks)],
            prompt=QUESTIONS[i % 4][0] if i < 4 else f"{QUESTIONS[i % 4][0]} ({i})",
            completion=QUESTIONS[i % 4][1],
            evidence=f"According to the handbook: {QUESTIONS[i % 4][1]}",
            token_count=20 + i % 17,
            fingerprint=f"{start + i:064x}",
            **({"split": "eval" if i % 10 == 9 else "train"} | fields),
        )
        for i in range(count)
    )


def generation(project: Project) -> Job:
    """A finished generation with its ledger: done, rejected with reasons, and failed requests."""
    made = job(project, Job.Kind.GENERATE, message="50 examples from 22 passages.")
    chunks = list(Chunk.objects.filter(file__project=project))
    States = GenerationRequest.State
    for index, chunk in enumerate(chunks):
        fields = {"state": States.DONE, "rejected": []}
        if index % 7 == 3:
            item = {"reason": "refers_to_the_text", "prompt": "What does the text above say?"}
            fields = {"state": States.REJECTED, "rejected": [item]}
        if index % 11 == 5:
            fields = {"state": States.FAILED, "error_class": "timeout"}
        GenerationRequest.objects.create(
            job=made, chunk=chunk, slot=0, strategy="json", prompt_version="1", **fields
        )
    return made


def measurements(steps: int, *, worse: bool = False) -> list[dict]:
    """What an engine measures on its way: the loss of every step, an evaluation every ten."""
    sign = -0.4 if worse else 1
    rows = [{"type": "metric", "step": 0, "epoch": 0, "eval_loss": 1.823}]
    for s in range(1, steps + 1):
        place = {"type": "metric", "step": s, "total": 120, "epoch": s / 30}
        loss = 0.45 + 1.3 * math.exp(-s / 18) + 0.06 * math.sin(s * 2.1)
        work = {"tokens_per_second": 341.2, "peak_bytes": 1_240_000_000}
        rows.append(place | work | {"loss": loss, "learning_rate": 0.0002 * (1 - s / 130)})
        if s % 10 == 0:
            rows.append(place | {"eval_loss": 1.823 - sign * 1.08 * (1 - math.exp(-s / 20))})
    return rows


def metrics(made: Job, rows: list[dict]) -> None:
    JobEvent.objects.bulk_create(
        JobEvent(job=made, level=JobEvent.Level.METRIC, data=row | {"type": None}) for row in rows
    )
    JobEvent.objects.bulk_create(
        JobEvent(job=made, text=f"Step {row['step']}: loss {row['loss']:.4f}")
        for row in rows
        if "loss" in row and row["step"] % 10 == 0
    )


def run(
    project: Project,
    *,
    steps: int = 84,
    worse: bool = False,
    phase: str = "train",
    config: dict | None = None,
    **job_fields,
) -> Run:
    """A run, finished well unless `job_fields` say otherwise."""
    made = job(project, Job.Kind.TRAIN, queue="gpu", **job_fields)
    rows = measurements(steps, worse=worse) if steps else []
    metrics(made, rows)
    settings = EngineConfig(base_model="/models/m", base_model_id="owner/m", **(config or {}))
    result = Run.objects.create(
        project=project,
        job=made,
        method=settings.method,
        config=settings.to_json(),
        dataset_stats={"train": 45, "eval": 5, "train_tokens": 2310},
        dataset_hash="5f0c" * 16,
        live=live.absorb({}, [*rows, {"type": "phase", "phase": phase}]),
    )
    if made.status == Job.Status.SUCCEEDED:
        last = rows[-1].get("eval_loss") or [r for r in rows if "eval_loss" in r][-1]["eval_loss"]
        result.metrics = {
            "baseline": {"eval_loss": 1.823, "perplexity": math.exp(1.823)},
            "final": {"eval_loss": last, "perplexity": math.exp(last)},
            "train": {"steps": steps, "planned_steps": steps, "seconds": 71.4}
            | {"tokens_per_second": 341.2},
            "history": [{k: v for k, v in row.items() if k in live.ROW} for row in rows],
        }
        result.peak_bytes = 1_240_000_000
        result.samples = [
            {
                "prompt": prompt,
                "reference": answer,
                "before": "It is a common error code of printers. Please refer to the manual.",
                "after": answer,
            }
            for prompt, answer in QUESTIONS
        ]
        result.save()
    return result


def export(made: Run) -> Export:
    """A built and verified archive, with its file on disk."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("report.md", "# Report\n")
    made_by = job(made.project, Job.Kind.EXPORT, message="Built 1.zip with 1 files.")
    result = Export.objects.create(run=made)
    path = exports_folder(made.project) / f"{result.pk}.zip"
    storage.write_bytes(path, buffer.getvalue())
    result.file_name, result.size_bytes = path.name, path.stat().st_size
    result.sha256 = storage.sha256_of(path)
    result.contents = [{"name": "report.md", "size_bytes": 9}]
    result.verification = {"ok": True, "problems": [], "eval_loss": 0.741, "expected": 0.741}
    result.save()
    made_by.params = {"export": result.pk}
    made_by.save()
    return result


def finished_project(owner) -> Project:
    project = services.create_project(owner=owner, name="Workshop assistant")
    files(project)
    job(project, Job.Kind.DOCUMENTS, message="3 files read, 22 passages; 1 cannot be read.")
    examples(project, 10, split=Example.Split.PREVIEW)
    job(project, Job.Kind.PREVIEW, message="10 examples.")
    examples(project, 60)
    generation(project)
    export(run(project, message="Evaluation loss 1.82, now 0.74."))
    return project

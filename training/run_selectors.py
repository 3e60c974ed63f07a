"""Reading runs for the Train step: what would be trained, one run, several side by side."""

import math
from dataclasses import dataclass, field

from django.db.models import Count, F, Sum
from django.utils.safestring import SafeString, mark_safe

from datasets.models import Example
from projects.facts import TRAINED
from projects.models import Job, JobEvent, Project
from training import curves, live, report
from training.engine.config import EngineConfig
from training.models import Run
from training.run_settings import ADVICE, HIDDEN, LABELS, key_of, settings_of, shown_value, words
from training.train_forms import DEFAULTS

FEW = {"train": 10, "eval": 5}
TABLE_ROWS = 200
BESIDE_LOG = {"width": 500, "height": 240, "legend": False}
_BATCH = ("micro_batch", "gradient_accumulation")
PHASES = {
    "load": "Load model",
    "check": "Check data",
    "baseline": "Measure before",
    "train": "Train",
    "evaluate": "Measure after",
    "save": "Save",
}
# Shown for every run; another setting only where runs differ in it.
COMPARED = ("examples", "method", "epochs", "learning_rate", "batch", "lora_rank")


@dataclass(frozen=True)
class Plan:
    """What a training would use now. Tokens are counted without the chat template."""

    train: int = 0
    eval: int = 0
    train_tokens: int = 0
    steps: int = 0
    warnings: list[str] = field(default_factory=list)


def plan_of(project: Project, config: EngineConfig) -> Plan:
    counts = {"train": (0, 0), "eval": (0, 0)}
    rows = project.examples.filter(split__in=counts).exclude(review__in=Example.LEFT_OUT)
    for row in rows.values("split").annotate(n=Count("id"), t=Sum("token_count")).order_by():
        counts[row["split"]] = row["n"], row["t"]
    train, evaluation = counts["train"][0], counts["eval"][0]
    return Plan(
        train=train,
        eval=evaluation,
        train_tokens=counts["train"][1],
        steps=config.steps(train) if train else 0,
        warnings=_warnings(train, evaluation),
    )


def _warnings(train: int, evaluation: int) -> list[str]:
    if not train:
        return []
    found = []
    if train < FEW["train"]:
        found.append(
            f"{_examples(train)} to learn from: the model will learn them by heart and little "
            "else. Generate more, or approve more of them."
        )
    if not evaluation:
        found.append(
            "No example to measure with: the training cannot start. Add documents or examples that "
            "differ from these, and generate or import again: one in ten is kept back."
        )
    elif evaluation < FEW["eval"]:
        found.append(
            f"{_examples(evaluation)} to measure with: too few to tell better from worse. "
            f"{FEW['eval']} are the least, 30 a good number."
        )
    return found


def _examples(count: int) -> str:
    return f"Only {count} example{'' if count == 1 else 's'}"


# Several runs


def runs_of(project: Project):
    """Return the project's runs for a table: their numbers without their long histories."""
    return (
        Run.objects.filter(project=project)
        .select_related("job")
        .defer("metrics", "samples", "live", "dataset_stats")
        .annotate(
            before=F("metrics__baseline"),
            after=F("metrics__final"),
            effort=F("metrics__train"),
            examples=F("dataset_stats__train"),
        )
    )


def active_run(jobs: list[Job]) -> Run | None:
    """Return the run that one of these jobs trains or will train."""
    job = next((job for job in jobs if job.kind == Job.Kind.TRAIN), None)
    return Run.objects.filter(job=job).select_related("job").first() if job else None


@dataclass(frozen=True)
class Comparison:
    columns: list[dict]
    rows: list[dict]
    are_different: bool


def compare(runs: list[Run]) -> Comparison:
    """Put runs side by side; a setting that differs between them is marked in every row."""
    settings = [_compared(run) for run in runs]
    names = [*COMPARED, *(name for name in DEFAULTS if name not in (*COMPARED, *HIDDEN, *_BATCH))]
    different = {name for name in names if len({key_of(each.get(name)) for each in settings}) > 1}
    shown = [name for name in names if name in COMPARED or name in different]
    losses = [_loss(run.after) for run in runs]
    best = min((loss for loss in losses if loss is not None), default=None)
    rows = [
        {
            "run": run,
            "cells": [{"value": shown_value(s.get(n)), "differs": n in different} for n in shown],
            "before": _loss(run.before),
            "after": loss,
            "perplexity": (run.after or {}).get("perplexity"),
            "is_best": loss is not None and loss == best and len(runs) > 1,
            "is_worse": None not in (loss, _loss(run.before)) and loss > _loss(run.before),
            "stopped_by": (run.effort or {}).get("stopped_by"),
        }
        for run, s, loss in zip(runs, settings, losses, strict=True)
    ]
    columns = [{"label": LABELS.get(n, words(n)), "differs": n in different} for n in shown]
    return Comparison(columns, rows, bool(different))


def _compared(run: Run) -> dict:
    settings = settings_of(run)
    batch = f"{settings['micro_batch']} × {settings['gradient_accumulation']}"
    return settings | {"examples": run.examples, "batch": batch}


def _loss(values: dict | None) -> float | None:
    loss = (values or {}).get("eval_loss")
    return loss if isinstance(loss, int | float) and math.isfinite(loss) else None


# One run


def history(run: Run) -> list[dict]:
    """Return a row a step, in order: `step` with `loss` and/or `eval_loss`.

    A run that went on from a checkpoint measured some steps twice: the later values count.
    """
    rows = (run.metrics.get("history") or []) if run.metrics.get("final") else []
    if not rows and run.job_id is not None:
        events = JobEvent.objects.filter(job_id=run.job_id, level=JobEvent.Level.METRIC)
        rows = list(events.values_list("data", flat=True))
    steps: dict[int, dict] = {}
    for row in rows:
        if isinstance(row.get("step"), int | float):
            steps[row["step"]] = steps.get(row["step"], {}) | row
    return [steps[step] for step in sorted(steps)]


def numbers(run: Run) -> dict:
    """Return the newest rows of the curve as a table."""
    rows = history(run)
    shown = [row | {"learning_rate": short(row.get("learning_rate"))} for row in rows[-TABLE_ROWS:]]
    return {"rows": shown, "row_count": len(rows)}


def short(value) -> str:
    """Return a small number in three digits: "0.000193", "1.5e-06"; empty for None."""
    return f"{value:.3g}" if isinstance(value, int | float) else ""


def loss_curve(rows: list[dict], **look) -> SafeString:
    """Return the curve as SVG: numbers and fixed words of ours, so it needs no escaping."""
    return mark_safe(curves.loss_curve_svg(rows, **look))


def live_state(run: Run) -> dict:
    """Return what is known while the run works, from its row and its job's alone."""
    now = run.live
    job = run.job
    is_running = bool(job) and job.status == Job.Status.RUNNING
    return {
        "now": now,
        "phases": _phases(now.get("phase", "")) if is_running else [],
        "is_finishing": is_running and job.finish_requested,
        "learning_rate": short(now.get("learning_rate")),
        "epochs": settings_of(run)["epochs"],
        "poll_seconds": 3 if is_running else 10,
    }


def _phases(current: str) -> list[dict]:
    """Return the phases in order with their state; before the first one all are to come."""
    names = list(PHASES)
    place = names.index(current) if current in names else len(names) * (current == "done") - 1
    return [
        {"title": title, "state": "done" if index < place else "now" if index == place else ""}
        for index, title in enumerate(PHASES.values())
    ]


def live_curve(run: Run) -> str:
    rows = live.curve_rows(run.live)
    return loss_curve(rows, last=run.live.get("total") or 0, **BESIDE_LOG) if rows else ""


def run_result(run: Run) -> dict:
    """Return the numbers of a run that is over, as far as it came."""
    rows = history(run)
    train, eval_rows = run.metrics.get("train") or {}, run.dataset_stats.get("eval", 0)
    before, after = run.metrics.get("baseline") or {}, run.metrics.get("final") or {}
    return {
        "curve": loss_curve(rows, **BESIDE_LOG) if rows else "",
        "baseline": before,
        "final": after,
        "train": train,
        "verdict": report.judge(before, after, eval_rows) if after else None,
        "is_trained": bool(after) and (run.job is None or run.job.status in TRAINED),
        "peak_bytes": run.peak_bytes or run.live.get("peak_bytes"),
        "advice": ADVICE.get(run.job.error_code) if run.job else None,
    }

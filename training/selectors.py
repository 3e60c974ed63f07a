"""Reading runs for pages."""

from django.utils.safestring import SafeString, mark_safe

from projects.models import JobEvent, Project
from training import curves, report
from training.models import Run

TABLE_ROWS = 200


def runs_of(project: Project):
    return Run.objects.filter(project=project).select_related("job")


def trainable_counts(project: Project) -> dict:
    """Return how many examples a training would use now; left out: rejected, in the bin."""
    examples = project.examples.exclude(review__in=("rejected", "deleted"))
    return {split: examples.filter(split=split).count() for split in ("train", "eval")}


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
        if "step" in row:
            steps[row["step"]] = steps.get(row["step"], {}) | row
    return [steps[step] for step in sorted(steps)]


def loss_curve(rows: list[dict]) -> SafeString:
    """Return the curve as SVG: numbers and fixed words of ours, so it needs no escaping."""
    return mark_safe(curves.loss_curve_svg(rows))


def run_state(run: Run) -> dict:
    """Return the numbers of a run as far as they are known; None for what is not measured yet."""
    rows = history(run)
    baseline = run.metrics.get("baseline") or {}
    final = run.metrics.get("final") or {}
    speed = (run.metrics.get("train") or {}).get("tokens_per_second")
    return {
        "rows": rows[-TABLE_ROWS:],
        "row_count": len(rows),
        "curve": loss_curve(rows),
        "loss": _last(rows, "loss"),
        "eval_before": baseline.get("eval_loss", rows[0].get("eval_loss") if rows else None),
        "eval_now": final.get("eval_loss", _last(rows, "eval_loss")),
        "baseline": baseline,
        "final": final,
        "verdict": report.verdict(baseline, final, run.dataset_stats.get("eval", 0)),
        "tokens_per_second": speed or _last(rows, "tokens_per_second"),
    }


def _last(rows: list[dict], key: str) -> float | None:
    return next((row[key] for row in reversed(rows) if row.get(key) is not None), None)

"""The report and the model card of a run: measured numbers, and where they come from.

Every value goes through `training.markdown`, which makes it inert.
"""

import contextlib
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db.models import Count

from datasets.models import GenerationRequest
from datasets.selectors import reason_of
from projects.models import Job
from training import hub, markdown, sources
from training.artifacts import Material
from training.models import Run

FEW_ROWS = 30
# Relative change of the loss below which we claim nothing.
CLEAR_CHANGE = 0.02


def render_report(run: Run, material: Material) -> str:
    """Return report.md."""
    return markdown.render("report.md.jinja", **_context(run, material))


def render_card(run: Run, material: Material) -> str:
    """Return README.md, the model card that the Hub reads."""
    tags = ["lora", "peft", "sft", "trl", f"base_model:adapter:{material.model_id}"]
    return markdown.render("card.md.jinja", **_context(run, material), tags=tags)


@dataclass(frozen=True)
class Verdict:
    """What the evaluation loss says: a few words, why, and the colour (good, warn, bad or "")."""

    word: str
    text: str
    tone: str = ""

    def __str__(self) -> str:
        return f"{self.word} {self.text}"


def judge(before: dict, after: dict, eval_rows: int) -> Verdict:
    """Compare the evaluation loss before and after; below CLEAR_CHANGE nothing is claimed."""
    first, last = before.get("eval_loss"), after.get("eval_loss")
    if not (_is_finite(first) and _is_finite(last)):
        return Verdict("Not measured.", "Whether the model became better was not measured.")
    change = (last - first) / first if first else 0.0
    few = f" Only {eval_rows} examples were measured: few, so take it as a hint."
    few = few if eval_rows < FEW_ROWS else ""
    if abs(change) < CLEAR_CHANGE:
        text = f"The evaluation loss went from {first:.3f} to {last:.3f}.{few}"
        return Verdict("No clear change.", text, "warn")
    text = (
        f"On questions that were not trained the evaluation loss "
        f"{'fell' if change < 0 else 'rose'} from {first:.3f} to {last:.3f} ({change:+.0%}).{few}"
    )
    if change < 0:
        return Verdict("Better than before.", text, "good")
    return Verdict("Worse than before.", text, "bad")


def verdict(before: dict, after: dict, eval_rows: int) -> str:
    """Return the verdict as one or two honest sentences."""
    return str(judge(before, after, eval_rows))


def _is_finite(value) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _context(run: Run, material: Material) -> dict:
    before = material.metrics.get("baseline") or {}
    after = material.metrics.get("final") or {}
    facts = _model_facts(run, material.model_id)
    origin = sources.of_run(run)
    return {
        "project": run.project,
        "model_id": material.model_id,
        "licence": facts.get("licence"),
        "method": run.get_method_display(),
        "task": run.project.get_task_type_display(),
        "verdict": verdict(before, after, material.eval_rows),
        "before": _with_defaults(before),
        "after": _with_defaults(after),
        "rows": {"train": material.train_rows, "eval": material.eval_rows},
        "model": _model_rows(run, material, facts),
        "files": origin["files"],
        "requests": _request_rows(run),
        "rejected": _rejections(run),
        "settings": _setting_rows(origin["settings"], material),
        "effort": _effort_rows(material.metrics),
        "samples": [_sample(each) for each in material.samples if isinstance(each, dict)],
        "origin": _origin_rows(run, material),
    }


def _with_defaults(values: dict) -> dict:
    return {"eval_loss": None, "perplexity": None} | values


def _model_facts(run: Run, model_id: str) -> dict:
    """Return what is known about the model without asking the Hub."""
    if hub.local_path(model_id) is not None:
        with contextlib.suppress(hub.HubError):
            return hub.resolve(model_id).to_json()
    is_same = hub.public_id(run.project.base_model) == model_id
    return run.project.model_info if is_same else {}


def _model_rows(run: Run, material: Material, facts: dict) -> list[tuple]:
    parameters = facts.get("parameters")
    rows = [
        ("Base model", material.model_id),
        ("Revision", material.config.get("revision")),
        ("Architecture", facts.get("architecture")),
        ("Parameters", markdown.number(parameters) if parameters else None),
        ("Licence", facts.get("licence")),
        ("Method", run.get_method_display()),
    ]
    return [(name, value) for name, value in rows if value]


def _requests(run: Run):
    """Return the requests of full generations; a preview trains nothing."""
    return GenerationRequest.objects.filter(
        job__project=run.project, job__kind=Job.Kind.GENERATE, job__queued_at__lte=run.created_at
    )


def _request_rows(run: Run) -> dict:
    found = _requests(run).order_by().values_list("state").annotate(count=Count("id"))
    states = [(GenerationRequest.State(state).label, count) for state, count in found]
    return {"total": sum(count for _, count in states), "states": sorted(states)}


def _rejections(run: Run) -> list[tuple[str, int]]:
    """Return (reason, count), most frequent first: refused items, and requests without a reply."""
    reasons = Counter()
    rows = _requests(run).order_by().values_list("state", "rejected", "error_class")
    for state, rejected, error_class in rows.iterator():
        for item in rejected:
            reasons[reason_of(item)] += 1
        if state == GenerationRequest.State.FAILED:
            reasons[f"request failed: {error_class or 'unknown'}"] += 1
    return reasons.most_common()


def _setting_rows(dataset: dict, material: Material) -> list[tuple]:
    hidden = {"base_model", "base_model_id", "task", "adapter", "expected_eval_loss", "tolerance"}
    used = {name: value for name, value in material.config.items() if name not in hidden}
    rows = (dataset | used).items()
    return [(name.replace("_", " "), _shown(v)) for name, v in rows if v is not None]


def _effort_rows(metrics: dict) -> list[tuple]:
    """Return what the training took: all measured."""
    train = metrics.get("train") or {}
    steps = markdown.number(train.get("steps"))
    if train.get("stopped_early"):
        by_person = train.get("stopped_by") == "person"
        why = "stopped by a person" if by_person else "stopped early: no more gain"
        steps += f" of {markdown.number(train.get('planned_steps'))}, {why}"
    rows = [
        ("Steps", steps),
        ("Best step", markdown.number(train.get("best_step"))),
        ("Epochs", markdown.number(train.get("epochs"), 2)),
        ("Seconds of training", markdown.number(train.get("seconds"), 1)),
        ("Tokens per second", markdown.number(train.get("tokens_per_second"), 1)),
        ("Peak memory", markdown.size(metrics.get("peak_bytes"))),
        ("Device", metrics.get("device")),
    ]
    return [(name, value) for name, value in rows if value and value != markdown.UNKNOWN]


def _shown(value) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _sample(sample: dict) -> dict:
    """Return the texts of a sample under the names that the template knows."""
    return {name: sample.get(name) or "" for name in ("prompt", "reference", "before", "after")}


def _origin_rows(run: Run, material: Material) -> list[tuple]:
    versions = material.metrics.get("versions") or {}
    rows = [("Run", f"{run.pk}, {run.created_at:%Y-%m-%d %H:%M} UTC")]
    rows += [("FineTuneFlow", settings.VERSION)]
    rows += [(name, version) for name, version in versions.items() if version]
    rows += [(f"SHA-256 of {Path(n).name}", markdown.code(h)) for n, h in material.hashes.items()]
    return rows

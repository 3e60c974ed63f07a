"""Training as a job: writes the run's folder once, runs the engine in it, keeps what it measured.

A later attempt finds the folder and goes on from the engine's last checkpoint.
"""

import json
import math
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from datasets import exporting
from finetuneflow.lib import clean, storage
from projects import jobs
from projects.models import Job, JobEvent
from training import advice, hub, live, services, sources
from training.engine.config import FINISH_FILE, EngineConfig
from training.engine_process import (
    EngineFailed,
    EngineResult,
    check_manifest,
    event_data,
    run_engine,
)
from training.models import Run

__all__ = ["EngineFailed", "EngineResult", "run_engine", "run_training"]

NEEDED = ("adapter/adapter_model.safetensors", "adapter/adapter_config.json", "metrics.json")
LEVELS = {"metric": JobEvent.Level.METRIC, "warning": JobEvent.Level.WARNING}
LEVELS |= {"error": JobEvent.Level.ERROR}


def run_training(*, job, reporter: jobs.Reporter, command: list[str] | None = None) -> jobs.Outcome:
    """Train the run of `job`; raises `JobFailed` (no_run, no_data, bad_settings, model_missing, or
    a code of the engine), `JobInterrupted`, `JobCancelled`, `LeaseLost`.
    """
    run = Run.objects.select_related("project").filter(job=job).first()
    if run is None:
        raise jobs.JobFailed("no_run", "The run of this job was deleted. Start a new training.")
    folder = services.run_folder(run)
    if not (folder / "config.json").is_file():
        reporter(0, 0, "Writing the dataset's files")
        prepare_folder(run, folder, method=run.method, overrides=job.params.get("overrides") or {})
    if not _is_finished(folder):
        run_engine(
            folder,
            reporter=reporter,
            job=job,
            on_events=EventLog(run),
            offset=run.events_offset,
            command=command,
            on_poll=FinishRelay(job.pk, folder),
        )
    return _keep_results(run, folder)


def prepare_folder(run: Run, folder: Path, *, method: str, overrides: dict) -> None:
    """Write train.jsonl, eval.jsonl and, last, config.json, which no later attempt changes.

    Raises `JobFailed`: no_data, bad_settings, model_missing, gated, offline, no_safetensors,
    remote_code, not_causal_lm.
    """
    config = _pinned(engine_config(run, method=method, overrides=overrides))
    folder.mkdir(parents=True, exist_ok=True)
    stats = exporting.write_splits(run.project, folder)
    for split, name in (("train", "training"), ("eval", "evaluation")):
        if not stats.get(split):
            text = f"There are no examples for {name}. Generate examples, or approve more of them."
            raise jobs.JobFailed("no_data", text)
    stats[sources.KEY] = sources.describe(run.project)
    run.config, run.dataset_stats = config.to_json(), stats
    run.dataset_hash = str(stats.get("sha256", ""))
    run.estimate_bytes = advice.estimate_for(run.project, config)
    run.save(update_fields=["config", "dataset_stats", "dataset_hash", "estimate_bytes"])
    storage.write_text(folder / "config.json", json.dumps(run.config, indent=2) + "\n")


def engine_config(run: Run, *, method: str, overrides: dict) -> EngineConfig:
    """Return the engine's settings for the run's base model; raises `JobFailed`."""
    name = run.project.base_model
    path = hub.local_path(name)
    if path is None and name.count("/") != 1:
        text = f"There is no model {name!r} in the models folder. Fetch it, or choose another one."
        raise jobs.JobFailed("model_missing", text)
    model = {"base_model": str(path or name), "base_model_id": hub.public_id(name)}
    if path is None:
        model["revision"] = run.project.base_revision or None
    try:
        return EngineConfig.from_json(overrides | model | {"task": "train", "method": method})
    except ValueError as error:
        text = f"A setting of the training is wrong. {error}"
        raise jobs.JobFailed("bad_settings", text) from error


def _pinned(config: EngineConfig) -> EngineConfig:
    """Return the settings with the commit of a Hub model; every attempt loads the same weights."""
    if Path(config.base_model).is_absolute():
        return config
    try:
        commit = hub.pin(config.base_model, config.revision)
    except hub.HubError as error:
        code = "model_missing" if error.code == "not_found" else error.code
        raise jobs.JobFailed(code, str(error)) from error
    return replace(config, revision=commit)


class FinishRelay:
    """Tells the engine that the person wants the training to end and to keep what it has.

    Looks once a second until then. The word is a file: it outlives the engine and this process.
    """

    def __init__(self, job_id: int, folder: Path, *, every_seconds: float = 1.0) -> None:
        self.asked = Job.objects.filter(pk=job_id, finish_requested=True)
        self.path = folder / FINISH_FILE
        self.every_seconds = every_seconds
        self._next_look = -math.inf

    def __call__(self) -> None:
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + self.every_seconds
        if self.asked.exists():
            self.path.touch()
            self._next_look = math.inf


class EventLog:
    """Turns the engine's events into JobEvents, each exactly once, whatever dies in between.

    Lines, the newest numbers and the offset behind them are written in one transaction.
    """

    def __init__(self, run: Run) -> None:
        self.run_id = run.pk
        self.job_id = run.job_id
        self.offset = run.events_offset
        self.live = run.live

    def __call__(self, events: list[dict], offset: int) -> None:
        """Write the events that end at byte `offset`; raises `LeaseLost` if others wrote them."""
        lines = [self._line(event) for event in events if event["type"] != "progress"]
        newest = live.absorb(self.live, events)
        with transaction.atomic():
            moved = Run.objects.filter(pk=self.run_id, events_offset=self.offset).update(
                events_offset=offset, live=newest
            )
            if not moved:
                raise jobs.LeaseLost
            JobEvent.objects.bulk_create(lines)
        self.offset, self.live = offset, newest

    def _line(self, event: dict) -> JobEvent:
        return JobEvent(
            job_id=self.job_id,
            at=_moment(event.get("at")),
            level=LEVELS.get(event["type"], JobEvent.Level.INFO),
            text=clean.text(_sentence(event), jobs.ERROR_TEXT_LIMIT),
            data=clean.json_value(event_data(event)),
        )


def _moment(value) -> datetime:
    try:
        return parse_datetime(value) or timezone.now()
    except (TypeError, ValueError):
        return timezone.now()


def _sentence(event: dict) -> str:
    """Return the line's text; a metric gets one from its numbers."""
    if event["type"] != "metric":
        return str(event.get("text", ""))
    names = {"loss": "loss", "eval_loss": "evaluation loss"}
    shown = [
        f"{title} {event[name]:.4f}"
        for name, title in names.items()
        if isinstance(event.get(name), int | float)
    ]
    return f"Step {event.get('step', 0)}: {', '.join(shown)}"


def _is_finished(folder: Path) -> bool:
    """True when an earlier attempt died between the engine's end and our notes of it."""
    try:
        return all(name in check_manifest(folder) for name in NEEDED)
    except EngineFailed:
        return False


def _keep_results(run: Run, folder: Path) -> jobs.Outcome:
    """Store what was measured; raises `EngineFailed` unless there is an intact adapter."""
    files = check_manifest(folder)
    missing = [name for name in NEEDED if name not in files]
    if missing:
        text = (
            f"The engine made no {missing[0]}. Start the training again; the log has the details."
        )
        raise EngineFailed("internal", text)
    metrics = clean.json_value(json.loads((folder / "metrics.json").read_text(encoding="utf-8")))
    samples = folder / "samples.json"
    run.metrics, run.peak_bytes = metrics, metrics.get("peak_bytes")
    run.samples = (
        clean.json_value(json.loads(samples.read_text("utf-8")), clean_text=clean.storable)
        if samples.is_file()
        else []
    )
    run.save(update_fields=["metrics", "samples", "peak_bytes"])
    return _outcome(run)


def _outcome(run: Run) -> jobs.Outcome:
    before, after = (run.metrics[name]["eval_loss"] for name in ("baseline", "final"))
    train = run.metrics.get("train", {})
    text = f"Eval loss {before:.2f} -> {after:.2f}"
    if train.get("stopped_by") == "person":
        text = f"Stopped by you at step {train['steps']} of {train['planned_steps']}. {text}"
    if after >= before:
        text += ": the training did not make the model better on the evaluation examples"
    result = {
        "run": run.pk,
        "eval_loss_before": before,
        "eval_loss_after": after,
        "steps": train.get("steps"),
        "seconds": train.get("seconds"),
    }
    return jobs.Outcome(text, result=result)

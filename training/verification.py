"""Checking a built zip as a stranger would: unpack it, hash it, load it in a fresh process."""

import json
import shutil
import tempfile
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from finetuneflow.lib import clean, storage
from projects import jobs
from projects.models import Job
from training import archive, runner, services
from training.artifacts import WEIGHTS, read_json
from training.engine.config import EngineConfig
from training.models import Export

MAX_UNPACKED_BYTES = 50 * 10**9
# Enough to say whether the loss is the reported one; long answers would only cost time.
_KEEP = ("method", "revision", "micro_batch", "max_length", "seed", "target_modules")


def verify_export(*, job: Job, reporter: jobs.Reporter) -> jobs.Outcome:
    """Check the zip of the export in `job.params` and keep the result in `Export.verification`.

    Raises `JobFailed`: no_export, not_verified (with what differs), or the engine's own codes.
    """
    export = Export.objects.select_related("run__project").filter(pk=job.params["export"]).first()
    if export is None or not export.is_ready:
        raise jobs.JobFailed("no_export", "There is no built zip to check. Build the export.")
    exports = services.exports_folder(export.run.project)
    for leftover in exports.glob(f"verify-{export.pk}-*"):
        storage.delete_tree(leftover, root=exports)
    folder = Path(tempfile.mkdtemp(prefix=f"verify-{export.pk}-", dir=exports))
    try:
        return _verify(export, folder, job, reporter)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _verify(export: Export, folder: Path, job: Job, reporter: jobs.Reporter) -> jobs.Outcome:
    result = {"ok": False, "checked_at": timezone.now().isoformat(), "files_checked": 0}
    try:
        reporter(0, 2, "Unpacking and checking every file")
        members = _unpack(export, folder / "zip")
        result["files_checked"] = len(members)
        reporter(1, 2, "Loading the adapter in a fresh process")
        result |= _measure(export, folder, job, reporter)
        reporter(2, 2, "Compared")
        reporter.flush()
    except (jobs.JobInterrupted, jobs.JobPaused):
        raise
    except archive.BadArchive as error:
        _keep(export, result | {"problems": [str(error)]})
        raise jobs.JobFailed("not_verified", f"The zip is not intact: {error}") from error
    except jobs.JobFailed as error:
        _keep(export, result | {"problems": [str(error)]})
        raise
    _keep(export, result)
    if not result["ok"]:
        raise jobs.JobFailed("not_verified", " ".join(result["problems"]))
    text = f"Verified: {len(members)} files, evaluation loss {result['eval_loss']:.4f} as reported."
    return jobs.Outcome(text, result=result)


def _keep(export: Export, result: dict) -> None:
    """Store the result, unless the zip was built anew meanwhile: then it says nothing about it."""
    Export.objects.filter(pk=export.pk, sha256=export.sha256).update(
        verification=clean.json_value({"problems": []} | result)
    )


def _unpack(export: Export, folder: Path) -> list[archive.Member]:
    path = storage.safe_path(services.exports_folder(export.run.project), export.file_name)
    if not path.is_file():
        raise archive.BadArchive("The zip is gone. Build the export again.")
    if storage.sha256_of(path) != export.sha256:
        raise archive.BadArchive("Its SHA-256 is not the one from when it was built.")
    limit = min(MAX_UNPACKED_BYTES, storage.free_bytes(path.parent) - settings.MIN_FREE_BYTES)
    members = archive.unpack(path, folder, limit_bytes=max(0, limit))
    if WEIGHTS not in {member.name for member in members}:
        raise archive.BadArchive("It holds no adapter.")
    return members


def _measure(export: Export, folder: Path, job: Job, reporter: jobs.Reporter) -> dict:
    """Let a fresh engine load the unpacked adapter; return what it measured."""
    unpacked, work = folder / "zip", folder / "run"
    work.mkdir()
    shutil.copyfile(unpacked / "dataset" / "eval.jsonl", work / "eval.jsonl")
    storage.write_text(work / "config.json", json.dumps(_config(export, unpacked).to_json()))
    runner.run_engine(work, job=job, reporter=reporter)
    found = read_json(work / "verification.json")
    names = ("eval_loss", "expected", "difference", "first_answer")
    result = {name: found.get(name) for name in names} | {"ok": found.get("ok") is True}
    if not result["ok"]:
        result["problems"] = [
            f"The evaluation loss is {found.get('eval_loss')}, but the report says "
            f"{found.get('expected')} (difference {found.get('difference')})."
        ]
    return result


def _config(export: Export, unpacked: Path) -> EngineConfig:
    """Return the engine's settings: those of the run, with the adapter of the zip."""
    trained = read_json(services.run_folder(export.run) / "config.json")
    reported = read_json(unpacked / "metrics.json").get("final") or {}
    try:
        return EngineConfig.from_json(
            {name: trained[name] for name in _KEEP if name in trained}
            | {
                "task": "verify",
                "base_model": trained.get("base_model"),
                "base_model_id": trained.get("base_model_id") or "",
                "adapter": str(unpacked),
                "expected_eval_loss": reported.get("eval_loss"),
            }
        )
    except ValueError as error:
        raise archive.BadArchive(f"What it reports cannot be checked: {error}") from error

"""Building a run's zip. It gets its name only when whole, and only from files that are intact."""

import json
from pathlib import Path

from django.conf import settings
from django.db import transaction

from finetuneflow.lib import clean, storage
from projects import jobs
from projects.models import Job
from training import archive, artifacts, report, services
from training.artifacts import ADAPTER_CONFIG, WEIGHTS, Material
from training.curves import loss_curve_svg
from training.models import Export, Run
from training.verification import verify_export

__all__ = ["build_export", "verify_export"]

# What the tokenizer of some family may need; the adapter's folder has those that exist.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
)


def build_export(*, job: Job, reporter: jobs.Reporter) -> jobs.Outcome:
    """Build the zip of the export in `job.params`, then queue its verification.

    Raises `JobFailed`: no_export, no_artifact (nothing was trained), tampered (a file is not the
    one that the training wrote), disk_full. A second build replaces the first.
    """
    export = Export.objects.select_related("run__project").filter(pk=job.params["export"]).first()
    if export is None:
        raise jobs.JobFailed("no_export", "This export was deleted. Build a new one.")
    folder = services.run_folder(export.run)
    target = services.exports_folder(export.run.project) / f"{export.pk}.zip"
    hashes = artifacts.check(folder, reporter)
    _check_room(folder, target.parent)
    _remove_leftovers(target)
    try:
        members = _write(export.run, folder, target, hashes, reporter)
    except OSError as error:
        raise jobs.JobFailed("disk_full", f"The zip could not be written: {error}.") from error
    return _publish(export, target, members)


def _check_room(folder: Path, exports: Path) -> None:
    needed = storage.folder_size(folder / "adapter") + settings.MIN_FREE_BYTES
    if storage.free_bytes(exports) < needed:
        raise jobs.JobFailed(
            "disk_full", f"The zip needs {needed // 2**20} MB of free disk. Free some, try again."
        )


def _remove_leftovers(target: Path) -> None:
    """Delete what a killed build of this export left; one build of a project runs at a time."""
    for path in target.parent.glob(f"{target.name}.*.tmp"):
        path.unlink(missing_ok=True)


def _write(
    run: Run, folder: Path, target: Path, hashes: dict[str, str], reporter: jobs.Reporter
) -> list[archive.Member]:
    material = artifacts.read_material(folder, hashes)
    texts, files = _texts(run, folder, material), _files(hashes)
    total = len(hashes) + len(texts) + len(files)
    about = {
        "created_by": f"FineTuneFlow {settings.VERSION}",
        "run": run.pk,
        "base_model": material.model_id,
    }
    with archive.write_archive(target, moment=run.created_at, about=about) as writer:
        for name, text in texts.items():
            writer.add_text(name, text)
        for number, (name, source) in enumerate(files.items()):
            reporter(len(hashes) + len(texts) + number, total, f"Packing {name}")
            member = writer.add_file(name, folder / source)
            if member.sha256 != hashes[source]:  # Exchanged after the check: what is packed counts.
                raise artifacts.tampered(source, "has changed")
        reporter(total, total, "Packed")
        reporter.flush()  # The last moment to cancel: behind it the zip gets its name.
    return writer.members


def _texts(run: Run, folder: Path, material: Material) -> dict[str, str]:
    """Return {name in the zip: text} of what is made for it; no path of this machine is in it."""
    adapter = artifacts.read_json(folder / "adapter" / ADAPTER_CONFIG)
    return {
        "README.md": report.render_card(run, material),
        "report.md": report.render_report(run, material),
        "loss.svg": loss_curve_svg(material.metrics.get("history") or []),
        "metrics.json": _json(material.metrics),
        "training_config.json": _json(material.config | {"base_model": material.model_id}),
        "samples.json": _json(material.samples),
        ADAPTER_CONFIG: _json(adapter | {"base_model_name_or_path": material.model_id}),
    }


def _files(hashes: dict[str, str]) -> dict[str, str]:
    """Return {name in the zip: name in the run's folder} of what is copied; only listed files."""
    wanted = {name: f"adapter/{name}" for name in (WEIGHTS, *TOKENIZER_FILES)}
    wanted |= {f"dataset/{name}": name for name in ("train.jsonl", "eval.jsonl")}
    return {name: source for name, source in wanted.items() if source in hashes}


def _json(value) -> str:
    """Return strict JSON: no NaN, no half characters, no key of ours."""
    return (
        json.dumps(clean.json_value(value, clean_text=clean.storable), indent=2, ensure_ascii=False)
        + "\n"
    )


def _publish(export: Export, target: Path, members: list[archive.Member]) -> jobs.Outcome:
    """Record the zip and queue its check in one transaction: no zip stays unchecked."""
    fields = {
        "file_name": target.name,
        "sha256": storage.sha256_of(target),
        "size_bytes": target.stat().st_size,
        "contents": [{"name": m.name, "size_bytes": m.size_bytes} for m in members],
        "verification": {},
    }
    result = {"export": export.pk, "files": len(members), "size_bytes": fields["size_bytes"]}
    with transaction.atomic():
        Export.objects.filter(pk=export.pk).update(**fields)
        try:
            check = services.start_verification(export=export)
        except jobs.JobAlreadyActive:
            return jobs.Outcome(
                "Built, but not checked: another check is under way. Start the check after it.",
                Job.Status.COMPLETED_WITH_ERRORS,
                result,
                error_code="not_checked",
            )
    text = f"Built {target.name} with {len(members)} files; its check is queued."
    return jobs.Outcome(text, result=result | {"verification_job": check.pk})

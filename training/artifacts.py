"""A finished run's folder as an export may use it: complete, and as the training wrote it."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from finetuneflow.lib import storage
from projects import jobs

MANIFEST = "manifest.json"
WEIGHTS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
NEEDED = (f"adapter/{WEIGHTS}", f"adapter/{ADAPTER_CONFIG}", "metrics.json", "config.json")


@dataclass
class Material:
    """What the run's folder says; the numbers of the report come from here."""

    config: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    samples: list[dict] = field(default_factory=list)
    train_rows: int = 0
    eval_rows: int = 0
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def model_id(self) -> str:
        """Return the base model's public name, the one that the adapter was trained on."""
        return str(self.config.get("base_model_id") or self.config.get("base_model") or "")


def listed(folder: Path) -> dict[str, str]:
    """Return {name: SHA-256} as the run's manifest says, unchecked; raises `JobFailed`."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        expected = {name: str(entry["sha256"]) for name, entry in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise _no_artifact("its manifest is missing or cannot be read") from None
    missing = [name for name in NEEDED if name not in expected]
    if missing:
        raise _no_artifact(f"{', '.join(missing)} is not in its manifest")
    return expected


def check(folder: Path, reporter: jobs.Reporter) -> dict[str, str]:
    """Return {name: SHA-256} of the run's files, each compared with the manifest.

    Raises `JobFailed`: no_artifact, tampered.
    """
    expected = listed(folder)
    for number, (name, sha256) in enumerate(expected.items()):
        reporter(number, 2 * len(expected), f"Checking {Path(name).name}")
        _check_file(folder, name, sha256)
    return expected


def _no_artifact(why: str) -> jobs.JobFailed:
    text = f"The run has no finished adapter: {why}. Train again, then export."
    return jobs.JobFailed("no_artifact", text)


def _check_file(folder: Path, name: str, sha256: str) -> None:
    try:
        actual = storage.sha256_of(storage.safe_path(folder, name))
    except (OSError, storage.UnsafePath):
        actual = None
    if actual != sha256:
        what = "is missing" if actual is None else "has changed"
        raise tampered(name, what)


def tampered(name: str, what: str) -> jobs.JobFailed:
    text = f"{name} {what} since the training wrote it, so nothing is exported. Train again."
    return jobs.JobFailed("tampered", text)


def read_material(folder: Path, hashes: dict[str, str]) -> Material:
    return Material(
        config=_without_paths(read_json(folder / "config.json")),
        metrics=_without_paths(read_json(folder / "metrics.json")),
        samples=_read_samples(folder / "samples.json"),
        train_rows=_count_lines(folder / "train.jsonl"),
        eval_rows=_count_lines(folder / "eval.jsonl"),
        hashes={name: hashes[name] for name in NEEDED[:1]},
    )


def read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _no_artifact(f"{path.name} cannot be read") from error
    if not isinstance(content, dict):
        raise _no_artifact(f"{path.name} is not an object")
    return content


def _read_samples(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    return content if isinstance(content, list) else list(content.get("samples") or [])


def _without_paths(value):
    """Return `value` without absolute paths: they name this machine's folders."""
    if isinstance(value, dict):
        return {key: _without_paths(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_paths(each) for each in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _count_lines(path: Path) -> int:
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())

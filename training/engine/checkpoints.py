"""Checkpoints of a run. One counts only with its marker, which is written last."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from training.engine import files

FOLDER = "checkpoints"
MARKER = "ftf_checkpoint.json"


@dataclass
class Work:
    """What training has cost so far, over all attempts of the run."""

    seconds: float = 0.0
    tokens: int = 0


def mark_whole(checkpoint: Path, work: Work) -> None:
    """Note the checkpoint's files with their sizes, and what it took to get there."""
    sizes = {p.name: p.stat().st_size for p in checkpoint.iterdir() if p.name != MARKER}
    files.write_json(checkpoint / MARKER, {"files": sizes, "work": asdict(work)})


def is_whole(checkpoint: Path) -> bool:
    marker = files.read_json(checkpoint / MARKER)
    if marker is None or not isinstance(marker.get("files"), dict):
        return False
    paths = {checkpoint / name: size for name, size in marker["files"].items()}
    return all(p.is_file() and p.stat().st_size == size for p, size in paths.items())


def newest_whole(folder: Path) -> tuple[Path | None, list[str]]:
    """Return the newest whole checkpoint of a run and the names of the torn ones, now removed."""
    found = sorted((folder / FOLDER).glob("checkpoint-*"), key=step_of, reverse=True)
    torn = [path for path in found if not is_whole(path)]
    for path in torn:
        shutil.rmtree(path, ignore_errors=True)  # Each process of a run removes them.
    whole = next((path for path in found if path not in torn), None)
    return whole, [path.name for path in torn]


def work_at(checkpoint: Path) -> Work:
    return Work(**(files.read_json(checkpoint / MARKER) or {}).get("work", {}))


def step_of(path: Path) -> int:
    number = path.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1

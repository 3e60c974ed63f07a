"""The run directory's files: each appears whole under its name, manifest.json the last of all."""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

MANIFEST = "manifest.json"


def write_json(path: Path, content) -> None:
    """Write `content` beside `path`, sync it, rename it."""
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_json(path: Path) -> dict | None:
    """Return the object in `path`; None when it is missing or not one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


@contextmanager
def new_folder(path: Path):
    """Yield an empty folder that takes the name `path` at the end; an older one is replaced."""
    temporary = path.with_name(f"{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    yield temporary
    for file in temporary.rglob("*"):
        if file.is_file():
            file.chmod(0o644)
            _sync(file)
    shutil.rmtree(path, ignore_errors=True)
    temporary.rename(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_manifest(folder: Path, names: Iterable[str]) -> None:
    """Write SHA-256 and size of each file (and of all files in each folder) that exists."""
    paths = []
    for name in names:
        path = folder / name
        paths += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    files = {}
    for path in paths:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = path.stat().st_size
        files[path.relative_to(folder).as_posix()] = {"sha256": digest, "size": size}
    write_json(folder / MANIFEST, {"files": files})


@contextmanager
def only_one(folder: Path, *, wait_seconds: float):
    """Hold the folder's lock: two engines in one folder would overwrite each other.

    Raises `TimeoutError` when another process still holds it after `wait_seconds`.
    """
    deadline = time.monotonic() + wait_seconds
    with (folder / "engine.lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError("Another engine works in this folder.") from None
                time.sleep(0.2)
        yield

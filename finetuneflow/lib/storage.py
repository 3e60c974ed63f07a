"""Files below one folder: no path leaves it, no half-written file is ever seen under its name."""

import hashlib
import os
import re
import secrets
import shutil
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CHUNK_BYTES = 1024 * 1024


class StorageError(Exception):
    """The file cannot be stored or found; the text says why and what to do."""


class UnsafePath(StorageError):
    """The name would leave its folder."""


class TooLarge(StorageError):
    """The content is over a limit."""


def safe_path(root: Path, *parts: str) -> Path:
    """Return root/parts as an absolute path inside `root`, symlinks resolved.

    Raises `UnsafePath` for absolute parts, traversal, NUL, over-long names and links that leave.
    """
    base = Path(root).resolve()
    for part in parts:
        if not part or "\0" in part or Path(part).is_absolute() or "\\" in part:
            raise UnsafePath(f"{part!r} is not a name inside the folder.")
        try:
            longest = max(len(os.fsencode(name)) for name in part.split("/"))
        except UnicodeEncodeError:
            raise UnsafePath("The name is not valid text.") from None
        if longest > 255:
            raise UnsafePath("The name is longer than 255 bytes.")
    try:
        path = base.joinpath(*parts).resolve()
    except (OSError, RuntimeError):  # Python 3.11 reports a loop of links as RuntimeError.
        raise UnsafePath(f"{'/'.join(parts)!r} is a loop of links.") from None
    if path == base or not path.is_relative_to(base):
        raise UnsafePath(f"{'/'.join(parts)!r} leaves its folder.")
    return path


def clean_name(name: str, *, limit: int = 200) -> str:
    """Return an uploaded file's name for display: no path, no control characters, bounded.

    The end, with the extension, survives when the name is cut.
    """
    name = unicodedata.normalize("NFC", name.replace("\\", "/")).rsplit("/", 1)[-1]
    name = "".join(c for c in name if unicodedata.category(c) not in {"Cc", "Cf", "Cs"})
    name = re.sub(r"\s+", " ", name).strip(" .") or "unnamed"
    if len(name) <= limit:
        return name
    stem, dot, extension = name.rpartition(".")
    tail = f"{dot}{extension}"[-20:] if stem else ""
    return name[: limit - len(tail)] + tail


@contextmanager
def atomic_writer(path: Path) -> Iterator:
    """Yield a binary file; at the end it is synced and renamed to `path`, on error it vanishes.

    A killed process leaves a `.tmp` file of its own, never a part of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    with atomic_writer(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode("utf-8"))


def save_stream(path: Path, pieces: Iterable[bytes], *, limit_bytes: int) -> tuple[int, str]:
    """Write `pieces` to `path` atomically; return (size in bytes, SHA-256).

    Raises `TooLarge` past `limit_bytes`; nothing stays on disk then.
    """
    size, digest = 0, hashlib.sha256()
    with atomic_writer(path) as file:
        for piece in pieces:
            size += len(piece)
            if size > limit_bytes:
                raise TooLarge(f"The file is over the limit of {shown_size(limit_bytes)}.")
            digest.update(piece)
            file.write(piece)
    return size, digest.hexdigest()


def shown_size(size_bytes: int) -> str:
    """Return a size for a person: 2.5 MB, 300 bytes. Units are powers of 1024."""
    for power, unit in ((30, "GB"), (20, "MB"), (10, "kB")):
        if size_bytes >= 1 << power:
            return f"{size_bytes / (1 << power):.1f}".removesuffix(".0") + f" {unit}"
    return f"{size_bytes} bytes"


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_size(folder: Path) -> int:
    """Return the bytes of all regular files below `folder`; 0 when it does not exist.

    Links are not followed; files that vanish meanwhile (renamed, deleted) do not count.
    """
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                facts = Path(parent, name).lstat()
                total += facts.st_size if stat.S_ISREG(facts.st_mode) else 0
    return total


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that holds `folder` or its nearest existing parent."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def list_files(folder: Path) -> list[Path]:
    """Return the regular files directly in `folder`, sorted; temporary ones are left out."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_file() and p.suffix != ".tmp")


def delete_tree(folder: Path, *, root: Path) -> None:
    """Delete `folder`, which must be inside `root`; a missing one is fine.

    Raises `UnsafePath` when it is not inside, or is a link: what a link points to is not ours.
    """
    if not folder.is_relative_to(root) or folder.is_symlink():
        raise UnsafePath(f"{folder} is not a folder inside {root}.")
    path = safe_path(root, str(folder.relative_to(root)))
    if path.exists():
        shutil.rmtree(path)

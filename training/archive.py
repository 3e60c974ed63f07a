"""Zips with a manifest: written as a stream, read with suspicion. No Django, no models.

manifest.json is the last member and lists SHA-256 and size of every other one.
"""

import hashlib
import json
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from finetuneflow.lib import storage

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_FILES = 1000
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz"}
# Weights do not shrink: packing them would cost minutes and save nothing.
STORED = {".safetensors"}


class BadArchive(Exception):
    """The zip is not what it says it is; the text says what differs."""


@dataclass(frozen=True)
class Member:
    name: str
    size_bytes: int
    sha256: str


class ArchiveWriter:
    """Adds members to an open zip and remembers their hashes; use through `write_archive`."""

    def __init__(self, archive: zipfile.ZipFile, moment: datetime) -> None:
        self._archive = archive
        self._moment = moment
        self.members: list[Member] = []

    def add_file(self, name: str, path: Path) -> Member:
        """Copy a file in pieces; memory stays constant whatever its size."""
        with path.open("rb") as source:
            return self._add(name, _pieces(source), path.stat().st_size)

    def add_text(self, name: str, text: str) -> Member:
        content = text.encode("utf-8")
        return self._add(name, [content], len(content))

    def _add(self, name: str, pieces, size_bytes: int) -> Member:
        info = zipfile.ZipInfo(name, date_time=self._moment.timetuple()[:6])
        info.compress_type = _compression(name)
        info.external_attr = (stat.S_IFREG | 0o644) << 16
        info.file_size = size_bytes  # Tells zipfile whether the member needs ZIP64.
        digest, written = hashlib.sha256(), 0
        with self._archive.open(info, "w") as target:
            for piece in pieces:
                digest.update(piece)
                written += len(piece)
                target.write(piece)
        member = Member(name, written, digest.hexdigest())
        self.members.append(member)
        return member


@contextmanager
def write_archive(path: Path, *, moment: datetime, about: dict) -> Iterator[ArchiveWriter]:
    """Write the zip at `path` with its manifest; it appears under its name only when whole.

    `moment` is the time stamp of all members; `about` is added to the manifest.
    """
    with storage.atomic_writer(path) as file, zipfile.ZipFile(file, "w") as archive:
        writer = ArchiveWriter(archive, moment)
        yield writer
        files = {
            member.name: {"sha256": member.sha256, "size": member.size_bytes}
            for member in writer.members
        }
        writer.add_text(MANIFEST, json.dumps(about | {"files": files}, indent=2) + "\n")


def unpack(path: Path, folder: Path, *, limit_bytes: int) -> list[Member]:
    """Unpack a zip into `folder` and check every size and SHA-256 against its manifest.

    Only what the manifest lists, only names that stay in the folder, no links, no pickles, at
    most `limit_bytes` in all. Raises `BadArchive`; whatever was unpacked until then stays for the
    caller to delete.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            listed = _read_manifest(archive)
            infos = _check_directory(archive, listed, limit_bytes)
            return [_unpack_one(archive, infos[name], listed[name], folder) for name in listed]
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, UnicodeError) as error:
        raise BadArchive(f"The zip is damaged: {error}.") from error


def _compression(name: str) -> int:
    return zipfile.ZIP_STORED if Path(name).suffix in STORED else zipfile.ZIP_DEFLATED


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(storage.CHUNK_BYTES):
        yield piece


def _read_manifest(archive: zipfile.ZipFile) -> dict[str, Member]:
    try:
        info = archive.getinfo(MANIFEST)
    except KeyError:
        raise BadArchive("The zip has no manifest.json.") from None
    if info.file_size > MAX_MANIFEST_BYTES:
        raise BadArchive("The manifest is too large.")
    try:
        files = json.loads(archive.read(info))["files"]
        return {
            name: Member(name, int(entry["size"]), str(entry["sha256"]))
            for name, entry in files.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadArchive(f"The manifest cannot be read: {type(error).__name__}.") from error


def _check_directory(
    archive: zipfile.ZipFile, listed: dict[str, Member], limit_bytes: int
) -> dict[str, zipfile.ZipInfo]:
    """Compare the zip's own directory with the manifest before anything is unpacked."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(names) > MAX_FILES or len(names) != len(set(names)):
        raise BadArchive("The zip has too many files, or one twice.")
    different = set(names) ^ (listed.keys() | {MANIFEST})
    if different:
        raise BadArchive(f"Zip and manifest differ in: {_some(different)}.")
    for info in infos:
        _check_kind(info)
        member = listed.get(info.filename)
        if member and info.file_size != member.size_bytes:
            raise BadArchive(f"{info.filename!r} has {info.file_size} bytes, not the listed size.")
    if sum(member.size_bytes for member in listed.values()) > limit_bytes:
        raise BadArchive(f"Unpacked it would be over {limit_bytes} bytes.")
    return {info.filename: info for info in infos}


def _check_kind(info: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.is_dir() or kind not in (0, stat.S_IFREG):
        raise BadArchive(f"{info.filename!r} is not a plain file.")
    if Path(info.filename).suffix.lower() in PICKLES:
        raise BadArchive(f"{info.filename!r} may hold program code (a pickle).")


def _some(names: set[str]) -> str:
    shown = ", ".join(repr(name[:80]) for name in sorted(names)[:5])
    return shown + (" and more" if len(names) > 5 else "")


def _unpack_one(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, member: Member, folder: Path
) -> Member:
    """Unpack one member. What it really holds counts, not what the zip's directory claims."""
    try:
        path = storage.safe_path(folder, member.name)
        with archive.open(info) as source:
            size, sha256 = storage.save_stream(path, _pieces(source), limit_bytes=member.size_bytes)
    except storage.UnsafePath as error:
        raise BadArchive(f"Unsafe name in the zip: {error}") from error
    except storage.TooLarge as error:
        raise BadArchive(f"{member.name!r} is larger than listed.") from error
    if (size, sha256) != (member.size_bytes, member.sha256):
        raise BadArchive(f"{member.name!r} does not have the SHA-256 of the manifest.")
    return member

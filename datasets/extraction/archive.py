"""Checks of a .docx as a zip archive, before anything in it is parsed."""

import codecs
import zipfile
from pathlib import Path

from datasets.extraction.result import ExtractionError

MAX_ENTRIES = 5_000
MAX_PART_BYTES = 150 * 2**20
MAX_TOTAL_BYTES = 400 * 2**20
# Word's own XML shrinks ten- to fortyfold; a bomb a thousandfold. Small parts may do as they like.
MAX_RATIO = 150
RATIO_FREE_BYTES = 2 * 2**20
ARCHIVES = (".zip", ".docx", ".xlsx", ".pptx", ".docm", ".xlsm", ".bin", ".jar", ".7z")
_DOCTYPE = tuple("<!DOCTYPE".encode(name) for name in ("utf-8", "utf-16-le", "utf-16-be"))


def check_archive(path: Path) -> list[str]:
    """Return warnings; raise for a bomb, a document type declaration, encryption or damage."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_sizes(entries)
            for entry in entries:
                if entry.filename.endswith((".xml", ".rels")):
                    _check_doctype(archive.read(entry))
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, ValueError) as error:
        raise ExtractionError(
            "damaged", "The document is damaged. Open it in Word, save it again and add that."
        ) from error
    embedded = [e for e in entries if e.filename.lower().endswith(ARCHIVES)]
    if not embedded:
        return []
    return [f"{len(embedded)} embedded objects or files inside the document were not read."]


def _check_sizes(entries: list[zipfile.ZipInfo]) -> None:
    """Look at the directory only: nothing is unpacked yet."""
    if any(entry.flag_bits & 1 for entry in entries):
        raise ExtractionError(
            "encrypted", "The document is encrypted. Save a copy without a password and add that."
        )
    total = sum(entry.file_size for entry in entries)
    biggest = max((entry.file_size for entry in entries), default=0)
    is_bomb = any(
        entry.file_size > RATIO_FREE_BYTES
        and entry.file_size > MAX_RATIO * max(entry.compress_size, 1)
        for entry in entries
    )
    too_large = total > MAX_TOTAL_BYTES or biggest > MAX_PART_BYTES
    if too_large or is_bomb or len(entries) > MAX_ENTRIES:
        raise ExtractionError(
            "too_large_inside",
            f"The document unpacks to {max(1, total // 2**20)} MB in {len(entries)} parts, "
            "far more than a document needs. Save it again in Word, or split it.",
        )


def _check_doctype(content: bytes) -> None:
    """Refuse entities: the parser would silently lose the text behind one."""
    plain = content.startswith((codecs.BOM_UTF8, b"<"))
    if any(mark in content for mark in (_DOCTYPE[:1] if plain else _DOCTYPE)):
        raise ExtractionError(
            "doctype",
            "The document contains a document type declaration, which Word never writes. "
            "Open it in Word, save it again and add that.",
        )

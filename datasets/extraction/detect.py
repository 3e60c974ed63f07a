"""The type of a document by its first bytes; the name only helps to word the error."""

import zipfile
from pathlib import Path

from datasets.extraction.result import ExtractionError

HEAD_BYTES = 4096
OLE_MAGIC = bytes.fromhex("D0CF11E0A1B11AE1")
FOREIGN = (
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"RIFF", "a sound, film or WebP file"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\0", "a program"),
    (b"SQLite format 3\0", "an SQLite database"),
)
OFFICE = (
    ("xl/", "an Excel workbook"),
    ("ppt/", "a PowerPoint presentation"),
    ("mimetype", "an OpenDocument or EPUB file"),
)


def detect_type(path: Path, name: str) -> str:
    """Return "pdf", "docx" or "text"; raise for an empty file and for what we cannot read."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise ExtractionError("empty", "The file is empty. Add it again from its source.")
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith(OLE_MAGIC):
        raise _ole_error(path, name)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _type_of_zip(path)
    for magic, what in FOREIGN:
        if head.startswith(magic):
            raise _wrong_type(what)
    _check_name(name)
    return "text"


def _wrong_type(what: str) -> ExtractionError:
    return ExtractionError(
        "wrong_type", f"The file is {what}. Add a PDF, a .docx or a text file instead."
    )


def _ole_error(path: Path, name: str) -> ExtractionError:
    """An encrypted .docx hides in the same container as an old .doc."""
    if "EncryptedPackage".encode("utf-16-le") in path.read_bytes():
        return ExtractionError(
            "encrypted",
            "The document is protected by a password. Save a copy without one and add that.",
        )
    is_word = name.lower().endswith((".doc", ".docx"))
    what = "an old Word file (.doc)" if is_word else "an old Office file"
    return ExtractionError("wrong_type", f"The file is {what}. Save it as .docx and add it again.")


def _type_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ExtractionError(
            "truncated",
            "The document is cut off or damaged: its directory is missing. Add it again.",
        ) from error
    if "word/document.xml" in names or "[Content_Types].xml" in names and _has_word(names):
        return "docx"
    for start, what in OFFICE:
        if any(entry.startswith(start) for entry in names):
            raise _wrong_type(what)
    raise _wrong_type("a zip archive")


def _has_word(names: list[str]) -> bool:
    return any(entry.startswith("word/") for entry in names)


def _check_name(name: str) -> None:
    """Refuse what claims to be a PDF or a Word file but has neither's content."""
    lower = name.lower()
    if lower.endswith(".pdf"):
        raise ExtractionError(
            "not_a_pdf", "The name ends in .pdf, but the content is not a PDF. Add the original."
        )
    if lower.endswith(".docx"):
        raise ExtractionError(
            "wrong_type",
            "The name ends in .docx, but the content is not a Word document. Add the original.",
        )

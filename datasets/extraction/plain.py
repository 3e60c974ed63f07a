"""Text files of any encoding. Never a silent loss: what cannot be decoded is said and shown."""

import codecs
import re
import unicodedata
from importlib.metadata import version
from pathlib import Path

import chardet

from datasets.extraction.encodings import label_of
from datasets.extraction.report import MAX_PAGES
from datasets.extraction.result import ExtractionError, Parsed

# The UTF-32 mark starts with the UTF-16 one, so it is looked for first.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
REPLACEMENT = "\ufffd"
SAMPLE_BYTES = 200_000
SURE = 0.7
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_WORD = re.compile(r"[^\W\d_]+")
_ASCII_LETTER = re.compile(r"[A-Za-z]")
_MULTIBYTE = re.compile(rb"[\xc2-\xf4][\x80-\xbf]+")


def load(path: Path, encoding: str = "") -> Parsed:
    """Return the text, split at form feeds, with the encoding used and how sure it is.

    An `encoding` that a person chose is taken as it is, and what does not fit it is an error.
    """
    data = path.read_bytes()
    chosen = encoding
    text, encoding, confidence, warnings = decode_as(data, chosen) if chosen else decode(data)
    if len(_CONTROLS.findall(text[:SAMPLE_BYTES])) > len(text[:SAMPLE_BYTES]) / 50:
        if chosen:
            raise _wrong_encoding(chosen, "it gives control characters, not text")
        raise _binary()
    if confidence < SURE:
        warnings.append(
            f"The encoding is a guess ({encoding}). Look at the accents in the text; if they are "
            "wrong, choose another encoding."
        )
    return Parsed(
        texts=_pages(text.replace("\r\n", "\n").replace("\r", "\n")),
        parser=f"text, chardet {version('chardet')}",
        warnings=warnings,
        encoding=encoding,
        encoding_confidence=confidence,
    )


def _pages(text: str) -> list[str]:
    """Split at form feeds; a run of them is one, so that it makes no heap of empty pages."""
    return re.sub(r"\f{3,}", "\f", text).split("\f", MAX_PAGES)


def decode(data: bytes) -> tuple[str, str, float, list[str]]:
    """Return text, encoding, confidence and warnings: mark, UTF-8, NULs, then detection."""
    warnings: list[str] = []
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return _decode_marked(data, encoding, warnings)
    try:
        return data.decode("utf-8"), "utf-8", 1.0, warnings
    except UnicodeDecodeError:
        pass
    if b"\0" in data:
        encoding = _by_nul_pattern(data)
        return data.decode(encoding), encoding, 0.95, warnings
    if _is_damaged_utf8(data):
        return _decode_damaged(data, warnings)
    return *_detect(data), warnings


def decode_as(data: bytes, encoding: str) -> tuple[str, str, float, list[str]]:
    """Return what `decode` does, by the encoding that a person chose."""
    try:
        return data.decode(encoding), encoding, 1.0, []
    except UnicodeDecodeError as error:
        raise _wrong_encoding(encoding, f"byte {error.start + 1:,} does not fit it") from error
    except LookupError as error:
        raise _wrong_encoding(encoding, "no such encoding is known") from error


def _wrong_encoding(encoding: str, why: str) -> ExtractionError:
    return ExtractionError(
        "wrong_encoding",
        f"The file cannot be read as {label_of(encoding)}: {why}. "
        "Choose another encoding, or let it be detected.",
    )


def _decode_marked(data: bytes, encoding: str, warnings: list[str]):
    try:
        return data.decode(encoding), encoding, 1.0, warnings
    except UnicodeDecodeError:
        text = data.decode(encoding, errors="replace")
        warnings.append(
            f"{text.count(REPLACEMENT)} characters could not be read as {encoding}; "
            f"they show as {REPLACEMENT}."
        )
        return text, encoding, 0.8, warnings


def _by_nul_pattern(data: bytes) -> str:
    """Return the UTF-16 that has its zero bytes on the right side, or refuse a binary file."""
    even, odd = data[0::2].count(0), data[1::2].count(0)
    order = ("utf-16-be", "utf-16-le") if even > odd else ("utf-16-le", "utf-16-be")
    if max(even, odd) > 4 * min(even, odd) and len(data) % 2 == 0:
        for encoding in order:
            try:
                data.decode(encoding)
            except UnicodeDecodeError:
                continue
            return encoding
    raise _binary()


def _binary() -> ExtractionError:
    return ExtractionError(
        "wrong_type",
        "The file is not text: it has zero bytes or control characters. "
        "Add a PDF, a .docx or a text file instead.",
    )


def _is_damaged_utf8(data: bytes) -> bool:
    """True when almost all bytes over 127 form UTF-8: a cut or a few broken characters."""
    bad = data.decode("utf-8", errors="replace").count(REPLACEMENT)
    return len(_MULTIBYTE.findall(data)) > 20 * bad


def _decode_damaged(data: bytes, warnings: list[str]):
    text = data.decode("utf-8", errors="replace")
    warnings.append(
        f"{text.count(REPLACEMENT)} broken characters in an otherwise good UTF-8 text "
        f"show as {REPLACEMENT}."
    )
    return text, "utf-8", 0.9, warnings


def _detect(data: bytes) -> tuple[str, str, float]:
    """Ask chardet about the lines that are not ASCII; latin-1 reads whatever is left."""
    lines = [line for line in data.splitlines(keepends=True) if not line.isascii()]
    found = chardet.detect(b"".join(lines)[:SAMPLE_BYTES])
    guesses = [(found["encoding"] or "cp1252", found["confidence"] or 0.0), ("cp1252", 0.4)]
    for encoding, confidence in guesses:
        try:
            text = data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
        if not _mixes_scripts(text[:SAMPLE_BYTES]):
            return text, encoding.lower(), round(confidence, 2)
    return data.decode("latin-1"), "latin-1", 0.2


def _mixes_scripts(text: str) -> bool:
    """True when most words with foreign letters mix them with a-z, as in "caf\u0439".

    On few bytes detection takes accents for Cyrillic or Greek; no language writes so.
    """
    words = [word for word in _WORD.findall(text) if not word.isascii()]
    mixed = [word for word in words if _ASCII_LETTER.search(word) and _is_foreign(word)]
    return len(mixed) * 2 > len(words)


def _is_foreign(word: str) -> bool:
    return any(not unicodedata.name(c, "").startswith("LATIN") for c in word if not c.isascii())

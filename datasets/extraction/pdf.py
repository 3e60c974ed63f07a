"""PDF: pdfium reads (fast, good with ligatures and right-to-left), pypdf when pdfium cannot."""

import re
from importlib.metadata import version
from pathlib import Path

import pypdfium2

from datasets.extraction.reflow import join_wrapped_lines
from datasets.extraction.result import ExtractionError, Parsed

TAIL_BYTES = 2048
# pdfium writes this for a hyphen at a line's end; what follows belongs to the same word.
_LINE_HYPHEN = re.compile("\ufffe(?:\r?\n)?")


def load(path: Path) -> Parsed:
    """Return the text of every page; a page without any is an empty string."""
    try:
        return load_with_pdfium(path)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pypdfium2.raw.FPDF_ERR_PASSWORD:
            raise _encrypted() from error
        parsed = load_with_pypdf(path)
    parsed.warnings.append("pdfium could not open the file, so pypdf read it: look at the text.")
    return parsed


def load_with_pdfium(path: Path) -> Parsed:
    document = pypdfium2.PdfDocument(path)
    warnings: list[str] = []
    if len(document) == 0:
        raise ExtractionError("empty", "The PDF has no pages. Add the original.")
    if pypdfium2.raw.FPDF_GetSecurityHandlerRevision(document) >= 0:
        warnings.append("The PDF is protected by an owner's password; reading it is allowed.")
    texts = [_page_text(document, index, warnings) for index in range(len(document))]
    _note_cut(path, warnings)
    title = document.get_metadata_value("Title")
    return Parsed(texts, f"pypdfium2 {version('pypdfium2')}", warnings, title=title)


def _page_text(document, index: int, warnings: list[str]) -> str:
    """Return one page's text; the page is closed at once, so memory stays flat."""
    try:
        page = document[index]
    except pypdfium2.PdfiumError:
        warnings.append(f"Page {index + 1} is damaged and could not be read.")
        return ""
    textpage = page.get_textpage()
    text = textpage.get_text_range()
    textpage.close()
    page.close()
    return tidy(text)


def tidy(text: str) -> str:
    """Join hyphenated words and wrapped lines; one kind of line end."""
    text = _LINE_HYPHEN.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return join_wrapped_lines(text).strip()


def load_with_pypdf(path: Path) -> Parsed:
    """Read with pypdf, which repairs more and is six times slower."""
    import pypdf  # Only when needed: its import costs more than reading a small file.
    from pypdf.errors import FileNotDecryptedError, PyPdfError, WrongPasswordError

    try:
        reader = pypdf.PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise _encrypted()
        texts = [tidy(page.extract_text()) for page in reader.pages]
    except (FileNotDecryptedError, WrongPasswordError) as error:
        raise _encrypted() from error
    except RecursionError as error:
        raise _damaged(path) from error
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise _damaged(path) from error
    if not texts:
        raise _damaged(path)
    warnings: list[str] = []
    _note_cut(path, warnings)
    return Parsed(texts, f"pypdf {pypdf.__version__}", warnings)


def _encrypted() -> ExtractionError:
    return ExtractionError(
        "encrypted",
        "The PDF needs a password to open. Save a copy without one and add that.",
    )


def _damaged(path: Path) -> ExtractionError:
    if _is_cut(path):
        return ExtractionError(
            "truncated", "The PDF is cut off: its end is missing. Download or copy it again."
        )
    return ExtractionError(
        "damaged", "The PDF is damaged and cannot be read. Print it to a new PDF and add that."
    )


def _is_cut(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return b"%%EOF" not in file.read()


def _note_cut(path: Path, warnings: list[str]) -> None:
    if _is_cut(path):
        warnings.append("The end of the PDF is missing; the last pages may be lost.")

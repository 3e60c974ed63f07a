"""From what a loader found to clean pages and a report; here empty pages are noticed."""

import re

from datasets.extraction.result import ExtractionError, Page, Parsed

# NUL cannot be stored in PostgreSQL, lone surrogates not in UTF-8, the rest is invisible.
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
MAX_CHARACTERS, MAX_PAGES = 20_000_000, 20_000
OCR_HINT = "It looks scanned: run text recognition (OCR) on it and add the result."


def build(kind: str, parsed: Parsed) -> tuple[list[Page], dict]:
    """Return the pages and the report that pages show; raise when no page has any text."""
    _check_amount(parsed.texts)
    warnings = list(parsed.warnings)
    removed = sum(len(_UNSTORABLE.findall(text)) for text in parsed.texts)
    if removed:
        warnings.append(f"{removed} invisible characters that cannot be stored were removed.")
    texts = [_UNSTORABLE.sub("", text).lstrip("\ufeff") for text in parsed.texts]
    pages = [Page(number, text) for number, text in enumerate(texts, start=1)]
    empty = [page.number for page in pages if not page.text.strip()]
    needs_ocr = kind == "pdf" and len(empty) * 2 > len(pages)
    _check_any_text(kind, pages, empty)
    if empty and kind == "pdf":
        hint = f" {OCR_HINT}" if needs_ocr else ""
        warnings.append(f"{len(empty)} of {len(pages)} pages have no text.{hint}")
    report = {
        "type": kind,
        "pages": len(pages),
        "characters": sum(len(text) for text in texts),
        "page_characters": [len(text) for text in texts],
        "empty_pages": empty,
        "needs_ocr": needs_ocr,
        "encoding": parsed.encoding,
        "encoding_confidence": parsed.encoding_confidence,
        "title": _UNSTORABLE.sub("", parsed.title)[:300],
        "parser": parsed.parser,
        "warnings": warnings,
    }
    return pages, report


def _check_amount(texts: list[str]) -> None:
    """Refuse what would exhaust the worker, which has no limits of its own."""
    if len(texts) > MAX_PAGES or sum(map(len, texts)) > MAX_CHARACTERS:
        raise ExtractionError(
            "too_much_text",
            f"The document holds more than {MAX_CHARACTERS // 10**6} million characters "
            f"or {MAX_PAGES} pages. Split it.",
        )


def _check_any_text(kind: str, pages: list[Page], empty: list[int]) -> None:
    if len(empty) < len(pages):
        return
    if kind == "pdf":
        raise ExtractionError("scanned", f"None of the {len(pages)} pages has text. {OCR_HINT}")
    raise ExtractionError("empty", "The document contains no text. Add another version of it.")

"""What extraction gives back, and the one exception it raises."""

from dataclasses import dataclass, field


class ExtractionError(Exception):
    """The document cannot be read. The text says what is wrong and what to do.

    Codes: missing, empty, encrypted, not_a_pdf, wrong_type, wrong_encoding, truncated, damaged,
    doctype, scanned, too_large_inside, too_much_text, timeout, memory, crashed.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Page:
    """One page; `number` counts from 1. A format without pages is one page."""

    number: int
    text: str


@dataclass
class Extraction:
    """The pages in order, and a report that can be stored as JSON.

    The report has: type, pages, characters, page_characters, empty_pages (numbers), needs_ocr,
    encoding and encoding_confidence (text files; else empty and None), title, parser, warnings.
    """

    pages: list[Page]
    report: dict = field(default_factory=dict)


@dataclass
class Parsed:
    """What a loader returns inside the child, before cleaning and counting."""

    texts: list[str]
    parser: str
    warnings: list[str] = field(default_factory=list)
    title: str = ""
    encoding: str = ""
    encoding_confidence: float | None = None

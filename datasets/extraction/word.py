"""DOCX in document order: headings and tables as Markdown, insertions in, deleted text out."""

from importlib.metadata import version
from pathlib import Path
from xml.etree.ElementTree import ParseError

import docx
from docx.opc.exceptions import PackageNotFoundError
from lxml.etree import ErrorTypes, LxmlError

from datasets.extraction.archive import check_archive
from datasets.extraction.result import ExtractionError, Parsed
from datasets.extraction.wordxml import (
    W,
    blocks,
    boxed_paragraphs,
    count_page_breaks,
    table_rows,
    visible_text,
)

NOTES = ("/word/footnotes.xml", "/word/endnotes.xml")
MAX_HEADING = 6
MAX_BASES = 10


def load(path: Path) -> Parsed:
    """Return one text per page when Word has left its page breaks in the file, else one text."""
    warnings = check_archive(path)
    try:
        document = docx.Document(str(path))
        texts = _pages(document)
        title = document.core_properties.title or ""
    except (LxmlError, ParseError, PackageNotFoundError, KeyError, ValueError) as error:
        if getattr(error, "code", None) == ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from error  # libxml2 calls it a syntax error.
        raise ExtractionError(
            "damaged",
            "The document cannot be read as .docx. Open it in Word, save it as .docx again "
            "(not as a template, with macros or as Strict Open XML) and add that.",
        ) from error
    return Parsed(texts, f"python-docx {version('python-docx')}", warnings, title=title)


def _pages(document) -> list[str]:
    """Return the blocks of each page. A block belongs to the page on which it begins."""
    body = document.element.body
    has_rendered = next(body.iter(f"{W}lastRenderedPageBreak"), None) is not None
    roles = _Roles(document)
    pages: list[list[str]] = [[]]
    for block in blocks(body):
        pages[-1].extend(_render(block, roles))
        for _ in range(count_page_breaks(block, rendered=has_rendered)):
            pages.append([])
    pages[-1].extend(_notes(document))
    while len(pages) > 1 and not pages[-1]:
        pages.pop()
    return [_join(page) for page in pages]


def _join(parts: list[str]) -> str:
    """Blank lines between blocks, but items of one list stay together."""
    text = ""
    for before, part in zip([""] + parts, parts, strict=False):
        is_list = before.startswith("- ") and part.startswith("- ")
        text += (("\n" if is_list else "\n\n") if text else "") + part
    return text


def _render(block, roles) -> list[str]:
    """Return the Markdown blocks of one paragraph or table."""
    if block.tag == f"{W}tbl":
        table = _table(block)
        return [table] if table else []
    parts = [_paragraph(block, roles)]
    parts += [_paragraph(inner, roles) for inner in boxed_paragraphs(block)]
    return [part for part in parts if part]


def _paragraph(element, roles: "_Roles") -> str:
    text = visible_text(element).strip()
    if not text:
        return ""
    level, is_item = roles.of(element)
    if level:
        return f"{'#' * level} {' '.join(text.split())}"
    return f"- {text}" if is_item else text


class _Roles:
    """Tells headings and list items by their style; each style is looked up once."""

    def __init__(self, document) -> None:
        self._styles = {style.style_id: style for style in document.styles}
        self._known: dict[str, tuple[int, bool]] = {}

    def of(self, paragraph) -> tuple[int, bool]:
        """Return the heading level (0: none) and whether it is an item of a list."""
        properties = paragraph.find(f"{W}pPr")
        if properties is None:
            return 0, False
        named = properties.find(f"{W}pStyle")
        style_id = named.get(f"{W}val", "") if named is not None else ""
        if style_id not in self._known:
            self._known[style_id] = self._look_up(self._styles.get(style_id))
        level, is_item = self._known[style_id]
        return level, is_item or properties.find(f"{W}numPr") is not None

    def _look_up(self, style) -> tuple[int, bool]:
        """A style may be built on "Heading 2" under another name, so its bases count too."""
        for _ in range(MAX_BASES):
            name = (style.name or "") if style is not None else ""
            if name == "Title":
                return 1, False
            if name.startswith("Heading ") and name[8:].isdecimal():
                return min(int(name[8:]), MAX_HEADING), False
            if name.startswith("List "):
                return 0, True
            style = getattr(style, "base_style", None)
        return 0, False


def _table(element) -> str:
    rows = [row for row in table_rows(element) if any(row)]
    if not rows:
        return ""
    width = max(len(row) for row in rows)
    lines = [f"| {' | '.join(row + [''] * (width - len(row)))} |" for row in rows]
    lines.insert(1, f"|{' --- |' * width}")
    return "\n".join(lines)


def _notes(document) -> list[str]:
    """Return footnotes and endnotes, which stand outside the document's body."""
    from docx.oxml.parser import parse_xml

    found = []
    for part in document.part.package.iter_parts():
        if str(part.partname) in NOTES:
            paragraphs = parse_xml(part.blob).iter(f"{W}p")
            found += [text for p in paragraphs if (text := visible_text(p).strip())]
    return found

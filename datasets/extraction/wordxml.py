"""Walking WordprocessingML: what python-docx leaves out is exactly what gets lost in silence.

Its `paragraphs` and `iter_inner_content` miss content controls, insertions and text boxes, and
its rows repeat merged cells; this walk sees every element once.
"""

from collections.abc import Iterator

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
# Wrappers around blocks or rows: content controls, insertions, custom XML.
WRAPPERS = {f"{W}{name}" for name in ("sdt", "sdtContent", "ins", "moveTo", "customXml")}
# Deleted or moved away, a drawing's second version, and boxes, which are rendered on their own.
HIDDEN = {f"{W}{name}" for name in ("del", "moveFrom", "delText", "txbxContent", "pPr", "rPr")} | {
    f"{MC}Fallback"
}
# Word's own limit of columns in a table.
MAX_SPAN = 63
AS_TEXT = {f"{W}tab": "\t", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-"}


def blocks(container) -> Iterator:
    """Yield the paragraphs and tables of a body or cell in document order."""
    for child in container:
        if child.tag in (f"{W}p", f"{W}tbl"):
            yield child
        elif child.tag in WRAPPERS:
            yield from blocks(child)


def visible_text(element) -> str:
    """Return the text that a reader sees in this paragraph, boxes left out."""
    parts: list[str] = []
    stack = [element]
    while stack:
        node = stack.pop()
        if node.tag in HIDDEN:
            continue
        if node.tag == f"{W}t":
            parts.append(node.text or "")
        elif node.tag in AS_TEXT:
            parts.append(AS_TEXT[node.tag])
        else:
            stack.extend(reversed(node))
    return "".join(parts)


def boxed_paragraphs(paragraph) -> list:
    """Return the paragraphs of the text boxes that hang on this paragraph."""
    return [
        inner
        for box in paragraph.iter(f"{W}txbxContent")
        if not _is_inside(box, f"{MC}Fallback", paragraph)
        for inner in box.iter(f"{W}p")
    ]


def _is_inside(element, tag: str, top) -> bool:
    while element is not top:
        if element.tag == tag:
            return True
        element = element.getparent()
    return False


def count_page_breaks(block, *, rendered: bool) -> int:
    """Count the breaks Word rendered or, in a file it never rendered, those somebody set."""
    if rendered:
        return sum(1 for _ in block.iter(f"{W}lastRenderedPageBreak"))
    return sum(1 for br in block.iter(f"{W}br") if br.get(f"{W}type") == "page")


def table_rows(table) -> list[list[str]]:
    """Return the cells' texts; a cell merged over columns or rows stands once."""
    return [
        [text for cell in _children(row, f"{W}tc") for text in _cell_texts(cell)]
        for row in _children(table, f"{W}tr")
        if row.find(f"{W}trPr/{W}del") is None
    ]


def _children(container, tag: str) -> Iterator:
    for child in container:
        if child.tag == tag:
            yield child
        elif child.tag in WRAPPERS:
            yield from _children(child, tag)


def _cell_texts(cell) -> list[str]:
    """Return the cell on one line, then an empty text for each further column it covers.

    A lower cell of a vertical merge is empty.
    """
    merge = cell.find(f"{W}tcPr/{W}vMerge")
    span = cell.find(f"{W}tcPr/{W}gridSpan")
    width = span.get(f"{W}val", "1") if span is not None else "1"
    rest = [""] * (min(int(width), MAX_SPAN) - 1) if width.isdecimal() else []
    if merge is not None and merge.get(f"{W}val", "continue") == "continue":
        return ["", *rest]
    text = " ".join(visible_text(p) for p in cell.iter(f"{W}p"))
    return [" ".join(text.split()).replace("|", "\\|"), *rest]

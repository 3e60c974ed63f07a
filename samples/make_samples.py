"""Makes the sample documents from the texts in `sources/`: `python samples/make_samples.py`.

The company, its people and all its numbers are invented: no language model can know them. The
results are committed, so that a demo needs neither this script nor fpdf2.
"""

import argparse
from datetime import UTC, datetime
from pathlib import Path

import docx
from fpdf import FPDF, XPos, YPos

SAMPLES = Path(__file__).resolve().parent
SOURCES = SAMPLES / "sources"
# Fixed, so that the PDF does not change when it is made again.
MADE = datetime(2024, 1, 15, tzinfo=UTC)


def blocks_of(path: Path) -> list[str]:
    """Return the paragraphs, headings, lists and tables of a source, one string each."""
    return [block.strip() for block in path.read_text(encoding="utf-8").split("\n\n")]


def make_pdf(source: Path, target: Path) -> None:
    pdf = FPDF(format="A4")
    pdf.set_creation_date(MADE)
    pdf.set_title("The Larkspur Fogworks Handbook")
    pdf.set_author("Larkspur Fogworks")
    pdf.set_margins(24, 22)
    pdf.set_auto_page_break(True, margin=24)
    pdf.add_page()
    for block in blocks_of(source):
        _add_to_pdf(pdf, block)
    pdf.output(str(target))


def _add_to_pdf(pdf: FPDF, block: str) -> None:
    level = len(block) - len(block.lstrip("#"))
    size, style, space = {0: (11, "", 3), 1: (22, "B", 8), 2: (14, "B", 4)}[level]
    if level == 2 and pdf.get_y() > 235:
        pdf.add_page()
    pdf.set_font("helvetica", style, size)
    text = block.lstrip("# ")
    pdf.multi_cell(0, size * 0.52, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.ln(space)


def make_docx(source: Path, target: Path) -> None:
    document = docx.Document()
    document.core_properties.title = "K7 Fog Station: Service Manual"
    document.core_properties.author = "Larkspur Fogworks"
    document.core_properties.created = document.core_properties.modified = MADE
    for block in blocks_of(source):
        _add_to_docx(document, block)
    document.save(str(target))


def _add_to_docx(document, block: str) -> None:
    if block.startswith("#"):
        level = len(block) - len(block.lstrip("#"))
        document.add_heading(block.lstrip("# "), level=level)
    elif block.startswith("|"):
        _add_table(document, block.splitlines())
    elif block.startswith("- "):
        for line in block.splitlines():
            document.add_paragraph(line.removeprefix("- "), style="List Bullet")
    else:
        document.add_paragraph(block)


def _add_table(document, lines: list[str]) -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    del rows[1]  # The line of dashes.
    table = document.add_table(rows=0, cols=len(rows[0]), style="Table Grid")
    for row in rows:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text


def make_all(folder: Path) -> list[Path]:
    """Make the three documents in `folder` and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    targets = [folder / name for name in ("handbook.pdf", "k7-service-manual.docx", "voyages.txt")]
    make_pdf(SOURCES / "handbook.md", targets[0])
    make_docx(SOURCES / "k7-service-manual.md", targets[1])
    targets[2].write_bytes((SOURCES / "voyages.txt").read_bytes())
    return targets


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=SAMPLES)
    for path in make_all(parser.parse_args().to):
        print(f"{path} ({path.stat().st_size:,} bytes)")

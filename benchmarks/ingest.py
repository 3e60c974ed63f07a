"""Pages per second of `extract` against bare pypdfium2 and bare pypdf on the same PDF.

Each reads the same 1,000 pages in a fresh process, its start included, in turns; the best of
`--rounds` counts. Prints one line. Needs fpdf2 to make the PDF.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fpdf import FPDF

ROOT = Path(__file__).resolve().parent.parent
SENTENCES = (ROOT / "samples" / "sources" / "handbook.md").read_text(encoding="utf-8").split(". ")
CODE = {
    "pypdf": "import sys, pypdf\n"
    "print(sum(len(page.extract_text()) for page in pypdf.PdfReader(sys.argv[1]).pages))",
    "pypdfium2": "import sys, pypdfium2\n"
    "document = pypdfium2.PdfDocument(sys.argv[1])\n"
    "print(sum(len(page.get_textpage().get_text_range()) for page in document))",
    "extract": "import sys\nfrom datasets.extraction import extract\n"
    "print(extract(sys.argv[1]).report['characters'])",
}


def make_pdf(path: Path, pages: int) -> None:
    """Write `pages` full pages of prose, no two alike."""
    document = FPDF()
    document.set_font("helvetica", size=11)
    for page in range(pages):
        document.add_page()
        rotated = SENTENCES[page % len(SENTENCES) :] + SENTENCES
        document.multi_cell(0, 5.5, f"Page {page}. " + ". ".join(rotated)[:3200])
    document.output(str(path))


def seconds_of(code: str, path: Path) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, check=True, capture_output=True
    )
    took = time.perf_counter() - began
    assert int(done.stdout) > 100_000, "nothing was read"
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    best = dict.fromkeys(CODE, float("inf"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pages.pdf"
        make_pdf(path, arguments.pages)
        for _ in range(arguments.rounds):
            for name, code in CODE.items():
                best[name] = min(best[name], seconds_of(code, path))
    rates = {name: arguments.pages / seconds for name, seconds in best.items()}
    print(
        f"ingest: extract {rates['extract']:.0f} pages/s, "
        f"{rates['extract'] / rates['pypdf']:.1f} x pypdf ({rates['pypdf']:.0f}), "
        f"{rates['extract'] / rates['pypdfium2']:.2f} x bare pypdfium2 ({rates['pypdfium2']:.0f})"
    )


if __name__ == "__main__":
    main()

"""Makes good, odd and hostile documents for tests, all of them on the spot."""

import io
import zipfile
from pathlib import Path

import docx
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from fpdf import FPDF
from PIL import Image

SENTENCE = "The fog station on Mount Sorrel gives forty litres a night."


def pdf(path: Path, *pages: str, **encryption) -> Path:
    """Write a PDF with one page per text; `encryption` goes to `set_encryption`."""
    document = FPDF()
    document.set_font("helvetica", size=12)
    for text in pages:
        document.add_page()
        if text:
            document.multi_cell(0, 6, text)
    if encryption:
        document.set_encryption(**encryption)
    document.output(str(path))
    return path


def scanned_pdf(path: Path, *, pages: int, text_pages: int = 0) -> Path:
    """Write a PDF of pictures, followed by pages with text."""
    picture = io.BytesIO()
    Image.new("L", (200, 280), 230).save(picture, "PNG")
    document = FPDF()
    document.set_font("helvetica", size=12)
    for _ in range(pages):
        document.add_page()
        document.image(picture, 0, 0, 210)
    for _ in range(text_pages):
        document.add_page()
        document.cell(text=SENTENCE)
    document.output(str(path))
    return path


def png(path: Path) -> Path:
    Image.new("RGB", (20, 20)).save(path, "PNG")
    return path


def word(path: Path, *paragraphs: str) -> Path:
    document = docx.Document()
    for text in paragraphs:
        document.add_paragraph(text)
    document.save(str(path))
    return path


def rich_word(path: Path) -> Path:
    """Write a DOCX with all that is easily lost: see the test that reads it."""
    document = docx.Document()
    document.add_heading("Service", level=1)
    _add_tracked_changes(document.add_paragraph("Kept"))
    table = document.add_table(rows=3, cols=3)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "wide"
    table.cell(1, 0).merge(table.cell(2, 0)).text = "tall"
    for row, column, text in ((1, 1, "a|b"), (0, 2, "right"), (2, 2, "low")):
        table.cell(row, column).text = text
    document.add_paragraph("first", style="List Bullet")
    document.add_paragraph("second", style="List Bullet")
    control = (
        f"<w:sdt {nsdecls('w')}><w:sdtContent><w:p><w:r><w:t>in a content control</w:t></w:r>"
        "</w:p></w:sdtContent></w:sdt>"
    )
    document.element.body.insert(-1, parse_xml(control))
    document.add_paragraph("boxed here")._p.append(parse_xml(_box("in a text box")))
    document.add_heading("Deep", level=3)
    document.save(str(path))
    return path


def _add_tracked_changes(paragraph) -> None:
    for xml in (
        '<w:ins {0} w:id="1" w:author="a"><w:r><w:t> inserted</w:t></w:r></w:ins>',
        '<w:del {0} w:id="2" w:author="a"><w:r><w:delText> deleted</w:delText></w:r></w:del>',
        '<w:moveFrom {0} w:id="3" w:author="a"><w:r><w:t> moved</w:t></w:r></w:moveFrom>',
        "<w:r {0}><w:t> end</w:t><w:tab/><w:noBreakHyphen/><w:t>!</w:t></w:r>",
    ):
        paragraph._p.append(parse_xml(xml.format(nsdecls("w"))))


def _box(text: str) -> str:
    """A text box as Word writes it: twice, the second time for old programs."""
    content = f"<w:txbxContent><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:txbxContent>"
    mc = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    return (
        f'<w:r {nsdecls("w")} xmlns:mc="{mc}"><mc:AlternateContent>'
        f'<mc:Choice Requires="wps"><w:drawing>{content}</w:drawing></mc:Choice>'
        f"<mc:Fallback><w:pict>{content}</w:pict></mc:Fallback></mc:AlternateContent></w:r>"
    )


def change_part(path: Path, part: str, change) -> Path:
    """Rewrite one part of the .docx at `path` with `change(bytes) -> bytes`."""
    with zipfile.ZipFile(path) as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    parts[part] = change(parts.get(part, b""))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def add_doctype(xml: bytes) -> bytes:
    declaration, rest = xml.split(b"?>", 1)
    return declaration + b'?><!DOCTYPE w [<!ENTITY x "lost">]>' + rest


def bomb(path: Path, *, megabytes: int) -> Path:
    """Write a .docx whose main part is mostly one repeated character."""
    text = b"a" * (megabytes * 2**20)
    word(path, "MARK")
    return change_part(path, "word/document.xml", lambda xml: xml.replace(b"MARK", text))


def hungry_word(path: Path, *, paragraphs: int) -> Path:
    """Write a .docx that passes every check and needs much memory as a tree."""
    body = "".join(
        f"<w:p><w:r><w:t>{i * 7919 % 99991} {i * 104729 % 1299709}</w:t></w:r></w:p>"
        for i in range(paragraphs)
    ).encode()
    word(path, "MARK")
    return change_part(
        path, "word/document.xml", lambda xml: xml.replace(b"<w:body>", b"<w:body>" + body)
    )

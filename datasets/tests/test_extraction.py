"""Good documents: what is read, in which order, and what the report says about it."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from datasets.extraction import Extraction, ExtractionError, Page, child, encodings, extract
from datasets.extraction.reflow import join_wrapped_lines
from datasets.extraction.report import build
from datasets.extraction.result import Parsed
from datasets.tests import document_files as make

SENTENCE = make.SENTENCE
FRENCH = "L'été dernier, Noëlle a reçu où là-bas un garçon très âgé ; il mangeait des œufs. " * 5


def read(path, encoding: str = "") -> Extraction:
    """Read as the child does, but in this process: quicker where its limits are not the subject."""
    answer = child.read(path, path.name, skip_pdfium=False, encoding=encoding)
    pages = [Page(number, text) for number, text in enumerate(answer["pages"], start=1)]
    return Extraction(pages, answer["report"])


def test_a_pdf_gives_its_pages_in_order_and_a_report(tmp_path):
    found = extract(make.pdf(tmp_path / "a.pdf", SENTENCE, "Second page.", "Third page."))
    assert [page.number for page in found.pages] == [1, 2, 3]
    assert [page.text for page in found.pages] == [SENTENCE, "Second page.", "Third page."]
    report = found.report
    assert (report["type"], report["pages"], report["empty_pages"]) == ("pdf", 3, [])
    assert report["page_characters"] == [len(SENTENCE), 12, 11]
    assert report["characters"] == len(SENTENCE) + 23
    assert report["parser"].startswith("pypdfium2") and report["warnings"] == []


def test_wrapped_lines_and_hyphenated_words_of_a_pdf_are_joined(tmp_path):
    text = f"{SENTENCE} " * 4 + "It is a remark-\nable place above the clouds of the long valley."
    found = read(make.pdf(tmp_path / "a.pdf", text))
    assert SENTENCE in found.pages[0].text.replace("\n", " ")
    assert "remarkable place" in found.pages[0].text
    assert found.pages[0].text.count("\n") <= 1


def test_rows_and_short_lines_of_a_pdf_keep_their_line_ends():
    rows = "Anna Berg 12 Oslo\nJan Holm 14 Bergen\nUla Vik 9 Narvik"
    assert join_wrapped_lines(rows) == rows
    prose = "The mast is made of three tubes and stands\non a foot of stone.\n- first\n- second"
    assert join_wrapped_lines(prose) == prose.replace("stands\non", "stands on")


def test_an_owner_password_does_not_stop_reading(tmp_path):
    path = make.pdf(tmp_path / "a.pdf", SENTENCE, owner_password="secret")
    found = read(path)
    assert found.pages[0].text == SENTENCE
    assert "owner's password" in found.report["warnings"][0]


def test_pages_without_text_are_counted_and_named(tmp_path):
    report = read(make.scanned_pdf(tmp_path / "a.pdf", pages=1, text_pages=2)).report
    assert report["empty_pages"] == [1] and not report["needs_ocr"]
    assert "1 of 3 pages have no text." in report["warnings"]


def test_a_mostly_scanned_pdf_is_read_and_says_that_it_needs_text_recognition(tmp_path):
    report = read(make.scanned_pdf(tmp_path / "a.pdf", pages=3, text_pages=1)).report
    assert report["needs_ocr"] and report["empty_pages"] == [1, 2, 3]
    assert "OCR" in report["warnings"][0]


def test_a_word_document_loses_nothing_and_keeps_its_order(tmp_path):
    text = extract(make.rich_word(tmp_path / "a.docx")).pages[0].text
    assert text.split("\n\n") == [
        "# Service",
        "Kept inserted end\t-!",
        "| wide |  | right |\n| --- | --- | --- |\n| tall | a\\|b |  |\n|  |  | low |",
        "- first\n- second",
        "in a content control",
        "boxed here",
        "in a text box",
        "### Deep",
    ]


def test_page_breaks_of_a_word_document_make_pages(tmp_path):
    import docx

    document = docx.Document()
    document.add_paragraph("One.").add_run().add_break(docx.enum.text.WD_BREAK.PAGE)
    document.add_paragraph("Two.")
    document.save(str(tmp_path / "a.docx"))
    assert [page.text for page in read(tmp_path / "a.docx").pages] == ["One.", "Two."]


@pytest.mark.parametrize(
    ("encoding", "named", "least"),
    [
        ("utf-8", "utf-8", 1),
        ("utf-8-sig", "utf-8-sig", 1),
        ("utf-16", "utf-16", 1),
        ("utf-16-le", "utf-16-le", 0.9),
        ("utf-16-be", "utf-16-be", 0.9),
        ("utf-32", "utf-32", 1),
        ("cp1252", None, 0),
        ("mac_roman", None, 0),
    ],
)
def test_a_text_of_any_encoding_is_read_right(tmp_path, encoding, named, least):
    path = tmp_path / "a.txt"
    path.write_bytes(FRENCH.encode(encoding))
    found = extract(path) if encoding == "cp1252" else read(path)
    assert found.pages[0].text == FRENCH
    assert named is None or found.report["encoding"] == named
    assert found.report["encoding_confidence"] >= least


def test_a_short_latin_1_text_is_read_right(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("Le café est fermé à midi.\r\nÀ bientôt !".encode("latin-1"))
    assert read(path).pages[0].text == "Le café est fermé à midi.\nÀ bientôt !"


def test_a_broken_character_in_utf_8_is_shown_and_counted_never_dropped(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(FRENCH.encode() + b"\xff end")
    found = read(path)
    assert found.pages[0].text == FRENCH + "\ufffd end"
    assert "1 broken characters" in found.report["warnings"][0]


def test_a_chosen_encoding_counts_and_is_sure(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("Привет, мир. Это тест.".encode("koi8-r"))
    found = read(path, "koi8-r")
    assert found.pages[0].text == "Привет, мир. Это тест."
    assert (found.report["encoding"], found.report["encoding_confidence"]) == ("koi8-r", 1.0)
    assert found.report["warnings"] == []
    assert extract(path, encoding="koi8-r").pages == found.pages, "through the child as well"
    assert read(path, "cp1251").pages[0].text != found.pages[0].text


@pytest.mark.parametrize(
    ("content", "encoding", "why"),
    [
        ("Übung".encode("cp1252"), "utf-8", "UTF-8: byte 1 does not fit it"),
        (b"odd", "utf-16-le", "UTF-16, little-endian: byte 3 does not fit it"),
        ("Text".encode("utf-16-le"), "cp1252", "control characters, not text"),
        (b"Text", "klingon", "klingon: no such encoding is known"),
    ],
)
def test_a_chosen_encoding_that_does_not_fit_is_an_error_with_a_way_out(
    content, encoding, why, tmp_path
):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(ExtractionError) as caught:
        read(path, encoding)
    assert caught.value.code == "wrong_encoding"
    assert why in caught.value.message
    assert "Choose another encoding" in caught.value.message


def test_an_encoding_chosen_for_what_is_no_text_is_not_used(tmp_path):
    path = make.pdf(tmp_path / "a.pdf", "Some text.")
    assert "Some text." in read(path, "koi8-r").pages[0].text


def test_every_encoding_that_can_be_chosen_is_known():
    for name, label in encodings.ENCODINGS:
        assert encodings.label_of(name) == label
    assert encodings.label_of("klingon") == "klingon"


def test_form_feeds_of_a_text_make_pages(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("One.\fTwo.")
    assert [page.text for page in read(path).pages] == ["One.", "Two."]


def test_the_type_is_that_of_the_content_not_of_the_name(tmp_path):
    path = make.pdf(tmp_path / "a", SENTENCE)
    assert extract(path, name="notes.txt").report["type"] == "pdf"
    assert extract(make.word(tmp_path / "b", SENTENCE), name="b.pdf").report["type"] == "docx"


@given(st.text(st.characters(codec=None), max_size=60))
def test_zero_bytes_and_lone_surrogates_never_come_out(text):
    pages, report = build("text", Parsed([f"a{text}\0\ud800"], "test"))
    pages[0].text.encode()
    assert "\0" not in pages[0].text
    assert "cannot be stored" in report["warnings"][0]


def test_the_samples_are_read_completely():
    folder = settings.BASE_DIR / "samples"
    handbook, manual, journal = (
        extract(folder / name) for name in ("handbook.pdf", "k7-service-manual.docx", "voyages.txt")
    )
    assert handbook.report["pages"] >= 4 and handbook.report["empty_pages"] == []
    source = (folder / "sources" / "handbook.md").read_text().replace("#", "")
    assert " ".join(page.text for page in handbook.pages).split() == source.split()
    source = (folder / "sources" / "k7-service-manual.md").read_text()
    assert manual.pages[0].text.split() == source.split()
    assert journal.pages[0].text == (folder / "sources" / "voyages.txt").read_text()


def test_the_samples_are_what_their_script_makes(tmp_path):
    script = settings.BASE_DIR / "samples" / "make_samples.py"
    subprocess.run([sys.executable, script, "--to", tmp_path], check=True, capture_output=True)
    for name in ("handbook.pdf", "k7-service-manual.docx", "voyages.txt"):
        committed, made = extract(settings.BASE_DIR / "samples" / name), extract(tmp_path / name)
        assert committed.pages == made.pages


def test_the_child_imports_no_django_and_no_torch():
    code = (
        "import sys, datasets.extraction.child, datasets.extraction.pdf, datasets.extraction.word,"
        " datasets.extraction.plain\nprint({'django', 'torch', 'finetuneflow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.BASE_DIR, capture_output=True, text=True
    )
    assert done.stdout.strip() == "set()", done.stderr


def test_extraction_works_from_any_folder_and_in_any_environment(tmp_path):
    """A worker may run anywhere, and its environment must not reach the child."""
    make.word(tmp_path / "a.docx", SENTENCE)
    code = (
        f"import sys; sys.path.insert(0, {str(settings.BASE_DIR)!r})\n"
        "from datasets.extraction import extract\n"
        "print(extract('a.docx').pages[0].text)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == SENTENCE, done.stderr

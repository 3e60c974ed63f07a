"""Bad documents: each ends in one error with a code and a sentence, and never harms the caller."""

import os
import time

import psutil
import pytest
from django.conf import settings

from datasets.extraction import ExtractionError, child, extract
from datasets.tests import document_files as make

SENTENCE = make.SENTENCE


def code_of(path, name: str = "", **limits) -> str:
    """Return the code of the error; it must have a whole sentence for the person.

    Through the limited child where `limits` are the subject, else in this process: quicker.
    """
    with pytest.raises(ExtractionError) as caught:
        if limits:
            extract(path, name=name, **limits)
        else:
            child.read(path, name or path.name, skip_pdfium=False)
    assert caught.value.message[0].isupper() and caught.value.message.endswith(".")
    return caught.value.code


def test_a_missing_file_is_an_error_of_that_file(tmp_path):
    assert code_of(tmp_path / "none.pdf", seconds=20) == "missing"


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.txt"])
def test_an_empty_file_is_called_empty(tmp_path, name):
    (tmp_path / name).touch()
    assert code_of(tmp_path / name) == "empty"


def test_a_document_without_text_is_called_empty(tmp_path):
    (tmp_path / "a.txt").write_text(" \n\t\n")
    assert code_of(tmp_path / "a.txt") == "empty"
    assert code_of(make.word(tmp_path / "a.docx")) == "empty"


def test_a_user_password_is_named(tmp_path):
    path = make.pdf(tmp_path / "a.pdf", SENTENCE, owner_password="o", user_password="u")
    assert code_of(path, seconds=20) == "encrypted"


def test_a_scanned_pdf_asks_for_text_recognition(tmp_path):
    path = make.scanned_pdf(tmp_path / "a.pdf", pages=2)
    with pytest.raises(ExtractionError, match="OCR") as caught:
        extract(path)
    assert caught.value.code == "scanned"


@pytest.mark.parametrize("name", ["picture.pdf", "picture.docx", "picture.txt"])
def test_a_picture_under_any_name_is_called_a_picture(tmp_path, name):
    with pytest.raises(ExtractionError, match="PNG") as caught:
        extract(make.png(tmp_path / name))
    assert caught.value.code == "wrong_type"


def test_a_text_named_pdf_is_not_a_pdf(tmp_path):
    (tmp_path / "a").write_text(SENTENCE)
    assert code_of(tmp_path / "a", name="report.PDF") == "not_a_pdf"


@pytest.mark.parametrize("name", ["old.doc", "old.docx"])
def test_an_old_word_file_is_asked_for_as_docx(tmp_path, name):
    (tmp_path / name).write_bytes(bytes.fromhex("D0CF11E0A1B11AE1") + b"\0" * 600)
    with pytest.raises(ExtractionError, match="Save it as .docx") as caught:
        extract(tmp_path / name)
    assert caught.value.code == "wrong_type"


def test_an_encrypted_word_file_is_not_mistaken_for_an_old_one(tmp_path):
    content = bytes.fromhex("D0CF11E0A1B11AE1") + "EncryptedPackage".encode("utf-16-le")
    (tmp_path / "a.docx").write_bytes(content)
    assert code_of(tmp_path / "a.docx") == "encrypted"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_pdf_that_is_cut_off_is_truncated(tmp_path, share):
    path = make.pdf(tmp_path / "a.pdf", *[SENTENCE] * 5)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert code_of(path) == "truncated"


def test_a_pdf_that_lost_only_its_end_mark_is_read_with_a_warning(tmp_path):
    path = make.pdf(tmp_path / "a.pdf", SENTENCE)
    path.write_bytes(path.read_bytes()[:-6])
    found = extract(path)
    assert found.pages[0].text == SENTENCE
    assert any("end of the PDF is missing" in warning for warning in found.report["warnings"])


def test_a_pdf_of_rubbish_is_damaged(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\n" + os.urandom(500) + b"\n%%EOF\n")
    assert code_of(tmp_path / "a.pdf") == "damaged"


def test_a_word_file_that_is_cut_off_is_truncated(tmp_path):
    path = make.word(tmp_path / "a.docx", SENTENCE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert code_of(path) == "truncated"


def test_a_word_file_with_broken_xml_is_damaged(tmp_path):
    path = make.word(tmp_path / "a.docx", SENTENCE)
    make.change_part(path, "word/document.xml", lambda xml: xml[:-40])
    assert code_of(path) == "damaged"


@pytest.mark.parametrize(("part", "what"), [("xl/workbook.xml", "Excel"), ("a.txt", "zip")])
def test_another_archive_is_named(tmp_path, part, what):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.docx", "w") as archive:
        archive.writestr(part, "x")
    with pytest.raises(ExtractionError, match=what) as caught:
        extract(tmp_path / "a.docx")
    assert caught.value.code == "wrong_type"


def test_a_document_type_declaration_is_refused(tmp_path):
    path = make.word(tmp_path / "a.docx", SENTENCE)
    make.change_part(path, "word/document.xml", make.add_doctype)
    assert code_of(path) == "doctype"


def test_a_document_type_declaration_in_utf_16_is_refused_too(tmp_path):
    path = make.word(tmp_path / "a.docx", SENTENCE)

    def hide(xml: bytes) -> bytes:
        text = make.add_doctype(xml).decode().replace("UTF-8", "UTF-16")
        return text.encode("utf-16")

    make.change_part(path, "word/document.xml", hide)
    assert code_of(path) == "doctype"


def test_a_bomb_is_refused_by_its_directory_alone(tmp_path):
    path = make.bomb(tmp_path / "a.docx", megabytes=60)
    assert path.stat().st_size < 2**20
    began = time.monotonic()
    assert code_of(path, memory_bytes=96 * 2**20) == "too_large_inside"
    assert time.monotonic() - began < 5


def test_a_thousand_parts_are_too_many(tmp_path, monkeypatch):
    import zipfile

    path = make.word(tmp_path / "a.docx", SENTENCE)
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(5000):
            archive.writestr(f"word/media/{number}", b"")
    assert code_of(path) == "too_large_inside"


def test_embedded_files_are_mentioned(tmp_path):
    path = make.word(tmp_path / "a.docx", SENTENCE)
    make.change_part(path, "word/embeddings/sheet.xlsx", lambda _: b"PK")
    assert "1 embedded" in extract(path).report["warnings"][0]


@pytest.mark.parametrize("content", [b"a\0b\0\0\0c" * 40, b"text \x01\x02\x03\x04" * 50])
def test_a_binary_file_named_txt_is_not_text(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    assert code_of(tmp_path / "a.txt") == "wrong_type"


def test_a_parser_over_its_memory_is_stopped_and_the_caller_goes_on(tmp_path):
    path = make.hungry_word(tmp_path / "a.docx", paragraphs=120_000)
    assert code_of(path, memory_bytes=96 * 2**20) == "memory"


def test_a_parser_that_takes_too_long_is_stopped(tmp_path):
    path = make.hungry_word(tmp_path / "a.docx", paragraphs=120_000)
    assert code_of(path, seconds=0.3) == "timeout"


def test_a_parser_that_hangs_is_stopped_by_the_clock_and_leaves_no_process(tmp_path):
    os.mkfifo(tmp_path / "a.pdf")  # Opening it waits for a writer that never comes.
    began = time.monotonic()
    assert code_of(tmp_path / "a.pdf", seconds=1) == "timeout"
    assert time.monotonic() - began < 5
    assert not [p for p in psutil.Process().children() if "extraction" in " ".join(p.cmdline())]


def test_more_text_than_the_answer_may_have_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text(SENTENCE * 2000)
    assert code_of(tmp_path / "a.txt", output_bytes=50_000) == "too_much_text"


def test_waiting_can_be_given_up_and_the_parser_dies_with_it(tmp_path):
    class Stop(Exception):
        pass

    def stop():
        raise Stop

    os.mkfifo(tmp_path / "a.pdf")
    with pytest.raises(Stop):
        extract(tmp_path / "a.pdf", seconds=30, on_wait=stop)
    assert not [p for p in psutil.Process().children() if "extraction" in " ".join(p.cmdline())]


def test_secrets_of_the_environment_do_not_reach_the_parser(tmp_path, monkeypatch):
    monkeypatch.setenv("OLLAMA_API_KEY", "top-secret-key")
    os.mkfifo(tmp_path / "a.pdf")
    seen = []

    def look():
        for process in psutil.Process().children():
            seen.append(process.environ())

    with pytest.raises(ExtractionError):
        extract(tmp_path / "a.pdf", seconds=1.6, on_wait=look)
    assert seen and all("OLLAMA_API_KEY" not in environment for environment in seen)


def test_a_crash_of_pdfium_hands_the_file_to_pypdf(tmp_path, monkeypatch):
    """The child is told by its parent to leave pdfium out: what a second try does."""
    from datasets.extraction import runner

    path = make.pdf(tmp_path / "a.pdf", SENTENCE)
    real, orders = runner._extract, []

    def crash_first(order, on_wait):
        orders.append(order["skip_pdfium"])
        if len(orders) == 1:
            raise runner._error_of_signal(-6)
        return real(order, on_wait)

    monkeypatch.setattr(runner, "_extract", crash_first)
    found = extract(path)
    assert orders == [False, True]
    assert found.pages[0].text == SENTENCE and found.report["parser"].startswith("pypdf ")
    assert "pypdf read it" in found.report["warnings"][0]


def test_the_settings_limits_are_enough_for_the_samples():
    limits = {"memory_bytes": 256 * 2**20, "seconds": settings.EXTRACT_SECONDS}
    assert extract(settings.BASE_DIR / "samples" / "handbook.pdf", **limits).pages


@pytest.mark.parametrize("text", ["a\f" * 20_001, "word " * 4_000_001])
def test_more_text_than_the_worker_can_take_is_refused(tmp_path, text):
    path = tmp_path / "a.txt"
    path.write_text(text)
    assert code_of(path) == "too_much_text"


def test_a_run_of_form_feeds_makes_no_heap_of_pages(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("One." + "\f" * 1_000_000 + "Two.")
    found = child.read(path, path.name, skip_pdfium=False)
    assert found["pages"] == ["One.", "Two."]

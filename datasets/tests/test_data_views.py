"""The data step: adding, reading, deleting documents, their encoding and their text."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets import file_selectors, text_selectors
from datasets.models import Chunk, Example
from projects import services
from projects.models import Job, SourceFile

HTMX = {"HX-Request": "true"}
JSON = {"Accept": "application/json"}


@pytest.fixture
def ada(client, user):
    client.force_login(user)
    return client


@pytest.fixture
def file(project):
    """A document of four pages, the third of them empty, in two passages that overlap."""
    file = services.add_file(project=project, name="handbook.pdf", pieces=[b"text"])
    file.state = SourceFile.State.EXTRACTED
    file.report = {"pages": 4, "characters": 7240, "empty_pages": [3], "warnings": ["Two columns"]}
    file.save()
    add_chunks(file, 1)
    return file


def add_chunks(file, count: int) -> None:
    """Passages of one page each: a passage begins with the last word of the one before."""
    Chunk.objects.bulk_create(
        Chunk(
            file=file,
            index=index,
            text=f"word{index} <b>bold</b> word{index + 1}",
            token_count=7,
            start=index * 20,
            end=index * 20 + 25,
            first_page=index + 1,
            last_page=index + 1,
            section="Of words",
        )
        for index in range(file.chunks.count(), count)
    )


def text_file(project, name: str = "notes.txt", **fields) -> SourceFile:
    file = services.add_file(project=project, name=name, pieces=["Übung".encode("cp1252")])
    values = {"state": "extracted", "detected_type": "text", "report": {"encoding": "cp1252"}}
    SourceFile.objects.filter(pk=file.pk).update(**(values | fields))
    return SourceFile.objects.get(pk=file.pk)


def address(name: str, subject) -> str:
    return reverse(f"datasets:{name}", args=[subject.pk])


def upload(client, project, *files, **extra):
    uploads = [SimpleUploadedFile(name, content) for name, content in files]
    return client.post(address("data", project), {"files": uploads}, **extra)


def page_of(client, project) -> str:
    return client.get(address("data", project)).content.decode()


@pytest.mark.parametrize("name", ["data", "text"])
def test_a_page_belongs_to_the_owner_and_comes_whole_or_as_a_fragment(
    name, client, user, stranger, project, file
):
    url = address(name, project if name == "data" else file)
    assert client.get(url).url.startswith(reverse("login"))
    client.force_login(stranger)
    assert client.get(url).status_code == 404
    assert client.get(url, headers=HTMX).status_code == 404
    client.force_login(user)
    assert "<html" in client.get(url).content.decode()
    assert "<html" not in client.get(url, headers=HTMX).content.decode()


@pytest.mark.parametrize("name", ["data", "read", "add_samples", "delete_file", "encoding"])
def test_a_stranger_starts_adds_changes_and_deletes_nothing(name, client, stranger, project, file):
    client.force_login(stranger)
    before = SourceFile.objects.values().get()
    subject = file if name in ("delete_file", "encoding") else project
    assert client.post(address(name, subject), {"encoding": "cp1251"}).status_code == 404
    assert SourceFile.objects.values().get() == before
    assert not Job.objects.exists()


@pytest.mark.parametrize("name", ["read", "add_samples", "delete_file", "encoding"])
def test_what_changes_something_is_never_a_link(name, ada, project, file):
    subject = file if name in ("delete_file", "encoding") else project
    assert ada.get(address(name, subject)).status_code == 405


class TestAdding:
    def test_several_files_are_added_at_once(self, ada, project):
        response = upload(ada, project, ("a.txt", b"one"), ("b.md", b"two"), follow=True)
        assert set(project.files.values_list("original_name", flat=True)) == {"a.txt", "b.md"}
        assert "2 files added" in response.content.decode()

    def test_refused_files_say_why_and_the_others_are_taken(self, ada, project):
        files = [("a.txt", b"one"), ("b.txt", b""), ("c.exe", b"x"), ("again.txt", b"one")]
        page = upload(ada, project, *files, follow=True).content.decode()
        assert list(project.files.values_list("original_name", flat=True)) == ["a.txt"]
        assert "b.txt is empty" in page
        assert "c.exe" in page
        assert "already in the project as a.txt" in page
        assert "1 file added" in page

    def test_a_script_is_answered_in_words_about_each_file(self, ada, project):
        taken = upload(ada, project, ("a.txt", b"one"), headers=JSON)
        assert (taken.status_code, taken.json()) == (200, {"added": ["a.txt"], "refused": []})
        refused = upload(ada, project, ("b.txt", b""), headers=JSON)
        assert refused.status_code == 422
        assert refused.json() == {"added": [], "refused": ["b.txt is empty."]}
        missing = ada.post(address("data", project), {}, headers=JSON)
        assert missing.status_code == 422
        assert missing.json()["refused"] == ["Choose at least one file."]
        assert "file added" not in page_of(ada, project), "what a script said is said twice"

    def test_an_upload_without_a_file_is_422(self, ada, project):
        response = ada.post(address("data", project), {})
        assert response.status_code == 422
        assert "Choose at least one file" in response.content.decode()

    def test_the_limits_are_said_before(self, ada, project, settings):
        settings.MAX_UPLOAD_BYTES = 3 * 2**20
        settings.PROJECT_QUOTA_BYTES = 4 * 2**20
        services.add_file(project=project, name="a.txt", pieces=[b"a" * 2**20])
        page = " ".join(page_of(ada, project).split())
        assert "each at most 3.0 MB" in page or "each at most 3 MB" in page
        assert "room for 3" in page
        settings.PROJECT_QUOTA_BYTES = 2**20
        assert "are full: delete files first" in page_of(ada, project)

    def test_the_room_that_is_left_comes_with_the_list(self, ada, project):
        url = address("data", project)
        whole, fragment = ada.get(url), ada.get(url, headers=HTMX)
        assert whole.content.decode().count('id="upload-limits"') == 1
        assert "hx-swap-oob" not in whole.content.decode()
        assert fragment.content.decode().count('hx-swap-oob="true"') == 1

    def test_a_ready_dataset_is_sent_to_its_own_page(self, ada, project):
        answer = upload(ada, project, ("pairs.jsonl", b"{}"), headers=JSON)
        assert answer.status_code == 422
        assert "Import examples" in answer.json()["refused"][0]

    def test_the_samples_are_added_once(self, ada, project):
        assert "Try it with the sample documents" in page_of(ada, project)
        page = ada.post(address("add_samples", project), follow=True).content.decode()
        assert "3 files added" in page
        assert "Try it with" not in page
        again = ada.post(address("add_samples", project), follow=True).content.decode()
        assert "already in the project" in again
        assert project.files.count() == 3


class TestTable:
    def test_it_says_what_was_found_and_what_could_not_be_read(self, ada, project, file):
        failed = services.add_file(project=project, name="scan.pdf", pieces=[b"scan"])
        SourceFile.objects.filter(pk=failed.pk).update(
            state="failed", error_text="Only <pictures>."
        )
        page = page_of(ada, project)
        for text in ("7,240", "1 of 4 pages has no text: 3.", "Two columns", "2 warnings"):
            assert text in page
        assert "Only &lt;pictures&gt;." in page
        assert "1 of 2" in page and "1 cannot be read" in page

    def test_a_ready_dataset_is_no_document(self, ada, project, file):
        services.add_file(project=project, name="pairs.jsonl", pieces=[b"{}"], kind="dataset")
        rows = ada.get(address("data", project)).context["documents"].rows
        assert [row.file.original_name for row in rows] == ["handbook.pdf"]

    def test_tokens_and_passages_are_counted_per_file(self, ada, project, file):
        add_chunks(file, 5)
        other = text_file(project)
        add_chunks(other, 2)
        SourceFile.objects.filter(pk=other.pk).update(report={"tokens": 14, "encoding": "cp1252"})
        documents = file_selectors.documents_of(project)
        assert [(row.passages, row.tokens) for row in documents.rows] == [(5, 35), (2, 14)]
        assert (documents.passages, documents.tokens, documents.pages) == (7, 49, 4)

    def test_reading_is_the_primary_action_while_something_is_unread(self, ada, project, file):
        page = page_of(ada, project)
        assert "Continue: Preview" in page and "Read again" in page
        services.add_file(project=project, name="new.txt", pieces=[b"new"])
        page = page_of(ada, project)
        assert "Read the documents" in page and "Continue: Preview" not in page
        assert "1 of 2 documents is not read yet" in page

    @pytest.mark.parametrize("status", ["failed", "interrupted", "cancelled", "running"])
    def test_a_page_has_one_primary_button(self, status, ada, project, file):
        services.add_file(project=project, name="new.txt", pieces=[b"new"])
        Job.objects.create(project=project, kind=Job.Kind.DOCUMENTS, status=status)
        page = page_of(ada, project)
        assert page.count('class="primary"') == (0 if status == "running" else 1)
        assert f'id="job-{Job.objects.get().pk}"' in page

    def test_reading_needs_a_document_and_starts_one_job(self, ada, project):
        url = address("read", project)
        services.add_file(project=project, name="a.jsonl", pieces=[b"{}"], kind="dataset")
        assert "nothing to read" in ada.post(url, follow=True).content.decode()
        assert not Job.objects.exists()
        services.add_file(project=project, name="a.txt", pieces=[b"text"])
        assert "started" in ada.post(url, follow=True).content.decode()
        assert Job.objects.get().kind == Job.Kind.DOCUMENTS

    def test_deleting_says_before_what_becomes_of_the_examples(self, ada, project, file):
        assert "Examples made from it stay" in page_of(ada, project)
        ada.post(address("delete_file", file))
        assert not SourceFile.objects.exists()

    def test_it_takes_as_many_queries_for_a_hundred_files_as_for_five(self, ada, project):
        counts = []
        for upto in (5, 100):
            for number in range(project.files.count(), upto):
                made = project.files.create(
                    original_name=f"{number}.txt", sha256=f"{number}", size_bytes=1
                )
                add_chunks(made, 3)
            with CaptureQueriesContext(connection) as queries:
                ada.get(address("data", project))
            counts.append(len(queries))
        assert counts[0] == counts[1] <= 10


class TestWarnings:
    @pytest.mark.parametrize(
        ("numbers", "text"),
        [
            ([], ""),
            ([3], "3"),
            ([9, 3, 7, 8], "3, 7–9"),
            ([1, 2, 4, 6, 7, 8], "1–2, 4 and 3 more"),
        ],
    )
    def test_page_numbers_are_said_shortly(self, numbers, text):
        assert file_selectors.page_ranges(numbers, limit=2) == text

    def test_the_same_warning_of_several_pages_is_one(self):
        damaged = "Page {} is damaged and could not be read."
        report = {
            "pages": 84,
            "empty_pages": [3, 7, 8, 9],
            "warnings": [
                damaged.format(7),
                "4 of 84 pages have no text.",
                damaged.format(8),
                "Cut",
            ],
        }
        assert file_selectors.notes_of(report) == [
            "4 of 84 pages have no text: 3, 7–9.",
            "Cut",
            "Pages 7–8: damaged and could not be read.",
        ]

    def test_a_scan_is_told_to_run_text_recognition(self):
        report = {"pages": 2, "empty_pages": [1, 2], "needs_ocr": True}
        assert "OCR" in file_selectors.notes_of(report)[0]


class TestEncoding:
    def test_the_detected_one_is_shown_and_another_marks_the_file_to_be_read(self, ada, project):
        file = text_file(project)
        add_chunks(file, 1)
        assert "Western European (Windows-1252), detected" in page_of(ada, project)
        text = ada.get(address("text", file)).content.decode()
        assert "Western European (Windows-1252), detected" in text
        assert address("encoding", file) in text
        page = ada.post(address("encoding", file), {"encoding": "cp1251"}, follow=True)
        page = page.content.decode()
        assert "Cyrillic (Windows-1251), chosen" in page
        assert "To be read again" in page and "Read the documents" in page
        file.refresh_from_db()
        assert (file.state, file.encoding) == (SourceFile.State.UPLOADED, "cp1251")
        assert file.chunks.exists(), "its passages stay until it is read"

    def test_the_same_again_changes_nothing(self, ada, project):
        file = text_file(project)
        page = ada.post(address("encoding", file), {"encoding": ""}, follow=True)
        assert "nothing has changed" in page.content.decode()
        file.refresh_from_db()
        assert file.state == SourceFile.State.EXTRACTED

    def test_an_unknown_one_is_refused(self, ada, project):
        file = text_file(project)
        page = ada.post(address("encoding", file), {"encoding": "rot13"}, follow=True)
        assert "This encoding is not known" in page.content.decode()
        file.refresh_from_db()
        assert (file.state, file.encoding) == (SourceFile.State.EXTRACTED, "")

    def test_it_waits_for_the_reading_that_runs(self, ada, project):
        file = text_file(project)
        Job.objects.create(project=project, kind=Job.Kind.DOCUMENTS, status="running")
        page = ada.post(address("encoding", file), {"encoding": "cp1251"}, follow=True)
        assert "then choose the encoding" in page.content.decode()
        file.refresh_from_db()
        assert file.encoding == ""

    def test_a_pdf_has_none(self, ada, project, file):
        assert f"{address('text', file)}#encoding" not in page_of(ada, project)
        assert address("encoding", file) not in ada.get(address("text", file)).content.decode()


class TestText:
    def test_passages_are_escaped_and_mark_what_they_repeat(self, ada, project, file):
        add_chunks(file, 2)
        page = ada.get(address("text", file)).content.decode()
        assert "word0 &lt;b&gt;bold&lt;/b&gt;" in page and "<b>bold" not in page
        first, second = text_selectors.text_page(file, None)[1]
        assert (first.again, second.again, second.text) == ("", "word1", " <b>bold</b> word2")
        assert "Of words" in page and "7 tokens" in page

    def test_pages_without_text_are_named_where_they_are(self, ada, project, file):
        file.chunks.all().delete()
        SourceFile.objects.filter(pk=file.pk).update(
            report={"pages": 9, "empty_pages": [1, 4, 5, 9]}
        )
        for index, page in enumerate((2, 3, 6, 8)):
            fields = {"start": index * 9, "end": index * 9 + 4, "token_count": 1, "text": "Text"}
            Chunk.objects.create(file=file, index=index, first_page=page, last_page=page, **fields)
        response = ada.get(address("text", file))
        passages = response.context["passages"]
        assert [passage.empty_pages for passage in passages] == ["1", "", "4–5", ""]
        assert response.context["pages_behind"] == "9"

    def test_a_passage_counts_the_examples_made_from_it(self, ada, project, file):
        chunk = file.chunks.get()
        for number, (split, review) in enumerate(
            [("train", "approved"), ("eval", "pending"), ("preview", "pending")]
            + [("train", "deleted")]
        ):
            Example.objects.create(
                project=project,
                chunk=chunk,
                fingerprint=f"{number:064x}",
                split=split,
                review=review,
            )
        page = ada.get(address("text", file)).content.decode()
        assert "2 examples" in page
        assert f"{address('review', project)}?file={file.pk}" in page

    def test_a_page_of_the_document_leads_to_its_passage(self, ada, project, file):
        add_chunks(file, 50)
        url = address("text", file)
        assert ada.get(url, {"at": "30"}).url == f"{url}?page=2#passage-30"
        assert ada.get(url, {"at": "999"}).url == f"{url}?page=3#passage-50"
        for wrong in ("x", "-1", "9" * 30, ""):
            assert ada.get(url, {"at": wrong}).status_code == 200

    def test_the_second_page_still_marks_what_its_first_passage_repeats(self, ada, project, file):
        add_chunks(file, 25)
        page = ada.get(address("text", file), {"page": 2})
        passages = page.context["passages"]
        assert (passages[0].number, passages[0].again) == (21, "word2")

    def test_a_document_without_text_says_where_to_go(self, ada, project):
        file = text_file(project, state="failed", error_text="The file is empty.")
        page = ada.get(address("text", file)).content.decode()
        assert "The file is empty." in page and "No text yet" in page

    def test_it_takes_as_many_queries_for_many_passages_as_for_one(self, ada, project, file):
        counts = []
        for count in (1, 100):
            add_chunks(file, count)
            with CaptureQueriesContext(connection) as queries:
                ada.get(address("text", file))
            counts.append(len(queries))
        assert counts[0] == counts[1] <= 10

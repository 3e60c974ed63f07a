"""Pages of files and examples: page, fragment, invalid, stranger, anonymous, queries."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets.models import Chunk, Example, GenerationRequest
from projects import services
from projects.models import Job, SourceFile

HTMX = {"HX-Request": "true"}
PAGES = ("datasets:data", "datasets:review")
CHANGES = ("datasets:data", "datasets:read")


@pytest.fixture
def ada(client, user):
    client.force_login(user)
    return client


@pytest.fixture
def file(project):
    file = services.add_file(project=project, name="handbook.pdf", pieces=[b"text"])
    file.state = SourceFile.State.EXTRACTED
    file.report = {"pages": 4, "characters": 7240, "empty_pages": [3], "warnings": ["Two columns"]}
    file.save()
    return file


@pytest.fixture
def chunk(file):
    return Chunk.objects.create(file=file, index=0, text="Text", token_count=1, start=0, end=4)


def add_examples(chunk, count: int, **fields) -> None:
    start = Example.objects.count()
    Example.objects.bulk_create(
        Example(
            project=chunk.file.project,
            chunk=chunk,
            fingerprint=f"{number:064x}",
            **({"prompt": f"Q{number}", "completion": f"A{number}", "split": "train"} | fields),
        )
        for number in range(start, start + count)
    )


def address(name: str, project) -> str:
    return reverse(name, args=[project.pk])


def upload(client, project, *files, **extra):
    uploads = [SimpleUploadedFile(name, content) for name, content in files]
    return client.post(address("datasets:data", project), {"files": uploads}, **extra)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_belongs_to_the_owner_and_comes_whole_or_as_a_fragment(
    name, client, user, stranger, project
):
    url = address(name, project)
    assert client.get(url).url.startswith(reverse("login"))
    client.force_login(stranger)
    assert client.get(url).status_code == 404
    assert client.get(url, headers=HTMX).status_code == 404
    client.force_login(user)
    assert "<html" in client.get(url).content.decode()
    assert "<html" not in client.get(url, headers=HTMX).content.decode()


@pytest.mark.parametrize("name", CHANGES)
def test_a_stranger_starts_and_adds_nothing(name, client, stranger, project, chunk):
    client.force_login(stranger)
    assert client.post(address(name, project)).status_code == 404
    assert not Job.objects.exists()


def test_several_files_are_added_at_once(ada, project):
    response = upload(ada, project, ("a.txt", b"one"), ("b.md", b"two"), follow=True)
    assert set(project.files.values_list("original_name", flat=True)) == {"a.txt", "b.md"}
    assert "2 files added" in response.content.decode()


def test_refused_files_say_why_and_the_others_are_taken(ada, project):
    files = [("a.txt", b"one"), ("b.txt", b""), ("c.exe", b"x"), ("again.txt", b"one")]
    page = upload(ada, project, *files, follow=True).content.decode()
    assert list(project.files.values_list("original_name", flat=True)) == ["a.txt"]
    assert "b.txt is empty" in page
    assert "c.exe" in page
    assert "already in the project as a.txt" in page
    assert "1 file added" in page


def test_an_upload_without_a_file_is_422(ada, project):
    response = ada.post(address("datasets:data", project), {})
    assert response.status_code == 422
    assert "Choose at least one file" in response.content.decode()


def test_the_table_says_what_was_found_and_what_could_not_be_read(ada, project, chunk):
    failed = services.add_file(project=project, name="scan.pdf", pieces=[b"scan"])
    SourceFile.objects.filter(pk=failed.pk).update(state="failed", error_text="Only <pictures>.")
    page = ada.get(address("datasets:data", project)).content.decode()
    for text in ("7,240", "Without text: page 3", "Two columns", "Only &lt;pictures&gt;."):
        assert text in page


def test_reading_needs_a_file_and_starts_one_job(ada, project):
    url = address("datasets:read", project)
    assert "nothing to read" in ada.post(url, follow=True).content.decode()
    assert not Job.objects.exists()
    services.add_file(project=project, name="a.txt", pieces=[b"text"])
    assert "started" in ada.post(url, follow=True).content.decode()
    assert Job.objects.get().kind == Job.Kind.DOCUMENTS


def test_a_file_is_deleted_by_its_owner_only(client, user, stranger, project, file):
    url = reverse("datasets:delete_file", args=[file.pk])
    client.force_login(stranger)
    assert client.post(url).status_code == 404
    client.force_login(user)
    assert client.get(url).status_code == 405
    client.post(url)
    assert not SourceFile.objects.exists()


def test_filters_narrow_the_examples(ada, project, chunk):
    add_examples(chunk, 2)
    add_examples(chunk, 1, prompt="About E-31", split="eval", review="rejected")
    url = address("datasets:review", project)
    for filters, count in (
        ({}, 3),
        ({"q": "e-31"}, 1),
        ({"q": "31 about"}, 1),
        ({"split": "train"}, 2),
        ({"review": "rejected"}, 1),
        ({"review": "pending", "split": "eval"}, 0),
        ({"file": chunk.file_id}, 3),
    ):
        page = ada.get(url, filters, headers=HTMX).context["page"]
        assert page.paginator.count == count, filters


def test_a_wrong_filter_is_named_and_another_projects_file_is_no_choice(
    ada, project, chunk, stranger
):
    add_examples(chunk, 1)
    other = services.create_project(owner=stranger, name="Other")
    secret = services.add_file(project=other, name="secret.txt", pieces=[b"secret"])
    url = address("datasets:review", project)
    for filters in ({"split": "nonsense"}, {"file": secret.pk}, {"size": "7"}):
        page = ada.get(url, filters).content.decode()
        assert "errorlist" in page
        assert "secret.txt" not in page


@pytest.mark.parametrize("number", ["0", "99", "x"])
def test_a_page_that_does_not_exist_shows_the_nearest(number, ada, project, chunk):
    add_examples(chunk, 30)
    response = ada.get(address("datasets:review", project), {"page": number})
    assert response.context["page"].number == (2 if number in ("0", "99") else 1)


def test_turning_the_page_keeps_the_filters(ada, project, chunk):
    add_examples(chunk, 30)
    page = ada.get(address("datasets:review", project), {"split": "train"}).content.decode()
    assert "?split=train&amp;page=2" in page


def test_refused_replies_are_counted_with_their_reasons(ada, project, chunk):
    job = Job.objects.create(project=project, kind=Job.Kind.GENERATE, status="succeeded")
    for slot, rejected in enumerate(
        ([{"reason": "too_short", "prompt": "Why <i>?"}], [{"reason": "too_short"}, "rubbish"], [])
    ):
        GenerationRequest.objects.create(job=job, chunk=chunk, slot=slot, rejected=rejected)
    page = ada.get(address("datasets:review", project)).content.decode()
    assert "Not taken: 3" in page
    assert "too short: 2" in page
    assert "Why &lt;i&gt;?" in page
    assert "rubbish" in page


def test_examples_without_their_document_are_still_shown(ada, project, chunk):
    add_examples(chunk, 1, prompt="What stays?")
    chunk.file.delete()
    page = ada.get(address("datasets:review", project)).content.decode()
    assert "What stays?" in page
    assert "its document is deleted" in page


def test_the_review_takes_as_many_queries_for_fifty_examples_as_for_five(ada, project, chunk):
    counts = []
    for more in (5, 45):
        add_examples(chunk, more)
        with CaptureQueriesContext(connection) as queries:
            ada.get(address("datasets:review", project), {"size": 50})
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_files_take_as_many_queries_for_fifty_as_for_five(ada, project):
    counts = []
    for upto in (5, 50):
        for number in range(project.files.count(), upto):
            project.files.create(original_name=f"{number}", sha256=f"{number}", size_bytes=1)
        with CaptureQueriesContext(connection) as queries:
            ada.get(address("datasets:data", project))
        counts.append(len(queries))
    assert counts[0] == counts[1]

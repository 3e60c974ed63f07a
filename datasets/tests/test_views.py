"""Pages of preview and examples: page, fragment, invalid, stranger, anonymous, queries."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets.models import Chunk, Example
from projects import services
from projects.models import Job, SourceFile

HTMX = {"HX-Request": "true"}
PAGES = ("datasets:preview", "datasets:review")
CHANGES = ("datasets:preview", "datasets:generate")


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


@pytest.mark.parametrize(
    ("name", "kind"),
    [("datasets:preview", "preview"), ("datasets:generate", "generate")],
)
def test_starting_twice_shows_the_job_that_runs(name, kind, ada, project, chunk):
    ada.post(address(name, project))
    response = ada.post(address(name, project), follow=True)
    job = Job.objects.get()
    page = response.content.decode()
    assert job.kind == kind
    assert "already under way" in page
    assert f'id="job-{job.pk}"' in page


def test_the_preview_shows_its_examples_and_the_review_does_not(ada, project, chunk):
    add_examples(chunk, 1, split="preview", prompt="What is previewed?")
    assert "What is previewed?" in ada.get(address("datasets:preview", project)).content.decode()
    assert "What is previewed?" not in ada.get(address("datasets:review", project)).content.decode()


@pytest.mark.parametrize("name", ["datasets:review", "datasets:preview"])
def test_a_page_takes_as_many_queries_for_fifty_examples_as_for_five(name, ada, project, chunk):
    counts = []
    for more in (5, 45):
        add_examples(chunk, more, split="preview" if name == "datasets:preview" else "train")
        with CaptureQueriesContext(connection) as queries:
            ada.get(address(name, project), {"size": 50})
        counts.append(len(queries))
    assert counts[0] == counts[1]

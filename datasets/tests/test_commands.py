"""chunk_documents and generate_dataset are doors to the services that the pages use."""

import pytest

from projects.models import Job
from projects.tests.command_helper import run


@pytest.mark.parametrize(
    ("arguments", "kind", "func"),
    [
        (("chunk_documents",), "documents", "datasets.tasks.documents"),
        (("generate_dataset",), "generate", "datasets.tasks.generate"),
        (("generate_dataset", "--preview"), "preview", "datasets.tasks.preview"),
    ],
)
def test_the_job_of_the_service_is_queued(project, arguments, kind, func):
    name, *options = arguments
    code, document = run(name, project.pk, *options, "--no-wait")
    job = Job.objects.get()
    assert (code, document["job"]["id"]) == (0, job.pk)
    assert (job.kind, job.func, job.project) == (kind, func, project)


@pytest.mark.parametrize("command", ["chunk_documents", "generate_dataset"])
def test_an_unknown_project_is_bad_input(db, command):
    code, document = run(command, 404, "--no-wait")
    assert (code, document["error"]["code"]) == (2, "no_such_project")
    assert not Job.objects.exists()


@pytest.fixture
def data(tmp_path, settings):
    settings.PROJECTS_DIR = tmp_path / "projects"
    path = tmp_path / "faq.csv"
    path.write_text("frage,antwort\nWann?,Jetzt\nWer?,\n", encoding="utf-8")
    return path


COLUMNS = ("--prompt", "frage", "--completion", "antwort")


def test_a_dataset_is_imported_by_its_columns_names(project, data):
    code, document = run("import_dataset", project.pk, data, *COLUMNS, "--inline")
    result = document["job"]["result"]
    assert (code, document["job"]["status"]) == (0, "completed_with_errors")
    assert (result["read"], result["added"], result["rejected"]) == (2, 1, 1)
    assert project.examples.get().completion == "Jetzt"


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [("faq.csv", (), "bad_file"), ("none.csv", (), "no_file"), ("a.exe", (), "rejected")],
)
def test_a_dataset_that_cannot_be_taken_leaves_nothing(project, data, name, options, code):
    (data.parent / "a.exe").write_bytes(b"MZ")
    status, document = run("import_dataset", project.pk, data.parent / name, *options)
    assert (status, document["error"]["code"]) == (1, code)
    assert not project.files.exists() and not Job.objects.exists()

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

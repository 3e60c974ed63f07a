"""What may be started beside what."""

import pytest

from datasets import services
from datasets.models import Chunk, GenerationRequest
from projects import jobs
from projects import services as project_services
from projects.models import Job

pytestmark = pytest.mark.django_db


def add_file(project):
    return project_services.add_file(project=project, name="a.txt", pieces=[b"A fact."])


@pytest.mark.parametrize("start", [services.start_preview, services.start_generation])
def test_documents_are_not_read_anew_while_examples_are_made(project, start):
    active = start(project=project)
    with pytest.raises(jobs.JobAlreadyActive) as refused:
        services.start_documents(project=project)
    assert refused.value.job == active


@pytest.mark.parametrize("start", [services.start_preview, services.start_generation])
def test_examples_are_not_made_while_documents_are_read(project, start):
    active = services.start_documents(project=project)
    with pytest.raises(jobs.JobAlreadyActive) as refused:
        start(project=project)
    assert refused.value.job == active
    assert Job.objects.count() == 1


def test_a_file_is_not_deleted_under_a_running_job(project):
    file = add_file(project)
    services.start_documents(project=project)
    with pytest.raises(jobs.JobAlreadyActive):
        project_services.delete_file(file=file)
    assert project_services.raw_path(file).is_file()


def test_a_project_is_not_deleted_under_a_running_job(project):
    file = add_file(project)
    job = services.start_documents(project=project)
    with pytest.raises(jobs.JobAlreadyActive):
        project_services.delete_project(project=project)
    jobs.request_cancel(job)
    project_services.delete_project(project=project)
    assert not project_services.project_folder(file.project).exists()


def test_the_ledger_outlives_the_document(project):
    file = add_file(project)
    chunk = Chunk.objects.create(file=file, index=0, text="A fact.", token_count=2, start=0, end=7)
    job = Job.objects.create(project=project, kind="generate", status="succeeded")
    row = GenerationRequest.objects.create(
        job=job, chunk=chunk, slot=0, state="done", strategy="json", prompt_version="1"
    )
    project_services.delete_file(file=file)
    row.refresh_from_db()
    assert (row.state, row.chunk) == ("done", None)


def test_a_new_attempt_asks_again_what_failed_by_the_servers_fault(project):
    from datasets.generation.asking import reopen_failed

    job = Job.objects.create(project=project, kind="generate", status="running")
    file = add_file(project)
    chunk = Chunk.objects.create(file=file, index=0, text="A fact.", token_count=2, start=0, end=7)
    for slot, code in enumerate(["unreachable", "bad_key", "context"]):
        GenerationRequest.objects.create(
            job=job,
            chunk=chunk,
            slot=slot,
            state="failed",
            error_class=code,
            strategy="json",
            prompt_version="1",
        )
    reopen_failed(job)
    states = GenerationRequest.objects.filter(job=job).values_list("state", flat=True)
    assert list(states) == ["planned", "planned", "failed"]


def test_open_requests_of_a_deleted_document_are_closed_with_the_reason(project):
    from datasets.generation.asking import Asking
    from datasets.generation.ledger import ledger

    job = Job.objects.create(project=project, kind="generate", status="running")
    row = GenerationRequest.objects.create(
        job=job, chunk=None, slot=0, state="planned", strategy="json", prompt_version="1"
    )
    Asking(job=job, client=None, reporter=None, split="")
    row.refresh_from_db()
    assert (row.state, row.error_class) == ("cancelled", "passage_gone")
    assert ledger(job)["open"] == 0

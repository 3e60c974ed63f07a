"""kill -9 of a real worker in the middle of generation: nothing lost, nothing asked twice."""

import os
import signal

import pytest

from datasets import services
from datasets.models import Chunk, Example, GenerationRequest
from finetuneflow.lib.processes import wait_until
from finetuneflow.lib.tests.llm_server import MODEL, LLMServer
from projects.models import Job, SourceFile
from projects.tests.processes_helper import manage

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

CONCURRENCY = 2
State = GenerationRequest.State


def add_chunks(project, count: int) -> None:
    file = SourceFile.objects.create(
        project=project, original_name="notes.txt", sha256="0", size_bytes=1, state="extracted"
    )
    for index in range(count):
        text = " ".join(
            f"Station {index}-{line} of the Orrin line was opened in {1900 + 7 * index + line} "
            f"by engineer Tamsin Vale{index}{line}."
            for line in range(5)
        )
        Chunk.objects.create(
            file=file, index=index, text=text, token_count=120, start=0, end=len(text)
        )


def test_a_worker_killed_in_the_middle_of_generation(project, process_env):
    add_chunks(project, 8)
    with LLMServer(latency_seconds=0.3) as server:
        env = process_env | {
            "OPENAI_BASE_URL": server.url,
            "OPENAI_API_KEY": "test-key",
            "FTF_LLM_MODEL": MODEL,
            "FTF_LLM_CONCURRENCY": str(CONCURRENCY),
        }
        project.strategy = project.Strategy.ANSWER_FIRST
        project.save()
        job = services.start_generation(project=project)
        rows = GenerationRequest.objects.filter(job=job)
        with manage("worker", "--queue", "default", env=env):
            assert wait_until(lambda: rows.filter(state=State.DONE).count() >= 6, seconds=60)
            kept = set(rows.filter(state=State.DONE).values_list("pk", flat=True))
            attempts = dict(rows.filter(pk__in=kept).values_list("pk", "attempts"))
            pid = int(Job.objects.get(pk=job.pk).worker.rsplit(":", 1)[1])
            os.kill(pid, signal.SIGKILL)
            ended = [Job.Status.SUCCEEDED, Job.Status.COMPLETED_WITH_ERRORS, Job.Status.FAILED]
            assert wait_until(
                lambda: Job.objects.filter(pk=job.pk, status__in=ended).exists(), seconds=90
            )
    job.refresh_from_db()
    assert (job.status, job.attempt) == (Job.Status.SUCCEEDED, 2), job.error_text
    assert not rows.filter(state__in=GenerationRequest.OPEN).exists()
    assert dict(rows.filter(pk__in=kept).values_list("pk", "attempts")) == attempts
    asked = sum(server.answers.values())
    assert rows.count() <= asked <= rows.count() + CONCURRENCY, "only what was in flight, once more"
    assert Example.objects.filter(project=project, request__isnull=False).count() == (
        rows.filter(state=State.DONE).count()
    )

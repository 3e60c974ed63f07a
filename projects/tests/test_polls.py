"""What polls cost: the session, the user and one query more, and at most 3 kB each."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from projects import queues
from projects.models import Job, JobEvent

HTMX = {"HX-Request": "true"}
LIMIT_BYTES = 3000
LONG = "<&'\"> Größe 漢字 🎈 " * 300


@pytest.fixture
def ada(client, user):
    client.force_login(user)
    return client


@pytest.fixture
def job(project):
    return Job.objects.create(
        project=project,
        kind=Job.Kind.TRAIN,
        queue="gpu",
        status=Job.Status.RUNNING,
        done=123456,
        total=1234567,
        message=LONG[:300],
        started_at=timezone.now() - timedelta(hours=20),
    )


def polled(client, name: str, job: Job, query: str = "") -> str:
    """Return what the poll answers; its size is checked."""
    response = client.get(reverse(f"projects:{name}", args=[job.pk]) + query, headers=HTMX)
    assert response.status_code == 200
    assert len(response.content) <= LIMIT_BYTES
    return response.content.decode()


@pytest.mark.parametrize("name", ["job", "rail_job", "job_log"])
@pytest.mark.parametrize("status", Job.Status.values)
def test_a_poll_takes_three_queries_and_three_kilobytes(
    name, status, ada, job, django_assert_num_queries
):
    Job.objects.update(status=status, error_text="" if status in Job.ACTIVE else LONG)
    JobEvent.objects.bulk_create(JobEvent(job=job, text=LONG) for _ in range(50))
    with django_assert_num_queries(3):
        polled(ada, name, job)


def test_a_poll_of_a_waiting_job_knows_its_worker_without_a_query_more(
    ada, job, django_assert_num_queries
):
    Job.objects.update(status="queued")
    with django_assert_num_queries(3):
        assert "make run" in polled(ada, "job", job)
    queues.beat("gpu", pid=1)
    assert "make run" not in polled(ada, "job", job)


def test_the_log_gives_every_line_once_however_many_polls_it_takes(ada, job):
    texts = [f"line {number:03} " + "x" * 150 for number in range(100)]
    JobEvent.objects.bulk_create(JobEvent(job=job, text=text) for text in texts)
    JobEvent.objects.create(job=job, level="metric", data={"loss": 1})
    Job.objects.update(status="succeeded")
    seen, query, polls = "", "?after=0", 0
    while query:
        answer = polled(ada, "job_log", job, query)
        seen, polls = seen + answer, polls + 1
        query = "?after=" + answer.split("?after=")[1].split('"')[0] if "?after=" in answer else ""
    assert [seen.count(text) for text in texts] == [1] * 100
    assert polls < 20


def test_a_line_too_long_for_a_poll_is_cut_and_the_whole_log_has_it(ada, job):
    JobEvent.objects.create(job=job, text="begin " + "<" * 3000 + " end")
    answer = polled(ada, "job_log", job)
    assert "begin" in answer
    assert "…" in answer
    whole = ada.get(reverse("projects:job_log", args=[job.pk])).streaming_content
    assert " end" in b"".join(whole).decode()


@pytest.mark.parametrize("status", [s for s in Job.Status.values if s not in Job.ACTIVE])
def test_nothing_asks_on_when_the_job_does_not_go_on(status, ada, job):
    Job.objects.update(status=status, finished_at=timezone.now())
    for name in ("job", "rail_job", "job_log"):
        assert "every" not in polled(ada, name, job)


def test_a_log_begins_to_ask_again_when_its_job_is_resumed(ada, job):
    Job.objects.update(status="interrupted")
    assert "job-resumed from:body" in polled(ada, "job_log", job)
    response = ada.post(reverse("projects:job_resume", args=[job.pk]), headers=HTMX)
    assert "job-resumed" in response.headers["HX-Trigger"]
    assert "every 5s" in polled(ada, "job_log", job)


@pytest.mark.parametrize(
    ("status", "minutes", "seconds"), [("running", 1, 2), ("running", 11, 5), ("queued", 0, 5)]
)
def test_waiting_and_long_jobs_are_asked_for_less_often(status, minutes, seconds, ada, job):
    Job.objects.update(status=status, started_at=timezone.now() - timedelta(minutes=minutes))
    assert f"every {seconds}s" in polled(ada, "job", job)
    assert f"every {seconds}s" in polled(ada, "job_log", job)


def test_a_long_error_is_whole_on_the_page_and_cut_in_the_poll(ada, job):
    Job.objects.update(status="failed", error_text="x" * 3000 + " the end")
    assert "Read all of it" in polled(ada, "job", job)
    page = ada.get(reverse("projects:job", args=[job.pk])).content.decode()
    assert " the end" in page
    assert "Read all of it" not in page


def test_cancel_says_what_is_lost(ada, job):
    assert "ends it without a result" in polled(ada, "job", job)

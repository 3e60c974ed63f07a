"""The job's fragment, its log, cancel and resume."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from projects import queues
from projects.models import Job, JobEvent, Project

HTMX = {"HX-Request": "true"}
ADDRESSES = ("job", "job_log", "job_cancel", "job_resume")


@pytest.fixture
def ada(client, user):
    client.force_login(user)
    return client


@pytest.fixture
def job(project):
    started = timezone.now() - timedelta(seconds=60)
    return Job.objects.create(
        project=project,
        kind=Job.Kind.TRAIN,
        queue="gpu",
        func="projects.tests.worker_tasks.nothing",
        status=Job.Status.RUNNING,
        done=25,
        total=100,
        message="Step 25",
        started_at=started,
    )


def change(job: Job, **fields) -> None:
    Job.objects.filter(pk=job.pk).update(**fields)


def fragment(client, job: Job):
    return client.get(reverse("projects:job", args=[job.pk]), headers=HTMX)


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_job_belongs_to_the_owner_of_its_project(name, client, stranger, job):
    url = reverse(f"projects:{name}", args=[job.pk])
    method = client.post if name in ("job_cancel", "job_resume") else client.get
    assert method(url).status_code == 302
    assert method(url).url.startswith(reverse("login"))
    client.force_login(stranger)
    assert method(url).status_code == 404
    assert not Job.objects.get().cancel_requested


@pytest.mark.parametrize("name", ["job_cancel", "job_resume"])
def test_changes_need_post(name, ada, job):
    assert ada.get(reverse(f"projects:{name}", args=[job.pk])).status_code == 405


def test_the_page_stands_in_its_step_and_holds_the_fragment(ada, job):
    page = ada.get(reverse("projects:job", args=[job.pk])).content.decode()
    assert 'id="step-train" aria-current="step"' in page
    assert f'id="job-{job.pk}"' in page


def test_a_running_job_asks_again_and_shows_real_numbers(ada, job):
    response = fragment(ada, job)
    text = response.content.decode()
    assert f'hx-get="{reverse("projects:job", args=[job.pk])}"' in text
    assert "25 % · 25 of 100" in text
    assert "about 3 min left" in text
    assert "1 min 0 s gone" in text
    assert "HX-Trigger" not in response.headers


def test_a_finished_job_no_longer_asks_and_tells_the_page(ada, job):
    change(job, status=Job.Status.SUCCEEDED, finished_at=timezone.now(), done=100)
    response = fragment(ada, job)
    assert "hx-get" not in response.content.decode()
    assert "job-done" in response.headers["HX-Trigger"]


@pytest.mark.parametrize("done", [0, 101])
def test_the_time_left_is_not_invented(done, ada, job):
    change(job, done=done)
    assert "estimating" in fragment(ada, job).content.decode()


def test_a_failed_job_says_why_and_what_to_do_next(ada, job):
    change(job, status=Job.Status.FAILED, error_text="Out of <b>memory</b>. Use QLoRA.")
    text = fragment(ada, job).content.decode()
    assert "Out of &lt;b&gt;memory&lt;/b&gt;. Use QLoRA." in text
    assert "press Try again" in text


def test_a_cancelled_generation_says_what_a_new_one_asks(ada, job):
    change(job, status=Job.Status.CANCELLED)
    assert "what was not answered" not in fragment(ada, job).content.decode()
    change(job, kind=Job.Kind.GENERATE)
    text = fragment(ada, job).content.decode()
    assert "start it anew. A new generation asks only what was not answered before." in text


def test_a_waiting_job_says_when_no_worker_serves_its_queue(ada, job):
    change(job, status=Job.Status.QUEUED)
    queues.beat("default", pid=1)
    assert "make run" in fragment(ada, job).content.decode()
    queues.beat("gpu", pid=2)
    assert "make run" not in fragment(ada, job).content.decode()


def test_cancelling_asks_the_running_job_and_answers_with_the_fragment(ada, job):
    response = ada.post(reverse("projects:job_cancel", args=[job.pk]), headers=HTMX)
    assert "Cancelling" in response.content.decode()
    assert Job.objects.get().cancel_requested


def test_without_htmx_cancelling_redirects_to_the_job(ada, job):
    response = ada.post(reverse("projects:job_cancel", args=[job.pk]))
    assert response.url == reverse("projects:job", args=[job.pk])


@pytest.mark.parametrize(
    ("status", "label"), [("interrupted", "Resume"), ("paused", "Resume"), ("failed", "Try again")]
)
def test_a_job_that_can_go_on_offers_it_and_is_queued_again(status, label, ada, job):
    change(job, status=status)
    assert label in fragment(ada, job).content.decode()
    ada.post(reverse("projects:job_resume", args=[job.pk]), headers=HTMX)
    assert Job.objects.get().status == Job.Status.QUEUED


def test_a_finished_job_cannot_be_resumed_and_the_message_comes_out_of_band(ada, job):
    change(job, status=Job.Status.SUCCEEDED)
    response = ada.post(reverse("projects:job_resume", args=[job.pk]), headers=HTMX)
    assert 'hx-swap-oob="beforeend:#messages"' in response.content.decode()
    assert Job.objects.get().status == Job.Status.SUCCEEDED


def test_the_log_goes_on_behind_the_cursor_and_stops_with_the_job(ada, job):
    first, second = (JobEvent.objects.create(job=job, text=f"line {n}") for n in (1, 2))
    url = reverse("projects:job_log", args=[job.pk])
    text = ada.get(url, {"after": first.pk}, headers=HTMX).content.decode()
    assert "line 1" not in text
    assert "line 2" in text
    assert f"after={second.pk}" in text
    change(job, status=Job.Status.SUCCEEDED)
    text = ada.get(url, {"after": second.pk}, headers=HTMX).content.decode()
    assert "hx-get" not in text


@pytest.mark.parametrize("cursor", ["", "x", "-1", "²"])
def test_a_broken_cursor_starts_at_the_beginning(cursor, ada, job):
    JobEvent.objects.create(job=job, text="line 1")
    url = reverse("projects:job_log", args=[job.pk])
    assert "line 1" in ada.get(url, {"after": cursor}, headers=HTMX).content.decode()


def test_the_whole_log_can_be_had_as_text(ada, job):
    JobEvent.objects.create(job=job, text="<b>line 1</b>", level="warning")
    response = ada.get(reverse("projects:job_log", args=[job.pk]))
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "warning  <b>line 1</b>" in b"".join(response.streaming_content).decode()


def test_the_rail_shows_that_work_goes_on_and_asks_again(ada, job, project):
    url = reverse("projects:rail", args=[project.pk]) + "?step=data"
    text = ada.get(url, headers=HTMX).content.decode()
    assert "every 5s" in text
    assert '<li class="running">' in text
    assert 'id="step-data" aria-current="step"' in text
    change(job, status=Job.Status.FAILED)
    assert "every 5s" not in ada.get(url, headers=HTMX).content.decode()


def test_the_running_step_asks_for_itself_alone_and_less_often_when_queued(ada, job):
    url = reverse("projects:rail_job", args=[job.pk])
    response = ada.get(url, headers=HTMX)
    assert "every 5s" in response.content.decode()
    assert "<ol>" not in response.content.decode()
    change(job, status=Job.Status.QUEUED)
    assert "every 10s" in ada.get(url, headers=HTMX).content.decode()
    change(job, status=Job.Status.SUCCEEDED)
    response = ada.get(url, headers=HTMX)
    assert "every" not in response.content.decode()
    assert "job-done" in response.headers["HX-Trigger"]


def test_the_top_bar_says_which_worker_is_missing(ada):
    url = reverse("projects:workers")
    assert "no worker is running" in ada.get(url).content.decode()
    queues.beat("default", pid=1)
    assert "no gpu worker" in ada.get(url).content.decode()
    queues.beat("gpu", pid=2)
    assert "workers ready" in ada.get(url).content.decode()


def test_deleted_projects_leave_no_job_behind(ada, job):
    change(job, status=Job.Status.FAILED)
    ada.post(reverse("projects:delete", args=[job.project_id]))
    assert not Project.objects.exists()
    assert fragment(ada, job).status_code == 404

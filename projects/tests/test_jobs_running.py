"""Inside a job: whatever the body does, the row leaves `running` and says why."""

import logging
import threading
import uuid

import pytest
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from django_q.models import OrmQ

from finetuneflow.lib import logs
from finetuneflow.lib.processes import wait_until
from projects import jobs
from projects.models import Job, JobEvent

Status = Job.Status


@pytest.fixture
def job(project):
    return jobs.enqueue(
        project=project, kind=Job.Kind.DOCUMENTS, func="projects.tests.worker_tasks.touch"
    )


def run(job, body):
    """Run `body(job)` as the task would; return what escaped from it."""
    escaped = None
    try:
        with jobs.running(job.pk) as claimed:
            body(claimed)
    except BaseException as error:
        escaped = error
    job.refresh_from_db()
    return escaped


def raising(error):
    def body(_):
        raise error

    return body


@pytest.mark.django_db
class TestEnd:
    def test_the_outcome_is_written(self, job):
        def body(claimed):
            claimed.outcome = jobs.Outcome("9 of 10.", Status.COMPLETED_WITH_ERRORS, {"failed": 1})

        assert run(job, body) is None
        assert (job.status, job.message) == (Status.COMPLETED_WITH_ERRORS, "9 of 10.")
        assert job.result == {"failed": 1}
        assert job.finished_at is not None
        assert (job.lease_token, job.lease_until) == (None, None)

    ERRORS = [
        (jobs.JobFailed("no_text", "No text."), Status.FAILED, "no_text", "No text."),
        (jobs.JobPaused("limit", "Usage limit."), Status.PAUSED, "limit", "Usage limit."),
        (jobs.JobCancelled(), Status.CANCELLED, "", ""),
        (ValueError("odd"), Status.FAILED, "internal", "ValueError: odd"),
        (MemoryError(), Status.FAILED, "internal", "MemoryError"),
    ]

    @pytest.mark.parametrize(("error", "status", "code", "text"), ERRORS)
    def test_every_exception_ends_in_its_state_and_goes_no_further(
        self, job, error, status, code, text
    ):
        assert run(job, raising(error)) is None
        assert (job.status, job.error_code) == (status, code)
        assert text in job.error_text
        assert job.lease_token is None

    @pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
    def test_a_stop_of_the_process_queues_the_job_again_and_goes_on_up(self, job, error):
        assert run(job, raising(error)) is error
        assert (job.status, job.attempt, job.lease_token) == (Status.QUEUED, 1, None)
        assert OrmQ.objects.count() == 2

    def test_an_interruption_is_tried_again_until_the_attempts_are_used_up(self, job):
        for attempt in range(1, jobs.MAX_ATTEMPTS + 1):
            assert job.status == Status.QUEUED
            run(job, raising(jobs.JobInterrupted("killed", "The engine was killed.")))
            assert job.attempt == attempt
        assert (job.status, job.error_code) == (Status.INTERRUPTED, "killed")

    def test_the_second_delivery_runs_nothing(self, job):
        with jobs.running(job.pk) as first, jobs.running(job.pk) as second:
            assert first is not None
            assert second is None
            job.refresh_from_db()
            assert job.status == Status.RUNNING
        job.refresh_from_db()
        assert (job.status, job.attempt) == (Status.SUCCEEDED, 1)

    def test_a_job_that_another_process_took_over_is_left_alone(self, job):
        other = uuid.uuid4()

        def body(claimed):
            Job.objects.filter(pk=job.pk).update(lease_token=other, message="Theirs.")
            jobs.Reporter(claimed, every_seconds=0)(5, 10, "Ours.")
            raise AssertionError("the reporter did not notice")

        assert run(job, body) is None
        assert (job.status, job.message, job.done) == (Status.RUNNING, "Theirs.", 0)
        assert job.lease_token == other

    def test_a_job_deleted_under_way_ends_quietly(self, job):
        pk = job.pk
        with jobs.running(pk) as claimed:
            Job.objects.filter(pk=pk).delete()
            jobs.Reporter(claimed, every_seconds=0)(1, 2, "Working.")
            raise AssertionError("the reporter did not notice")
        assert not Job.objects.filter(pk=pk).exists()

    def test_a_pause_of_a_job_that_was_asked_to_stop_ends_it(self, job):
        def body(claimed):
            jobs.request_cancel(claimed)
            raise jobs.JobPaused("limit", "Usage limit.")

        run(job, body)
        assert job.status == Status.CANCELLED

    @pytest.mark.parametrize("text", ["NUL \0 inside", "surrogate \ud800 inside", "x" * 100_000])
    def test_text_that_a_database_refuses_is_made_storable(self, job, text):
        def body(claimed):
            reporter = jobs.Reporter(claimed, every_seconds=0)
            reporter.log(text)
            reporter(1, 2, text)
            claimed.message = text  # As a service may that keeps the sentence itself.
            reporter.flush()
            raise jobs.JobFailed(f"{text[:60]:x<60}", text)

        assert run(job, body) is None
        assert job.status == Status.FAILED
        assert len(job.error_text) <= jobs.ERROR_TEXT_LIMIT
        assert len(job.error_code) <= 40
        assert JobEvent.objects.filter(job=job).count() == 1

    def test_keys_are_masked_in_everything_a_person_will_see(self, job):
        key = "Bearer abcdef1234567890"

        def body(claimed):
            reporter = jobs.Reporter(claimed, every_seconds=0)
            reporter.log(f"refused {key}")
            reporter(1, 2, f"asking with {key}")
            job.refresh_from_db()
            assert "1234567890" not in job.message
            raise jobs.JobFailed("key", f"refused {key}")

        assert run(job, body) is None
        seen = job.message + job.error_text + JobEvent.objects.get(job=job).text
        assert "***" in seen
        assert "1234567890" not in seen

    def test_the_lines_before_a_failure_are_kept(self, job):
        def body(claimed):
            jobs.Reporter(claimed, every_seconds=3600).log("the last words")
            raise jobs.JobFailed("x", "x")

        run(job, body)
        assert [event.text for event in JobEvent.objects.filter(job=job)] == ["the last words"]

    def test_log_lines_inside_carry_the_jobs_id(self, job, caplog):
        seen = []

        def body(_):
            record = logging.LogRecord("x", logging.INFO, __file__, 1, "hello", (), None)
            seen.append(logs.StructuredFormatter().format(record))

        run(job, body)
        assert f" job={job.pk}" in seen[0]


@pytest.mark.django_db
class TestReporter:
    @pytest.fixture
    def claimed(self, job):
        return jobs.claim(job.pk)

    def test_progress_is_written_at_most_once_in_its_interval(
        self, claimed, django_assert_num_queries
    ):
        reporter = jobs.Reporter(claimed, every_seconds=3600)
        reporter(1, 100, "Reading.")
        with django_assert_num_queries(0):
            for done in range(2, 90):
                reporter(done)
                reporter.log(f"line {done}")
        claimed.refresh_from_db()
        assert (claimed.done, claimed.total, claimed.message) == (1, 100, "Reading.")

    def test_flush_writes_the_last_progress_and_all_lines_in_order(self, claimed):
        reporter = jobs.Reporter(claimed, every_seconds=3600)
        reporter(1, 100, "Reading.")
        for number in range(50):
            reporter.log(f"line {number}", level=JobEvent.Level.METRIC, data={"n": number})
        reporter(90)
        reporter.flush()
        reporter.flush()
        claimed.refresh_from_db()
        assert (claimed.done, claimed.total, claimed.message) == (90, 100, "Reading.")
        events = list(JobEvent.objects.filter(job=claimed))
        assert [event.data["n"] for event in events] == list(range(50))
        assert {event.level for event in events} == {"metric"}

    def test_it_raises_when_the_person_cancelled(self, claimed):
        reporter = jobs.Reporter(claimed, every_seconds=0)
        jobs.request_cancel(claimed)
        with pytest.raises(jobs.JobCancelled):
            reporter(1)
        with pytest.raises(jobs.JobCancelled):
            reporter.check()

    def test_it_raises_when_the_lease_is_lost(self, claimed):
        reporter = jobs.Reporter(claimed, every_seconds=0)
        Job.objects.filter(pk=claimed.pk).update(lease_token=uuid.uuid4())
        with pytest.raises(jobs.LeaseLost):
            reporter(1)

    def test_lines_of_many_threads_are_all_kept(self, claimed):
        reporter = jobs.Reporter(claimed, every_seconds=3600)

        def work():
            for _ in range(200):
                reporter.log("x")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        reporter.flush()
        assert JobEvent.objects.filter(job=claimed).count() == 800


@pytest.mark.django_db(transaction=True)
class TestHeartbeat:
    @pytest.fixture(autouse=True)
    def fast(self, monkeypatch):
        monkeypatch.setattr(jobs, "HEARTBEAT_SECONDS", 0.05)

    def test_it_renews_the_lease_while_the_body_runs_and_stops_afterwards(self, job):
        with jobs.running(job.pk) as claimed:
            Job.objects.filter(pk=job.pk).update(lease_until=timezone.now())
            assert wait_until(
                lambda: Job.objects.get(pk=job.pk).lease_until > timezone.now(), seconds=10
            )
        names = [thread.name for thread in threading.enumerate()]
        assert f"heartbeat-{claimed.pk}" not in names
        job.refresh_from_db()
        assert (job.status, job.lease_until) == (Status.SUCCEEDED, None)

    def test_it_never_renews_the_lease_of_another_owner(self, job):
        with jobs.running(job.pk):
            other, end = uuid.uuid4(), timezone.now()
            Job.objects.filter(pk=job.pk).update(lease_token=other, lease_until=end)
            assert wait_until(
                lambda: f"heartbeat-{job.pk}" not in [t.name for t in threading.enumerate()],
                seconds=10,
            )
        job.refresh_from_db()
        assert (job.lease_token, job.lease_until) == (other, end)


@pytest.mark.django_db
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_is_away_for_a_moment_interrupts_the_job_and_it_goes_on(error, job):
    with jobs.running(job.pk):
        raise error("server closed the connection unexpectedly")
    job.refresh_from_db()
    assert (job.status, job.attempt) == (Job.Status.QUEUED, 1)


@pytest.mark.django_db(transaction=True)
def test_lines_of_the_heartbeat_carry_the_jobs_id(job, monkeypatch, caplog):
    seen = []
    monkeypatch.setattr(jobs, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(jobs, "renew", lambda job: seen.append(logs._job_id.get()) or True)
    with jobs.running(job.pk):
        assert wait_until(lambda: seen, seconds=5)
    assert set(seen) == {job.pk}

"""The transitions of a job: each happens at most once, whoever tries and how often."""

import subprocess
from datetime import timedelta
from functools import partial

import pytest
from django.db import transaction
from django.utils import timezone
from django_q.models import OrmQ

from projects import jobs, reconciler, services
from projects.models import Job, JobEvent
from projects.tests.threads import at_once

ROOT_TASK = "projects.tests.worker_tasks.touch"
Status = Job.Status


def start(project, kind=Job.Kind.DOCUMENTS, **options):
    return jobs.enqueue(project=project, kind=kind, func=ROOT_TASK, **options)


@pytest.fixture
def job(project):
    return start(project)


def status_of(job):
    job.refresh_from_db()
    return job.status


def in_state(job, status, **fields):
    Job.objects.filter(pk=job.pk).update(status=status, **fields)
    job.refresh_from_db()
    return job


def age_lease(job):
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


@pytest.mark.django_db
class TestEnqueue:
    def test_the_job_and_its_queue_entry_are_written_together(self, project):
        job = start(project, queue="gpu", params={"a": 1})
        entry = OrmQ.objects.get()
        assert (entry.key, entry.task_id()) == ("gpu", job.task_id)
        assert entry.task["args"] == (job.pk,)
        assert (job.status, job.attempt, job.params) == (Status.QUEUED, 0, {"a": 1})

    def test_both_roll_back_with_the_transaction_around_them(self, project):
        with pytest.raises(RuntimeError), transaction.atomic():
            start(project)
            raise RuntimeError
        assert not Job.objects.exists()
        assert not OrmQ.objects.exists()

    @pytest.mark.parametrize("status", Job.ACTIVE)
    def test_a_second_active_job_of_the_kind_is_refused_and_the_first_is_named(self, job, status):
        in_state(job, status)
        with pytest.raises(jobs.JobAlreadyActive, match="already under way") as refused:
            start(job.project)
        assert refused.value.job == job
        assert OrmQ.objects.count() == 1

    def test_the_refusal_leaves_an_outer_transaction_usable(self, job):
        with transaction.atomic():
            with pytest.raises(jobs.JobAlreadyActive):
                start(job.project)
            other = start(job.project, kind=Job.Kind.EXPORT)
        assert Job.objects.filter(pk=other.pk).exists()

    def test_other_kinds_other_projects_and_ended_jobs_are_in_nobodys_way(self, job, user):
        start(job.project, kind=Job.Kind.EXPORT)
        start(services.create_project(owner=user, name="Other"))
        in_state(job, Status.FAILED)
        assert start(job.project).pk != job.pk


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_two_starts_clicked_at_once_make_one_job(self, project):
        results = at_once(*[partial(start, project)] * 4)
        refused = [r for r in results if isinstance(r, jobs.JobAlreadyActive)]
        assert len(refused) == 3, results
        assert Job.objects.count() == OrmQ.objects.count() == 1
        assert {error.job for error in refused} == {Job.objects.get()}

    def test_of_many_threads_one_claims_the_job(self, job):
        claims = at_once(*[partial(jobs.claim, job.pk)] * 8)
        winners = [claimed for claimed in claims if claimed is not None]
        assert len(winners) == 1, claims
        job.refresh_from_db()
        assert (job.attempt, job.lease_token) == (1, winners[0].lease_token)

    @pytest.mark.processes
    def test_of_many_processes_one_claims_the_job(self, job, process_env):
        code = (
            "import os, sys, django\n"
            "os.environ['DJANGO_SETTINGS_MODULE'] = 'finetuneflow.settings'\n"
            "django.setup()\n"
            "from projects import jobs\n"
            "sys.stdin.read()\n"
            f"print('won' if jobs.claim({job.pk}) else 'lost', flush=True)"
        )
        command = [process_env["PYTHON"], "-c", code]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        processes = [subprocess.Popen(command, env=process_env, **pipes) for _ in range(4)]
        for process in processes:  # All are waiting at the line: let them go together.
            process.stdin.close()
        answers = [process.stdout.read().strip() for process in processes]
        assert [process.wait() for process in processes] == [0] * 4
        assert sorted(answers) == ["lost", "lost", "lost", "won"]

    def test_of_many_recoveries_one_moves_the_job(self, job):
        jobs.claim(job.pk)
        age_lease(job)
        moved = at_once(*[lambda: jobs.recover(jobs.expired())] * 4)
        assert sorted(moved) == [0, 0, 0, 1]
        assert status_of(job) == Status.QUEUED
        assert OrmQ.objects.count() == 2
        assert JobEvent.objects.count() == 1

    def test_a_finish_and_a_recovery_at_once_have_one_winner(self, job):
        claimed = jobs.claim(job.pk)
        age_lease(job)
        finished, moved = at_once(
            lambda: jobs.finish(claimed, jobs.Outcome("Done.")),
            lambda: jobs.recover(jobs.expired()),
        )
        assert int(finished) + moved == 1
        assert status_of(job) == (Status.SUCCEEDED if finished else Status.QUEUED)

    def test_a_cancel_and_a_claim_at_once_never_leave_a_job_that_waits_for_ever(self, job):
        claimed, _ = at_once(partial(jobs.claim, job.pk), lambda: jobs.request_cancel(job))
        job.refresh_from_db()
        if claimed is None:
            assert job.status == Status.CANCELLED
        else:
            assert (job.status, job.cancel_requested) == (Status.RUNNING, True)


@pytest.mark.django_db
class TestClaim:
    def test_it_moves_the_job_to_running_with_a_lease(self, job):
        before = timezone.now()
        claimed = jobs.claim(job.pk)
        assert claimed.status == Status.RUNNING
        assert claimed.attempt == 1
        assert claimed.lease_token is not None
        assert claimed.lease_until - claimed.heartbeat_at == jobs.LEASE
        assert before <= claimed.started_at <= timezone.now()

    def test_a_second_delivery_is_ignored(self, job):
        claimed = jobs.claim(job.pk)
        assert jobs.claim(job.pk) is None
        job.refresh_from_db()
        assert (job.attempt, job.lease_token) == (1, claimed.lease_token)

    @pytest.mark.parametrize("status", [s for s in Status if s != Status.QUEUED])
    def test_only_queued_jobs_can_be_claimed(self, job, status):
        in_state(job, status)
        assert jobs.claim(job.pk) is None
        assert status_of(job) == status

    def test_a_deleted_job_is_nothing_to_do(self, job):
        pk = job.pk
        job.delete()
        assert jobs.claim(pk) is None

    def test_a_second_attempt_keeps_the_first_start_and_forgets_the_old_error(self, job):
        first = jobs.claim(job.pk)
        age_lease(job)
        jobs.recover(jobs.expired())
        second = jobs.claim(job.pk)
        assert second.attempt == 2
        assert second.started_at == first.started_at
        assert (second.error_code, second.error_text) == ("", "")
        assert second.lease_token != first.lease_token


@pytest.mark.django_db
class TestLease:
    def test_renewing_moves_its_end(self, job):
        claimed = jobs.claim(job.pk)
        age_lease(job)
        assert jobs.renew(claimed)
        assert not jobs.expired().exists()

    def test_a_job_with_a_living_lease_is_not_expired_and_a_queued_one_has_none(self, job):
        assert not jobs.expired().exists()
        jobs.claim(job.pk)
        assert not jobs.expired().exists()

    def test_an_expired_lease_hands_the_job_on_with_a_note(self, job):
        jobs.claim(job.pk)
        age_lease(job)
        assert jobs.recover(jobs.expired()) == 1
        job.refresh_from_db()
        assert (job.status, job.attempt, job.lease_token) == (Status.QUEUED, 1, None)
        assert OrmQ.objects.count() == 2
        assert "attempt 2 of 3" in JobEvent.objects.get(job=job).text

    def test_after_the_last_attempt_the_job_stays_interrupted_until_a_person_resumes_it(self, job):
        for _ in range(jobs.MAX_ATTEMPTS):
            assert status_of(job) == Status.QUEUED
            jobs.claim(job.pk)
            age_lease(job)
            jobs.recover(jobs.expired())
        assert status_of(job) == Status.INTERRUPTED
        assert job.error_code == "interrupted"
        assert jobs.resume(job)
        assert jobs.claim(job.pk).attempt == 1

    def test_a_planned_stop_costs_no_attempt(self, job):
        claimed = jobs.claim(job.pk)
        jobs.recover([claimed], planned=True)
        job.refresh_from_db()
        assert (job.status, job.attempt) == (Status.QUEUED, 0)

    def test_a_process_that_lost_its_lease_can_neither_renew_nor_finish(self, job):
        old = jobs.claim(job.pk)
        age_lease(job)
        jobs.recover(jobs.expired())
        new = jobs.claim(job.pk)
        assert not jobs.renew(old)
        assert not jobs.finish(old, jobs.Outcome("Done.", Status.FAILED))
        job.refresh_from_db()
        assert (job.status, job.message, job.lease_token) == (
            Status.RUNNING,
            new.message,
            new.lease_token,
        )


@pytest.mark.django_db
class TestCancelAndResume:
    @pytest.mark.parametrize("status", [Status.QUEUED, Status.INTERRUPTED, Status.PAUSED])
    def test_a_job_that_nobody_works_on_is_cancelled_at_once(self, job, status):
        in_state(job, status)
        jobs.request_cancel(job)
        assert status_of(job) == Status.CANCELLED
        assert job.finished_at is not None
        assert jobs.claim(job.pk) is None

    def test_a_running_job_is_only_asked(self, job):
        jobs.claim(job.pk)
        jobs.request_cancel(job)
        assert status_of(job) == Status.RUNNING
        assert job.cancel_requested

    @pytest.mark.parametrize("status", jobs._final())
    def test_an_ended_job_stays_as_it_is(self, job, status):
        in_state(job, status, message="As it was.")
        jobs.request_cancel(job)
        job.refresh_from_db()
        assert (job.status, job.message, job.cancel_requested) == (status, "As it was.", False)

    def test_the_death_of_its_worker_ends_a_job_that_was_asked_to_stop(self, job):
        jobs.claim(job.pk)
        jobs.request_cancel(job)
        age_lease(job)
        jobs.recover(jobs.expired())
        assert status_of(job) == Status.CANCELLED

    @pytest.mark.parametrize("status", Job.RESUMABLE)
    def test_interrupted_paused_and_failed_jobs_can_be_resumed_once(self, job, status):
        in_state(job, status)
        assert jobs.resume(job)
        assert not jobs.resume(job)
        assert status_of(job) == Status.QUEUED
        assert OrmQ.objects.count() == 2

    @pytest.mark.parametrize("status", [s for s in Status if s not in Job.RESUMABLE])
    def test_no_other_job_can_be_resumed(self, job, status):
        in_state(job, status)
        assert not jobs.resume(job)
        assert status_of(job) == status

    def test_a_job_is_not_resumed_beside_one_that_it_cannot_run_beside(self, job):
        in_state(job, Status.PAUSED)
        start(job.project, kind=Job.Kind.GENERATE)
        assert not jobs.resume(job)
        assert status_of(job) == Status.PAUSED

    def test_a_job_is_not_resumed_beside_a_newer_one_of_its_kind(self, job):
        in_state(job, Status.PAUSED)
        start(job.project)
        assert not jobs.resume(job)
        assert status_of(job) == Status.PAUSED
        assert OrmQ.objects.count() == 2

    def test_a_resume_voids_an_older_wish_to_cancel(self, job):
        in_state(job, Status.FAILED, cancel_requested=True)
        assert jobs.resume(job)
        assert jobs.claim(job.pk) is not None

    def test_the_reconciler_ends_a_job_whose_cancelling_was_cut_off(self, job):
        in_state(job, Status.INTERRUPTED, cancel_requested=True)
        assert reconciler.reconcile()["cancelled"] == 1
        assert status_of(job) == Status.CANCELLED

"""Real workers, really killed. What a person started must run, once, and its state be right."""

import os
import signal
import subprocess

import psutil
import pytest
from django_q.models import OrmQ
from django_q.tasks import async_task

from finetuneflow.lib.processes import wait_until
from projects import jobs, queues, reconciler
from projects.models import Job
from projects.tests.processes_helper import MANAGE, cluster_is_up, cluster_workers, manage

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

TASKS = "projects.tests.worker_tasks"


def start(project, folder, task="touch", queue="gpu") -> Job:
    return jobs.enqueue(
        project=project,
        kind=Job.Kind.TRAIN,
        func=f"{TASKS}.{task}",
        params={"folder": str(folder)},
        queue=queue,
    )


def status(job: Job) -> str:
    return Job.objects.get(pk=job.pk).status


def await_status(job: Job, wanted: str, seconds: float = 90) -> None:
    assert wait_until(lambda: status(job) == wanted, seconds=seconds), status(job)


def await_file(folder, pattern: str, seconds: float = 90) -> None:
    assert wait_until(lambda: any(folder.glob(pattern)), seconds=seconds), list(folder.iterdir())


def ran(folder) -> int:
    return len(list(folder.glob("ran-*")))


def kill(process) -> None:
    os.kill(process.pid, signal.SIGKILL)


def test_a_job_is_taken_by_a_worker_and_ends(project, process_env, tmp_path):
    with manage("worker", "--queue", "gpu", env=process_env):
        job = start(project, tmp_path)
        await_status(job, Job.Status.SUCCEEDED)
    assert ran(tmp_path) == 1
    assert not queues.fresh_beats().exists(), "a worker that ends in good order takes its sign away"


def test_after_the_idle_worker_is_killed_the_next_training_still_starts(
    project, process_env, tmp_path
):
    with manage("worker", "--queue", "gpu", env=process_env) as supervisor:
        assert wait_until(lambda: cluster_is_up(supervisor.pid), seconds=30)
        (worker,) = cluster_workers(supervisor.pid)
        kill(worker)
        job = start(project, tmp_path)
        await_status(job, Job.Status.SUCCEEDED, seconds=90)
    assert ran(tmp_path) == 1


def test_a_job_whose_worker_is_killed_is_done_again_by_itself(project, process_env, tmp_path):
    with manage("worker", "--queue", "gpu", env=process_env):
        job = start(project, tmp_path, "wait_for_file")
        await_file(tmp_path, "started-1")
        os.kill(int(Job.objects.get(pk=job.pk).worker.rsplit(":", 1)[1]), signal.SIGKILL)
        await_file(tmp_path, "started-2")
        (tmp_path / "go").touch()
        await_status(job, Job.Status.SUCCEEDED)
    assert ran(tmp_path) == 1
    assert Job.objects.get(pk=job.pk).attempt == 2


def test_a_killed_cluster_is_started_again(project, process_env, tmp_path):
    with manage("worker", "--queue", "gpu", env=process_env) as supervisor:
        assert wait_until(lambda: cluster_is_up(supervisor.pid), seconds=30)
        (cluster,) = psutil.Process(supervisor.pid).children()
        kill(cluster)
        job = start(project, tmp_path)
        await_status(job, Job.Status.SUCCEEDED)


def test_a_killed_supervisor_leaves_no_process_and_no_lost_job(project, process_env, tmp_path):
    with manage("worker", "--queue", "gpu", env=process_env) as supervisor:
        job = start(project, tmp_path, "wait_for_file")
        await_file(tmp_path, "started-1")
        left = psutil.Process(supervisor.pid).children(recursive=True)
        kill(supervisor)
        supervisor.wait()
        with manage("worker", "--queue", "gpu", env=process_env):
            await_file(tmp_path, "started-2")
            (tmp_path / "go").touch()
            await_status(job, Job.Status.SUCCEEDED)
    assert not psutil.wait_procs(left, timeout=30)[1]
    assert Job.objects.get(pk=job.pk).attempt == 2


def test_a_stop_in_the_middle_queues_the_job_again_and_costs_no_attempt(
    project, process_env, tmp_path
):
    with manage("worker", "--queue", "gpu", env=process_env):
        job = start(project, tmp_path, "wait_for_file")
        await_file(tmp_path, "started-1")
    job.refresh_from_db()
    assert (job.status, job.attempt) == (Job.Status.QUEUED, 0)
    (tmp_path / "go").touch()
    with manage("worker", "--queue", "gpu", env=process_env):
        await_status(job, Job.Status.SUCCEEDED)


def test_the_same_task_delivered_twice_runs_once(project, process_env, tmp_path):
    job = start(project, tmp_path)
    async_task(job.func, job.pk, cluster="gpu")
    with manage("worker", "--queue", "gpu", env=process_env):
        await_status(job, Job.Status.SUCCEEDED)
        assert wait_until(lambda: not OrmQ.objects.exists(), seconds=30), "both were delivered"
    assert ran(tmp_path) == 1


def test_the_gpu_queue_runs_one_training_at_a_time(project, user, process_env, tmp_path):
    from projects.services import create_project

    first = start(project, tmp_path, "wait_for_file")
    second = start(create_project(owner=user, name="Other"), tmp_path, "wait_for_file")
    with manage("worker", "--queue", "gpu", env=process_env):
        await_status(first, Job.Status.RUNNING)
        assert status(second) == Job.Status.QUEUED
        (tmp_path / "go").touch()
        await_status(second, Job.Status.SUCCEEDED)
    first.refresh_from_db(), second.refresh_from_db()
    assert first.finished_at <= second.started_at


def test_a_job_that_waited_behind_a_busy_worker_is_no_sign_of_a_stall(
    project, user, process_env, tmp_path
):
    from projects.services import create_project

    first = start(project, tmp_path, "wait_for_file")
    with manage("worker", "--queue", "gpu", env=process_env) as supervisor:
        await_status(first, Job.Status.RUNNING)
        workers = cluster_workers(supervisor.pid)
        second = start(create_project(owner=user, name="Other"), tmp_path)
        long_ago = second.queued_at - 10 * queues.STALL_LIMIT
        Job.objects.filter(pk=second.pk).update(queued_at=long_ago)
        (tmp_path / "go").touch()
        await_status(second, Job.Status.SUCCEEDED)
        assert cluster_workers(supervisor.pid) == workers


def test_a_second_worker_for_the_gpu_queue_is_refused(process_env):
    with manage("worker", "--queue", "gpu", env=process_env) as supervisor:
        assert wait_until(lambda: cluster_is_up(supervisor.pid), seconds=30)
        second = subprocess.run(
            [*MANAGE, "worker", "--queue", "gpu"], env=process_env, capture_output=True, timeout=60
        )
    assert second.returncode == 1
    assert b"already runs" in second.stderr


def test_a_job_whose_queue_entry_is_lost_is_sent_again(project, process_env, tmp_path):
    job = start(project, tmp_path)
    OrmQ.objects.all().delete()
    Job.objects.update(queued_at=job.queued_at - queues.UNSENT_LIMIT)
    with (
        manage("worker", "--queue", "gpu", env=process_env),
        manage("reconcile", "--seconds", "0.5", env=process_env),
    ):
        await_status(job, Job.Status.SUCCEEDED)


def test_the_successor_of_a_killed_reconciler_hands_on_what_waited(project, process_env, tmp_path):
    with manage("reconcile", "--seconds", "0.5", env=process_env) as first:
        assert wait_until(lambda: queues.has_worker(queues.RECONCILER), seconds=30)
        kill(first)
        first.wait()
    job = start(project, tmp_path)
    jobs.claim(job.pk)
    # The worker of another machine died: only its lease can tell.
    Job.objects.filter(pk=job.pk).update(worker="elsewhere:1:1", lease_until=job.queued_at)
    with manage("worker", "--queue", "gpu", env=process_env):
        assert not any(tmp_path.glob("ran-*"))
        assert status(job) == Job.Status.RUNNING
        with manage("reconcile", "--seconds", "0.5", env=process_env):
            await_status(job, Job.Status.SUCCEEDED)
    assert ran(tmp_path) == 1


def test_a_lost_queue_entry_is_no_reason_to_restart_the_cluster(project, process_env, tmp_path):
    with manage("worker", "--queue", "gpu", env=process_env) as supervisor:
        assert wait_until(lambda: cluster_is_up(supervisor.pid), seconds=30)
        workers = cluster_workers(supervisor.pid)
        params = {"folder": str(tmp_path)}
        job = Job.objects.create(
            project=project, kind="train", queue="gpu", func=f"{TASKS}.touch", params=params
        )
        await_status(job, Job.Status.SUCCEEDED, seconds=90)
        assert cluster_workers(supervisor.pid) == workers
    assert ran(tmp_path) == 1


def test_one_pass_counts_what_it_moved(project, tmp_path):
    job = start(project, tmp_path)
    jobs.claim(job.pk)
    assert reconciler.reconcile()["recovered"] == 0
    Job.objects.filter(pk=job.pk).update(lease_until=job.queued_at)
    assert reconciler.reconcile()["recovered"] == 1
    assert status(job) == Job.Status.QUEUED

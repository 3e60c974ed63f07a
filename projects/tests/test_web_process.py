"""The web process may die at any time: work goes on, and its successor shows the truth."""

import os
import signal
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from finetuneflow.lib import processes
from projects.models import Job
from projects.tests.processes_helper import manage
from projects.tests.test_supervision import await_file, await_status, start

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]


def serve(port: int, env: dict):
    gunicorn = Path(sys.executable).with_name("gunicorn")
    address = [
        "--bind",
        f"127.0.0.1:{port}",
        "--workers",
        "2",
        "--threads",
        "2",
        "--no-control-socket",
    ]
    return processes.start_bound([str(gunicorn), "finetuneflow.wsgi", *address], env=env)


def answers(port: int) -> bool:
    try:
        url = f"http://127.0.0.1:{port}/health"
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_job_goes_on_while_the_web_process_is_killed_and_started_again(
    project, process_env, tmp_path, unused_tcp_port
):
    web = serve(unused_tcp_port, process_env)
    try:
        with manage("worker", "--queue", "gpu", env=process_env):
            assert processes.wait_until(lambda: answers(unused_tcp_port), seconds=30)
            job = start(project, tmp_path, "wait_for_file")
            await_file(tmp_path, "started-1")
            left = psutil.Process(web.pid).children()
            os.kill(web.pid, signal.SIGKILL)
            web.wait()
            assert not psutil.wait_procs(left, timeout=30)[1], "its workers end with it"
            (tmp_path / "go").touch()
            await_status(job, Job.Status.SUCCEEDED)
            web = serve(unused_tcp_port, process_env)
            assert processes.wait_until(lambda: answers(unused_tcp_port), seconds=30)
    finally:
        processes.stop(web, grace_seconds=10)
    assert Job.objects.get(pk=job.pk).attempt == 1


def test_a_killed_worker_of_the_web_server_is_replaced(process_env, unused_tcp_port, db):
    web = serve(unused_tcp_port, process_env)
    try:
        assert processes.wait_until(lambda: answers(unused_tcp_port), seconds=30)
        for child in psutil.Process(web.pid).children():
            child.kill()
        assert processes.wait_until(lambda: answers(unused_tcp_port), seconds=30)
    finally:
        processes.stop(web, grace_seconds=10)

"""What `make run` starts: everything comes up together and Ctrl-C leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from django.conf import settings

from finetuneflow.lib import processes
from projects.tests.processes_helper import descendants

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]


def status_of(port: int) -> str:
    """Return the status that /health gives; empty while nobody answers."""
    try:
        url = f"http://127.0.0.1:{port}/health"
        return httpx.get(url, timeout=5, trust_env=False).json()["status"]
    except httpx.HTTPError:
        return ""


def test_the_procfile_starts_everything_and_ctrl_c_ends_it(process_env, unused_tcp_port, tmp_path):
    honcho = Path(sys.executable).with_name("honcho")
    # No .env: it would win over the test's own database.
    command = [str(honcho), "--env", os.devnull, "start"]
    environment = process_env | {"FTF_BIND": f"127.0.0.1:{unused_tcp_port}"}
    with (tmp_path / "output").open("wb") as output:
        run = processes.start_bound(
            command,
            env=environment,
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    started: list[psutil.Process] = []
    try:
        is_up = processes.wait_until(lambda: status_of(unused_tcp_port) == "ok", seconds=90)
        assert is_up, (tmp_path / "output").read_text()
        started = descendants(run.pid)
        assert len(started) > 8
        run.send_signal(signal.SIGINT)
        left = psutil.wait_procs(started, timeout=20)[1]
        assert not left, [process.cmdline() for process in left]
        run.wait(timeout=5)
    finally:
        for process in started:
            if process.is_running():
                process.kill()
        processes.stop(run, grace_seconds=10)
    assert status_of(unused_tcp_port) == ""

"""Commands that follow a job, on real jobs that end in every way."""

import json
import signal
import subprocess
import sys
import threading
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from projects import jobs, queues, waiting
from projects.job_commands import JobCommand
from projects.models import Job
from projects.tests import job_samples

ROOT = Path(__file__).resolve().parents[2]


class Follow(JobCommand):
    """A command of the shape that the real ones have."""

    def __init__(self, project, task: str, **streams) -> None:
        super().__init__(**streams)
        self.project, self.task = project, task

    def work(self, **options) -> dict:
        func = f"{job_samples.__name__}.{self.task}"
        job = jobs.enqueue(project=self.project, kind=Job.Kind.DOCUMENTS, func=func)
        return self.follow(job, **options)


def run(project, task: str, *options) -> tuple[int, dict, str]:
    """Return (exit code, the JSON document, what stderr got)."""
    out, notes, code = StringIO(), StringIO(), 0
    command = Follow(project, task, stdout=out, stderr=notes)
    try:
        call_command(command, "--json", *options)
    except CommandError as error:
        code = error.returncode
    return code, json.loads(out.getvalue()), notes.getvalue()


def test_no_wait_returns_the_queued_job(project):
    code, document, _ = run(project, "succeed", "--no-wait")
    assert (code, document["job"]["status"]) == (0, "queued")
    assert Job.objects.get().pk == document["job"]["id"]


def test_inline_runs_the_job_here_and_reports_its_result(project):
    code, document, notes = run(project, "succeed", "--inline")
    assert code == 0 and "error" not in document
    assert document["job"]["status"] == "succeeded"
    assert document["job"]["result"] == {"examples": 7}
    assert "All done." in notes


def test_a_failed_job_is_code_1_with_its_own_reason(project):
    code, document, _ = run(project, "fail", "--inline")
    assert code == 1
    assert document["error"] == {
        "code": "no_text",
        "message": "The documents have no text. Add others.",
    }
    assert document["job"]["status"] == "failed"


def test_a_job_with_some_errors_has_its_result_and_code_0(project):
    code, document, _ = run(project, "complete_with_errors", "--inline")
    assert (code, document["job"]["status"]) == (0, "completed_with_errors")
    assert document["job"]["result"] == {"failed": 1}


def test_a_paused_job_is_not_waited_for(project):
    code, document, _ = run(project, "pause", "--inline")
    assert (code, document["error"]["code"]) == (1, "usage_limit")
    assert document["job"]["status"] == "paused"


def test_ctrl_c_asks_to_cancel_and_ends_with_130(project):
    code, document, _ = run(project, "interrupt", "--inline")
    assert (code, document["error"]["code"]) == (130, "interrupted")
    assert Job.objects.get().status == Job.Status.CANCELLED


def test_a_second_start_names_the_job_that_is_under_way(project):
    first = run(project, "succeed", "--no-wait")[1]["job"]["id"]
    code, document, _ = run(project, "succeed", "--no-wait")
    assert (code, document["error"]["code"]) == (1, "already_active")
    assert f"job {first};" in document["error"]["message"]


def test_two_ways_to_wait_at_once_are_refused(project):
    with pytest.raises(CommandError, match="not allowed with"):
        call_command(Follow(project, "succeed"), "--inline", "--no-wait")
    assert not Job.objects.exists()


def test_a_worker_that_is_alive_needs_no_word(project):
    queues.beat("default", pid=1)
    Job.objects.create(project=project, kind=Job.Kind.VERIFY, status=Job.Status.SUCCEEDED)
    notes = StringIO()
    command = Follow(project, "succeed", stdout=StringIO(), stderr=notes)
    command._wait(Job.objects.get())
    assert "alive" not in notes.getvalue()


@pytest.mark.django_db(transaction=True)
def test_waiting_says_that_no_worker_is_alive_and_sees_the_job_end(project):
    """Another thread stands for the worker that starts late."""

    def work() -> None:
        while not (job := Job.objects.first()):
            pass
        job_samples.succeed(job.pk)
        connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    code, document, notes = run(project, "succeed")
    worker.join()
    assert (code, document["job"]["status"]) == (0, "succeeded")
    assert "No worker of the queue 'default' is alive" in notes and "--inline" in notes


@pytest.mark.django_db(transaction=True)
def test_ctrl_c_in_a_real_process_cancels_the_job_and_exits_130(project, process_env):
    command = [sys.executable, "manage.py", "chunk_documents", str(project.pk), "--json"]
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        env=process_env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert any("No worker" in line for line in child.stderr)
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=20)
    assert child.returncode == 130
    assert json.loads(out)["error"]["code"] == "interrupted"
    assert json.loads(out)["job"]["status"] == "cancelled"
    assert Job.objects.get().status == Job.Status.CANCELLED


def test_a_job_that_is_deleted_meanwhile_ends_the_waiting(project):
    code, document, _ = run(project, "vanish", "--inline")
    assert (code, document["error"]["code"]) == (1, "deleted")


def test_a_job_that_is_queued_again_after_an_interruption_is_waited_for(project):
    """Between `interrupted` and the next attempt lies a moment in which nobody may give up."""
    job = jobs.enqueue(project=project, kind=Job.Kind.TRAIN, func="x.y")
    Job.objects.update(status=Job.Status.INTERRUPTED, attempt=1)
    seen = []

    def on_progress(fresh: Job) -> None:
        seen.append(fresh.status)
        jobs.resume(fresh) or Job.objects.update(status=Job.Status.SUCCEEDED)

    ended = waiting.wait_for(job, on_progress=on_progress, poll_seconds=0.01)
    assert ended.status == Job.Status.SUCCEEDED
    assert seen == ["interrupted", "queued", "succeeded"]


def test_a_job_left_interrupted_is_given_back(project, monkeypatch):
    monkeypatch.setattr(waiting, "GRACE_SECONDS", 0.02)
    job = jobs.enqueue(project=project, kind=Job.Kind.TRAIN, func="x.y")
    Job.objects.update(status=Job.Status.INTERRUPTED, attempt=1)
    assert waiting.wait_for(job, poll_seconds=0.01).status == Job.Status.INTERRUPTED

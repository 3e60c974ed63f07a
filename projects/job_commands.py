"""Commands that queue a job and follow it: `--no-wait`, `--inline`, progress on stderr."""

import logging
import threading

from django.db import connection
from django.utils.module_loading import import_string

from projects import jobs, queues, waiting
from projects.commands import INTERRUPTED, CommandFailed, JsonCommand
from projects.models import Job

logger = logging.getLogger(__name__)
Status = Job.Status

# A job that ended with errors has its result, and says how many; the command is done.
_GOOD = (Status.SUCCEEDED, Status.COMPLETED_WITH_ERRORS)


class JobCommand(JsonCommand):
    """A command whose `work` ends with `return self.follow(job, **options)`."""

    def add_arguments(self, parser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument(
            "--no-wait", action="store_true", help="Queue the job, print its id and return."
        )
        how.add_argument(
            "--inline", action="store_true", help="Run the job in this process; needs no worker."
        )

    def follow(self, job: Job, *, no_wait: bool, inline: bool, **options) -> dict:
        """Return the job's document once it rests; raises `CommandFailed` unless it went well.

        Ctrl-C asks to cancel the job.
        """
        if no_wait:
            return {"job": describe(job)}
        try:
            job = self._run_here(job) if inline else self._wait(job)
        except KeyboardInterrupt:
            jobs.request_cancel(job)
            job.refresh_from_db()
            text = f"Interrupted: job {job.pk} was asked to stop."
            data = {"job": describe(job)}
            raise CommandFailed("interrupted", text, returncode=INTERRUPTED, data=data) from None
        except Job.DoesNotExist:
            raise CommandFailed("deleted", f"Job {job.pk} was deleted meanwhile.") from None
        if job.status not in _GOOD:
            text = job.error_text or job.message or f"The job is {job.get_status_display()}."
            raise CommandFailed(job.error_code or job.status, text, data={"job": describe(job)})
        return {"job": describe(job)}

    def show(self, data: dict) -> str:
        job = data["job"]
        seconds = f" after {job['seconds']:.1f} s" if job["seconds"] is not None else ""
        lines = [f"Job {job['id']} ({job['kind']}): {job['status']}{seconds}. {job['message']}"]
        lines += [f"  {name}: {value}" for name, value in job["result"].items()]
        return "\n".join(lines)

    def _wait(self, job: Job) -> Job:
        if not queues.has_worker(job.queue):
            self.note(
                f"No worker of the queue {job.queue!r} is alive: the job waits until one starts "
                f"(`make run`, or `manage.py worker --queue {job.queue}`). "
                "With --inline it would run in this process."
            )
        return waiting.wait_for(job, on_progress=self._progress)

    def _run_here(self, job: Job) -> Job:
        """Run the job's task in this thread while another shows its progress."""
        stop = threading.Event()
        follower = threading.Thread(target=self._show_progress, args=(job, stop), daemon=True)
        follower.start()
        try:
            import_string(job.func)(job.pk)
        finally:
            stop.set()
            follower.join(timeout=5)
        # Whatever keeps it active now: a worker was faster, or it waits for its next attempt.
        return waiting.wait_for(job, on_progress=self._progress)

    def _show_progress(self, job: Job, stop: threading.Event) -> None:
        shown = None
        while not stop.wait(0.5):
            fresh = Job.objects.filter(pk=job.pk).first()
            if fresh and fresh.is_active and (fresh.done, fresh.message) != shown:
                shown = (fresh.done, fresh.message)
                self._progress(fresh)
        connection.close()

    def _progress(self, job: Job) -> None:
        counts = f" {job.done}/{job.total} ({job.percent} %)" if job.total else ""
        self.note(f"job {job.pk} {job.status}{counts} {job.message}".rstrip())


def describe(job: Job) -> dict:
    """Return what a command says about a job."""
    return {
        "id": job.pk,
        "kind": job.kind,
        "project": job.project_id,
        "status": job.status,
        "message": job.message,
        "done": job.done,
        "total": job.total,
        "attempt": job.attempt,
        "seconds": round(job.seconds, 3) if job.seconds is not None else None,
        "error_code": job.error_code,
        "error_text": job.error_text,
        "result": job.result,
    }

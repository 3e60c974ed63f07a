"""Tasks that end in every way a job can end, for tests that need a real job."""

from projects import jobs
from projects.models import Job


def succeed(job_id: int) -> None:
    with jobs.running(job_id) as job:
        if job is not None:
            reporter = jobs.Reporter(job, every_seconds=0)
            reporter(1, 2, "Half way.")
            job.outcome = jobs.Outcome("All done.", result={"examples": 7})


def fail(job_id: int) -> None:
    with jobs.running(job_id) as job:
        if job is not None:
            raise jobs.JobFailed("no_text", "The documents have no text. Add others.")


def complete_with_errors(job_id: int) -> None:
    with jobs.running(job_id) as job:
        if job is not None:
            status = jobs.Status.COMPLETED_WITH_ERRORS
            job.outcome = jobs.Outcome("9 of 10 answered.", status, result={"failed": 1})


def pause(job_id: int) -> None:
    with jobs.running(job_id) as job:
        if job is not None:
            raise jobs.JobPaused("usage_limit", "The usage limit is reached. Resume it tomorrow.")


def interrupt(job_id: int) -> None:
    raise KeyboardInterrupt


def vanish(job_id: int) -> None:
    Job.objects.filter(pk=job_id).delete()

"""Following a job from another process: poll its row until it rests."""

import time
from collections.abc import Callable

from django.db import close_old_connections, connection

from projects import jobs
from projects.models import Job

GRACE_SECONDS = 5.0


def wait_for(
    job: Job, *, on_progress: Callable[[Job], None] = lambda job: None, poll_seconds: float = 0.5
) -> Job:
    """Return the job, read anew, once it rests: ended, paused, or left interrupted.

    `on_progress` gets the fresh job whenever its status, counts or message have changed.
    Raises `Job.DoesNotExist` when it is deleted meanwhile.
    """
    shown, interrupted_at = None, None
    while True:
        job = Job.objects.get(pk=job.pk)
        seen = (job.status, job.done, job.total, job.message)
        if seen != shown:
            on_progress(job)
            shown = seen
        if not _will_be_queued_again(job):
            interrupted_at = None
        elif interrupted_at is None:
            interrupted_at = time.monotonic()
        waits = interrupted_at and time.monotonic() - interrupted_at < GRACE_SECONDS
        if not job.is_active and not waits:
            return job
        time.sleep(poll_seconds)
        if not connection.in_atomic_block:
            close_old_connections()


def _will_be_queued_again(job: Job) -> bool:
    """A job is interrupted for a moment before it is queued for its next attempt."""
    return job.status == Job.Status.INTERRUPTED and job.attempt < jobs.MAX_ATTEMPTS

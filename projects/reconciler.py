"""Brings the Job table and the queue together again, whatever died in between."""

import logging
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from projects import jobs, lifecycle, queues
from projects.models import Job, WorkerBeat

logger = logging.getLogger(__name__)

FORGET_BEATS = timedelta(days=1)


def reconcile() -> dict:
    """One pass; returns how many jobs it moved. Safe to run anywhere, any number of times."""
    done = {
        "recovered": jobs.recover(jobs.expired()),
        "cancelled": jobs.end_cancelled(Job.objects.all()),
        "requeued": _requeue_interrupted(),
        "resent": queues.resend_unsent(),
        "stalled": _stalled_queues(),
        "deleted": lifecycle.finish_deletions(),
        "swept": lifecycle.sweep(),
    }
    WorkerBeat.objects.filter(beat_at__lt=timezone.now() - FORGET_BEATS).delete()
    if any(done.values()):
        logger.warning("reconciled: %s", done)
    return done


def _requeue_interrupted() -> int:
    """Queue interrupted jobs with attempts left whose requeue was cut off by a crash."""
    left = Job.objects.filter(status=Job.Status.INTERRUPTED, attempt__lt=jobs.MAX_ATTEMPTS)
    return sum(jobs.requeue_interrupted(job) for job in left)


def _stalled_queues() -> list[str]:
    return [queue for queue in settings.QUEUES if queues.stalled_job(queue) is not None]

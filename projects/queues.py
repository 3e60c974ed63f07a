"""The broker's rows and the signs of life of workers: what reconciler, supervisor, health share."""

import socket
from datetime import timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django_q.models import OrmQ

from projects import jobs
from projects.models import Job, WorkerBeat

BEAT_SECONDS = 10
BEAT_LIMIT = timedelta(seconds=45)
STALL_LIMIT = timedelta(seconds=15)
UNSENT_LIMIT = timedelta(seconds=5)
RECONCILER = "reconcile"


def beat(queue: str, *, pid: int, restarts: int = 0) -> None:
    """Write this process's sign of life."""
    now = timezone.now()
    name = f"{queue}@{socket.gethostname()}"
    WorkerBeat.objects.update_or_create(
        name=name,
        defaults={"queue": queue, "pid": pid, "beat_at": now, "restarts": restarts},
        create_defaults={
            "queue": queue,
            "pid": pid,
            "beat_at": now,
            "restarts": restarts,
            "started_at": now,
        },
    )


def end_beat(queue: str) -> None:
    """Remove the sign of life of a process that ends in good order."""
    WorkerBeat.objects.filter(name=f"{queue}@{socket.gethostname()}").delete()


def fresh_beats():
    return WorkerBeat.objects.filter(beat_at__gt=timezone.now() - BEAT_LIMIT)


def with_worker(among):
    """Add to each of these jobs, in their own query, whether a worker serves its queue."""
    return among.annotate(has_worker=Exists(fresh_beats().filter(queue=OuterRef("queue"))))


def has_worker(queue: str) -> bool:
    return fresh_beats().filter(queue=queue).exists()


def unlock(queue: str) -> None:
    """Free broker rows that a dead cluster had taken. A second delivery is harmless."""
    OrmQ.objects.filter(key=queue).update(lock=timezone.now())


def resend_unsent() -> int:
    """Give every queued job that no broker row carries a new one; return how many.

    Rows are young for a moment between the two writes of a start, hence the age limit.
    """
    old = timezone.now() - UNSENT_LIMIT
    waiting = list(
        Job.objects.filter(status=Job.Status.QUEUED, cancel_requested=False, queued_at__lt=old)
    )
    if not waiting:
        return 0
    carried = {row.task_id() for row in OrmQ.objects.all()}
    unsent = [job for job in waiting if job.task_id not in carried]
    for job in unsent:
        jobs.resend(job)
    return len(unsent)


def stalled_job(queue: str, *, since=None, supervisor: str | None = None) -> Job | None:
    """Return a job that waits too long although a worker is free, or None.

    `since` is when the cluster started; `supervisor` counts only its running jobs.
    A cluster whose idle worker was killed looks alive and takes nothing: this is how it shows.
    """
    limit = timezone.now() - STALL_LIMIT
    if since is not None and since > limit:
        return None
    running = Job.objects.filter(queue=queue, status=Job.Status.RUNNING)
    if supervisor is not None:
        running = running.filter(worker__startswith=supervisor)
    if running.count() >= worker_count(queue):
        return None
    waiting = Job.objects.filter(queue=queue, status=Job.Status.QUEUED, cancel_requested=False)
    return waiting.filter(queued_at__lt=limit).first()


def worker_count(queue: str) -> int:
    return settings.DEFAULT_WORKERS if queue == "default" else 1


def state(queue: str) -> dict:
    """Return what /health says of one queue; ages in seconds."""
    newest = WorkerBeat.objects.filter(queue=queue).order_by("-beat_at").first()
    age = (timezone.now() - newest.beat_at).total_seconds() if newest else None
    alive = age is not None and age < BEAT_LIMIT.total_seconds()
    counts = Job.objects.filter(queue=queue)
    worker = "ok" if alive else "missing"
    if alive and stalled_job(queue) is not None:
        worker = "stalled"
    return {
        "worker": worker,
        "beat_age_seconds": None if age is None else round(age, 1),
        "queued": counts.filter(status=Job.Status.QUEUED).count(),
        "running": counts.filter(status=Job.Status.RUNNING).count(),
    }

"""The life of a job. Every transition is one conditional UPDATE; the Job row is the truth.

    queued -> running -> succeeded | completed_with_errors | failed | cancelled
                      -> interrupted | paused | failed -> queued

The queue delivers at least once; `claim` lets one delivery win. A running job holds a lease that
its supervising process renews; when the lease expires, `recover` hands the job on.
"""

import contextvars
import logging
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from django.db import Error as AnyDatabaseError
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone
from django_q.tasks import async_task

from finetuneflow.lib import clean
from finetuneflow.lib.logs import job_context
from finetuneflow.lib.processes import is_alive
from projects.models import Job, JobEvent, Project

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
HEARTBEAT_SECONDS = 10
MAX_ATTEMPTS = 3
ERROR_TEXT_LIMIT = 4000
Status = Job.Status
# Chunks are not cut anew while examples are made from them; one job at a time splits the dataset.
NOT_BESIDE = {
    Job.Kind.DOCUMENTS: (Job.Kind.PREVIEW, Job.Kind.GENERATE),
    Job.Kind.PREVIEW: (Job.Kind.DOCUMENTS,),
    Job.Kind.GENERATE: (Job.Kind.DOCUMENTS, Job.Kind.IMPORT),
    Job.Kind.IMPORT: (Job.Kind.GENERATE,),
}

# A training needs a run of its own, an export its archive: they begin on their pages.
REPEATABLE = (
    Job.Kind.DOCUMENTS,
    Job.Kind.IMPORT,
    Job.Kind.PREVIEW,
    Job.Kind.GENERATE,
    Job.Kind.VERIFY,
)


class JobAlreadyActive(Exception):
    """Another job of this kind is queued or running for the project; `.job` is that one."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"{job.get_kind_display()} is already under way.")
        self.job = job


class NotRepeatable(Exception):
    """A job of this kind cannot be queued anew from its row alone; the text says what to do."""


class JobFailed(Exception):
    """Ends the job as failed. `code` is short and stable; the text is for the person."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class JobCancelled(Exception):
    """Raised by `Reporter` when the person asked to cancel; ends the job as cancelled."""


class JobInterrupted(JobFailed):
    """Ends this attempt; the job is queued again while it has attempts left."""


class JobPaused(JobFailed):
    """Ends this attempt until somebody resumes the job (a usage limit, for example)."""


class LeaseLost(Exception):
    """Another process owns the job now: stop without touching its row."""


@dataclass
class Outcome:
    """What a service returns: how the job ended, one sentence, and the numbers behind it."""

    message: str = ""
    status: str = Status.SUCCEEDED
    result: dict = field(default_factory=dict)
    error_code: str = ""
    error_text: str = ""


def enqueue(
    *,
    project,
    kind: str,
    func: str,
    params: dict | None = None,
    queue: str = "default",
) -> Job:
    """Create the job and its queue entry in one transaction (the broker shares our database).

    Raises `JobAlreadyActive` when one of this kind, or of one that it cannot run beside, is
    active, however many start at once; `Project.DoesNotExist` when the project was deleted.
    """
    with transaction.atomic():
        _lock_for(project.pk, kind)
        job = Job.objects.create(
            project=project, kind=kind, queue=queue, func=func, params=params or {}
        )
        _send(job)
    logger.info("job %s queued: %s", job.pk, kind)
    return job


def _lock_for(project_id: int, kind: str) -> None:
    """Lock the project until the transaction ends, if a job of this kind may start in it.

    So starts in one project go one after the other, and the check below holds.
    """
    project = Project.objects.select_for_update().get(pk=project_id)
    refuse_while(project, (kind, *NOT_BESIDE.get(kind, ())))


def refuse_while(project, kinds: Iterable[str]) -> None:
    """Raise `JobAlreadyActive` if a job of one of `kinds` is active in the project."""
    active = Job.objects.filter(project=project, kind__in=kinds, status__in=Job.ACTIVE).first()
    if active is not None:
        raise JobAlreadyActive(active)


def _send(job: Job) -> None:
    job.task_id = async_task(job.func, job.pk, cluster=job.queue, task_name=f"{job.kind}-{job.pk}")
    Job.objects.filter(pk=job.pk).update(task_id=job.task_id)


def resend(job: Job) -> None:
    """Give a queued job a new broker entry; harmless when the old one still exists."""
    Job.objects.filter(pk=job.pk).update(queued_at=timezone.now())
    _send(job)


def claim(job_id: int) -> Job | None:
    """Move queued -> running. None means: not ours to run (duplicate, cancelled, deleted)."""
    now, token = timezone.now(), uuid.uuid4()
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        return None
    won = Job.objects.filter(pk=job_id, status=Status.QUEUED, cancel_requested=False).update(
        status=Status.RUNNING,
        started_at=job.started_at or now,
        heartbeat_at=now,
        lease_token=token,
        lease_until=now + LEASE,
        attempt=job.attempt + 1,
        worker=worker_name(),
        error_code="",
        error_text="",
    )
    return Job.objects.get(pk=job_id) if won else None


def worker_name() -> str:
    """Return host:supervisor:process. The supervisor is the `worker` command, if there is one."""
    return f"{supervisor_name(int(os.environ.get('FTF_WORKER_PID') or os.getpid()))}{os.getpid()}"


def supervisor_name(pid: int) -> str:
    """Return the beginning of `Job.worker` for jobs under the supervising process `pid`."""
    return f"{_here()}:{pid}:"


def _here() -> str:
    """Return host/namespace: the place in which a process id means one process."""
    return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').stat().st_ino}"


def is_orphaned(job: Job) -> bool:
    """True when a process of this machine ran the job and it, or its supervisor, is dead."""
    host, *pids = job.worker.rsplit(":", 2)
    return host == _here() and not all(is_alive(int(pid)) for pid in pids)


def renew(job: Job) -> bool:
    """Extend the lease; False when the job is no longer ours."""
    now = timezone.now()
    return bool(_owned(job).update(heartbeat_at=now, lease_until=now + LEASE))


def _owned(job: Job):
    return Job.objects.filter(pk=job.pk, status=Status.RUNNING, lease_token=job.lease_token)


def finish(job: Job, outcome: Outcome) -> bool:
    """Move running -> a final (or resumable) state; False when the lease was lost.

    A job that would wait although the person asked it to stop is cancelled.
    """
    final, code = outcome.status not in Job.WAITING, clean.text(outcome.error_code, 40)
    won = _owned(job).update(
        status=outcome.status,
        message=clean.text(outcome.message, 300),
        error_code=code,
        error_text=clean.text(outcome.error_text, ERROR_TEXT_LIMIT),
        result=clean.json_value(outcome.result),
        done=job.done,
        total=job.total,
        finished_at=timezone.now() if final else None,
        lease_token=None,
        lease_until=None,
    )
    if won and not final:
        _end_cancelled(job)
    logger.info("job %s: %s %s", job.pk, outcome.status, code)
    return bool(won)


def request_cancel(job: Job) -> None:
    """Ask a running job to stop; end a waiting, paused or interrupted one at once."""
    Job.objects.filter(pk=job.pk).exclude(status__in=_final()).update(cancel_requested=True)
    _end_cancelled(job)


def _end_cancelled(job: Job) -> None:
    """End the job if it was asked to stop and nobody works on it."""
    end_cancelled(Job.objects.filter(pk=job.pk))


def end_cancelled(among) -> int:
    """End those jobs that were asked to stop and that nobody works on; return how many."""
    return among.filter(status__in=[Status.QUEUED, *Job.WAITING], cancel_requested=True).update(
        status=Status.CANCELLED, message="Cancelled.", finished_at=timezone.now()
    )


def _final() -> list[str]:
    return [Status.SUCCEEDED, Status.COMPLETED_WITH_ERRORS, Status.FAILED, Status.CANCELLED]


def resume(job: Job) -> bool:
    """Move interrupted, paused or failed -> queued: the job goes on with what it has.

    For a person: the attempts count anew, and an older wish to cancel is void. False when it was
    not resumable any more, or when a job is active that it cannot run beside.
    """
    return _queue_again(job, Job.RESUMABLE, "Resumed.", attempt=0, cancel_requested=False)


def run_again(job: Job) -> Job:
    """Let a job that rests or has ended do its work once more; return the job that does it.

    One that can go on is resumed; another is queued anew with the same parameters. Raises
    `JobAlreadyActive`, or `NotRepeatable` when only its own page can start such a job.
    """
    if job.is_active:
        raise JobAlreadyActive(job)
    if job.status in Job.RESUMABLE:
        if resume(job):
            job.refresh_from_db()
            return job
        raise JobAlreadyActive(_active_beside(job) or job)
    if job.kind not in REPEATABLE:
        raise NotRepeatable(
            f"{job} has ended, and another {job.get_kind_display().lower()} needs more than its "
            "row. Start it on the project's own page."
        )
    return enqueue(
        project=job.project, kind=job.kind, func=job.func, params=job.params, queue=job.queue
    )


def _active_beside(job: Job) -> Job | None:
    kinds = (job.kind, *NOT_BESIDE.get(job.kind, ()))
    return Job.objects.filter(project=job.project_id, kind__in=kinds, status__in=Job.ACTIVE).first()


def _queue_again(job: Job, states: Iterable[str], text: str, **changes) -> bool:
    now = timezone.now()
    try:
        with transaction.atomic():
            _lock_for(job.project_id, job.kind)
            won = Job.objects.filter(pk=job.pk, status__in=states).update(
                status=Status.QUEUED, queued_at=now, finished_at=None, message=text[:300], **changes
            )
            if won:
                _send(job)
                JobEvent.objects.create(job=job, level=JobEvent.Level.WARNING, text=text)
    except (JobAlreadyActive, Project.DoesNotExist):
        return False
    return bool(won)


def recover(jobs_to_check, *, planned: bool = False) -> int:
    """Move these running jobs to interrupted and queue them again while attempts are left.

    Their owners are dead, or have not renewed the lease in time; a `planned` stop costs no
    attempt. Returns how many it moved.
    """
    moved = 0
    why = "The worker was stopped." if planned else "The process that ran this job died."
    for job in jobs_to_check:
        won = Job.objects.filter(
            pk=job.pk, status=Status.RUNNING, lease_token=job.lease_token
        ).update(
            status=Status.INTERRUPTED,
            lease_token=None,
            lease_until=None,
            attempt=job.attempt - planned,
            error_code="interrupted",
            error_text=why,
            message=why,
        )
        if won:
            moved += 1
            logger.warning("job %s: %s (%s)", job.pk, why, job.worker)
            requeue_interrupted(job)
    return moved


def requeue_interrupted(job: Job) -> bool:
    """Queue an interrupted job again, end it when cancelled, leave it when out of attempts."""
    job.refresh_from_db()
    if job.cancel_requested:
        request_cancel(job)
        return False
    if job.attempt >= MAX_ATTEMPTS:
        return False
    text = f"Continued after an interruption (attempt {job.attempt + 1} of {MAX_ATTEMPTS})."
    return _queue_again(job, [Status.INTERRUPTED], text)


def expired():
    """Return the running jobs whose lease has run out."""
    return Job.objects.filter(status=Status.RUNNING, lease_until__lt=timezone.now())


class Reporter:
    """Writes progress at most once a second and log lines in batches; notices cancel and loss.

    Call it as `reporter(done, total, message)`. Raises `JobCancelled` or `LeaseLost`.
    """

    def __init__(self, job: Job, every_seconds: float = 1.0) -> None:
        self.job = job
        self.every_seconds = every_seconds
        self._written_at = -math.inf
        self._events: list[JobEvent] = []
        self._lock = threading.Lock()
        # `running` writes what is still pending when the job ends, however it ends.
        job.__dict__.setdefault("reporters", []).append(self)

    def __call__(self, done: int, total: int | None = None, message: str | None = None) -> None:
        self.job.done = done
        self.job.total = self.job.total if total is None else total
        self.job.message = self.job.message if message is None else message
        if time.monotonic() - self._written_at >= self.every_seconds:
            self.flush()

    def log(self, text: str, *, level: str = JobEvent.Level.INFO, data: dict | None = None) -> None:
        """Add a line to the job's log; written with the next `flush`."""
        text, data = clean.text(text, ERROR_TEXT_LIMIT), clean.json_value(data or {})
        event = JobEvent(job=self.job, level=level, text=text, data=data)
        with self._lock:
            self._events.append(event)

    def flush(self) -> None:
        """Write what is pending, then raise if the job was cancelled or taken over."""
        owned = _owned(self.job).update(
            done=self.job.done,
            total=self.job.total,
            message=clean.text(self.job.message, 300),
        )
        self._written_at = time.monotonic()
        if not owned:
            raise LeaseLost
        self.write_events()
        self.check()

    def write_events(self) -> None:
        """Write the pending lines; they stay pending when the database refuses."""
        with self._lock:
            events, self._events = self._events, []
        try:
            JobEvent.objects.bulk_create(events)
        except Exception:
            with self._lock:
                self._events[:0] = events
            raise

    def check(self) -> None:
        """Raise `JobCancelled` if the person asked for it."""
        if Job.objects.filter(pk=self.job.pk, cancel_requested=True).exists():
            raise JobCancelled


@contextmanager
def running(job_id: int):
    """Claim the job and guarantee that it leaves `running`, whatever happens inside.

    Yields the job, or None when this delivery is not ours. The body sets `job.outcome`.
    """
    job = claim(job_id)
    if job is None:
        logger.info("job %s: nothing to do for this delivery", job_id)
        yield None
        return
    job.outcome = Outcome()
    with job_context(job.pk), _heartbeat(job):
        try:
            yield job
        except LeaseLost:
            logger.warning("lease lost: another process owns the job")
            return
        except BaseException as error:
            outcome = _outcome_of(error)
            _end(job, outcome)
            if outcome.status == Status.INTERRUPTED:
                requeue_interrupted(job)
            if not isinstance(error, Exception):
                raise
        else:
            _end(job, job.outcome)


def _end(job: Job, outcome: Outcome) -> None:
    """Write the last log lines, then how the job ended; the second must not fail by the first."""
    for reporter in getattr(job, "reporters", []):
        try:
            reporter.write_events()
        except AnyDatabaseError:
            logger.exception("the last lines of the job's log could not be written")
    finish(job, outcome)


def _outcome_of(error: BaseException) -> Outcome:
    """Return how a job ends that raised `error`. A queue's timeout is a SystemExit."""
    text = str(error)
    if isinstance(error, JobCancelled):
        return Outcome("Cancelled.", Status.CANCELLED)
    if isinstance(error, JobPaused):
        return Outcome(text, Status.PAUSED, error_code=error.code, error_text=text)
    if isinstance(error, JobInterrupted):
        return Outcome(text, Status.INTERRUPTED, error_code=error.code, error_text=text)
    if isinstance(error, JobFailed):
        return Outcome(text, Status.FAILED, error_code=error.code, error_text=text)
    if not isinstance(error, Exception):
        text = "The process that ran this job was stopped."
        return Outcome(text, Status.INTERRUPTED, error_code="interrupted", error_text=text)
    logger.exception("unexpected error")
    if isinstance(error, OperationalError | InterfaceError):
        text = f"The database could not be reached: {error}"
        return Outcome(text, Status.INTERRUPTED, error_code="database", error_text=text)
    text = f"Unexpected error: {type(error).__name__}: {error}. The log has the details."
    return Outcome("Unexpected error.", Status.FAILED, error_code="internal", error_text=text)


def _end_with_supervisor() -> None:
    """End this worker when its supervisor was killed: the job is handed on by its lease."""
    supervisor = os.environ.get("FTF_WORKER_PID")
    if supervisor and not is_alive(int(supervisor)):
        logger.error("the supervising process is gone: this worker ends")
        os._exit(1)


@contextmanager
def _heartbeat(job: Job):
    """Renew the lease every HEARTBEAT_SECONDS from a thread of the supervising process."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            _end_with_supervisor()
            try:
                if not renew(job):
                    break
            except AnyDatabaseError as error:
                logger.warning("heartbeat not written, will try again: %s", error)
                connection.close()
        connection.close()

    # The context carries the job's id to the thread's log lines.
    run = contextvars.copy_context().run
    thread = threading.Thread(target=run, args=(beat,), name=f"heartbeat-{job.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)

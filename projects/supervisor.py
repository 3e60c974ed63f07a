"""Keeps one queue's django-q2 cluster working: starts it, watches it, restarts it, ends it.

django-q2 cannot heal a cluster whose idle worker was killed (its queue's lock dies with the
worker), so this parent looks at the outcome: a job that waits although a worker is free.
"""

import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import timedelta

import psutil
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.utils import timezone

from finetuneflow.lib import processes
from projects import jobs, queues
from projects.models import Job

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
GRACE_SECONDS = 4.0
SETTLE = timedelta(seconds=3)
CONFIRM_STALL = timedelta(seconds=5)
LONGEST_PAUSE_SECONDS = 30


class AlreadyRunning(Exception):
    """Another process on this machine does this work for the same data folder."""


@contextmanager
def only_one(name: str):
    """Hold the lock `name` of the data folder; raises `AlreadyRunning` when another has it."""
    folder = settings.DATA_DIR / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"A {name} already runs on this machine.") from None
        yield


def stop_event() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    event = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: event.set())
    return event


class Supervisor:
    """Owns the cluster of `queue`. `run` returns when `stopping` is set."""

    def __init__(self, queue: str, stopping: threading.Event) -> None:
        self.queue = queue
        self.stopping = stopping
        self.name = jobs.supervisor_name(os.getpid())
        self.restarts = 0
        self._stalled_since = None
        self._quick_ends = 0
        self.cluster: subprocess.Popen | None = None
        self.started_at = timezone.now()
        self._beat_due = timezone.now()

    def run(self) -> None:
        try:
            self._recover(self._orphans())
            self._start()
            while not self.stopping.wait(LOOK_SECONDS):
                self._look_safely()
        finally:
            self._end()

    def _look_safely(self) -> None:
        """One look; a database that is away for a while must not end the supervisor."""
        try:
            self._look()
        except DatabaseError as error:
            logger.warning("database not reachable, will try again: %s", error)
            connection.close()

    def _look(self) -> None:
        if self.cluster.poll() is not None:
            self._restart(f"the cluster ended with code {self.cluster.returncode}")
        self._recover(self._orphans())
        self._look_for_stall()
        if timezone.now() >= self._beat_due:
            queues.beat(self.queue, pid=os.getpid(), restarts=self.restarts)
            self._beat_due = timezone.now() + timedelta(seconds=queues.BEAT_SECONDS)

    def _look_for_stall(self) -> None:
        """Restart a cluster that takes nothing, once several looks in a row have shown it.

        A worker that has just become free takes its next job within a moment.
        """
        stalled = queues.stalled_job(self.queue, since=self.started_at, supervisor=self.name)
        if stalled is None:
            self._stalled_since = None
            return
        self._stalled_since = self._stalled_since or timezone.now()
        if timezone.now() - self._stalled_since < CONFIRM_STALL:
            return
        self._stalled_since = None
        # Without its queue entry a job waits through no fault of the cluster.
        if not queues.resend_unsent():
            self._restart(f"job {stalled.pk} waits although a worker is free")

    def _start(self) -> None:
        queues.unlock(self.queue)
        connection.close()
        self.started_at = timezone.now()
        self._beat_due = self.started_at + SETTLE
        self.cluster = processes.start_bound(
            [sys.executable, str(settings.BASE_DIR / "manage.py"), "qcluster"],
            env=os.environ | {"Q_CLUSTER_NAME": self.queue, "FTF_WORKER_PID": str(os.getpid())},
        )

    def _restart(self, why: str) -> None:
        logger.error("restarting the %s cluster: %s", self.queue, why)
        self.restarts += 1
        processes.kill_group(self.cluster.pid)
        self.cluster.wait()
        self._recover(self._own())
        self._pause()
        self._start()

    def _pause(self) -> None:
        """Wait longer each time before starting again what ends at once."""
        is_hopeless = timezone.now() - self.started_at < SETTLE
        self._quick_ends = self._quick_ends + 1 if is_hopeless else 0
        if is_hopeless:
            self.stopping.wait(min(2**self._quick_ends, LONGEST_PAUSE_SECONDS))

    def _end(self) -> None:
        """Stop the cluster; what it was working on is queued again and costs no attempt.

        An engine is no member of the cluster's group: it saves a checkpoint before it ends.
        """
        below = psutil.Process().children(recursive=True)
        if self.cluster is not None:
            processes.stop(self.cluster, grace_seconds=GRACE_SECONDS)
        self._recover(self._own(), planned=True)
        queues.end_beat(self.queue)
        psutil.wait_procs(below, timeout=settings.STOP_SECONDS)

    def _recover(self, running, *, planned: bool = False) -> None:
        moved = jobs.recover(running, planned=planned)
        if moved:
            logger.warning("%s job(s) of the %s queue queued again", moved, self.queue)

    def _running(self):
        return Job.objects.filter(queue=self.queue, status=Job.Status.RUNNING)

    def _own(self):
        return self._running().filter(worker__startswith=self.name)

    def _orphans(self) -> list[Job]:
        return [job for job in self._running() if jobs.is_orphaned(job)]

"""`manage.py reconcile`: keeps jobs and queue in agreement, every few seconds."""

import logging
import os

from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError
from django.db import connection

from projects import queues, reconciler, supervisor

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Hand on the jobs of dead workers and send again what the queue has lost."

    def add_arguments(self, parser) -> None:
        parser.add_argument("--once", action="store_true", help="One pass, then end.")
        parser.add_argument("--seconds", type=float, default=5.0, help="Between two passes.")

    def handle(self, *args, once: bool, seconds: float, **options) -> None:
        if once:
            reconciler.reconcile()
            return
        try:
            with supervisor.only_one("reconciler"):
                self._loop(seconds)
        except supervisor.AlreadyRunning as error:
            raise CommandError(str(error)) from error

    def _loop(self, seconds: float) -> None:
        stopping = supervisor.stop_event()
        while not stopping.is_set():
            try:
                reconciler.reconcile()
                queues.beat(queues.RECONCILER, pid=os.getpid())
            except DatabaseError as error:
                logger.warning("database not reachable, will try again: %s", error)
                connection.close()
            stopping.wait(seconds)
        queues.end_beat(queues.RECONCILER)

"""`manage.py health --queue NAME`: is this machine's process for NAME alive? For healthchecks."""

import socket

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from projects import queues


class Command(BaseCommand):
    help = "Exit 0 when this machine's worker (or the reconciler) has given a sign of life."

    def add_arguments(self, parser) -> None:
        parser.add_argument("--queue", choices=[*settings.QUEUES, queues.RECONCILER], required=True)

    def handle(self, *args, queue: str, **options) -> None:
        name = f"{queue}@{socket.gethostname()}"
        if not queues.fresh_beats().filter(name=name).exists():
            raise CommandError(f"{name} has given no sign of life for {queues.BEAT_LIMIT}.")
        self.stdout.write(f"{name} is alive.")

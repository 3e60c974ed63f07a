"""`manage.py worker --queue default|gpu`: works one queue until it is told to stop."""

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from projects import supervisor


class Command(BaseCommand):
    help = "Work one queue: recover what a dead worker left, run the cluster, restart it if stuck."

    def add_arguments(self, parser) -> None:
        parser.add_argument("--queue", choices=settings.QUEUES, default="default")

    def handle(self, *args, queue: str, **options) -> None:
        try:
            with supervisor.only_one(f"{queue} worker"):
                supervisor.Supervisor(queue, supervisor.stop_event()).run()
        except supervisor.AlreadyRunning as error:
            raise CommandError(str(error)) from error

"""manage.py generate_dataset PROJECT [--preview]: let the language model write examples."""

from datasets import services
from projects.commands import find_project
from projects.job_commands import JobCommand


class Command(JobCommand):
    help = "Generate examples from all chunks, split them and write the dataset's files."

    def add_arguments(self, parser) -> None:
        parser.add_argument("project", type=int)
        parser.add_argument(
            "--preview", action="store_true", help="Only a few examples from a few chunks."
        )
        super().add_arguments(parser)

    def work(self, *, project, preview, **options) -> dict:
        start = services.start_preview if preview else services.start_generation
        return self.follow(start(project=find_project(project)), **options)

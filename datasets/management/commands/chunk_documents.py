"""manage.py chunk_documents PROJECT: read the documents and cut them into chunks."""

from datasets import services
from projects.commands import find_project
from projects.job_commands import JobCommand


class Command(JobCommand):
    help = "Read a project's documents and cut them into chunks."

    def add_arguments(self, parser) -> None:
        parser.add_argument("project", type=int)
        super().add_arguments(parser)

    def work(self, *, project, **options) -> dict:
        return self.follow(services.start_documents(project=find_project(project)), **options)

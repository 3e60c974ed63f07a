"""manage.py import_dataset PROJECT FILE: take a ready dataset's rows as examples."""

from pathlib import Path

from datasets import importing
from datasets.import_formats import COLUMNS, Mapping
from projects import services
from projects.commands import CommandFailed, find_project
from projects.job_commands import JobCommand
from projects.models import SourceFile


class Command(JobCommand):
    help = "Import a ready dataset (JSONL, JSON or CSV)."

    def add_arguments(self, parser) -> None:
        parser.add_argument("project", type=int)
        parser.add_argument("file", type=Path)
        for name in ("prompt", "context", "completion"):
            parser.add_argument(f"--{name}", default="", help=f"The column with the {name}.")
        super().add_arguments(parser)

    def work(self, *, project, file, prompt, context, completion, **options) -> dict:
        stored = self._store(find_project(project), file)
        given = Mapping(COLUMNS, prompt, context, completion) if prompt and completion else None
        look = importing.look_at(stored, given)
        if look.problem or look.mapping is None:
            services.delete_file(file=stored)
            todo = "Name the columns with --prompt and --completion."
            raise CommandFailed("bad_file", look.problem or f"The columns have other names. {todo}")
        return self.follow(importing.start_import(file=stored, mapping=look.mapping), **options)

    def _store(self, project, file: Path) -> SourceFile:
        try:
            with file.open("rb") as content:
                pieces = iter(lambda: content.read(2**20), b"")
                kind = SourceFile.Kind.DATASET
                return services.add_file(project=project, name=file.name, pieces=pieces, kind=kind)
        except OSError as error:
            raise CommandFailed("no_file", f"{file}: {error.strerror}.") from error
        except services.FileRejected as error:
            raise CommandFailed("rejected", str(error)) from error

"""The base of our management commands: `--json`, error codes and exit codes in one place.

Exit codes: 0 done · 1 failed · 2 wrong usage or input · 130 interrupted. With `--json` stdout
holds exactly one document, which has an `error` exactly when the exit code is not 0.
"""

import json
import logging

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from finetuneflow.lib.logs import mask
from projects.jobs import JobAlreadyActive
from projects.models import Project

logger = logging.getLogger(__name__)

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


class CommandFailed(CommandError):
    """Ends the command. `code` is short and stable; `data` is what is shown all the same."""

    def __init__(
        self, code: str, message: str, *, returncode: int = FAILED, data: dict | None = None
    ) -> None:
        super().__init__(message, returncode=returncode)
        self.code = code
        self.data = data or {}


class BadInput(CommandFailed):
    """What was asked for cannot be: an unknown project, a value out of range."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, returncode=BAD_INPUT)


class JsonCommand(BaseCommand):
    """A command whose `work(**options)` returns a dict and whose `show(data)` turns it to text."""

    def work(self, **options) -> dict:
        raise NotImplementedError

    def show(self, data: dict) -> str:
        raise NotImplementedError

    def create_parser(self, prog_name, subcommand, **kwargs):
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument(
            "--json", action="store_true", help="Write one JSON document to stdout."
        )
        report = parser.error

        def error(message: str) -> None:
            """Also say it as JSON when asked for: argparse itself only writes to stderr."""
            if self._wants_json:
                self._write_json(_error_document("usage", message))
            report(message)

        parser.error = error
        return parser

    _wants_json = False

    def run_from_argv(self, argv: list[str]) -> None:
        self._wants_json = "--json" in argv
        super().run_from_argv(argv)

    def execute(self, *args, **options):
        """Run, and give every way to fail its code. The caller gets a `CommandError`."""
        self._wants_json = options.get("json", False)
        try:
            return super().execute(*args, **options)
        except CommandError as error:
            failed = error
        except KeyboardInterrupt:
            failed = CommandFailed("interrupted", "Interrupted.", returncode=INTERRUPTED)
        except Exception as error:
            failed = _failure_of(error)
        if self._wants_json:
            code = getattr(failed, "code", "invalid_setup")
            data = getattr(failed, "data", {})
            self._write_json(_error_document(code, str(failed)) | data)
        raise failed

    def handle(self, *args, **options) -> None:
        try:
            data = self.work(**options)
        except CommandFailed as error:
            if error.data and not options["json"]:
                self.stdout.write(self.show(error.data))
            raise
        if options["json"]:
            self._write_json(data)
        else:
            self.stdout.write(self.show(data))

    def note(self, text: str) -> None:
        """Write a line for the person to stderr; stdout belongs to the result."""
        self.stderr.write(text, self.style.NOTICE)

    def _write_json(self, document: dict) -> None:
        self.stdout.write(json.dumps(document, ensure_ascii=False, default=str))


def _error_document(code: str, message: str) -> dict:
    return {"error": {"code": code, "message": mask(message)}}


def _failure_of(error: Exception) -> CommandError:
    if isinstance(error, ValidationError):
        return BadInput("invalid", " ".join(error.messages))
    if isinstance(error, JobAlreadyActive):
        text = f"{error} It is job {error.job.pk}; wait for it or cancel it."
        return CommandFailed("already_active", text)
    if isinstance(error, DatabaseError):
        logger.error("database: %s", error)
        return CommandFailed(
            "database", f"The database did not answer as expected ({error}). Run `doctor`."
        )
    logger.exception("unexpected error")
    return CommandFailed("internal", f"Unexpected error: {type(error).__name__}: {error}.")


def find_project(project_id: int) -> Project:
    project = Project.objects.filter(pk=project_id).first()
    if project is None:
        raise BadInput("no_such_project", f"There is no project {project_id}.")
    return project

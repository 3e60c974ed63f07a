"""The demonstration: sample documents to a verified export, through the real queue and workers.

It starts what an installation has (two workers, the reconciler) and, in place of a provider, a
local OpenAI-compatible server with the bundled model. Every child ends with this process.
"""

import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db.models import Count

from datasets import services as dataset_services
from datasets.generation import local_server
from datasets.models import Chunk, Example
from finetuneflow.lib import processes
from projects import accounts, jobs, queues, waiting
from projects import services as project_services
from projects.models import Job, Project
from training import services as training_services

MODEL = local_server.MODEL
SAMPLES = settings.BASE_DIR / "samples"
DOCUMENTS = ("handbook.pdf", "k7-service-manual.docx", "voyages.txt")
WORKER_SECONDS = 60
STOP_SECONDS = 15


class DemoFailed(Exception):
    """A stage did not succeed; the text says which one and why."""


@dataclass
class Stage:
    """One row of the summary."""

    title: str
    seconds: float
    facts: str


@dataclass
class Demo:
    """Runs the stages in order. `show(title, percent, text)` draws progress."""

    show: callable
    epochs: float = 3
    stages: list[Stage] = field(default_factory=list)
    project: Project | None = None

    def run(self) -> None:
        """Raise `DemoFailed` at the first stage that does not succeed."""
        _check_start()
        with ExitStack() as stack:
            url = self._timed("Start the language model", lambda: self._serve(stack))
            self._timed("Start the workers", lambda: self._work(stack, url))
            stack.callback(self._cancel_jobs)
            self.project = self._timed("Create the project", self._create)
            self._stage("Read the documents", dataset_services.start_documents)
            self._stage("Preview", dataset_services.start_preview)
            self._stage("Generate examples", dataset_services.start_generation)
            self._stage("Train", training_services.start_training, epochs=self.epochs)
            self._stage("Export", self._start_export)
            self._follow("Verify the export", self._verification_job())

    def _cancel_jobs(self) -> None:
        """Leave no job behind that a later worker would take up without the model server."""
        for job in Job.objects.filter(project=self.project, status__in=Job.ACTIVE):
            jobs.request_cancel(job)

    def _timed(self, title: str, action, facts=lambda result: ""):
        started = time.monotonic()
        self.show(title, 0, "")
        result = action()
        self.show(title, 100, facts(result))
        self.stages.append(Stage(title, time.monotonic() - started, facts(result)))
        return result

    def _serve(self, stack: ExitStack) -> str:
        try:
            return stack.enter_context(local_server.serving())
        except local_server.NotPossible as error:
            raise DemoFailed(str(error)) from error

    def _work(self, stack: ExitStack, url: str) -> None:
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
        for name, arguments in {
            "default": ["worker", "--queue", "default"],
            "gpu": ["worker", "--queue", "gpu"],
            "reconcile": ["reconcile"],
        }.items():
            stack.enter_context(_child(name, manage + arguments, _llm_environment(url)))
        names = [*settings.QUEUES, queues.RECONCILER]
        if not processes.wait_until(
            lambda: all(map(queues.has_worker, names)), seconds=WORKER_SECONDS, poll_seconds=0.5
        ):
            raise DemoFailed(f"The workers did not start: see {_log('default').parent}.")

    def _create(self) -> Project:
        owner = accounts.ensure_owner()
        number = Project.objects.filter(owner=owner, name__startswith="Demo").count() + 1
        project = project_services.create_project(
            owner=owner, name=f"Demo {number}", base_model=MODEL
        )
        for document in DOCUMENTS:
            with (SAMPLES / document).open("rb") as file:
                pieces = iter(lambda file=file: file.read(2**20), b"")
                project_services.add_file(project=project, name=document, pieces=pieces)
        return project

    def _stage(self, title: str, start, **arguments) -> Job:
        return self._follow(title, start(project=self.project, **arguments))

    def _start_export(self, *, project: Project) -> Job:
        return training_services.start_export(run=project.runs.get())

    def _verification_job(self) -> Job:
        return self.project.jobs.get(kind=Job.Kind.VERIFY)

    def _follow(self, title: str, job: Job) -> Job:
        started = time.monotonic()
        job = waiting.wait_for(
            job, on_progress=lambda job: self.show(title, job.percent, job.message)
        )
        if job.status != Job.Status.SUCCEEDED:
            why = job.error_text or job.message
            raise DemoFailed(f"{title}: {job.get_status_display().lower()}. {why}")
        self.show(title, 100, job.message)
        self.stages.append(Stage(title, time.monotonic() - started, job.message))
        return job

    def summary(self) -> dict:
        """Return the counts of every stage, the losses, and where the zip is."""
        project, run = self.project, self.project.runs.get()
        export = run.exports.get()
        splits = Example.objects.filter(project=project).values_list("split")
        return {
            "project": project.pk,
            "files": project.files.count(),
            "chunks": Chunk.objects.filter(file__project=project).count(),
            "examples": dict(splits.annotate(Count("id")).order_by("split")),
            "baseline": run.metrics["baseline"],
            "final": run.metrics["final"],
            "verification": export.verification,
            "zip": str(training_services.exports_folder(project) / export.file_name),
            "zip_bytes": export.size_bytes,
            "stages": [vars(stage) for stage in self.stages],
            "seconds": sum(stage.seconds for stage in self.stages),
        }


def _check_start() -> None:
    """The demo's workers must be the only ones: others would ask another language model."""
    if queues.fresh_beats().exists():
        raise DemoFailed("Workers are already running here. Stop them (make run), then try again.")
    if not local_server.is_there():
        raise DemoFailed("The bundled model is missing. Run `make model`.")


def _llm_environment(url: str) -> dict:
    """The workers ask the local server, without any key of the surrounding environment."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "OLLAMA_"))}
    return kept | {
        "OPENAI_BASE_URL": url,
        "FTF_LLM_MODEL": str(local_server.folder()),
        "FTF_LLM_CONCURRENCY": str(local_server.CONCURRENCY),
        "FTF_LLM_TIMEOUT_SECONDS": str(local_server.TIMEOUT_SECONDS),
        "HF_HUB_OFFLINE": "1",
    }


@contextmanager
def _child(name: str, command: list[str], environment: dict):
    """Run `command` until the block ends; its output goes to a log file."""
    path = _log(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as log:
        process = processes.start_bound(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        processes.stop(process, grace_seconds=STOP_SECONDS)


def _log(name: str) -> Path:
    return settings.DATA_DIR / "logs" / f"demo-{name}.log"

"""Starting training, exports and their verification."""

from django.conf import settings
from django.db import transaction

from finetuneflow.lib import storage
from projects import jobs
from projects.models import Job, Project
from training.models import Export, Run


def start_training(*, project: Project, method: str = Run.Method.LORA, **overrides) -> Job:
    """Create the run and queue its training. `overrides` are fields of `EngineConfig`.

    Raises `jobs.JobAlreadyActive` when the project is already training.
    """
    with transaction.atomic():
        job = jobs.enqueue(
            project=project,
            kind=Job.Kind.TRAIN,
            queue="gpu",
            func="training.tasks.train",
            params={"method": method, "overrides": overrides},
        )
        Run.objects.create(project=project, job=job, method=method)
    return job


def finish_training(*, job: Job) -> bool:
    """Ask a running training to end at its next step and to keep what it has learned.

    False when it does not run, or is being cancelled. The wish survives an interruption.
    """
    running = Job.objects.filter(
        pk=job.pk, kind=Job.Kind.TRAIN, status=Job.Status.RUNNING, cancel_requested=False
    )
    return bool(running.update(finish_requested=True))


def start_export(*, run: Run) -> Job:
    """Create the export and queue its building; verification follows by itself."""
    with transaction.atomic():
        export = Export.objects.create(run=run)
        return jobs.enqueue(
            project=run.project,
            kind=Job.Kind.EXPORT,
            func="training.tasks.export",
            params={"export": export.pk},
        )


def delete_export(*, export: Export) -> bool:
    """Delete the archive, row first, then the zip; False while it is built or checked."""
    project = export.run.project
    busy = Job.objects.filter(
        project=project,
        kind__in=(Job.Kind.EXPORT, Job.Kind.VERIFY),
        status__in=Job.ACTIVE,
        params__export=export.pk,
    )
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        if busy.exists():
            return False
        name = f"{export.pk}.zip"  # There also when its builder died before it could say so.
        export.delete()
    for found in {name, export.file_name} - {""}:
        storage.safe_path(exports_folder(project), found).unlink(missing_ok=True)
    return True


def start_verification(*, export: Export) -> Job:
    """Queue the check of a built zip; it loads the model, so it waits for the GPU queue."""
    return jobs.enqueue(
        project=export.run.project,
        kind=Job.Kind.VERIFY,
        queue="gpu",
        func="training.tasks.verify",
        params={"export": export.pk},
    )


def run_folder(run: Run):
    """Return the run's folder, the one the engine works in."""
    return settings.PROJECTS_DIR / str(run.project_id) / "runs" / str(run.pk)


def exports_folder(project: Project):
    return settings.PROJECTS_DIR / str(project.pk) / "exports"

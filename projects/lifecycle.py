"""The life of a project as a whole: name, copy, archive, deletion, samples."""

import logging
import os
import shutil
import time
import uuid
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from finetuneflow.lib import storage
from projects import jobs, services
from projects.models import Job, Project, SourceFile

logger = logging.getLogger(__name__)

SAMPLES = settings.BASE_DIR / "samples"
SAMPLE_DOCUMENTS = ("handbook.pdf", "k7-service-manual.docx", "voyages.txt")
SAMPLE_NAME = "Sample documents"
COPIED = (
    "owner_id",
    "task_type",
    "base_model",
    "base_revision",
    "model_info",
    "language",
    "instruction",
    "chunk_size",
    "chunk_overlap",
    "strategy",
    "generation",
)


def rename(*, project: Project, name: str) -> None:
    """Write the name alone; the form has checked it."""
    project.name = name.strip()
    project.save(update_fields=["name", "updated_at"])


def set_archived(*, project: Project, archived: bool) -> None:
    """Put the project away, or back into the list. Nothing in it changes."""
    project.archived_at = timezone.now() if archived else None
    project.save(update_fields=["archived_at"])


def duplicate(*, project: Project) -> Project:
    """Return a new project with the settings and documents of this one, to be read anew.

    Examples, runs and archives are not copied. Either all of it exists afterwards or nothing.
    """
    name = f"Copy of {project.name}"[:120]
    copy = Project(name=name, **{field: getattr(project, field) for field in COPIED})
    try:
        with transaction.atomic():
            copy.save()
            mark = services.project_folder(copy) / services.UNOWNED
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
            for file in project.files.filter(kind=SourceFile.Kind.RAW_DOC):
                _copy_file(file, copy)
    except BaseException:
        if copy.pk is not None:
            storage.delete_tree(services.project_folder(copy), root=settings.PROJECTS_DIR)
        raise
    mark.unlink()
    return copy


def _copy_file(file: SourceFile, project: Project) -> None:
    twin = SourceFile(
        project=project,
        kind=file.kind,
        original_name=file.original_name,
        stored_name=uuid.uuid4(),
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        encoding=file.encoding,
    )
    _link(services.raw_path(file), services.raw_path(twin))
    twin.save()


def _link(source: Path, target: Path) -> None:
    """Give the bytes a second name; stored files are never changed. Copy where that is not had."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def create_samples(*, owner) -> Project:
    """Return a new project with the sample documents, which a worker begins to read."""
    number = Project.objects.filter(owner=owner, name__startswith=SAMPLE_NAME).count() + 1
    name = SAMPLE_NAME if number == 1 else f"{SAMPLE_NAME} {number}"
    project = services.create_project(owner=owner, name=name)
    try:
        for document in SAMPLE_DOCUMENTS:
            with (SAMPLES / document).open("rb") as file:
                pieces = iter(lambda file=file: file.read(storage.CHUNK_BYTES), b"")
                services.add_file(project=project, name=document, pieces=pieces)
    except Exception:
        services.delete_project(project=project)
        raise
    jobs.enqueue(
        project=project, kind=Job.Kind.DOCUMENTS, func="datasets.tasks.documents", params={}
    )
    return project


def request_deletion(*, project: Project) -> bool:
    """Cancel the project's jobs and delete it; True when it is gone already.

    Otherwise it is shown no more, and the reconciler deletes it when its last job has ended.
    """
    Project.objects.filter(pk=project.pk).update(deletion_requested_at=timezone.now())
    return _delete_if_idle(project)


def _delete_if_idle(project: Project) -> bool:
    for job in project.jobs.filter(status__in=Job.ACTIVE):
        jobs.request_cancel(job)
    try:
        services.delete_project(project=project)
    except jobs.JobAlreadyActive:
        return False
    except (OSError, storage.StorageError):
        logger.exception("files of project %s are left; the sweep tries again", project.pk)
    return not Project.objects.filter(pk=project.pk).exists()


def finish_deletions() -> int:
    """Delete the projects that wait for it and whose jobs have ended; return how many."""
    waiting = Project.objects.filter(deletion_requested_at__isnull=False)
    return sum(_delete_if_idle(project) for project in waiting)


def sweep() -> int:
    """Delete the marked folders of projects that do not exist; return how many.

    Only what a deletion or a copy has marked, and not while one may still be at work: an empty
    database beside a full folder must cost nobody their files.
    """
    swept = 0
    for mark in settings.PROJECTS_DIR.glob(f"*/{services.UNOWNED}"):
        if not _is_abandoned(mark):
            continue
        if Project.objects.filter(pk=int(mark.parent.name)).exists():
            mark.unlink(missing_ok=True)
            continue
        try:
            storage.delete_tree(mark.parent, root=settings.PROJECTS_DIR)
        except (OSError, storage.StorageError) as error:
            logger.warning("%s cannot be deleted: %s", mark.parent, error)
            continue
        logger.warning("deleted %s: its project is gone", mark.parent)
        swept += 1
    return swept


def _is_abandoned(mark: Path) -> bool:
    try:
        age = time.time() - mark.stat().st_mtime
    except FileNotFoundError:
        return False
    return mark.parent.name.isdecimal() and age > services.LEFTOVER_SECONDS

"""Writing projects and their files."""

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Sum

from finetuneflow.lib import storage
from projects import jobs
from projects.models import Job, Project, SourceFile

logger = logging.getLogger(__name__)

DOCUMENT_EXTENSIONS = {".pdf", ".docx", ".txt", ".md"}
DATASET_EXTENSIONS = {".jsonl", ".json", ".csv"}
LEFTOVER_SECONDS = 3600
UNOWNED = ".unowned"  # In a folder whose project is being deleted, or not yet written.
READING = (Job.Kind.DOCUMENTS, Job.Kind.IMPORT, Job.Kind.PREVIEW, Job.Kind.GENERATE)
CHUNK_FIELDS = {"chunk_size", "chunk_overlap"}


class FileRejected(Exception):
    """The file is not taken; the text says why and what to do."""


def create_project(*, owner, name: str, **fields) -> Project:
    """Create a project; raises `ValidationError` for an empty name or settings out of range."""
    project = Project(owner=owner, name=name.strip(), **fields)
    project.base_model = project.base_model or settings.DEFAULT_BASE_MODEL
    project.full_clean(validate_constraints=False)
    if project.chunk_overlap * 2 > project.chunk_size:
        raise ValidationError({"chunk_overlap": "The overlap must be at most half the chunk size."})
    project.save()
    return project


def save_task(*, project: Project, changed: list[str]) -> None:
    """Write the `changed` fields alone: other pages may have changed the rest meanwhile."""
    fields = {*changed, "updated_at"}
    if fields & CHUNK_FIELDS:
        fields |= CHUNK_FIELDS  # One of them alone could break the rule that ties them.
    project.save(update_fields=fields)


def delete_project(*, project: Project) -> None:
    """Delete the project's rows, then its files; raises `jobs.JobAlreadyActive` while it works.

    The mark in the folder lets `lifecycle.sweep` finish what a killed process began.
    """
    folder = project_folder(project)
    with transaction.atomic():
        lock(project)
        jobs.refuse_while(project, tuple(Job.Kind.values))
        if folder.is_dir() and not folder.is_symlink():
            (folder / UNOWNED).touch()
        project.delete()
    storage.delete_tree(folder, root=settings.PROJECTS_DIR)


def lock(project: Project) -> bool:
    """Make starts, uploads and deletions in one project wait for each other until the commit.

    False means that the project is gone.
    """
    return bool(Project.objects.select_for_update().filter(pk=project.pk))


def project_folder(project: Project) -> Path:
    return settings.PROJECTS_DIR / str(project.pk)


def raw_path(file: SourceFile) -> Path:
    """Return where the uploaded bytes are; the name on disk is a UUID, never the person's."""
    return storage.safe_path(project_folder(file.project), "raw", str(file.stored_name))


def add_file(
    *, project: Project, name: str, pieces: Iterable[bytes], kind: str = SourceFile.Kind.RAW_DOC
) -> SourceFile:
    """Store one uploaded file and its row.

    Raises `FileRejected` for a wrong extension, an empty or too large file, the same content
    twice, a full project or a full disk. Nothing stays behind then.
    """
    name = storage.clean_name(name)
    _check_extension(name, kind)
    limit = _check_room(project)
    file = SourceFile(project=project, kind=kind, original_name=name)
    try:
        _store(file, pieces, limit)
    except storage.TooLarge as error:
        what = "Split it" if limit == settings.MAX_UPLOAD_BYTES else "Delete other files first"
        raise FileRejected(f"{name}: {error} {what}, or ask the administrator.") from error
    except OSError as error:
        raise FileRejected(f"{name} could not be stored: {error.strerror or error}.") from error
    except IntegrityError as error:
        raise _duplicate(file) from error
    return file


def _store(file: SourceFile, pieces: Iterable[bytes], limit_bytes: int) -> None:
    """Write the bytes, then the row; on any error neither stays."""
    path = raw_path(file)
    try:
        file.size_bytes, file.sha256 = storage.save_stream(path, pieces, limit_bytes=limit_bytes)
        with transaction.atomic():
            _check_project(file)
            _check_content(file)
            file.save()
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _check_project(file: SourceFile) -> None:
    """Lock the project and measure again: other uploads may have ended since this one began."""
    if not lock(file.project):
        raise FileRejected(f"{file.original_name}: the project was deleted meanwhile.")
    stored = file.project.files.aggregate(bytes=Sum("size_bytes"))["bytes"] or 0
    if stored + file.size_bytes > settings.PROJECT_QUOTA_BYTES:
        raise FileRejected(
            f"{file.original_name}: another upload has filled the project's storage meanwhile. "
            "Delete files first, or ask the administrator."
        )


def _check_extension(name: str, kind: str) -> None:
    allowed = DOCUMENT_EXTENSIONS if kind == SourceFile.Kind.RAW_DOC else DATASET_EXTENSIONS
    extension = Path(name).suffix.lower()
    if extension == ".doc":
        raise FileRejected(f"{name} is an old Word file. Save it as .docx and add it again.")
    if extension in DATASET_EXTENSIONS - allowed:
        raise FileRejected(
            f"{name} looks like a ready dataset, not a document. "
            "Add it with Import examples, further down on the Data page."
        )
    if extension not in allowed:
        raise FileRejected(
            f"{name}: files of type {extension or '(none)'} cannot be read. "
            f"Supported: {', '.join(sorted(allowed))}."
        )


def _check_room(project: Project) -> int:
    """Return how many bytes the next file may have."""
    _delete_leftovers(project)
    used = storage.folder_size(project_folder(project) / "raw")
    left = settings.PROJECT_QUOTA_BYTES - used
    if left <= 0:
        raise FileRejected("The project has reached its storage limit. Delete files first.")
    if storage.free_bytes(settings.DATA_DIR) < settings.MIN_FREE_BYTES:
        raise FileRejected("The server's disk is almost full. Ask the administrator for space.")
    return min(left, settings.MAX_UPLOAD_BYTES)


def _delete_leftovers(project: Project) -> None:
    """Delete the temporary files of uploads whose process was killed; they fill quota and disk."""
    received = settings.FILE_UPLOAD_TEMP_DIR.glob("*.upload*")
    for path in (*(project_folder(project) / "raw").glob("*.tmp"), *received):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
                path.unlink()
                logger.warning("deleted %s: an upload that never finished", path)


def _check_content(file: SourceFile) -> None:
    if file.size_bytes == 0:
        raise FileRejected(f"{file.original_name} is empty.")
    if SourceFile.objects.filter(project=file.project, sha256=file.sha256).exists():
        raise _duplicate(file)


def _duplicate(file: SourceFile) -> FileRejected:
    twin = SourceFile.objects.filter(project_id=file.project_id, sha256=file.sha256).first()
    there = f" as {twin.original_name}" if twin else ""
    return FileRejected(f"{file.original_name} is already in the project{there}.")


def delete_file(*, file: SourceFile) -> None:
    """Delete the file with its chunks; examples that came from it stay.

    Raises `jobs.JobAlreadyActive` while documents are read or examples made.
    """
    path = raw_path(file)
    with transaction.atomic():
        lock(file.project)
        jobs.refuse_while(file.project, READING)
        file.delete()
    path.unlink(missing_ok=True)

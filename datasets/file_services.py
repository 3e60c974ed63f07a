"""Writing what concerns a project's documents beside their reading."""

from django.conf import settings
from django.db import transaction

from projects import jobs, services
from projects.models import Job, Project, SourceFile

SAMPLES = ("handbook.pdf", "k7-service-manual.docx", "voyages.txt")


def add_samples(*, project: Project) -> list[SourceFile]:
    """Add the sample documents that the project does not have yet.

    Raises `projects.services.FileRejected` when none can be added.
    """
    added: list[SourceFile] = []
    refused: list[str] = []
    for name in SAMPLES:
        try:
            content = (settings.BASE_DIR / "samples" / name).read_bytes()
            added.append(services.add_file(project=project, name=name, pieces=[content]))
        except OSError:
            refused.append(f"The sample {name} is not installed on this server.")
        except services.FileRejected as error:
            refused.append(str(error))
    if not added:
        raise services.FileRejected(" ".join(refused))
    return added


def choose_encoding(*, file: SourceFile, encoding: str) -> bool:
    """Save how the text file is encoded ("" means to detect it) and mark it to be read again.

    Its passages stay until then. False when nothing changes. Raises `jobs.JobAlreadyActive`
    while documents are read: the job would store what it read with the old encoding.
    """
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=file.project_id)
        jobs.refuse_while(file.project, (Job.Kind.DOCUMENTS,))
        changed = SourceFile.objects.filter(pk=file.pk).exclude(encoding=encoding)
        return bool(
            changed.update(encoding=encoding, state=SourceFile.State.UPLOADED, error_text="")
        )

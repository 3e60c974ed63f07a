"""Starting the dataset's jobs. What the jobs do is in `documents` and `generation`."""

from projects import jobs
from projects.models import Job, Project


def start_documents(*, project: Project) -> Job:
    """Queue reading and chunking of the project's documents."""
    return jobs.enqueue(
        project=project,
        kind=Job.Kind.DOCUMENTS,
        func="datasets.tasks.documents",
    )


def start_preview(*, project: Project, examples: int = 10) -> Job:
    """Queue the preview: `examples` examples from a few representative chunks."""
    return jobs.enqueue(
        project=project,
        kind=Job.Kind.PREVIEW,
        func="datasets.tasks.preview",
        params={"examples": examples},
    )


def start_generation(*, project: Project) -> Job:
    """Queue full generation over all chunks, the split, and the dataset's files."""
    return jobs.enqueue(
        project=project,
        kind=Job.Kind.GENERATE,
        func="datasets.tasks.generate",
    )

"""Starting the dataset's jobs, and how its examples are written.

What the jobs do is in `documents` and `generation`.
"""

from datasets.generation import generator
from datasets.generation.strategies import strategy_for
from projects import jobs
from projects.models import Job, Project

GENERATION = ("provider", "model", "temperature", "examples_per_chunk")


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
        queue=generator.queue_of(project),
        params={"examples": examples, "settings": generation_settings(project)},
    )


def start_generation(*, project: Project) -> Job:
    """Queue full generation over all chunks, the split, and the dataset's files."""
    return jobs.enqueue(
        project=project,
        kind=Job.Kind.GENERATE,
        func="datasets.tasks.generate",
        queue=generator.queue_of(project),
    )


def generation_settings(project: Project) -> dict:
    """Return what decides how examples are written, as a preview keeps it beside them."""
    return {
        "provider": generator.provider_of(project),
        "model": generator.short_name(generator.model_of(project)),
        "strategy": str(strategy_for(project).name),
        "task_type": project.task_type,
        "temperature": project.generation.get("temperature"),
        "instruction": project.instruction,
        "language": project.language,
    }


def save_generation(*, project: Project, changes: dict) -> None:
    """Keep how examples are written. `changes` has what a person chose; None means the default.

    The provider is kept only where it differs from the default: so a key that is configured later
    takes effect in every project that never chose.
    """
    for name in ("strategy", "instruction", "language"):
        if name in changes:
            setattr(project, name, changes[name])
    chosen = {name: changes[name] for name in GENERATION if name in changes}
    merged = project.generation | chosen
    if merged.get("provider") == generator.default_provider():
        merged["provider"] = None
    project.generation = {name: value for name, value in merged.items() if value is not None}
    project.save(update_fields=["strategy", "instruction", "language", "generation", "updated_at"])

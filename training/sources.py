"""What a run learned from: the files and the dataset's settings as they were at its start.

The project's own may change later; a run keeps them in `Run.dataset_stats`.
"""

from datasets.selectors import files_of
from projects.models import Project
from projects.selectors import page_count
from training.models import Run

KEY = "sources"


def describe(project: Project) -> dict:
    """Return {"settings": {name: value}, "files": [row]} of the project now, as plain values."""
    return {
        "settings": {
            "chunk_size": project.chunk_size,
            "chunk_overlap": project.chunk_overlap,
            "strategy": project.strategy,
        },
        "files": [
            {
                "name": file.original_name,
                "pages": page_count(file.report),
                "passages": file.passages,
                "size_bytes": file.size_bytes,
                "sha256": file.sha256,
            }
            for file in files_of(project)
        ],
    }


def of_run(run: Run) -> dict:
    """Return what `describe` returned when the run began; the project's now for an older run."""
    return run.dataset_stats.get(KEY) or describe(run.project)

"""The counts behind a project's steps, for one project or a page of them, in three queries.

Tables of higher apps are reached by the names of their reverse relations only.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import Count, IntegerField, OuterRef, Q, Subquery, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce

from projects.models import Job, Project, SourceFile

TRAINED = (Job.Status.SUCCEEDED, Job.Status.COMPLETED_WITH_ERRORS)
PREVIEW, DELETED = "preview", "deleted"


@dataclass
class Facts:
    files: int = 0
    files_read: int = 0
    files_failed: int = 0
    pages: int = 0
    chunks: int = 0
    runs: int = 0
    trained: int = 0
    exports: int = 0
    splits: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Examples by split; those in the bin do not count."""
    reviews: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Examples of the dataset by review state, the bin included; those of the preview not."""
    active: list[Job] = field(default_factory=list)

    @property
    def examples(self) -> int:
        """Examples of the dataset; those of the preview and the bin do not count."""
        return sum(count for split, count in self.splits.items() if split != PREVIEW)


def _of_project(expression) -> Coalesce:
    """Return a subquery for one number of a project: joins of several would multiply rows."""
    one = Project.objects.filter(pk=OuterRef("pk")).order_by().values("pk")
    return Coalesce(Subquery(one.annotate(number=expression).values("number")), 0)


_STATE = SourceFile.State
_COUNTS = {
    "files": Count("files"),
    "files_read": Count("files", filter=Q(files__state=_STATE.EXTRACTED)),
    "files_failed": Count("files", filter=Q(files__state=_STATE.FAILED)),
    # Only the number out of the report, which holds a value for every page.
    "pages": Sum(Cast(KeyTextTransform("pages", "files__report"), IntegerField())),
    "chunks": Count("files__chunks"),
    "runs": Count("runs"),
    "trained": Count("runs", filter=Q(runs__job__status__in=TRAINED)),
    "exports": Count("runs__exports", filter=Q(runs__exports__sha256__gt="")),
}


def with_counts(projects):
    """Add what `facts_of` needs of each project to the query that reads it."""
    return projects.annotate(
        **{f"count_{name}": _of_project(expression) for name, expression in _COUNTS.items()}
    )


def facts_of(projects: Iterable[Project]) -> dict[int, Facts]:
    """Return the facts of each project by its id, in a constant number of queries.

    The counts of projects that came from `with_counts` are taken as they were read then.
    """
    projects = list(projects)
    if not all(hasattr(project, "count_files") for project in projects):
        keys = [project.pk for project in projects]
        projects = list(with_counts(Project.objects.filter(pk__in=keys)))
    found = {
        project.pk: Facts(**{name: getattr(project, f"count_{name}") for name in _COUNTS})
        for project in projects
    }
    _read_examples(found)
    _read_active(found)
    return found


def _read_examples(found: dict[int, Facts]) -> None:
    rows = (
        Project.objects.filter(pk__in=found, examples__isnull=False)
        .values("pk", "examples__split", "examples__review")
        .annotate(count=Count("examples"))
        .order_by()
    )
    for row in rows:
        facts, split, review = found[row["pk"]], row["examples__split"], row["examples__review"]
        if review != DELETED:
            facts.splits[split] += row["count"]
        if split != PREVIEW:
            facts.reviews[review] += row["count"]


def _read_active(found: dict[int, Facts]) -> None:
    for job in Job.objects.filter(project_id__in=found, status__in=Job.ACTIVE).order_by("pk"):
        found[job.project_id].active.append(job)

"""Reading the list of projects: search, sort, archive. A constant number of queries per page."""

from django.db.models import Count, DateTimeField, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Greatest, Lower

from projects import access, facts, wizard
from projects.models import Job, Project

ACTIVE, ARCHIVED = "active", "archived"
SORTS = {
    "recent": ("Last activity", ("-active_at", "-pk")),
    "name": ("Name", (Lower("name"), "pk")),
    "newest": ("Newest first", ("-created_at", "-pk")),
    "oldest": ("Oldest first", ("created_at", "pk")),
}


def list_projects(user, *, search: str = "", sort: str = "recent", archived: bool = False):
    """Return the user's projects with `.active_at` and what their steps need."""
    found = access.projects_of(user).filter(archived_at__isnull=not archived)
    if search:
        found = found.filter(name__icontains=search)
    return _with_activity(facts.with_counts(found.select_related("owner"))).order_by(
        *SORTS[sort][1]
    )


def _with_activity(projects: QuerySet) -> QuerySet:
    def newest(field: str) -> Coalesce:
        jobs = Job.objects.filter(project=OuterRef("pk")).order_by().values("project")
        latest = jobs.annotate(latest=Max(field)).values("latest")
        return Coalesce(Subquery(latest), "updated_at", output_field=DateTimeField())

    active_at = Greatest("updated_at", newest("queued_at"), newest("finished_at"))
    return projects.annotate(active_at=active_at)


def counts(user) -> dict[str, int]:
    """Return how many projects are in the list and how many are archived."""
    return access.projects_of(user).aggregate(
        active=Count("pk", filter=Q(archived_at=None)),
        archived=Count("pk", filter=Q(archived_at__isnull=False)),
    )


def rows(projects: list[Project]) -> list[dict]:
    """Return for each project what the list says of it."""
    found = facts.facts_of(projects)
    return [_row(project, found[project.pk]) for project in projects]


def _row(project: Project, numbers: facts.Facts) -> dict:
    following = wizard.next_step(project, numbers)
    place = wizard.STEPS.index(following) + 1 if following else len(wizard.STEPS)
    return {
        "project": project,
        "facts": numbers,
        "next": following,
        "number": place,
        "of": len(wizard.STEPS),
        "job": numbers.active[0] if numbers.active else None,
        "more_jobs": len(numbers.active) - 1,
    }

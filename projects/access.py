"""Who may see what: staff everything, everybody else their own.

A stranger gets 404: the existence of a project is nobody else's business.
"""

from django.db.models import QuerySet
from django.http import Http404

from projects import facts, queues
from projects.models import Job, Project


def projects_of(user):
    """Return the projects that `user` may see; one that waits for its deletion is gone."""
    return _visible(Project, user, "owner")


def get_owned(model, user, *, owner_path: str = "project__owner", related=(), **lookup):
    """Return the object of `model` whose owner along `owner_path` is `user`, or raise 404.

    `model` may be a queryset. Objects that `related` names come with the same query.
    """
    rows = _visible(model, user, owner_path).filter(**lookup)
    found = (rows.select_related(*related) if related else rows).first()
    if found is None:
        raise Http404
    return found


def get_project(user, project_id: int) -> Project:
    """Return the project with the counts behind its steps, or raise 404."""
    found = facts.with_counts(projects_of(user)).filter(pk=project_id).first()
    if found is None:
        raise Http404
    return found


def jobs_of(user):
    """Return the jobs of the projects that `user` may see."""
    return Job.objects.filter(project__in=projects_of(user))


def get_job(user, job_id: int) -> Job:
    """Return the job with its project and whether a worker serves its queue, or raise 404."""
    jobs = queues.with_worker(jobs_of(user)).select_related("project")
    found = jobs.filter(pk=job_id).first()
    if found is None:
        raise Http404
    return found


def _visible(model, user, owner_path: str):
    rows = model if isinstance(model, QuerySet) else model.objects.all()
    rows = rows.filter(**{f"{owner_path.removesuffix('owner')}deletion_requested_at": None})
    return rows if user.is_staff else rows.filter(**{owner_path: user})

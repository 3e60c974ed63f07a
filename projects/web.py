"""What the views of all apps share: the step they stand in, starting a job, pages of a list."""

from collections.abc import Callable
from functools import wraps

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404

from finetuneflow.lib.htmx import redirect_to
from projects import access, jobs, wizard
from projects.models import Job, Project

PAGE_SIZES = (25, 50, 100)


def wizard_step(slug: str):
    """Give the view `project` (404 for strangers) in place of its id, and guard the step.

    A step whose earlier steps are unfinished can be looked at; changing it is refused with what
    is missing.
    """
    step = wizard.BY_SLUG[slug]

    def decorate(view):
        @wraps(view)
        def guarded(request, project_id: int, *args, **kwargs):
            project = access.get_project(request.user, project_id)
            if request.method == "POST":
                lacking = wizard.missing_now(project, step)
                if lacking:
                    todo = " ".join(earlier.missing for earlier in lacking)
                    messages.warning(request, f"Not yet possible. {todo}")
                    return redirect_to(request, step.url_name, project.pk)
            return view(request, project, *args, **kwargs)

        return guarded

    return decorate


def start(request, starter: Callable[..., Job], **arguments) -> Job:
    """Start a job and say so; when one of its kind is active already, say that and return it."""
    try:
        job = starter(**arguments)
    except jobs.JobAlreadyActive as error:
        messages.info(request, f"{error} Its progress is below; nothing was started twice.")
        return error.job
    except Project.DoesNotExist as error:  # Deleted meanwhile.
        raise Http404 from error
    messages.success(request, f"{job.get_kind_display()}: started. You may close this page.")
    return job


def posted(request):
    """Return what a form is bound to: the POST data even when it is empty, None for a GET."""
    return request.POST if request.method == "POST" else None


def page_of(request, rows, *, size: int = PAGE_SIZES[0]):
    """Return the page that the URL asks for; the nearest one when there is no such page."""
    return Paginator(rows, size).get_page(request.GET.get("page"))

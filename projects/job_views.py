"""Pages of jobs and what polls them. A poll is the session, the user and one query more."""

from django.contrib import messages
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import trigger_client_event

from finetuneflow.lib.htmx import is_fragment_request, redirect_to, render_page
from projects import access, jobs, selectors, wizard
from projects.models import Job


@require_GET
def rail(request, project_id: int):
    """The step rail alone, as it is after a job has ended."""
    project = access.get_project(request.user, project_id)
    slug = request.GET.get("step", "")
    slug = slug if slug in wizard.BY_SLUG else ""
    return render(
        request, "partials/rail.html", {"project": project, "nav": wizard.nav(project, slug)}
    )


@require_GET
def rail_job(request, job_id: int):
    """The running work in the rail. When it has ended, the page is told to look again."""
    job = access.get_owned(Job, request.user, pk=job_id)
    response = render(request, "partials/rail_job.html", {"job": job})
    return response if job.is_active else trigger_client_event(response, "job-done")


@require_GET
def workers(request):
    return render(request, "partials/workers.html", {"missing": selectors.missing_workers()})


@require_GET
def job(request, job_id: int):
    return _job_page(request, access.get_job(request.user, job_id))


def _job_page(request, job: Job):
    """Answer with the job's fragment, or its page. An ended job tells the page to look again."""
    is_poll = is_fragment_request(request)
    context = selectors.job_context(job, is_poll=is_poll)
    if not is_poll:
        step = wizard.step_of(job)
        context |= {"project": job.project, "nav": wizard.nav(job.project, step.slug)}
        context |= {"log": selectors.log_lines(job), "step": step}
    response = render_page(request, "projects/job.html", "partials/job.html", context)
    return response if job.is_active else trigger_client_event(response, "job-done")


@require_POST
def job_cancel(request, job_id: int):
    job = access.get_job(request.user, job_id)
    jobs.request_cancel(job)
    return _after_change(request, job)


@require_POST
def job_resume(request, job_id: int):
    job = access.get_job(request.user, job_id)
    is_resumed = jobs.resume(job)
    if not is_resumed:
        messages.warning(request, "It cannot be resumed: it has ended, or another one is active.")
    response = _after_change(request, job)
    return trigger_client_event(response, "job-resumed") if is_resumed else response


def _after_change(request, job: Job) -> HttpResponse:
    if is_fragment_request(request):
        return _job_page(request, access.get_job(request.user, job.pk))
    return redirect_to(request, "projects:job", job.pk)


@require_GET
def job_log(request, job_id: int):
    """The log behind a cursor as a fragment; the whole log as text for everybody else."""
    if is_fragment_request(request):
        after = request.GET.get("after", "")
        after = int(after) if after.isdecimal() and len(after) < 19 else 0
        log = selectors.log_after(request.user, job_id, after)
        if log is None:
            raise Http404
        return render(request, "partials/log_lines.html", {"log": log})
    job = access.get_owned(Job, request.user, pk=job_id)
    return StreamingHttpResponse(selectors.log_text(job), content_type="text/plain; charset=utf-8")

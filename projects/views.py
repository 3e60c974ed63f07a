"""Pages of projects and jobs. Reading is in `selectors`, writing in `services` and `jobs`."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import trigger_client_event

from finetuneflow.lib.htmx import is_fragment_request, redirect_to, render_page
from projects import access, jobs, selectors, services, wizard
from projects.facts import facts_of
from projects.forms import ProjectForm, TaskForm
from projects.models import Job, Project
from projects.web import page_of, posted, wizard_step


@require_http_methods(["GET", "POST"])
def project_list(request):
    form = ProjectForm(posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            project = services.create_project(owner=request.user, **form.cleaned_data)
            return redirect_to(request, "projects:detail", project.pk)
        except ValidationError as error:
            form.add_error("name", error.messages)
    page = page_of(request, selectors.list_projects(request.user))
    context = {"form": form, "page": page, "rows": _rows(page.object_list)}
    return render_page(
        request,
        "projects/list.html",
        "projects/partials/list.html",
        context,
        status=422 if form.errors else 200,
    )


def _rows(projects) -> list[dict]:
    """Return for each project what the list says of it."""
    facts = facts_of(projects)
    return [
        {
            "project": project,
            "facts": facts[project.pk],
            "next": wizard.next_step(project, facts[project.pk]),
        }
        for project in projects
    ]


@require_GET
def project_detail(request, project_id: int):
    project = access.get_project(request.user, project_id)
    nav = wizard.nav(project)
    context = {
        "project": project,
        "nav": nav,
        "next": wizard.next_step(project, nav.facts),
        "jobs": selectors.recent_jobs(project),
        "ledger": selectors.request_ledger(project),
        "reasons": selectors.request_reasons(project),
    }
    return render_page(request, "projects/detail.html", "projects/partials/overview.html", context)


@require_http_methods(["GET", "POST"])
def project_delete(request, project_id: int):
    project = access.get_project(request.user, project_id)
    if request.method == "GET":
        return render(request, "projects/delete.html", {"project": project})
    try:
        services.delete_project(project=project)
    except jobs.JobAlreadyActive as error:
        messages.error(request, f"{error} Cancel it first.")
        return redirect_to(request, "projects:detail", project.pk)
    messages.success(request, f"{project.name} and its files are deleted.")
    return redirect_to(request, "projects:list")


@require_http_methods(["GET", "POST"])
@wizard_step("task")
def task(request, project: Project):
    form = TaskForm(posted(request), instance=project)
    if request.method == "POST" and form.is_valid():
        services.save_task(project=form.instance, changed=form.changed_data)
        messages.success(request, "Saved.")
        return redirect_to(request, "projects:task", project.pk)
    if form.errors:
        project.refresh_from_db()
    context = {"project": project, "form": form, "nav": wizard.nav(project, "task")}
    return render_page(
        request,
        "projects/task.html",
        "partials/form.html",
        context,
        status=422 if form.errors else 200,
    )


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
    return _job_page(request, access.get_owned(Job, request.user, pk=job_id))


def _job_page(request, job: Job):
    """Answer with the job's fragment, or its page. An ended job tells the page to look again."""
    context = selectors.job_context(job)
    if not is_fragment_request(request):
        step = wizard.step_of(job)
        context |= {"project": job.project, "nav": wizard.nav(job.project, step.slug)}
        context |= {"log": selectors.log_lines(job), "step": step}
    response = render_page(request, "projects/job.html", "partials/job.html", context)
    return response if job.is_active else trigger_client_event(response, "job-done")


@require_POST
def job_cancel(request, job_id: int):
    job = access.get_owned(Job, request.user, pk=job_id)
    jobs.request_cancel(job)
    job.refresh_from_db()
    return _after_change(request, job)


@require_POST
def job_resume(request, job_id: int):
    job = access.get_owned(Job, request.user, pk=job_id)
    if not jobs.resume(job):
        messages.warning(request, "It cannot be resumed: it has ended, or another one is active.")
    job.refresh_from_db()
    return _after_change(request, job)


def _after_change(request, job: Job) -> HttpResponse:
    if is_fragment_request(request):
        return _job_page(request, job)
    return redirect_to(request, "projects:job", job.pk)


@require_GET
def job_log(request, job_id: int):
    """The log behind a cursor as a fragment; the whole log as text for everybody else."""
    job = access.get_owned(Job, request.user, pk=job_id)
    if is_fragment_request(request):
        after = request.GET.get("after", "")
        cursor = int(after) if after.isdecimal() else 0
        lines = selectors.log_lines(job, after=cursor)
        return render(request, "partials/log_lines.html", {"log": lines})
    return StreamingHttpResponse(selectors.log_text(job), content_type="text/plain; charset=utf-8")

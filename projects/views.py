"""Pages of projects. Reading is in `dashboard` and `selectors`, writing in services."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from finetuneflow.lib.htmx import redirect_to, render_page
from projects import access, dashboard, lifecycle, selectors, services, wizard
from projects.forms import ListForm, ProjectForm, TaskForm
from projects.models import Project
from projects.task_examples import TASKS
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
    wanted = ListForm.wanted(request.GET)
    page = page_of(request, dashboard.list_projects(request.user, **wanted))
    context = {"form": form, "page": page, "rows": dashboard.rows(page.object_list)}
    context |= {
        "wanted": wanted,
        "sorts": dashboard.SORTS,
        "counts": dashboard.counts(request.user),
    }
    status = 422 if form.errors else 200
    return render_page(
        request, "projects/list.html", "projects/partials/list.html", context, status=status
    )


@require_POST
def samples(request):
    """Create a project with the sample documents and go where they are read."""
    try:
        project = lifecycle.create_samples(owner=request.user)
    except (services.FileRejected, OSError) as error:
        messages.error(request, f"The sample documents could not be added. {error}")
        return redirect_to(request, "projects:list")
    messages.success(request, "Three sample documents are added; a worker reads them now.")
    return redirect_to(request, "datasets:data", project.pk)


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
def project_rename(request, project_id: int):
    project = access.get_project(request.user, project_id)
    form = ProjectForm(posted(request), initial={"name": project.name})
    if request.method == "POST" and form.is_valid():
        lifecycle.rename(project=project, **form.cleaned_data)
        messages.success(request, "Renamed.")
        return redirect_to(request, "projects:detail", project.pk)
    status = 422 if form.errors else 200
    return render(
        request, "projects/rename.html", {"project": project, "form": form}, status=status
    )


@require_POST
def project_duplicate(request, project_id: int):
    project = access.get_project(request.user, project_id)
    try:
        copy = lifecycle.duplicate(project=project)
    except OSError as error:
        why = error.strerror or type(error).__name__
        messages.error(request, f"A file could not be copied ({why}). Nothing was duplicated.")
        return redirect_to(request, "projects:detail", project.pk)
    messages.success(
        request,
        "This is the copy: settings and documents are the same, examples and runs are not copied. "
        "Read the documents to go on.",
    )
    return redirect_to(request, "projects:detail", copy.pk)


@require_POST
def project_archive(request, project_id: int):
    project = access.get_project(request.user, project_id)
    is_archived = project.archived_at is not None
    lifecycle.set_archived(project=project, archived=not is_archived)
    text = "back in the list" if is_archived else "archived: it is kept, out of the list"
    messages.success(request, f"{project.name} is {text}.")
    return redirect_to(request, "projects:detail", project.pk)


@require_http_methods(["GET", "POST"])
def project_delete(request, project_id: int):
    project = access.get_project(request.user, project_id)
    if request.method == "GET":
        context = {"project": project, "nav": wizard.nav(project)}
        return render(request, "projects/delete.html", context)
    if lifecycle.request_deletion(project=project):
        messages.success(request, f"{project.name} and its files are deleted.")
    else:
        messages.success(request, f"{project.name} is deleted as soon as its work has stopped.")
    return redirect_to(request, "projects:list")


@require_http_methods(["GET", "POST"])
@wizard_step("task")
def task(request, project: Project):
    form = TaskForm(posted(request), instance=project)
    if request.method == "POST" and form.is_valid():
        services.save_task(project=form.instance, changed=form.changed_data)
        messages.success(request, "Saved.")
        return redirect_to(request, "projects:task", project.pk)
    status = 422 if form.errors else 200
    if form.errors:
        project.refresh_from_db()
    context = {"project": project, "form": form, "tasks": form.choices_with(TASKS)}
    context |= {"nav": wizard.nav(project, "task")}
    return render_page(
        request, "projects/task.html", "projects/partials/task_form.html", context, status=status
    )

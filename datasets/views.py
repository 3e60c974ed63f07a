"""Pages of files and the examples."""

from django.contrib import messages
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from datasets import selectors, services
from datasets.forms import ExampleFilterForm, UploadForm
from datasets.models import Example
from finetuneflow.lib.htmx import redirect_to, render_page
from projects import access, jobs, wizard
from projects import services as project_services
from projects.models import Job, Project, SourceFile
from projects.selectors import latest_job
from projects.web import page_of, posted, start, wizard_step


@require_http_methods(["GET", "POST"])
@wizard_step("data")
def data(request, project: Project):
    form = UploadForm(posted(request), request.FILES or None)
    if request.method == "POST" and form.is_valid():
        _add_files(request, project, form.cleaned_data["files"])
        return redirect_to(request, "datasets:data", project.pk)
    rows = [selectors.file_row(file) for file in selectors.files_of(project)]
    context = {"project": project, "form": form, "rows": rows}
    context |= {"nav": wizard.nav(project, "data")}
    context |= {"job": latest_job(project, Job.Kind.DOCUMENTS)}
    context |= {"unread": sum(row["file"].state == SourceFile.State.UPLOADED for row in rows)}
    return render_page(
        request,
        "datasets/data.html",
        "datasets/partials/files.html",
        context,
        status=422 if form.errors else 200,
    )


def _add_files(request, project: Project, files: list) -> None:
    """Add each file by itself: one that is refused says why, the others are taken."""
    added = 0
    for file in files:
        try:
            project_services.add_file(project=project, name=file.name, pieces=file.chunks())
            added += 1
        except project_services.FileRejected as error:
            messages.error(request, str(error))
    if added:
        messages.success(request, f"{wizard.count(added, 'file')} added. Now read the documents.")


@require_POST
@wizard_step("data")
def read_documents(request, project: Project):
    if project.files.exists():
        start(request, services.start_documents, project=project)
    else:
        messages.warning(request, "There is nothing to read. Add a document first.")
    return redirect_to(request, "datasets:data", project.pk)


@require_POST
def delete_file(request, file_id: int):
    file = access.get_owned(SourceFile, request.user, pk=file_id)
    try:
        project_services.delete_file(file=file)
        messages.success(request, f"{file.original_name} is deleted.")
    except jobs.JobAlreadyActive as error:
        messages.error(request, f"{error} Wait for its end, or cancel it first.")
    return redirect_to(request, "datasets:data", file.project_id)


@require_GET
@wizard_step("review")
def review(request, project: Project):
    form = ExampleFilterForm(request.GET, project=project)
    form.is_valid()
    examples = selectors.list_examples(project, **form.filters())
    context = {
        "project": project,
        "nav": wizard.nav(project, "review"),
        "form": form,
        "page": page_of(request, examples, size=form.page_size),
        "job": latest_job(project, Job.Kind.GENERATE),
        "Review": Example.Review,
    }
    if not request.htmx:
        context["refused"] = selectors.refused(project)
    return render_page(request, "datasets/review.html", "datasets/partials/examples.html", context)

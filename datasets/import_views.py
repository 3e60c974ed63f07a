"""Pages of a ready dataset: upload, a look at the first rows, the import and what it refused."""

from django.contrib import messages
from django.http import FileResponse, Http404
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from datasets import importing
from datasets.import_formats import COLUMNS
from datasets.import_forms import DatasetForm, MappingForm
from finetuneflow.lib.htmx import redirect_to, render_page
from projects import access, jobs, services, wizard
from projects.models import Job, Project, SourceFile
from projects.selectors import latest_job
from projects.web import posted, start, wizard_step

PAGE, FRAGMENT = "datasets/import.html", "datasets/partials/import_page.html"


@require_http_methods(["GET", "POST"])
@wizard_step("data")
def import_dataset(request, project: Project):
    form = DatasetForm(posted(request), request.FILES or None)
    if request.method == "POST" and form.is_valid():
        upload = form.cleaned_data["file"]
        try:
            file = services.add_file(
                project=project,
                name=upload.name,
                pieces=upload.chunks(),
                kind=SourceFile.Kind.DATASET,
            )
        except services.FileRejected as error:
            form.add_error("file", str(error))
        else:
            return redirect_to(request, "datasets:dataset", file.pk)
    return _page(request, project, {"form": form}, status=422 if form.errors else 200)


def _page(request, project: Project, context: dict, status: int = 200):
    context = {
        "project": project,
        "form": DatasetForm(),
        "nav": wizard.nav(project, "data"),
        "files": list(importing.dataset_files(project)),
        "job": latest_job(project, Job.Kind.IMPORT),
    } | context
    return render_page(request, PAGE, FRAGMENT, context, status=status)


@require_http_methods(["GET", "POST"])
def dataset(request, dataset_id: int):
    """One file: how its rows become examples. POST starts the import with the shown columns."""
    file = _owned(request, dataset_id)
    look = importing.look_at(file)
    is_sent = request.method == "POST"
    asked = request.POST if is_sent else request.GET
    has_columns = look.mapping is None or look.mapping.format == COLUMNS
    chosen = asked if "prompt" in asked else None
    initial = look.mapping.to_json() if look.mapping else None
    columns = MappingForm(chosen, initial=initial, columns=look.columns) if has_columns else None
    if columns is not None and columns.is_bound and columns.is_valid():
        look = importing.look_at(file, columns.mapping())
    is_wrong = bool(columns and columns.errors) or look.mapping is None
    if is_sent and not is_wrong:
        start(request, importing.start_import, file=file, mapping=look.mapping)
        return redirect_to(request, "datasets:import_dataset", file.project_id)
    project = access.get_project(request.user, file.project_id)
    context = {"file": file, "look": look, "columns": columns}
    return _page(request, project, context, status=422 if is_sent else 200)


@require_GET
def import_errors(request, dataset_id: int):
    """The refused rows of the last import, as CSV."""
    file = _owned(request, dataset_id)
    try:
        content = importing.errors_path(file).open("rb")
    except FileNotFoundError as error:
        raise Http404 from error
    return FileResponse(content, as_attachment=True, filename=f"refused-rows-{file.pk}.csv")


@require_POST
def delete_dataset(request, dataset_id: int):
    file = _owned(request, dataset_id)
    try:
        importing.delete_file(file=file)
    except jobs.JobAlreadyActive as error:
        messages.warning(request, f"{error} Wait for its end, or cancel it first.")
    else:
        messages.success(request, f"{file.original_name} is deleted. Its examples stay.")
    return redirect_to(request, "datasets:import_dataset", file.project_id)


def _owned(request, dataset_id: int) -> SourceFile:
    return access.get_owned(
        SourceFile, request.user, related=("project",), pk=dataset_id, kind=SourceFile.Kind.DATASET
    )

"""Pages of a project's documents: adding, reading, deleting them, and looking at their text."""

import re

from django.contrib import messages
from django.http import JsonResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from datasets import file_selectors, file_services, services, text_selectors
from datasets.upload_forms import EncodingForm, UploadForm
from finetuneflow.lib.htmx import redirect_to, render_page
from projects import access, jobs, wizard
from projects import services as project_services
from projects.models import Job, Project, SourceFile
from projects.selectors import latest_job
from projects.web import posted, start, wizard_step

PAGE_NUMBER = re.compile(r"[0-9]{1,6}")


@require_http_methods(["GET", "POST"])
@wizard_step("data")
def data(request, project: Project):
    form = UploadForm(posted(request), request.FILES or None)
    if request.method == "POST":
        added, refused = _add_files(project, form)
        if request.headers.get("Accept") == "application/json":
            return JsonResponse({"added": added, "refused": refused}, status=200 if added else 422)
        if not form.errors:
            _say(request, added, refused)
            return redirect_to(request, "datasets:data", project.pk)
    return render_page(
        request,
        "datasets/data.html",
        "datasets/partials/files.html",
        _context(project) | {"form": form},
        status=422 if form.errors else 200,
    )


def _context(project: Project) -> dict:
    job = latest_job(project, Job.Kind.DOCUMENTS)
    return {
        "project": project,
        "nav": wizard.nav(project, "data"),
        "documents": file_selectors.documents_of(project),
        "limits": file_selectors.upload_limits(project),
        "job": job,
        "is_resumable": job is not None and job.status in Job.RESUMABLE,
    }


def _add_files(project: Project, form: UploadForm) -> tuple[list[str], list[str]]:
    """Add each file by itself: one that is refused says why, the others are taken."""
    if not form.is_valid():
        return [], [str(text) for texts in form.errors.values() for text in texts]
    added, refused = [], []
    for file in form.cleaned_data["files"]:
        try:
            taken = project_services.add_file(project=project, name=file.name, pieces=file.chunks())
            added.append(taken.original_name)
        except project_services.FileRejected as error:
            refused.append(str(error))
    return added, refused


def _say(request, added: list[str], refused: list[str]) -> None:
    for text in refused:
        messages.error(request, text)
    if added:
        messages.success(request, f"{wizard.count(len(added), 'file')} added. Now read them.")


@require_POST
@wizard_step("data")
def add_samples(request, project: Project):
    try:
        added = file_services.add_samples(project=project)
    except project_services.FileRejected as error:
        messages.error(request, str(error))
    else:
        _say(request, [file.original_name for file in added], [])
    return redirect_to(request, "datasets:data", project.pk)


@require_POST
@wizard_step("data")
def read_documents(request, project: Project):
    if project.files.filter(kind=SourceFile.Kind.RAW_DOC).exists():
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


@require_POST
def choose_encoding(request, file_id: int):
    file = _document(request, file_id)
    form = EncodingForm(request.POST)
    if not form.is_valid():
        messages.error(request, form.errors["encoding"][0])
    else:
        _save_encoding(request, file, form.cleaned_data["encoding"])
    return redirect_to(request, "datasets:data", file.project_id)


def _save_encoding(request, file: SourceFile, encoding: str) -> None:
    try:
        changed = file_services.choose_encoding(file=file, encoding=encoding)
    except jobs.JobAlreadyActive as error:
        messages.error(request, f"{error} Wait for its end, then choose the encoding.")
        return
    if changed:
        messages.success(request, f"Saved. Read the documents to apply it to {file.original_name}.")
    else:
        messages.info(request, f"{file.original_name}: nothing has changed.")


def _document(request, file_id: int) -> SourceFile:
    return access.get_owned(SourceFile, request.user, pk=file_id, kind=SourceFile.Kind.RAW_DOC)


@require_GET
def text(request, file_id: int):
    """The text of one document, passage by passage."""
    file = _document(request, file_id)
    at = request.GET.get("at", "")
    place = text_selectors.place_of(file, int(at)) if PAGE_NUMBER.fullmatch(at) else None
    if place:
        return redirect("{}?page={}#passage-{}".format(request.path, *place))
    project = access.get_project(request.user, file.project_id)
    page, passages = text_selectors.text_page(file, request.GET.get("page"))
    context = {"project": project, "nav": wizard.nav(project, "data"), "file": file}
    context |= {"page": page, "passages": passages, "row": file_selectors.file_row(file)}
    context |= {"form": EncodingForm(initial={"encoding": file.encoding})}
    if not page.has_next():
        context["pages_behind"] = text_selectors.pages_behind(file, passages)
    return render_page(request, "datasets/text.html", "datasets/partials/text.html", context)

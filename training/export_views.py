"""Pages of what came out: the result of a run, its report, its archives."""

from django.contrib import messages
from django.http import FileResponse, Http404
from django.views.decorators.http import require_GET, require_POST

from finetuneflow.lib import storage
from finetuneflow.lib.htmx import redirect_to, render_page
from projects import access, wizard
from projects.facts import TRAINED
from projects.models import Project
from projects.web import start, wizard_step
from training import export_selectors, services
from training.models import Export, Run


@require_GET
@wizard_step("export")
def export(request, project: Project):
    context = {
        "project": project,
        "nav": wizard.nav(project, "export"),
        **export_selectors.result_page(project, request.GET.get("run", "")),
    }
    return render_page(request, "training/export.html", "training/partials/outcome.html", context)


@require_GET
def report(request, run_id: int):
    """The report as a page of its own; its text alone for htmx."""
    run = access.get_owned(Run, request.user, pk=run_id)
    context = {
        "run": run,
        "project": run.project,
        "nav": wizard.nav(run.project, "export"),
        **export_selectors.report_of(run),
    }
    return render_page(request, "training/report.html", "training/partials/report.html", context)


@require_POST
def build_export(request, run_id: int):
    run = access.get_owned(Run, request.user, pk=run_id)
    if run.job and run.job.status in TRAINED:
        start(request, services.start_export, run=run)
    else:
        messages.warning(request, "This run has not finished. Train first, then build the archive.")
    return redirect_to(request, "training:export", run.project_id)


@require_POST
def verify(request, export_id: int):
    export = _owned_export(request, export_id)
    if export.is_ready:
        start(request, services.start_verification, export=export)
    else:
        messages.warning(request, "There is no built archive to check. Build it first.")
    return redirect_to(request, "training:export", export.run.project_id)


@require_POST
def delete_export(request, export_id: int):
    export = _owned_export(request, export_id)
    if services.delete_export(export=export):
        messages.success(request, f"Archive {export_id} is deleted. The run keeps its adapter.")
    else:
        messages.warning(request, "This archive is being built or checked. Wait, or cancel that.")
    return redirect_to(request, "training:export", export.run.project_id)


def _owned_export(request, export_id: int) -> Export:
    return access.get_owned(Export, request.user, owner_path="run__project__owner", pk=export_id)


@require_GET
def download(request, export_id: int):
    """The zip, to its owner. A missing file is 404 like a missing row."""
    export = _owned_export(request, export_id)
    if not export.is_ready:
        raise Http404
    folder = services.exports_folder(export.run.project)
    try:
        file = storage.safe_path(folder, export.file_name).open("rb")
    except (storage.UnsafePath, FileNotFoundError) as error:
        raise Http404 from error
    return FileResponse(file, as_attachment=True, filename=export.file_name)

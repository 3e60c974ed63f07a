"""Pages of the preview, and starting what fills the review."""

from django.views.decorators.http import require_http_methods, require_POST

from datasets import selectors, services
from finetuneflow.lib.htmx import redirect_to, render_page
from projects import wizard
from projects.models import Job, Project
from projects.selectors import latest_job
from projects.web import start, wizard_step


@require_http_methods(["GET", "POST"])
@wizard_step("preview")
def preview(request, project: Project):
    if request.method == "POST":
        start(request, services.start_preview, project=project)
        return redirect_to(request, "datasets:preview", project.pk)
    context = {
        "project": project,
        "nav": wizard.nav(project, "preview"),
        "job": latest_job(project, Job.Kind.PREVIEW),
        "examples": selectors.preview_examples(project),
    }
    return render_page(request, "datasets/preview.html", "datasets/partials/preview.html", context)


@require_POST
@wizard_step("review")
def generate(request, project: Project):
    start(request, services.start_generation, project=project)
    return redirect_to(request, "datasets:review", project.pk)

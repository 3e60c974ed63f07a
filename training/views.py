"""The page of the hardware."""

from django.views.decorators.http import require_GET

from finetuneflow.lib.htmx import render_page
from projects import wizard
from projects.models import Project
from projects.web import wizard_step
from training import hardware as machine


@require_GET
@wizard_step("hardware")
def hardware(request, project: Project):
    context = {
        "project": project,
        "nav": wizard.nav(project, "hardware"),
        "hardware": machine.probe(refresh="refresh" in request.GET),
    }
    return render_page(
        request, "training/hardware.html", "training/partials/hardware.html", context
    )

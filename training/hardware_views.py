"""The Hardware step: what the machine has, and how to train the chosen model on it."""

from django.views.decorators.http import require_GET

from finetuneflow.lib.htmx import render_page
from projects import wizard
from projects.models import Project
from projects.web import wizard_step
from training import advice
from training import hardware as machine


@require_GET
@wizard_step("hardware")
def hardware(request, project: Project):
    found = machine.probe(refresh="refresh" in request.GET)
    nav = wizard.nav(project, "hardware")
    recommendation = advice.recommendation_for(project, nav.facts)
    context = {
        "project": project,
        "nav": nav,
        "hardware": found,
        "recommendation": recommendation,
        "bar": advice.memory_bar(recommendation) if recommendation else None,
        "measured": advice.measured_peak(project),
    }
    return render_page(
        request, "training/hardware.html", "training/partials/hardware.html", context
    )

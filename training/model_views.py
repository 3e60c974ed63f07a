"""The page of the base model and the suggestions under its field."""

from django.contrib import messages
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_http_methods

from finetuneflow.lib.htmx import is_fragment_request, redirect_to, render_page
from projects import wizard
from projects.models import Project
from projects.web import posted, wizard_step
from training import model_selectors
from training.model_forms import ModelForm


@require_http_methods(["GET", "POST"])
@wizard_step("model")
def model(request, project: Project):
    form = ModelForm(posted(request), instance=project)
    if request.method == "POST" and form.is_valid():
        form.save()
        if form.warning:
            messages.warning(request, form.warning)
        else:
            messages.success(request, f"{form.instance.base_model} is the base model now.")
        return redirect_to(request, "training:model", project.pk)
    if form.errors:
        project.refresh_from_db()
    context = _context(project, form)
    status = 422 if form.errors else 200
    page, partial = "training/model.html", "training/partials/model_form.html"
    return render_page(request, page, partial, context, status=status)


@require_GET
@wizard_step("model")
def model_search(request, project: Project):
    """Suggestions for what is typed: a list under the field, or a page of its own."""
    text = request.GET.get("base_model", "")
    found, problem = model_selectors.suggestions(text)
    context = {"project": project, "searched": text, "found": found, "problem": problem}
    if is_fragment_request(request):
        return render(request, "training/partials/model_suggestions.html", context)
    form = ModelForm(instance=project)
    return render(request, "training/model.html", _context(project, form) | context)


def _context(project: Project, form: ModelForm) -> dict:
    return {
        "project": project,
        "form": form,
        "nav": wizard.nav(project, "model"),
        "local_models": model_selectors.local_suggestions(project.base_model),
        "facts": model_selectors.model_facts(project),
    }

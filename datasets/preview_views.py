"""Pages of the Preview step, and the start of the full generation."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from datasets import preview_selectors as selectors
from datasets import services
from datasets.generation import estimate, generator, local_server
from datasets.generation.strategies import strategy_for
from datasets.models import GenerationRequest
from datasets.preview_forms import GenerationForm
from finetuneflow.lib.htmx import redirect_to, render_page
from projects import access, wizard
from projects.models import Job, Project
from projects.web import page_of, posted, start, wizard_step

CARDS_PER_PAGE = 10


@require_http_methods(["GET", "POST"])
@wizard_step("preview")
def preview(request, project: Project):
    form = GenerationForm(posted(request), project=project, strategy=strategy_for(project))
    if request.method == "POST" and form.is_valid():
        services.save_generation(project=project, changes=form.changes())
        start(request, services.start_preview, project=project)
        return redirect_to(request, "datasets:preview", project.pk)
    return render_page(
        request,
        "datasets/preview.html",
        "datasets/partials/preview.html",
        {"project": project, "form": form} | _shown(request, project),
        status=422 if form.errors else 200,
    )


def _shown(request, project: Project) -> dict:
    nav = wizard.nav(project, "preview")
    found = selectors.newest_preview(project, nav.facts.active)
    is_active = found.job is not None and found.job.is_active
    now = services.generation_settings(project)
    return {
        "nav": nav,
        "preview": found,
        "job": found.job,
        "is_active": is_active,
        "resumable": found.job is not None and found.job.status in Job.RESUMABLE,
        "generates": any(job.kind == Job.Kind.GENERATE for job in nav.facts.active),
        "page": page_of(request, selectors.preview_cards(project), size=CARDS_PER_PAGE),
        "asked": None if is_active or nav.missing else estimate.what_is_asked(project),
        "now": now,
        "host": generator.host(),
        "is_bundled": now["provider"] == generator.BUNDLED,
        "needs_key": generator.needs_key(),
        "has_bundled": local_server.is_there(),
        "was_changed": bool(found.settings) and found.settings != now,
    }


@require_GET
@wizard_step("preview")
def models(request, project: Project):
    """The names that the server lists, for the browser to suggest in the form."""
    names = generator.listed_models()
    return render(request, "datasets/partials/preview_models.html", {"models": names})


@require_GET
def reply(request, request_id: int):
    """The whole reply to one request, as the language model wrote it."""
    found = access.get_owned(
        GenerationRequest, request.user, owner_path="job__project__owner", pk=request_id
    )
    return HttpResponse(found.raw_response, content_type="text/plain; charset=utf-8")


@require_POST
@wizard_step("review")
def generate(request, project: Project):
    start(request, services.start_generation, project=project)
    return redirect_to(request, "datasets:review", project.pk)

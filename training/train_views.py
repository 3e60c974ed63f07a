"""The Train step: starting a run, following it, ending it early, comparing several."""

from django.contrib import messages
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from finetuneflow.lib.htmx import is_fragment_request, redirect_to, render_page
from projects import access, wizard
from projects.facts import Facts
from projects.models import Job, Project
from projects.selectors import log_lines
from projects.web import page_of, posted, start, wizard_step
from training import advice, run_selectors, run_settings, services
from training.models import Run
from training.train_forms import TrainingForm

RUNS_SHOWN = 10


@require_http_methods(["GET", "POST"])
@wizard_step("train")
def train(request, project: Project):
    nav = wizard.nav(project, "train")
    form = TrainingForm(posted(request), initial=_initial(request, project, nav.facts))
    if request.method == "POST" and form.is_valid():
        values = {"method": form.cleaned_data["method"]} | form.cleaned_data["overrides"]
        job = start(request, services.start_training, project=project, **values)
        return _to_run(request, job)
    page = page_of(request, run_selectors.runs_of(project), size=RUNS_SHOWN)
    context = {"project": project, "page": page, "runs": run_selectors.compare(list(page))}
    if not is_fragment_request(request) or form.errors:
        active = run_selectors.active_run(nav.facts.active)
        plan = None if active else run_selectors.plan_of(project, form.shown)
        context |= {"nav": nav, "form": form, "active": active, "plan": plan}
    status = 422 if form.errors else 200
    return render_page(
        request, "training/train.html", "training/partials/runs.html", context, status=status
    )


def _initial(request, project: Project, facts: Facts) -> dict:
    """Return the settings of the run that the address names; `ease` also applies its remedy.

    Without one: what is recommended for this model, machine and data.
    """
    number = request.GET.get("from", "")
    if not number.isdecimal():
        is_training = any(job.kind == Job.Kind.TRAIN for job in facts.active)
        is_asked = not is_fragment_request(request) and not is_training
        return advice.training_defaults(project, facts) if is_asked else {}
    run = project.runs.select_related("job").filter(pk=number).first()
    return run_settings.again_values(run, remedy="ease" in request.GET) if run else {}


def _to_run(request, job: Job):
    run = Run.objects.filter(job=job).first()
    if run is None:
        return redirect_to(request, "projects:job", job.pk)
    return redirect_to(request, "training:run", run.pk)


def _owned_run(request, run_id: int) -> Run:
    return access.get_owned(Run, request.user, related=("job", "project"), pk=run_id)


@require_GET
def run(request, run_id: int):
    """A run: its job, its numbers, its answers. The fragment is what a job's end changes."""
    run = _owned_run(request, run_id)
    context = {"run": run, "project": run.project, "settings": run_settings.setting_rows(run)}
    if run.job and run.job.is_active:
        context |= {"state": run_selectors.live_state(run), "curve": run_selectors.live_curve(run)}
    else:
        context["result"] = run_selectors.run_result(run)
    context["log"] = log_lines(run.job) if run.job else None
    if not is_fragment_request(request):
        context |= {"nav": wizard.nav(run.project, "train")}
    return render_page(request, "training/run.html", "training/partials/run.html", context)


@require_GET
def run_live(request, run_id: int):
    """The newest numbers while the run works: polled, so one query and little text."""
    run = _owned_run(request, run_id)
    context = {"run": run, "state": run_selectors.live_state(run)}
    return render(request, "training/partials/live.html", context)


@require_GET
def run_curve(request, run_id: int):
    """The thinned curve while the run works: polled, so one query and little text."""
    run = _owned_run(request, run_id)
    context = {"run": run, "curve": run_selectors.live_curve(run)}
    return render(request, "training/partials/curve.html", context)


@require_GET
def run_numbers(request, run_id: int):
    """The curve as a table: fetched when it is opened, not polled."""
    run = _owned_run(request, run_id)
    context = {"run": run} | run_selectors.numbers(run)
    if is_fragment_request(request):
        return render(request, "training/partials/numbers.html", context)
    return render(request, "training/numbers.html", context | _frame(run))


def _frame(run: Run) -> dict:
    return {"project": run.project, "nav": wizard.nav(run.project, "train")}


@require_POST
def finish(request, job_id: int):
    """End a running training at its next step and keep what it has learned."""
    job = access.get_owned(Job, request.user, related=("run",), pk=job_id)
    if services.finish_training(job=job):
        messages.success(
            request, "It ends at its next step, is measured and keeps what it has learned."
        )
    else:
        messages.info(request, "There is nothing to stop: this training does not run now.")
    return _to_run(request, job)

"""Pages of the hardware and of runs."""

from django.shortcuts import render
from django.views.decorators.http import require_GET, require_http_methods

from finetuneflow.lib.htmx import redirect_to, render_page
from projects import access, wizard
from projects.models import Job, Project
from projects.selectors import latest_job, log_lines
from projects.web import page_of, posted, start, wizard_step
from training import hardware as machine
from training import selectors, services
from training.forms import TrainingForm
from training.models import Run


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


@require_http_methods(["GET", "POST"])
@wizard_step("train")
def train(request, project: Project):
    form = TrainingForm(posted(request))
    if request.method == "POST" and form.is_valid():
        job = start(request, services.start_training, project=project, **form.cleaned_data)
        return _to_run(request, job)
    context = {
        "project": project,
        "nav": wizard.nav(project, "train"),
        "form": form,
        "page": page_of(request, selectors.runs_of(project)),
        "counts": selectors.trainable_counts(project),
        "job": latest_job(project, Job.Kind.TRAIN),
    }
    status = 422 if form.errors else 200
    return render_page(
        request, "training/train.html", "training/partials/runs.html", context, status=status
    )


def _to_run(request, job: Job):
    run = Run.objects.filter(job=job).first()
    if run is None:
        return redirect_to(request, "projects:job", job.pk)
    return redirect_to(request, "training:run", run.pk)


@require_GET
def run(request, run_id: int):
    """A run: its job, its curve, its answers. The fragment is what changes while it trains."""
    run = access.get_owned(Run, request.user, pk=run_id)
    context = {"run": run, "project": run.project, "state": selectors.run_state(run)}
    if not request.htmx:
        context |= {"nav": wizard.nav(run.project, "train")}
        context |= {"log": log_lines(run.job) if run.job else None}
    return render_page(request, "training/run.html", "training/partials/run.html", context)


@require_GET
def run_numbers(request, run_id: int):
    """The curve as a table, apart from the curve: being opened survives the next poll."""
    run = access.get_owned(Run, request.user, pk=run_id)
    context = {"run": run, "state": selectors.run_state(run)}
    return render(request, "training/partials/numbers.html", context)

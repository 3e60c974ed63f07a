"""Reading the result of a run for pages: verdict, pairs, archives, report, how to use it."""

from projects import jobs
from projects.facts import TRAINED
from projects.models import Job, Project
from training import artifacts, hub, markdown, rendering, report, services
from training.models import Export, Run
from training.run_selectors import loss_curve

ARCHIVES_SHOWN = 20
JOBS_READ = 200
PAIRS_OPEN = 3
# Ollama takes safetensors adapters of these alone (its documentation, "Importing a model").
OLLAMA_ARCHITECTURES = (
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "GemmaForCausalLM",
    "Gemma2ForCausalLM",
)


def result_page(project: Project, wanted: str = "") -> dict:
    """Return what the Export page shows, in four queries; the newest run unless one is `wanted`."""
    trained = Run.objects.filter(project=project, job__status__in=TRAINED)
    runs = list(trained.values("pk", "method", "created_at")[:ARCHIVES_SHOWN])
    if not runs:
        return {"run": None}
    named = trained.filter(pk=int(wanted)) if wanted.isdecimal() else trained[:1]
    run = named.select_related("job").first() or trained.select_related("job").first()
    run.project = project
    newest = _newest_jobs(project)
    archives = [
        _archive(export, newest.get(export.pk))
        for export in Export.objects.filter(run__project=project)[:ARCHIVES_SHOWN]
    ]
    mine = [row for row in archives if row["export"].run_id == run.pk]
    return {
        "run": run,
        "runs": runs if len(runs) > 1 else [],
        "archive": mine[0] if mine else None,
        "others": [row for row in archives if row not in mine[:1]],
        "job": next(iter(newest.values()), None),
        "curve": loss_curve(run.metrics.get("history") or []),
        "pairs": run.samples[:PAIRS_OPEN],
        "more_pairs": run.samples[PAIRS_OPEN:],
        "usage": usage_of(run),
        **numbers_of(run),
    }


def numbers_of(run: Run) -> dict:
    """Return the measured numbers of a finished run and the verdict on them."""
    before, after = run.metrics.get("baseline") or {}, run.metrics.get("final") or {}
    return {
        "before": before,
        "after": after,
        "effort": run.metrics.get("train") or {},
        "verdict": report.judge(before, after, run.dataset_stats.get("eval", 0)),
    }


def _newest_jobs(project: Project) -> dict[int, Job]:
    """Return the newest job of each export by the export's id, the newest of all first."""
    kinds = (Job.Kind.EXPORT, Job.Kind.VERIFY)
    found: dict[int, Job] = {}
    for job in Job.objects.filter(project=project, kind__in=kinds)[:JOBS_READ]:
        found.setdefault(job.params.get("export"), job)
    return found


def _archive(export: Export, job: Job | None) -> dict:
    """Return the archive with the job that works, or last worked, on it, and its state."""
    tone, state = _state(export, job)
    return {"export": export, "job": job, "tone": tone, "state": state}


def _state(export: Export, job: Job | None) -> tuple[str, str]:
    """Return (colour, words)."""
    is_active = job is not None and job.is_active
    if not export.is_ready:
        failed = "bad" if job is not None and job.status == Job.Status.FAILED else ""
        return failed, "being built" if is_active else "not built"
    if is_active:
        return "", "being checked"
    if export.verification.get("ok"):
        return "good", "verified"
    return ("bad", "not verified") if export.verification else ("warn", "not verified yet")


def usage_of(run: Run) -> dict:
    """Return the program and the Modelfile that load the adapter elsewhere."""
    model_id = str(run.config.get("base_model_id") or run.project.base_model)
    return {
        "model_id": model_id,
        "python": markdown.render("use.py.jinja", model_id=model_id).strip(),
        "ollama": architecture_of(run) in OLLAMA_ARCHITECTURES,
        "architecture": architecture_of(run),
    }


def architecture_of(run: Run) -> str:
    """Return the base model's architecture as it is known without asking anybody; "" if not."""
    model_id = str(run.config.get("base_model_id") or run.project.base_model)
    path = hub.local_path(model_id)
    if path is None:
        is_same = model_id == run.project.base_model  # Another may have been chosen since.
        return str(run.project.model_info.get("architecture", "")) if is_same else ""
    try:
        return hub.resolve(path.name).architecture
    except hub.HubError:
        return ""


def report_of(run: Run) -> dict:
    """Return {"html", "curve"} of the run's report, or {"problem"} when nothing is finished."""
    folder = services.run_folder(run)
    try:
        material = artifacts.read_material(folder, artifacts.listed(folder))
    except jobs.JobFailed as error:
        return {"problem": str(error)}
    text = report.render_report(run, material)
    return {
        "html": rendering.to_html(text),
        "curve": loss_curve(material.metrics.get("history") or []),
    }

"""The wizard is this one table. Rail, guards, next/back and the tests come from it.

A step owns no state: `is_done` asks the data. Every step can be opened at any time; one whose
earlier steps are unfinished says what is missing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django.template.defaultfilters import pluralize
from django.urls import reverse

from projects.facts import Facts, facts_of
from projects.models import Job, Project

DONE, OPEN, RUNNING, BLOCKED = "done", "open", "running", "blocked"


@dataclass(frozen=True)
class Step:
    slug: str
    title: str
    url_name: str
    finished: Callable[[Project, Facts], bool]
    describe: Callable[[Project, Facts], str]
    needs: tuple[str, ...] = ()
    missing: str = ""  # What a later step says when this one is unfinished.
    kinds: tuple[str, ...] = ()  # The jobs that work in this step.
    is_optional: bool = False
    needs_passages: bool = False  # A dataset alone, without documents, is not enough.

    def is_done(self, project: Project) -> bool:
        return self.finished(project, facts_of([project])[project.pk])


@dataclass(frozen=True)
class NavStep:
    """One step as the rail shows it. `state` and `is_current` are independent."""

    step: Step
    number: int
    url: str
    state: str
    fact: str
    is_current: bool
    job: Job | None


@dataclass(frozen=True)
class Nav:
    steps: list[NavStep]
    current: NavStep | None
    previous: NavStep | None
    next: NavStep | None
    missing: list[NavStep]
    is_running: bool
    facts: Facts


def count(number: int, noun: str, plural: str = "s") -> str:
    return f"{number:,} {noun}{pluralize(number, plural)}"


def _data(project: Project, facts: Facts) -> str:
    if not facts.files:
        return count(facts.examples, "ready example") if facts.examples else "no files yet"
    text = count(facts.files, "file")
    text += f" · {count(facts.pages, 'page')}" if facts.pages else ""
    return text + (f" · {facts.files_failed} cannot be read" if facts.files_failed else "")


def _has_dataset(facts: Facts) -> bool:
    return facts.splits["train"] > 0


def _is_ready_dataset(facts: Facts) -> bool:
    """True when the examples came from a file: there is no passage to make others from."""
    return _has_dataset(facts) and not facts.chunks


def _preview(project: Project, facts: Facts) -> str:
    found = facts.splits["preview"]
    if not found and _is_ready_dataset(facts):
        return "not needed: the dataset is ready"
    return count(found, "example") if found else "ten examples to judge by"


def _review(project: Project, facts: Facts) -> str:
    if not facts.examples:
        return "no examples yet"
    names = {"approved": "approved", "pending": "to look at", "rejected": "rejected"}
    parts = [f"{facts.reviews[key]:,} {name}" for key, name in names.items() if facts.reviews[key]]
    return " · ".join(parts)


def _train(project: Project, facts: Facts) -> str:
    return count(facts.trained, "finished run") if facts.trained else "no finished run yet"


def _export(project: Project, facts: Facts) -> str:
    return count(facts.exports, "archive") if facts.exports else "no archive yet"


STEPS: tuple[Step, ...] = (
    Step(
        "model",
        "Model",
        "training:model",
        finished=lambda project, facts: bool(project.base_model),
        describe=lambda project, facts: project.base_model or "not chosen",
        missing="Choose a base model.",
    ),
    Step(
        "task",
        "Task",
        "projects:task",
        finished=lambda project, facts: bool(project.task_type),
        describe=lambda project, facts: project.get_task_type_display(),
        missing="Choose what the model shall learn.",
    ),
    Step(
        "data",
        "Data",
        "datasets:data",
        finished=lambda project, facts: facts.chunks > 0 or _has_dataset(facts),
        describe=_data,
        missing="Add documents and read them.",
        kinds=(Job.Kind.DOCUMENTS, Job.Kind.IMPORT),
    ),
    Step(
        "preview",
        "Preview",
        "datasets:preview",
        finished=lambda project, facts: facts.splits["preview"] > 0,
        describe=_preview,
        needs=("model", "task", "data"),
        missing="Make a preview.",
        needs_passages=True,
        kinds=(Job.Kind.PREVIEW,),
    ),
    Step(
        "review",
        "Review",
        "datasets:review",
        finished=lambda project, facts: _has_dataset(facts),
        describe=_review,
        needs=("model", "task", "data"),
        missing="Generate examples.",
        kinds=(Job.Kind.GENERATE,),
    ),
    Step(
        "hardware",
        "Hardware",
        "training:hardware",
        finished=lambda project, facts: facts.runs > 0,
        describe=lambda project, facts: "what this machine can train",
        is_optional=True,
    ),
    Step(
        "train",
        "Train",
        "training:train",
        finished=lambda project, facts: facts.trained > 0,
        describe=_train,
        needs=("model", "review"),
        missing="Finish a training.",
        kinds=(Job.Kind.TRAIN,),
    ),
    Step(
        "export",
        "Export",
        "training:export",
        finished=lambda project, facts: facts.exports > 0,
        describe=_export,
        needs=("train",),
        kinds=(Job.Kind.EXPORT, Job.Kind.VERIFY),
    ),
)
BY_SLUG = {step.slug: step for step in STEPS}


def missing(project: Project, step: Step, facts: Facts) -> list[Step]:
    """Return the steps that have to be done before `step`; empty when it may begin."""
    needed = [BY_SLUG[slug] for slug in step.needs]
    lacks_passages = step.needs_passages and not facts.chunks
    return [
        earlier
        for earlier in needed
        if not earlier.finished(project, facts) or (lacks_passages and earlier.slug == "data")
    ]


def missing_now(project: Project, step: Step) -> list[Step]:
    """Return `missing` by a fresh look at the data."""
    return missing(project, step, facts_of([project])[project.pk])


def step_of(job: Job) -> Step | None:
    """Return the step that a job belongs to."""
    return next((step for step in STEPS if job.kind in step.kinds), None)


def next_step(project: Project, facts: Facts) -> Step | None:
    """Return the first step that is still to be done; None when all are."""
    spared = {"preview"} if _has_dataset(facts) else set()
    todo = (step for step in STEPS if not step.is_optional and step.slug not in spared)
    return next((step for step in todo if not step.finished(project, facts)), None)


def nav(project: Project, slug: str = "") -> Nav:
    """Return the rail of a page: all steps, where `slug` stands, and what that step still needs."""
    facts = facts_of([project])[project.pk]
    steps = [_nav_step(project, step, facts, slug) for step in STEPS]
    lacking = missing(project, BY_SLUG[slug], facts) if slug else []
    place = next((index for index, item in enumerate(steps) if item.is_current), None)
    return Nav(
        steps=steps,
        current=None if place is None else steps[place],
        previous=steps[place - 1] if place else None,
        next=steps[place + 1] if place is not None and place + 1 < len(steps) else None,
        missing=[item for item in steps if item.step in lacking],
        is_running=bool(facts.active),
        facts=facts,
    )


def _first(step: Step) -> str:
    return f"first: {step.missing[0].lower()}{step.missing[1:].rstrip('.')}"


def _nav_step(project: Project, step: Step, facts: Facts, slug: str) -> NavStep:
    job = next((job for job in facts.active if job.kind in step.kinds), None)
    lacking = missing(project, step, facts)
    fact = step.describe(project, facts)
    if job is not None:
        state, fact = (
            RUNNING,
            f"{job.percent} % · {job.message or job.get_status_display().lower()}",
        )
    elif step.finished(project, facts):
        state = DONE
    elif lacking:
        state = BLOCKED
        fact = fact if step.needs_passages and _is_ready_dataset(facts) else _first(lacking[0])
    else:
        state = OPEN
    return NavStep(
        step=step,
        number=STEPS.index(step) + 1,
        url=reverse(step.url_name, args=[project.pk]),
        state=state,
        fact=fact,
        is_current=step.slug == slug,
        job=job,
    )

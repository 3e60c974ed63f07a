"""Reading projects, their progress and their jobs for pages. Counts are grouped, never per row.

Tables of higher apps are reached by the names of their reverse relations only.
"""

from collections import Counter
from collections.abc import Iterator

from django.conf import settings
from django.db.models import Count, Max
from django.db.models.functions import Coalesce, Greatest

from projects import access, facts, queues
from projects.models import Job, JobEvent, Project

LOG_LINES = 300
OPEN_REQUESTS = ("planned", "sent", "answered")

TONES = {
    Job.Status.SUCCEEDED: "good",
    Job.Status.COMPLETED_WITH_ERRORS: "warn",
    Job.Status.INTERRUPTED: "warn",
    Job.Status.PAUSED: "warn",
    Job.Status.FAILED: "bad",
}
NEXT_ACTION = {
    Job.Status.FAILED: "Correct the cause, then press Try again: it goes on with what is there.",
    Job.Status.COMPLETED_WITH_ERRORS: "The rest is usable. Correct the cause, then start it anew.",
    Job.Status.INTERRUPTED: "Press Resume: it goes on where it stopped, nothing is done twice.",
    Job.Status.PAUSED: "Press Resume when the reason is gone: it goes on where it stopped.",
    Job.Status.CANCELLED: "A cancelled job is not resumed: start it anew.",
}
STARTED_ANEW = (Job.Status.COMPLETED_WITH_ERRORS, Job.Status.CANCELLED)


def page_count(report: dict) -> int:
    """Return the number of pages that a file's extraction report states."""
    pages = report.get("pages") or 0
    return pages if isinstance(pages, int) else len(pages)


def list_projects(user):
    """Return the user's projects, the last active first, with `.active_at`."""
    return (
        facts.with_counts(access.projects_of(user))
        .annotate(
            active_at=Greatest(
                "updated_at",
                Coalesce(Max("jobs__queued_at"), "updated_at"),
                Coalesce(Max("jobs__finished_at"), "updated_at"),
            )
        )
        .order_by("-active_at", "-pk")
    )


def latest_job(project: Project, *kinds: str) -> Job | None:
    """Return the newest job of these kinds, an active one before any other."""
    jobs = list(Job.objects.filter(project=project, kind__in=kinds)[:10])
    return next((job for job in jobs if job.is_active), jobs[0] if jobs else None)


def recent_jobs(project: Project, limit: int = 12) -> list[Job]:
    return list(Job.objects.filter(project=project)[:limit])


def job_context(job: Job) -> dict:
    """Return what `partials/job.html` shows."""
    return {
        "job": job,
        "tone": TONES.get(job.status, ""),
        "seconds_left": seconds_left(job),
        "next_action": next_action(job),
        "is_resumable": job.status in Job.RESUMABLE,
        "is_waiting": job.status in Job.WAITING,
        "is_stuck": job.status == Job.Status.QUEUED and not queues.has_worker(job.queue),
        "poll_seconds": 5 if (job.seconds or 0) > 600 else 2,
    }


def next_action(job: Job) -> str:
    """Return what a person does next about a job that ended early; empty when there is nothing."""
    action = NEXT_ACTION.get(job.status, "")
    if job.kind == Job.Kind.GENERATE and job.status in STARTED_ANEW:
        action += " A new generation asks only what was not answered before."
    return action


def seconds_left(job: Job) -> float | None:
    """Return an estimate from the pace so far; None while there is too little to judge by."""
    seconds = job.seconds or 0
    if job.status != Job.Status.RUNNING or seconds < 5 or not 0 < job.done <= job.total:
        return None
    return seconds * (job.total - job.done) / job.done


def log_lines(job: Job, *, after: int | None = None) -> dict:
    """Return the job's log after the cursor, or its last lines, and the next cursor.

    `job` must have been read before: an ended job has written its last line by then.
    """
    events = JobEvent.objects.filter(job=job).exclude(text="")
    if after is None:
        lines = list(reversed(events.order_by("-pk")[:LOG_LINES]))
    else:
        lines = list(events.filter(pk__gt=after)[:LOG_LINES])
    cursor = lines[-1].pk if lines else after or 0
    more = job.is_active or (after is not None and len(lines) == LOG_LINES)
    return {"job": job, "lines": lines, "cursor": cursor, "is_followed": more}


def log_text(job: Job) -> Iterator[str]:
    """Yield the whole log, a line at a time, as text."""
    for event in JobEvent.objects.filter(job=job).exclude(text="").iterator():
        yield f"{event.at:%Y-%m-%d %H:%M:%S}  {event.level:7}  {event.text}\n"


def missing_workers() -> list[str]:
    """Return the queues that no living worker serves."""
    served = set(queues.fresh_beats().values_list("queue", flat=True))
    return [queue for queue in settings.QUEUES if queue not in served]


def request_ledger(project: Project) -> list[dict]:
    """Return, for each kind of job, what became of its requests to the language model.

    planned = done + rejected + failed + cancelled + open.
    """
    ledger: dict[str, Counter] = {}
    for kind, state, count in _requests(project, "requests__state"):
        line = ledger.setdefault(kind, Counter())
        line["open" if state in OPEN_REQUESTS else state] += count
        line["planned"] += count
    states = ("planned", "done", "rejected", "failed", "cancelled", "open")
    return [
        {"title": kind.label} | {state: ledger[kind][state] for state in states}
        for kind in Job.Kind
        if kind in ledger
    ]


def request_reasons(project: Project) -> list[tuple[str, int]]:
    """Return why requests to the language model gave nothing, the most frequent reason first."""
    reasons: Counter = Counter()
    for _, reason, count in _requests(project, "requests__error_class"):
        if reason:
            reasons[reason.replace("_", " ")] += count
    return reasons.most_common()


def _requests(project: Project, column: str) -> list[tuple[str, str, int]]:
    """Return (kind of job, value of `column`, number of requests)."""
    grouped = Job.objects.filter(project=project).values_list("kind", column)
    rows = grouped.annotate(count=Count("requests")).order_by()
    return [row for row in rows if row[2]]

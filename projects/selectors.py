"""Reading projects, their progress and their jobs for pages. Counts are grouped, never per row.

Tables of higher apps are reached by the names of their reverse relations only.
"""

from collections import Counter
from collections.abc import Iterator

from django.conf import settings
from django.db.models import Count, F, FilteredRelation, Q
from django.utils.html import escape

from projects import access, queues
from projects.models import Job, JobEvent, Project

LOG_LINES = 300
POLL_LINES = 40
# What one poll carries, as bytes of the page: at most 3 kB with everything around it.
LOG_BYTES, LINE_BYTES, LINE_MARKUP_BYTES = 2400, 1800, 85
ERROR_BYTES, MESSAGE_BYTES = 600, 400
LONG_SECONDS = 600
NOTHING = "partials/nothing.html"
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
CANCEL_HINT = {
    Job.Kind.DOCUMENTS: "Cancel stops after the document in hand; those read before stay read.",
    Job.Kind.IMPORT: "Cancel stops the import.",
    Job.Kind.PREVIEW: "Cancel stops after the answer in hand; answers that came stay.",
    Job.Kind.GENERATE: "Cancel stops after the answers in hand; answers that came stay.",
    Job.Kind.TRAIN: "Stop and keep ends at the next step with the best weights so far; Cancel "
    "ends it without a result.",
    Job.Kind.EXPORT: "Cancel builds no archive; the run stays.",
    Job.Kind.VERIFY: "Cancel leaves the archive unverified.",
}
# Buttons of higher apps in the job's box, by the name of their template.
EXTRA_ACTIONS = {(Job.Kind.TRAIN, Job.Status.RUNNING): ["training/partials/stop.html", NOTHING]}
STARTED_ANEW = (Job.Status.COMPLETED_WITH_ERRORS, Job.Status.CANCELLED)


def page_count(report: dict) -> int:
    """Return the number of pages that a file's extraction report states."""
    pages = report.get("pages") or 0
    return pages if isinstance(pages, int) else len(pages)


def latest_job(project: Project, *kinds: str) -> Job | None:
    """Return the newest job of these kinds, an active one before any other."""
    jobs = list(Job.objects.filter(project=project, kind__in=kinds)[:10])
    return next((job for job in jobs if job.is_active), jobs[0] if jobs else None)


def recent_jobs(project: Project, limit: int = 12) -> list[Job]:
    return list(Job.objects.filter(project=project)[:limit])


def job_context(job: Job, *, is_poll: bool = False) -> dict:
    """Return what `partials/job.html` shows. A poll carries only the beginning of a long error."""
    has_worker = getattr(job, "has_worker", None)
    if has_worker is None and job.status == Job.Status.QUEUED:
        has_worker = queues.has_worker(job.queue)
    error = fitting(job.error_text, ERROR_BYTES) if is_poll else job.error_text
    return {
        "job": job,
        "tone": TONES.get(job.status, ""),
        "seconds_left": seconds_left(job),
        "message": fitting(job.message, MESSAGE_BYTES),
        "error": error,
        "is_error_cut": error != job.error_text,
        "next_action": next_action(job),
        "is_resumable": job.status in Job.RESUMABLE,
        "is_waiting": job.status in Job.WAITING,
        "is_stuck": job.status == Job.Status.QUEUED and not has_worker,
        "poll_seconds": poll_seconds(job),
        "cancel_hint": CANCEL_HINT.get(job.kind, "") if job.is_active else "",
        "extra_actions": EXTRA_ACTIONS.get((job.kind, job.status)),
    }


def poll_seconds(job: Job) -> int:
    """Return how often a page asks: less often while the job waits, and when it is a long one."""
    is_slow = job.status == Job.Status.QUEUED or (job.seconds or 0) > LONG_SECONDS
    return 5 if is_slow else 2


def fitting(text: str, limit_bytes: int) -> str:
    """Return the beginning of `text` that takes at most `limit_bytes` in a page."""
    size = 0
    for place, character in enumerate(text):
        size += len(escape(character).encode())
        if size > limit_bytes:
            return f"{text[:place].rstrip()}…"
    return text


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


def log_lines(job: Job) -> dict:
    """Return the last lines of the job's log and the cursor behind them.

    `job` must have been read before: an ended job has written its last line by then.
    """
    events = JobEvent.objects.filter(job=job).exclude(text="")
    lines = list(reversed(events.order_by("-pk")[:LOG_LINES]))
    return _log(job, lines, lines[-1].pk if lines else 0, has_more=False)


def log_after(user, job_id: int, after: int) -> dict | None:
    """Return the lines behind the cursor that fit one poll; None when it is not the user's job.

    One query: whose job it is, whether it goes on, and the lines are one look at the database.
    """
    behind = FilteredRelation("events", condition=Q(events__pk__gt=after, events__text__gt=""))
    jobs = access.jobs_of(user).filter(pk=job_id).annotate(line=behind).order_by("line__pk")
    texts = {f"line_{name}": F(f"line__{name}") for name in ("pk", "at", "level", "text")}
    found = list(jobs.annotate(**texts).only("status", "started_at", "finished_at")[:POLL_LINES])
    if not found:
        return None
    rows = [row for row in found if row.line_pk]
    lines, size = [], 0
    for row in rows:
        text = fitting(row.line_text, LINE_BYTES)
        size += len(escape(text).encode()) + LINE_MARKUP_BYTES
        if lines and size > LOG_BYTES:
            break
        lines.append({"pk": row.line_pk, "at": row.line_at, "level": row.line_level, "text": text})
    has_more = len(lines) < len(rows) or len(rows) == POLL_LINES
    return _log(found[0], lines, lines[-1]["pk"] if lines else after, has_more=has_more)


def _log(job: Job, lines: list, cursor: int, *, has_more: bool) -> dict:
    trigger = f"every {poll_seconds(job)}s" if job.is_active else ""
    if has_more:
        trigger = "load delay:300ms"
    elif job.status in Job.RESUMABLE:
        trigger = "job-resumed from:body"
    return {"job": job, "lines": lines, "cursor": cursor, "trigger": trigger}


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

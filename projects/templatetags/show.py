"""Tags and filters that all templates share."""

from datetime import datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.timesince import timesince

from projects import selectors
from projects.models import Job

register = template.Library()


@register.inclusion_tag("partials/job.html")
def show_job(job: Job) -> dict:
    """Show a job with its progress, as its own address answers it."""
    return selectors.job_context(job)


@register.inclusion_tag("partials/workers.html")
def show_workers() -> dict:
    return {"missing": selectors.missing_workers()}


@register.filter
def duration(seconds: float | None) -> str:
    """Return seconds as words with two units at most: "12 s", "4 min 10 s", "2 h 5 min"."""
    if not isinstance(seconds, int | float):
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@register.filter
def rounded_duration(seconds: float) -> str:
    """Return an estimated time without false precision: "about 40 s", "about 11 min"."""
    if seconds < 60:
        return f"about {max(10, round(seconds / 10) * 10)} s"
    if seconds < 3600:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"


@register.filter
def tone(status: str) -> str:
    """Return the colour class of a job's status."""
    return selectors.TONES.get(status, "")


@register.filter
def words(code: str) -> str:
    """Return a short code as words: "no_question_mark" as "no question mark"."""
    return str(code).replace("_", " ")


@register.filter
def number(value: int | None) -> str:
    """Return a whole number with separators; empty for None and 0."""
    return f"{value:,}" if value else ""


@register.filter
def rounded_number(value: int) -> str:
    """Return an estimated count without false precision: "870", "12,000", "1.3 million"."""
    if value >= 1_000_000:
        return f"{value / 1_000_000:.1f} million"
    step = 10 ** max(0, len(str(int(value))) - 2)
    return f"{round(value / step) * step:,}"


@register.filter
def ago(moment: datetime) -> str:
    """Return how long ago something was, to the minute."""
    if timezone.now() - moment < timedelta(minutes=1):
        return "just now"
    return f"{timesince(moment, depth=1)} ago"

"""What became of a job's requests: planned = done + rejected + failed + cancelled + open."""

from collections import Counter

from django.db.models import Count, Q, Sum

from datasets.models import Example, GenerationRequest
from projects.models import Job

State = GenerationRequest.State


def ledger(job: Job) -> dict[str, int]:
    """Return the six numbers, derived by one query."""
    ends = (State.DONE, State.REJECTED, State.FAILED, State.CANCELLED)
    return GenerationRequest.objects.filter(job=job).aggregate(
        planned=Count("pk"),
        **{str(state): Count("pk", filter=Q(state=state)) for state in ends},
        open=Count("pk", filter=Q(state__in=GenerationRequest.OPEN)),
    )


def summary(job: Job) -> dict:
    """Return ledger, reasons, examples kept, duplicates dropped and tokens, for `Job.result`."""
    rows = GenerationRequest.objects.filter(job=job)
    reasons: Counter = Counter()
    for rejected in rows.exclude(rejected=[]).values_list("rejected", flat=True).iterator():
        reasons.update(item["reason"] for item in rejected)
    errors = rows.filter(state=State.FAILED).values_list("error_class").annotate(Count("pk"))
    sums = rows.aggregate(tokens_in=Sum("tokens_in"), tokens_out=Sum("tokens_out"))
    return {
        "ledger": ledger(job),
        "reasons": dict(reasons.most_common()),
        "errors": dict(errors),
        "examples": Example.objects.filter(request__job=job).count(),
        "duplicates": reasons["duplicate"],
        "tokens_in": sums["tokens_in"] or 0,
        "tokens_out": sums["tokens_out"] or 0,
    }

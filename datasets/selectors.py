"""Reading files and examples for pages."""

from collections import Counter

from django.db.models import Count

from datasets.models import GenerationRequest
from projects.models import Job, Project, SourceFile


def files_of(project: Project):
    """Return the project's files with the number of their `passages`."""
    return SourceFile.objects.filter(project=project).annotate(passages=Count("chunks"))


def refused(project: Project, *, limit: int = 200) -> dict:
    """Return why replies or parts of them were not taken, in the newest generation.

    `reasons` are counted over the whole job; `items` are the first `limit` of them.
    """
    newest = Job.objects.filter(project=project, kind=Job.Kind.GENERATE).values("pk")[:1]
    reasons: Counter = Counter()
    items: list[dict] = []
    requests = GenerationRequest.objects.filter(job__in=newest).exclude(rejected=[])
    for pk, rejected in requests.values_list("pk", "rejected").iterator():
        for item in rejected:
            reasons[reason_of(item)] += 1
            if len(items) < limit:
                items.append({"request": pk, "reason": reason_of(item), "text": text_of(item)})
    return {"reasons": reasons.most_common(), "items": items, "total": reasons.total()}


def reason_of(item) -> str:
    """Return the reason in words; an item of an unknown form still counts."""
    reason = item.get("reason") if isinstance(item, dict) else None
    return str(reason or "unknown").replace("_", " ")


def text_of(item) -> str:
    """Return what was refused, shortened, whatever its form."""
    if not isinstance(item, dict):
        return str(item)[:300]
    return " — ".join(str(v) for k, v in item.items() if k != "reason" and v)[:300]

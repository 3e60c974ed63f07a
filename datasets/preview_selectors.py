"""Reading what the Preview step shows of a preview: its examples, and what was not taken."""

from collections import Counter
from dataclasses import dataclass

from django.db.models import F
from django.db.models.functions import Length, Substr

from datasets.models import Example, GenerationRequest
from datasets.selectors import reason_of
from projects.models import Job, Project

MOST_EXAMPLES = 200
MOST_REPLIES = 40
REPLY_CHARACTERS = 2000
AROUND_EVIDENCE = 160
# Columns of a request beside those of its job; both come in one query.
COLUMNS = ("pk", "state", "params", "rejected", "error_class", "error_text", "chunk__first_page")
ENDS = {
    "done": "gave examples",
    "rejected": "gave nothing usable",
    "failed": "failed",
    "cancelled": "not needed",
    "open": "still open",
}


@dataclass(frozen=True)
class Preview:
    """The newest preview of a project. `rows` are its requests."""

    job: Job | None
    rows: list

    @property
    def settings(self) -> dict:
        return (self.job.params.get("settings") or {}) if self.job else {}

    @property
    def ledger(self) -> list[tuple[int, str]]:
        """Return (number, what became of them) of the requests; empty ends are left out."""
        open_states = GenerationRequest.OPEN
        ends = Counter(
            "open" if row.request_state in open_states else row.request_state for row in self.rows
        )
        return [(ends[end], words) for end, words in ENDS.items() if ends[end]]

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Return why replies, or parts of them, were not taken, the most frequent first."""
        found = Counter(reason_of(item) for row in self.rows for item in row.request_rejected)
        found.update(
            row.request_error_class.replace("_", " ")
            for row in self.rows
            if row.request_state == GenerationRequest.State.FAILED
        )
        return found.most_common()

    @property
    def replies(self) -> list[dict]:
        """Return the requests that gave less than they should, with the reply as it came."""
        failed = GenerationRequest.State.FAILED
        rows = [row for row in self.rows if row.request_rejected or row.request_state == failed]
        return [_reply(row) for row in rows[:MOST_REPLIES]]


def newest_preview(project: Project, active: list[Job]) -> Preview:
    """Return the preview under way, or the newest, by one query.

    `active` are the project's active jobs: one that was resumed may be older than the newest.
    """
    running = next((job for job in active if job.kind == Job.Kind.PREVIEW), None)
    previews = Job.objects.filter(project=project, kind=Job.Kind.PREVIEW)
    newest = [running.pk] if running else previews.order_by("-pk").values("pk")[:1]
    rows = (
        Job.objects.filter(pk__in=newest)
        .annotate(
            **{f"request_{name.replace('__', '_')}": F(f"requests__{name}") for name in COLUMNS},
            request_reply=Substr("requests__raw_response", 1, REPLY_CHARACTERS),
            request_length=Length("requests__raw_response"),
        )
        .order_by("requests__pk")
    )
    found = list(rows)
    return Preview(found[0] if found else None, [row for row in found if row.request_pk])


def preview_cards(project: Project) -> list[dict]:
    """Return the preview's examples, each with its passage around the evidence; one query."""
    examples = Example.objects.filter(project=project, split=Example.Split.PREVIEW)
    examples = examples.exclude(review=Example.Review.DELETED).select_related("chunk__file")
    return [{"example": example} | _passage(example) for example in examples[:MOST_EXAMPLES]]


def _passage(example: Example) -> dict:
    """Return the passage in three parts, whole and cut to the surroundings of the evidence."""
    text = example.chunk.text if example.chunk else ""
    start, end = example.evidence_start, example.evidence_end
    if not text or start is None or end is None or not 0 <= start < end <= len(text):
        return {"before": "", "marked": "", "after": "", "text": text}
    before, after = text[:start], text[end:]
    return {
        "before": _last_words(before),
        "marked": text[start:end],
        "after": _first_words(after),
        "whole_before": before,
        "whole_after": after,
        "text": text,
    }


def _last_words(text: str) -> str:
    if len(text) <= AROUND_EVIDENCE:
        return text
    return "… " + text[-AROUND_EVIDENCE:].partition(" ")[2]


def _first_words(text: str) -> str:
    if len(text) <= AROUND_EVIDENCE:
        return text
    return text[:AROUND_EVIDENCE].rpartition(" ")[0] + " …"


def _reply(row) -> dict:
    """Return one request for the list of what was not taken."""
    items = [
        {
            "reason": reason_of(item),
            "text": str(item.get("text", "")) if isinstance(item, dict) else "",
        }
        for item in row.request_rejected
    ]
    params = row.request_params or {}
    return {
        "pk": row.request_pk,
        "items": items,
        "error": row.request_error_text,
        "about": params.get("sentence", ""),
        "page": row.request_chunk_first_page,
        "reply": row.request_reply,
        "is_cut": (row.request_length or 0) > REPLY_CHARACTERS,
        "length": row.request_length or 0,
    }

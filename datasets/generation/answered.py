"""What earlier generations of a project have answered: starting again pays for nothing twice."""

import json

from django.db.models import Exists, OuterRef

from datasets.models import Example, GenerationRequest
from projects.models import Job

State = GenerationRequest.State
# What became of a request, as opposed to what it asks.
_NOT_ASKED = ("model", "first_error", "first_reply")

Key = tuple[int, str, str, str | None, str]


def key_of(row: GenerationRequest, model: str | None) -> Key:
    """Return what makes two requests to `model` the same: passage, words of the prompt, choice."""
    return _key(row.chunk_id, row.strategy, row.prompt_version, row.params, model)


def answered_keys(job: Job) -> set[Key]:
    """Return the keys of what earlier generations asked and read to the end, by one query.

    A request whose examples were all deleted does not count; refused replies count unless no
    example at all came out. Failed and cancelled requests are to be asked again.
    """
    rows = (
        GenerationRequest.objects.filter(
            job__project=job.project, job__kind=Job.Kind.GENERATE, chunk__isnull=False
        )
        .filter(state__in=(State.DONE, State.REJECTED))
        .exclude(job=job)
        .annotate(has_examples=Exists(Example.objects.filter(request=OuterRef("pk"))))
        .values_list("has_examples", "state", "chunk", "strategy", "prompt_version", "params")
    )
    keys, gave_any = set(), False
    for has_examples, state, *what, params in rows.iterator():
        gave_any = gave_any or has_examples
        if has_examples or state == State.REJECTED:
            keys.add(_key(*what, params, params.get("model")))
    return keys if gave_any else set()


def _key(chunk: int, strategy: str, version: str, params: dict, model: str | None) -> Key:
    asked = {name: value for name, value in params.items() if name not in _NOT_ASKED}
    return chunk, strategy, version, model, json.dumps(asked, sort_keys=True)

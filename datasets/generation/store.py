"""Keeping what a reply holds: examples and the request's end in one transaction."""

import hashlib
import unicodedata

from django.db import IntegrityError, transaction

from datasets.documents import tokenizer_path
from datasets.generation.parse import ExampleDraft, ParsedReply
from datasets.generation.strategies import locate
from datasets.models import Example, GenerationRequest
from finetuneflow.lib import tokens
from projects.models import Project

State = GenerationRequest.State
DUPLICATE = "duplicate"
ENOUGH = "enough examples"


def fingerprint(prompt: str, context: str, completion: str) -> str:
    """Return the SHA-256 of an example; case, blanks and the form of characters do not count."""
    parts = (
        " ".join(unicodedata.normalize("NFKC", part).casefold().split())
        for part in (prompt, context, completion)
    )
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()


def token_counter(project: Project):
    """Return the counter of the project's base model, or the best there is without it."""
    return tokens.counter_for(tokenizer_path(project))


def count_tokens(counter, prompt: str, context: str, completion: str) -> int:
    """Return the tokens of an example's texts, without a chat template."""
    return counter.count(f"{prompt}\n{context}\n{completion}")


def settle(
    request: GenerationRequest, parsed: ParsedReply, *, project: Project, counter, split: str, room
) -> int:
    """Move answered -> done or rejected with its examples; return how many were kept.

    `room` is how many more are wanted, None for any number. Does nothing to a request that another
    process has settled.
    """
    rejected, kept = list(parsed.rejected), 0
    with transaction.atomic():
        rows = GenerationRequest.objects.filter(pk=request.pk, state=State.ANSWERED)
        if not rows.update(state=State.DONE):
            return 0
        for draft in parsed.examples:
            reason = ENOUGH if room is not None and kept >= room else ""
            reason = reason or _insert(request, draft, project, counter, split)
            kept += not reason
            if reason:
                rejected.append({"text": draft.prompt, "reason": reason})
        GenerationRequest.objects.filter(pk=request.pk).update(
            state=State.DONE if kept else State.REJECTED,
            rejected=rejected,
            error_class=parsed.error_class if not kept else "",
        )
    return kept


def _insert(
    request: GenerationRequest, draft: ExampleDraft, project: Project, counter, split: str
) -> str:
    """Insert the example; return why not, or an empty text."""
    place = locate(draft.evidence, request.chunk.text) if draft.evidence else None
    if "start" in request.params:
        place = request.params["start"], request.params["end"]
    start, end = place or (None, None)
    example = Example(
        project=project,
        chunk_id=request.chunk_id,
        request=request,
        prompt=draft.prompt,
        context=draft.context,
        completion=draft.completion,
        evidence=draft.evidence,
        evidence_start=start,
        evidence_end=end,
        token_count=count_tokens(counter, draft.prompt, draft.context, draft.completion),
        split=split,
        flags=draft.flags,
        fingerprint=fingerprint(draft.prompt, draft.context, draft.completion),
    )
    try:
        with transaction.atomic():
            example.save(force_insert=True)
    except IntegrityError:
        return DUPLICATE
    return ""

"""Editing examples by hand. The first original stays, and no two examples become the same."""

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from datasets.generation import store, texts
from datasets.models import Example

FIELDS = ("prompt", "context", "completion")


def edit_example(*, example: Example, prompt: str, context: str, completion: str) -> Example:
    """Store the new texts with their fingerprint and token count; return the stored example.

    `original` keeps the texts before the first edit. Raises `ValidationError` when the prompt or
    the completion is empty, or another example of the project's dataset (or preview) has the texts.
    """
    values = _cleaned(prompt, context, completion)
    try:
        with transaction.atomic():
            stored = Example.objects.select_for_update().get(pk=example.pk)
            check_edit(example=stored, **values)
            before = {name: getattr(stored, name) for name in FIELDS}
            if before != values:
                _store(stored, before, values)
    except IntegrityError:
        raise _duplicate() from None
    return stored


def restore_original(*, example: Example) -> Example:
    """Give the example the texts it was written with; raises `ValidationError` as an edit does."""
    if not example.original:
        return example
    stored = edit_example(example=example, **{n: example.original[n] for n in FIELDS})
    stored.original = {}
    stored.save(update_fields=["original"])
    return stored


def check_edit(*, example: Example, prompt: str, context: str, completion: str) -> None:
    """Raise `ValidationError` if `edit_example` would."""
    values = _cleaned(prompt, context, completion)
    if not (values["prompt"] and values["completion"]):
        raise ValidationError("An example needs a prompt and a completion. Fill in both.")
    others = Example.objects.filter(
        project_id=example.project_id, fingerprint=store.fingerprint(**values)
    ).exclude(pk=example.pk)
    preview = Example.Split.PREVIEW
    is_preview = example.split == preview
    others = others.filter(split=preview) if is_preview else others.exclude(split=preview)
    if others.exists():
        raise _duplicate()


def _store(example: Example, before: dict[str, str], values: dict[str, str]) -> None:
    for name, value in values.items():
        setattr(example, name, value)
    example.original = example.original or before
    example.fingerprint = store.fingerprint(**values)
    example.token_count = store.count_tokens(store.token_counter(example.project), **values)
    example.save(update_fields=[*FIELDS, "original", "fingerprint", "token_count"])


def _cleaned(prompt: str, context: str, completion: str) -> dict[str, str]:
    given = {"prompt": prompt, "context": context, "completion": completion}
    return {name: texts.clean(text).strip() for name, text in given.items()}


def _duplicate() -> ValidationError:
    return ValidationError(
        "The project has an example with these texts already. "
        "Change the texts, or reject one of the two."
    )

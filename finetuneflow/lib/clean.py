"""Making untrusted text and numbers storable: what one of the databases refuses is replaced."""

import math

from finetuneflow.lib.logs import mask, mask_known


def storable(value: str) -> str:
    """Return `value` with NUL and lone surrogates replaced, and keys of ours, but no other words.

    For what people wrote; a word of theirs that looks like a key stays.
    """
    value = mask_known(value)
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def text(value: str, limit: int | None = None) -> str:
    """Return `value` storable, with keys masked, cut to `limit`: for logs and errors."""
    return storable(mask(value))[:limit]


def json_value(value, *, clean_text=text):
    """Return `value` with its strings as by `clean_text` and None for NaN and infinity.

    JSON has no NaN: SQLite's check and PostgreSQL's type refuse the whole row because of one.
    """
    if isinstance(value, dict):
        return {
            clean_text(str(key)): json_value(item, clean_text=clean_text)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [json_value(item, clean_text=clean_text) for item in value]
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

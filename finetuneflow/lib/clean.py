"""Making untrusted text and numbers storable: what one of the databases refuses is replaced."""

import math

from finetuneflow.lib.logs import mask


def text(value: str, limit: int | None = None) -> str:
    """Return `value` with keys masked, NUL and lone surrogates replaced, cut to `limit`."""
    value = mask(value).replace("\0", "\ufffd")
    return value.encode("utf-8", "replace").decode("utf-8")[:limit]


def json_value(value):
    """Return `value` with its strings as by `text` and None for NaN and infinity.

    JSON has no NaN: SQLite's check and PostgreSQL's type refuse the whole row because of one.
    """
    if isinstance(value, dict):
        return {text(str(key)): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

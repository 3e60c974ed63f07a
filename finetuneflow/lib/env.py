"""Strict readers for environment variables: a wrong value stops the start and names it."""

import math
import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def text(name: str, default: str = "") -> str:
    """Return the variable stripped of blanks; an empty value counts as unset."""
    return os.environ.get(name, "").strip() or default


def secret(name: str, default: str = "") -> str:
    """Return `name`, or the content of the file that `name`_FILE points to (Docker secrets).

    An empty file is refused: falling back to the default would hide a secret that is missing.
    """
    path = text(f"{name}_FILE")
    if not path or text(name):
        return text(name, default)
    try:
        value = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{name}_FILE: cannot read {path!r}: {error}") from None
    if not value:
        raise ImproperlyConfigured(f"{name}_FILE: the file {path!r} is empty.")
    return value


def boolean(name: str, default: bool) -> bool:
    value = text(name).lower()
    if not value:
        return default
    if value in _TRUE | _FALSE:
        return value in _TRUE
    raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")


def integer(name: str, default: int, *, minimum: int = 0, maximum: int | None = None) -> int:
    return int(_number(name, default, int, minimum, maximum))


def number(
    name: str, default: float, *, minimum: float = 0.0, maximum: float | None = None
) -> float:
    return _number(name, default, float, minimum, maximum)


def choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = text(name, default)
    if value not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
    return value


def words(name: str, default: str = "") -> list[str]:
    """Return a comma-separated list without empty items."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def _number(name, default, kind, minimum, maximum):
    raw = text(name)
    if not raw:
        return default
    wanted = "a whole number" if kind is int else "a number"
    try:
        value = kind(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be {wanted}, not {raw!r}.") from None
    if not math.isfinite(value):
        raise ImproperlyConfigured(f"{name} must be {wanted}, not {raw!r}.")
    if value < minimum or (maximum is not None and value > maximum):
        upper = f" and at most {maximum}" if maximum is not None else ""
        raise ImproperlyConfigured(f"{name} must be at least {minimum}{upper}, not {value}.")
    return value

"""The `json_repair` package behind bounds: one failed candidate at a time, never a whole reply.

The package keeps truncated values as if they were complete and may need seconds for brackets in
prose. Callers decide what is a candidate; size and time are limited here.
"""

import sys
import time
from contextlib import contextmanager
from typing import Any

import json_repair

MAX_CHARACTERS = 20_000
MAX_SECONDS = 1.0


class CannotRepair(ValueError):
    """The candidate cannot be read as JSON within the limits; the text says why."""


def repair(candidate: str, *, max_seconds: float = MAX_SECONDS) -> Any:
    """Return the value that `candidate` was meant to be; raises `CannotRepair`."""
    if len(candidate) > MAX_CHARACTERS:
        raise CannotRepair(f"longer than {MAX_CHARACTERS} characters")
    try:
        with _deadline(max_seconds):
            value = json_repair.loads(candidate, skip_json_loads=True, strict=True)
    except TimeoutError:
        raise CannotRepair(f"took longer than {max_seconds:g} s") from None
    except (ValueError, RecursionError, IndexError, KeyError, TypeError) as error:
        raise CannotRepair(str(error) or type(error).__name__) from error
    if value in ("", None):
        raise CannotRepair("no JSON value in it")
    return value


@contextmanager
def _deadline(seconds: float):
    """Raise TimeoutError in this thread once the time is up, checked at every function call.

    A profile hook reaches a pure-Python parser in any thread and needs no second process.
    """
    end = time.monotonic() + seconds

    def check(frame, event, argument) -> None:
        if time.monotonic() > end:
            raise TimeoutError

    previous = sys.getprofile()
    sys.setprofile(check)
    try:
        yield
    finally:
        sys.setprofile(previous)

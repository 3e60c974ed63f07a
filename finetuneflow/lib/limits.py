"""Which views cost more than a page, and how often in a minute one person may send to them.

The middleware looks every POST up here, so no view has to remember it. How many are allowed is
`LIMITS_PER_MINUTE` in the settings.
"""

import time

from django.conf import settings
from django.core.cache import cache

GROUPS = {
    "login": ("login", "welcome", "account", "admin:login", "admin:password_change"),
    "upload": ("datasets:data", "datasets:add_samples", "datasets:import_dataset"),
    "preview": ("datasets:preview",),
    "start": (
        "datasets:read",
        "datasets:generate",
        "datasets:dataset",
        "training:train",
        "training:build_export",
        "training:verify",
        "projects:samples",
        "projects:duplicate",
        "projects:job_resume",
    ),
}
GROUP_OF = {view: group for group, views in GROUPS.items() for view in views}
TOO_MANY = {
    "login": "There were too many attempts to sign in or to change a password",
    "upload": "There were too many uploads",
    "preview": "There were too many previews",
    "start": "Too many jobs were started",
}


def seconds_to_wait(group: str, who, limit: int) -> int | None:
    """Count one more request of `who`; return the seconds to wait when it is one too many.

    Counts live in the process's memory: with several web processes the limit is per process.
    """
    minute, second = divmod(int(time.time()), 60)
    if limit and _count(f"rate:{group}:{who}:{minute}") > limit:
        return 60 - second
    return None


def _count(key: str) -> int:
    """Count one more request under `key`, which lives for a minute."""
    cache.add(key, 0, 60)
    try:
        return cache.incr(key)
    except ValueError:  # The minute ended between the two calls.
        return 1


def sentence(group: str, seconds: int) -> str:
    what = TOO_MANY.get(group, "There were too many requests")
    unit = "second" if seconds == 1 else "seconds"
    todo = f"wait {seconds} {unit}, then try again"
    return f"{what} within a minute. This one was not carried out: {todo}."


def limit_of(group: str) -> int:
    return settings.LIMITS_PER_MINUTE[group]

"""What the administrator wants to know of the installation, read in a handful of queries."""

import platform
import re
import shutil
from functools import cache
from importlib import metadata
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.cache import cache as memory
from django.core.checks import run_checks
from django.db import connection
from django.db.models import Count, Min, Q
from django.utils import timezone
from django_q.models import OrmQ

from finetuneflow.lib import storage
from projects import queues
from projects.models import Job, WorkerBeat

QUEUE_TITLES = {
    "default": "Documents, examples and exports",
    "gpu": "Training",
}
PACKAGES = {
    "Django": "django",
    "django-q2": "django-q2",
    "PyTorch": "torch",
    "Transformers": "transformers",
    "TRL": "trl",
    "PEFT": "peft",
    "bitsandbytes": "bitsandbytes",
}
KEPT_SECONDS = 60


def report() -> dict:
    """Return everything the status page shows; at most six queries."""
    beats = list(WorkerBeat.objects.order_by("queue", "name"))
    found = {
        "queues": queue_rows(beats),
        "workers": worker_rows(beats),
        "database": database(),
        "disk": disk(),
        "versions": versions(),
    }
    found["problems"] = problems(found)
    return found


def queue_rows(beats: list[WorkerBeat]) -> list[dict]:
    """Return, for each queue, what waits and runs, since when, and how it stands in words."""
    waiting = Q(status=Job.Status.QUEUED, cancel_requested=False)
    counted = Job.objects.filter(status__in=Job.ACTIVE).order_by().values("queue")
    counts = {
        row["queue"]: row
        for row in counted.annotate(
            waiting=Count("pk", filter=waiting),
            running=Count("pk", filter=Q(status=Job.Status.RUNNING)),
            oldest=Min("queued_at", filter=waiting),
        )
    }
    entries = dict(OrmQ.objects.order_by().values_list("key").annotate(Count("pk")))
    nothing = {"waiting": 0, "running": 0, "oldest": None}
    alive = {beat.queue for beat in beats if _is_fresh(beat)}
    rows = []
    for name, title in QUEUE_TITLES.items():
        row = nothing | counts.get(name, {}) | {"name": name, "title": title}
        row["entries"] = entries.get(name, 0)
        row["tone"], row["state"] = _queue_state(row, name in alive)
        rows.append(row)
    return rows


def _queue_state(row: dict, has_worker: bool) -> tuple[str, str]:
    if not has_worker:
        return "bad", "no worker"
    is_free = row["running"] < queues.worker_count(row["name"])
    if row["oldest"] and is_free and timezone.now() - row["oldest"] > queues.STALL_LIMIT:
        return "bad", "stalled"
    return "good", "working" if row["running"] else "ready"


def worker_rows(beats: list[WorkerBeat]) -> list[dict]:
    titles = QUEUE_TITLES | {queues.RECONCILER: "Repairs after crashes"}
    return [
        {"beat": beat, "title": titles.get(beat.queue, beat.queue), "is_alive": _is_fresh(beat)}
        for beat in beats
    ]


def _is_fresh(beat: WorkerBeat) -> bool:
    return timezone.now() - beat.beat_at < queues.BEAT_LIMIT


def database() -> dict:
    """Return kind, version, place (no password) and size in bytes of the database."""
    values = connection.settings_dict
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SHOW server_version")
            version = cursor.fetchone()[0]
            cursor.execute("SELECT pg_database_size(current_database())")
            size = cursor.fetchone()[0]
            place = f"{values['NAME']} on {values['HOST'] or 'this machine'}"
            return {"kind": "PostgreSQL", "version": version, "place": place, "size": size}
        cursor.execute("SELECT sqlite_version()")
        version = cursor.fetchone()[0]
    path = Path(values["NAME"])
    parts = [path, path.with_name(f"{path.name}-wal")]
    size = sum(part.stat().st_size for part in parts if part.is_file())
    return {"kind": "SQLite", "version": version, "place": str(path), "size": size}


def disk() -> dict:
    """Return the data folder's place and the use of its disk, in bytes."""
    usage = shutil.disk_usage(settings.DATA_DIR)
    return {
        "folder": settings.DATA_DIR,
        "total": usage.total,
        "used": usage.total - usage.free,
        "free": usage.free,
        "percent": round(100 * (usage.total - usage.free) / usage.total),
        "is_full": usage.free < settings.MIN_FREE_BYTES,
        "minimum": settings.MIN_FREE_BYTES,
        "folders": [
            {"title": title, "path": path, "size": _size(path)}
            for title, path in {
                "Projects": settings.PROJECTS_DIR,
                "Base models": settings.MODELS_DIR,
            }.items()
        ],
    }


def _size(folder: Path) -> int:
    """Return the bytes below `folder`; walking many files takes a while, so kept for a minute."""
    return memory.get_or_set(
        f"size:{folder}", lambda: storage.folder_size(folder), timeout=KEPT_SECONDS
    )


def versions() -> list[tuple[str, str]]:
    """Return (name, version) of what this process has; the training stack is never imported."""
    found = [("FineTuneFlow", settings.VERSION), ("Python", platform.python_version())]
    found += [(title, _version(package)) for title, package in PACKAGES.items()]
    return [*found, ("htmx", _htmx_version())]


@cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


@cache
def _htmx_version() -> str:
    script = Path(finders.find("django_htmx/htmx-2.js")).read_text(encoding="utf-8")
    stated = re.search(r"""version:\s*["']([\d.]+)""", script)
    return stated[1] if stated else ""


def problems(found: dict) -> list[dict]:
    """Return what is wrong: each a sentence, and the command that helps when there is one."""
    lines = [_queue_problem(row) for row in found["queues"] if row["tone"] == "bad"]
    alive = {row["beat"].queue for row in found["workers"] if row["is_alive"]}
    if queues.RECONCILER not in alive:
        text = "Nothing repairs jobs after a crash. Start the reconciler:"
        lines.append({"text": text, "command": "python manage.py reconcile"})
    if found["disk"]["is_full"]:
        least = storage.shown_size(settings.MIN_FREE_BYTES)
        text = f"Less than {least} are free, so nothing can be stored. "
        text += "Delete projects or archives, or move the data folder to a larger disk."
        lines.append({"text": text})
    return lines + [{"text": f"{check.msg} {check.hint or ''}"} for check in _checks()]


def _queue_problem(row: dict) -> dict:
    if row["state"] == "stalled":
        text = "a job waits although a worker is free. The worker restarts itself within half a "
        return {"text": f"{row['title']}: {text}minute; if this stays, restart it by hand."}
    text = f"{row['title']}: no worker is running, so jobs wait. Start it:"
    return {"text": text, "command": f"python manage.py worker --queue {row['name']}"}


def _checks() -> list:
    """Return Django's own findings about the settings, kept for a minute."""
    return memory.get_or_set(
        "failing-checks",
        lambda: [check for check in run_checks() if not check.is_silenced()],
        timeout=KEPT_SECONDS,
    )

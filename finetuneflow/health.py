"""GET /health: can this installation serve, and do its queues move? No login, no secrets."""

from functools import cache

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import JsonResponse
from django.views.decorators.http import require_safe

from finetuneflow.lib import storage
from projects import queues


class PendingMigrations(Exception):
    """The database is older than the code: `manage.py setup` has not run."""


@require_safe
@login_not_required
def health(request) -> JsonResponse:
    """Answer 200 when pages can be served, 503 with the failing part otherwise.

    A missing or stalled worker makes the status "degraded", still 200: the pages work, and
    restarting the web process would not bring the worker back.
    """
    report = {"status": "ok", "version": settings.VERSION, "failing": []}
    report |= _database(report["failing"])
    report["disk_free_bytes"] = _disk(report["failing"])
    if report["failing"]:
        report["status"] = "failing"
        return JsonResponse(report, status=503)
    del report["failing"]
    report["queue"] = {queue: queues.state(queue) for queue in settings.QUEUES}
    report["reconciler"] = "ok" if queues.has_worker(queues.RECONCILER) else "missing"
    if report["reconciler"] != "ok" or any(q["worker"] != "ok" for q in report["queue"].values()):
        report["status"] = "degraded"
    return JsonResponse(report)


def _database(failing: list[str]) -> dict:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        _require_migrations()
    except (DatabaseError, InterfaceError):
        failing.append("db")
        return {"db": "unreachable"}
    except PendingMigrations:
        failing.append("migrations")
    return {"db": "connected"}


@cache
def _require_migrations() -> None:
    """Raise `PendingMigrations` until none is left; then the process need not look again.

    Only success is remembered: reading the whole graph at every call would be dear.
    """
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise PendingMigrations


def _disk(failing: list[str]) -> int | None:
    try:
        free = storage.free_bytes(settings.DATA_DIR)
    except OSError:
        failing.append("data_folder")
        return None
    if free < settings.MIN_FREE_BYTES:
        failing.append("disk")
    return free

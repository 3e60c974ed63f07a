"""GET /health and `manage.py health`: true about what works, silent about secrets."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from finetuneflow import health
from projects import queues
from projects.models import WorkerBeat

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]


def start_all() -> None:
    for name in (*settings.QUEUES, queues.RECONCILER):
        queues.beat(name, pid=1)


def test_it_needs_no_login_and_says_what_is_connected(client):
    start_all()
    answer = client.get("/health")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["db"], body["reconciler"]) == ("ok", "connected", "ok")
    assert body["queue"]["gpu"]["worker"] == "ok"
    assert body["disk_free_bytes"] > 0


def test_a_worker_without_a_fresh_sign_of_life_is_missing(client):
    start_all()
    WorkerBeat.objects.filter(queue="gpu").update(beat_at=timezone.now() - timedelta(minutes=5))
    body = client.get("/health").json()
    assert body["status"] == "degraded"
    assert body["queue"]["gpu"]["worker"] == "missing"
    assert body["queue"]["gpu"]["beat_age_seconds"] >= 300


def test_a_job_that_waits_beside_a_free_worker_shows_the_queue_as_stalled(client, project):
    from projects.models import Job

    start_all()
    long_ago = timezone.now() - timedelta(minutes=2)
    Job.objects.create(project=project, kind="train", queue="gpu", queued_at=long_ago)
    body = client.get("/health").json()
    assert body["queue"]["gpu"]["worker"] == "stalled"
    assert body["queue"]["gpu"]["queued"] == 1


def test_an_unreachable_database_is_503_and_named(tmp_path, unused_tcp_port):
    code = (
        "import django; django.setup(); from django.test import Client;"
        "answer = Client().get('/health', headers={'host': 'localhost'});"
        "print(answer.status_code, answer.json()['failing'], answer.json()['db'])"
    )
    environment = os.environ | {
        "DATABASE_URL": f"postgres://ftf:hunter2-secret@127.0.0.1:{unused_tcp_port}/ftf",
        "FTF_DATA_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "finetuneflow.settings",
        "FTF_RATE_LIMIT_PER_MINUTE": "1200",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "503 ['db'] unreachable", done.stderr
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize("error", [DatabaseError, InterfaceError])
def test_a_connection_that_breaks_is_503_and_its_message_is_kept_back(error, client, monkeypatch):
    def refuse():
        raise error("server with password hunter2 has gone")

    monkeypatch.setattr(connection, "cursor", refuse)
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["failing"]) == (503, ["db"])
    assert "hunter2" not in answer.content.decode()


def test_a_database_older_than_the_code_is_503_until_it_is_migrated(client):
    app, name = MigrationLoader(connection).graph.leaf_nodes("projects")[0]
    health._require_migrations.cache_clear()
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied(app, name)
    for _ in range(2):
        answer = client.get("/health")
        assert (answer.status_code, answer.json()["failing"]) == (503, ["migrations"])
    recorder.record_applied(app, name)
    assert client.get("/health").status_code == 200


def test_the_migrations_are_read_once_and_the_connection_is_tried_each_time(client):
    client.get("/health")
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/health").json()["db"] == "connected"
    asked = [query["sql"] for query in queries]
    assert "SELECT 1" in asked
    assert not any("django_migrations" in sql for sql in asked)


def test_a_full_disk_is_503_and_named(client, settings):
    settings.MIN_FREE_BYTES = 10**18
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["failing"]) == (503, ["disk"])


def test_the_command_for_healthchecks_knows_living_from_dead():
    queues.beat("gpu", pid=1)
    call_command("health", "--queue", "gpu")
    with pytest.raises(CommandError, match="no sign of life"):
        call_command("health", "--queue", "default")

"""GET /health and `manage.py health`: true about what works, silent about secrets."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.utils import timezone

from projects import queues
from projects.models import WorkerBeat

pytestmark = pytest.mark.django_db


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


def test_an_unreachable_database_is_503_and_named(client, monkeypatch):
    def refuse(*args, **kwargs):
        raise DatabaseError("could not connect to server with password hunter2")

    monkeypatch.setattr("finetuneflow.health.MigrationExecutor", refuse)
    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json()["failing"] == ["db"]
    assert "hunter2" not in answer.content.decode()


def test_a_full_disk_is_503_and_named(client, settings):
    settings.MIN_FREE_BYTES = 10**18
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["failing"]) == (503, ["disk"])


def test_the_command_for_healthchecks_knows_living_from_dead():
    queues.beat("gpu", pid=1)
    call_command("health", "--queue", "gpu")
    with pytest.raises(CommandError, match="no sign of life"):
        call_command("health", "--queue", "default")

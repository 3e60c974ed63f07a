"""The status page: for staff, in few queries, true about what works and what does not."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.utils import timezone
from django_q.tasks import async_task

from projects import queues
from projects.models import Job, WorkerBeat

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client, admin_user):
    """Return the text of the page, read by an administrator."""
    client.force_login(admin_user)
    cache.clear()
    yield lambda: " ".join(client.get("/status/").content.decode().split())
    cache.clear()


def everything_is_alive() -> None:
    for name in (*settings.QUEUES, queues.RECONCILER):
        queues.beat(name, pid=4711, restarts=2)


def test_members_may_not_see_it_and_find_no_link(client, user):
    client.force_login(user)
    assert client.get("/status/").status_code == 403
    assert 'href="/status/"' not in client.get("/").content.decode()


def test_staff_find_it_in_the_top_bar(client, admin_user):
    client.force_login(admin_user)
    assert 'href="/status/"' in client.get("/").content.decode()


def test_when_everything_runs_it_says_so(page):
    everything_is_alive()
    text = page()
    assert "Everything runs" in text
    assert "4711" in text and text.count(">alive<") == 3


def test_what_is_missing_is_a_sentence_with_what_to_do(page):
    queues.beat("default", pid=1)
    text = page()
    assert "Training: no worker is running" in text
    assert "manage.py worker --queue gpu" in text
    assert "manage.py reconcile" in text
    assert "Everything runs" not in text


def test_a_silent_worker_is_shown_as_such(page):
    everything_is_alive()
    WorkerBeat.objects.filter(queue="gpu").update(beat_at=timezone.now() - timedelta(minutes=5))
    text = page()
    assert ">silent<" in text and "5 minutes ago" in text


def test_jobs_that_wait_beside_a_free_worker_are_a_stalled_queue(page, project):
    everything_is_alive()
    long_ago = timezone.now() - timedelta(minutes=7)
    Job.objects.create(project=project, kind="train", queue="gpu", queued_at=long_ago)
    text = page()
    assert ">stalled<" in text and "7 minutes ago" in text
    assert "a job waits although a worker is free" in text


def test_running_and_waiting_jobs_and_the_brokers_entries_are_counted(page, project):
    everything_is_alive()
    Job.objects.create(project=project, kind="preview", status="running")
    Job.objects.create(project=project, kind="generate")
    for number in range(3):
        async_task("projects.tests.worker_tasks.nothing", number, cluster="default")
    row = page().partition("<code>default</code>")[2].partition("</tr>")[0]
    assert ">working<" in row
    numbers = [part.partition("<")[0] for part in row.split('class="num">')[1:]]
    assert numbers == ["1", "1", "3"], "waiting, running, entries"


def test_a_full_disk_is_named(page, settings):
    settings.MIN_FREE_BYTES = 10**18
    assert "nothing can be stored" in page()


def test_place_kind_and_size_of_the_data_are_shown_and_no_password(page):
    text = page()
    kind = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[connection.vendor]
    assert kind in text
    assert str(settings.DATA_DIR) in text
    password = connection.settings_dict["PASSWORD"]
    assert not password or password not in text


def test_versions_are_read_without_importing_the_training_stack(page):
    text = page()
    for name in ("Python", "Django", "django-q2", "htmx", "PyTorch", "Transformers", "TRL", "PEFT"):
        assert f"<dt>{name}</dt>" in text
    assert "<dt>htmx</dt> <dd> 2." in text


def test_it_takes_few_queries_whatever_there_is(
    client, admin_user, project, django_assert_max_num_queries
):
    everything_is_alive()
    kinds = Job.Kind.values
    Job.objects.bulk_create(
        Job(project=project, kind=kind, queue=queue, status="queued")
        for kind, queue in zip(kinds, ("default", "gpu") * 4, strict=False)
    )
    client.force_login(admin_user)
    with django_assert_max_num_queries(10):
        assert client.get("/status/").status_code == 200

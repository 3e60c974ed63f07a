"""The administration of projects, files and jobs: it shows all, and cannot break a job's life."""

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from projects import jobs, services
from projects.models import Job, JobEvent, Project

FUNC = "projects.tests.worker_tasks.nothing"


@pytest.fixture
def root(client, django_user_model, db):
    user = django_user_model.objects.create_superuser("root", password="x")
    client.force_login(user)
    return client


def job(project: Project, **fields) -> Job:
    values = {"kind": Job.Kind.DOCUMENTS, "func": FUNC, "status": "succeeded"} | fields
    return Job.objects.create(project=project, **values)


def act(client, name: str, *rows: Job):
    data = {"action": name, "_selected_action": [row.pk for row in rows]}
    url = reverse("admin:projects_job_changelist")
    return client.post(url, data, follow=True).content.decode()


@pytest.mark.parametrize("model", ["project", "sourcefile", "job", "jobevent", "workerbeat"])
def test_a_list_takes_as_many_queries_for_many_rows_as_for_few(
    model, root, user, django_assert_max_num_queries
):
    for number in range(15):
        made = services.create_project(owner=user, name=f"P{number}")
        services.add_file(project=made, name="a.txt", pieces=[b"text"])
        JobEvent.objects.create(job=job(made), text="line")
    with django_assert_max_num_queries(10):
        answer = root.get(reverse(f"admin:projects_{model}_changelist"))
    assert answer.status_code == 200


def test_a_jobs_page_shows_its_log_escaped_and_leads_to_its_own_page(root, project):
    row = job(project)
    JobEvent.objects.create(job=row, text="<script>alert(1)</script>")
    page = root.get(reverse("admin:projects_job_change", args=[row.pk])).content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert reverse("projects:job", args=[row.pk]) in page


def test_a_job_cannot_be_written_added_or_deleted(root, project):
    row = job(project, status="running")
    url = reverse("admin:projects_job_change", args=[row.pk])
    assert root.post(url, {"status": "succeeded"}).status_code == 403
    assert root.get(reverse("admin:projects_job_add")).status_code == 403
    assert root.post(reverse("admin:projects_job_delete", args=[row.pk])).status_code == 403
    row.refresh_from_db()
    assert row.status == "running"


def test_a_failed_job_is_resumed_and_a_finished_one_queued_anew(root, project):
    failed = job(project, status="failed", kind=Job.Kind.TRAIN, queue="gpu")
    done = job(project, params={"chunk_size": 64})
    page = act(root, "run_again", failed, done)
    failed.refresh_from_db()
    assert failed.status == "queued"
    again = Job.objects.exclude(pk__in=[failed.pk, done.pk]).get()
    assert (again.status, again.params) == ("queued", {"chunk_size": 64})
    assert f"queued as {again.pk}" in page


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"kind": Job.Kind.TRAIN}, "own page"),
        ({"kind": Job.Kind.EXPORT, "status": "cancelled"}, "own page"),
        ({"status": "running"}, "already under way"),
    ],
)
def test_what_cannot_run_again_says_why_and_changes_nothing(fields, text, root, project):
    row = job(project, **fields)
    assert text in act(root, "run_again", row)
    assert list(Job.objects.values_list("status")) == [(row.status,)]


def test_a_job_beside_an_active_one_of_its_kind_is_refused(root, project):
    failed = job(project, status="failed")
    job(project, status="running")
    assert "already under way" in act(root, "run_again", failed)
    failed.refresh_from_db()
    assert failed.status == "failed"


def test_jobs_are_cancelled_through_their_life(root, project):
    waiting = job(project, status="queued")
    running = job(project, kind=Job.Kind.TRAIN, status="running")
    act(root, "cancel", waiting, running)
    assert [Job.objects.get(pk=row.pk).status for row in (waiting, running)] == [
        "cancelled",
        "running",
    ]
    assert Job.objects.get(pk=running.pk).cancel_requested


def test_staff_who_may_only_look_have_no_action(client, django_user_model, project):
    staff = django_user_model.objects.create_user("bob", password="x", is_staff=True)
    staff.user_permissions.add(Permission.objects.get(codename="view_job"))
    client.force_login(staff)
    row = job(project, status="failed")
    assert "Run the selected" not in act(client, "run_again", row)
    row.refresh_from_db()
    assert row.status == "failed"


def test_a_running_training_is_asked_for_nothing_by_run_again(project):
    with pytest.raises(jobs.JobAlreadyActive):
        jobs.run_again(job(project, status="running"))

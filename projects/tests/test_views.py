"""Pages of projects: page, fragment, invalid form, stranger, anonymous."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from projects import services
from projects.models import Job, Project

HTMX = {"HX-Request": "true"}
OWNED = ("projects:detail", "projects:delete", "projects:task", "projects:rail")


@pytest.fixture
def ada(client, user):
    client.force_login(user)
    return client


def address(name: str, project: Project) -> str:
    return reverse(name, args=[project.pk])


@pytest.mark.parametrize("name", OWNED)
def test_a_project_page_belongs_to_its_owner_only(name, client, user, stranger, project):
    url = address(name, project)
    assert client.get(url).status_code == 302
    assert client.get(url).url.startswith(reverse("login"))
    client.force_login(stranger)
    assert client.get(url).status_code == 404
    assert client.post(url).status_code in (404, 405)
    client.force_login(user)
    assert client.get(url).status_code == 200
    assert Project.objects.filter(pk=project.pk).exists()


@pytest.mark.parametrize("name", ["projects:list", "projects:workers"])
def test_pages_without_a_project_need_a_login_too(name, client, ada, user):
    assert ada.get(reverse(name)).status_code == 200
    client.logout()
    assert client.get(reverse(name)).status_code == 302


def test_htmx_without_a_login_is_sent_to_the_login_page_as_a_whole(client, project):
    response = client.get(address("projects:detail", project), headers=HTMX)
    assert reverse("login") in response.headers["HX-Redirect"]


@pytest.mark.parametrize("name", ["projects:detail", "projects:task"])
def test_htmx_gets_the_fragment_and_everybody_else_the_page(name, ada, project):
    url = address(name, project)
    assert "<html" in ada.get(url).content.decode()
    fragment = ada.get(url, headers=HTMX)
    assert "<html" not in fragment.content.decode()
    assert "HX-Request" in fragment.headers["Vary"]


def test_an_empty_list_teaches_what_a_project_is(ada):
    page = ada.get(reverse("projects:list")).content.decode()
    assert "No project yet" in page
    assert "Try it with the sample documents" in page
    assert page.count("primary") == 1


def test_the_list_shows_only_my_projects_with_what_runs(ada, project, stranger):
    services.create_project(owner=stranger, name="Secret plans")
    Job.objects.create(project=project, kind=Job.Kind.TRAIN, status="running", done=1, total=4)
    page = ada.get(reverse("projects:list")).content.decode()
    assert "Handbook" in page
    assert "25 %" in page
    assert "Secret plans" not in page


def test_the_list_takes_as_many_queries_for_twenty_five_projects_as_for_five(ada, user):
    counts = []
    for upto in (5, 25):
        while Project.objects.count() < upto:
            made = services.create_project(owner=user, name="Another")
            Job.objects.create(project=made, kind=Job.Kind.TRAIN)
        with CaptureQueriesContext(connection) as queries:
            ada.get(reverse("projects:list"))
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_new_project_is_mine_and_opens(ada, user):
    response = ada.post(reverse("projects:list"), {"name": "  Travel rules  "})
    made = Project.objects.get()
    assert (made.name, made.owner) == ("Travel rules", user)
    assert response.url == address("projects:detail", made)


@pytest.mark.parametrize("name", ["", "   ", "x" * 121])
def test_a_project_without_a_proper_name_is_refused_with_422(name, ada):
    response = ada.post(reverse("projects:list"), {"name": name})
    assert response.status_code == 422
    assert not Project.objects.exists()


def test_names_are_escaped(ada, user):
    services.create_project(owner=user, name="<script>alert(1)</script>")
    page = ada.get(reverse("projects:list")).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_the_task_is_saved_and_the_browser_redirected(ada, project):
    values = {"task_type": "instruction", "strategy": "json", "language": "German"}
    values |= {"chunk_size": 256, "chunk_overlap": 30, "instruction": "For weavers, friendly."}
    response = ada.post(address("projects:task", project), values)
    assert response.status_code == 302
    project.refresh_from_db()
    assert (project.task_type, project.chunk_size) == ("instruction", 256)
    assert (project.language, project.instruction) == ("German", "For weavers, friendly.")


def test_saving_the_task_leaves_alone_what_another_page_changed_meanwhile(
    ada, project, monkeypatch
):
    def changed_meanwhile(**arguments):
        Project.objects.filter(pk=project.pk).update(base_model="other", task_type="instruction")
        save_task(**arguments)

    save_task, before = services.save_task, project.updated_at
    monkeypatch.setattr(services, "save_task", changed_meanwhile)
    values = {"language": "Greek", "task_type": "qa", "strategy": "auto"}
    ada.post(address("projects:task", project), values | {"chunk_size": 512, "chunk_overlap": 50})
    project.refresh_from_db()
    assert (project.language, project.base_model) == ("Greek", "other")
    assert project.task_type == "instruction"
    assert project.updated_at > before


@pytest.mark.parametrize(
    "wrong",
    [
        {"chunk_size": 16},
        {"chunk_overlap": 200},
        {"task_type": "poem"},
        {"instruction": "x" * 1001},
    ],
)
def test_a_wrong_task_comes_back_with_422_and_changes_nothing(wrong, ada, project):
    values = {"language": "Greek", "task_type": "qa", "strategy": "json"}
    values |= {"chunk_size": 256, "chunk_overlap": 30} | wrong
    response = ada.post(address("projects:task", project), values, headers=HTMX)
    assert response.status_code == 422
    assert "errorlist" in response.content.decode()
    project.refresh_from_db()
    assert (project.language, project.chunk_size) == ("", 512)


def test_deleting_removes_the_project_and_its_files(ada, project):
    services.add_file(project=project, name="a.txt", pieces=[b"text"])
    folder = services.project_folder(project)
    assert folder.exists()
    ada.post(address("projects:delete", project))
    assert not Project.objects.exists()
    assert not folder.exists()


def test_deleting_a_project_at_work_hides_it_and_asks_the_work_to_stop(ada, project):
    Job.objects.create(project=project, kind=Job.Kind.TRAIN, status="running")
    page = ada.get(address("projects:delete", project)).content.decode()
    assert "Train: still at work, and cancelled first" in page
    response = ada.post(address("projects:delete", project), follow=True)
    assert "as soon as its work has stopped" in response.content.decode()
    assert "No project yet" in response.content.decode()
    assert Job.objects.get().cancel_requested
    assert ada.get(address("projects:detail", project)).status_code == 404


def test_the_overview_shows_jobs_with_their_errors(ada, project):
    Job.objects.create(
        project=project, kind=Job.Kind.GENERATE, status="failed", error_text="The key was refused."
    )
    page = ada.get(address("projects:detail", project)).content.decode()
    assert "The key was refused." in page
    assert "Failed" in page


def test_pages_carry_the_policy_and_nothing_inline(ada, project):
    response = ada.get(address("projects:detail", project))
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    page = response.content.decode()
    assert " style=" not in page
    assert "<style" not in page
    assert "hx-on" not in page
    assert "<script>" not in page

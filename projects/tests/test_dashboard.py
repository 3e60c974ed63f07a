"""The list of projects: search, sort, archive; and what a person does with a project."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from projects import lifecycle, services
from projects.models import Job, Project

HTMX = {"HX-Request": "true"}
CHANGES = ("rename", "duplicate", "archive", "delete")


@pytest.fixture
def ada(client, user):
    client.force_login(user)
    return client


def listed(client, **query) -> str:
    return client.get(reverse("projects:list"), query).content.decode()


@pytest.mark.parametrize("name", CHANGES)
def test_only_the_owner_changes_a_project(name, client, stranger, project):
    url = reverse(f"projects:{name}", args=[project.pk])
    assert client.post(url).url.startswith(reverse("login"))
    client.force_login(stranger)
    assert client.post(url, {"name": "Mine"}).status_code == 404
    project.refresh_from_db()
    assert (project.name, project.archived_at) == ("Handbook", None)
    assert Project.objects.count() == 1


@pytest.mark.parametrize("name", ["duplicate", "archive"])
def test_a_copy_and_the_archive_need_post(name, ada, project):
    assert ada.get(reverse(f"projects:{name}", args=[project.pk])).status_code == 405


def test_the_samples_need_a_login_and_post(client, user):
    assert client.post(reverse("projects:samples")).url.startswith(reverse("login"))
    client.force_login(user)
    assert client.get(reverse("projects:samples")).status_code == 405
    assert not Project.objects.exists()


def test_the_samples_land_on_the_data_step(ada, user):
    response = ada.post(reverse("projects:samples"))
    project = Project.objects.get(owner=user)
    assert response.url == reverse("datasets:data", args=[project.pk])
    assert "Sample documents" in listed(ada)


def test_the_search_finds_a_part_of_the_name_in_any_case(ada, user, project):
    services.create_project(owner=user, name="Travel rules")
    page = listed(ada, q="HANDB")
    assert "Handbook" in page
    assert "Travel rules" not in page
    assert "Show all" in listed(ada, q="nothing of the kind")


def test_the_list_is_sorted_as_the_address_says(ada, user):
    for name in ("beta", "Alpha", "gamma"):
        services.create_project(owner=user, name=name)
    page = listed(ada, sort="name")
    assert page.index("Alpha") < page.index("beta") < page.index("gamma")
    page = listed(ada, sort="newest")
    assert page.index("gamma") < page.index("Alpha") < page.index("beta")


@pytest.mark.parametrize("query", [{"sort": "x"}, {"q": "y" * 500}, {"page": "z"}])
def test_an_address_nobody_wrote_shows_the_list_all_the_same(query, ada, project):
    assert "Handbook" in listed(ada, **query)


def test_an_archived_project_is_in_the_archive_alone(ada, project):
    ada.post(reverse("projects:archive", args=[project.pk]))
    listed(ada)  # It shows the message of the change.
    assert "Handbook" not in listed(ada)
    assert "All projects are archived" in listed(ada, q="")
    assert "Handbook" in listed(ada, archived="1")
    assert "Unarchive" in ada.get(reverse("projects:detail", args=[project.pk])).content.decode()
    ada.post(reverse("projects:archive", args=[project.pk]))
    assert "Handbook" in listed(ada)


def test_htmx_gets_the_list_alone(ada, project):
    response = ada.get(reverse("projects:list"), headers=HTMX)
    assert response.content.decode().startswith("\n<section") or "<html" not in str(
        response.content
    )
    assert "HX-Request" in response.headers["Vary"]


def test_only_a_project_at_work_is_asked_for(ada, project):
    assert "every" not in listed(ada)
    Job.objects.create(project=project, kind=Job.Kind.TRAIN, status="running", done=1, total=4)
    assert "every 5s" in listed(ada)


def test_the_list_takes_at_most_ten_queries_whatever_is_in_it(ada, user):
    counts = []
    for upto in (1, 30):
        while Project.objects.count() < upto:
            made = services.create_project(owner=user, name=f"Another {upto}")
            Job.objects.create(project=made, kind=Job.Kind.TRAIN, status="running")
        with CaptureQueriesContext(connection) as queries:
            listed(ada, q="another", sort="name")
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 10


def test_a_project_gets_a_new_name(ada, project):
    url = reverse("projects:rename", args=[project.pk])
    assert 'value="Handbook"' in ada.get(url).content.decode()
    assert ada.post(url, {"name": "  Rules  "}).url == reverse("projects:detail", args=[project.pk])
    project.refresh_from_db()
    assert project.name == "Rules"


@pytest.mark.parametrize("name", ["", "   ", "x" * 121])
def test_a_name_that_is_none_is_refused_with_422(name, ada, project):
    response = ada.post(reverse("projects:rename", args=[project.pk]), {"name": name})
    assert response.status_code == 422
    project.refresh_from_db()
    assert project.name == "Handbook"


def test_a_copy_opens_and_says_what_it_lacks(ada, project):
    response = ada.post(reverse("projects:duplicate", args=[project.pk]), follow=True)
    page = response.content.decode()
    assert "Copy of Handbook" in page
    assert "examples and runs are not copied" in page


def test_the_page_before_a_deletion_counts_what_goes(ada, project):
    services.add_file(project=project, name="a.txt", pieces=[b"text"])
    for number in range(7):
        project.examples.create(prompt="?", completion="!", split="train", fingerprint=str(number))
    page = ada.get(reverse("projects:delete", args=[project.pk])).content.decode()
    assert "<dd>7</dd>" in page
    assert "<dd>1</dd>" in page


def test_the_overview_takes_at_most_ten_queries(ada, project, django_assert_max_num_queries):
    with django_assert_max_num_queries(10):
        ada.get(reverse("projects:detail", args=[project.pk]))


def test_the_task_shows_a_row_for_each_choice(ada, project):
    page = ada.get(reverse("projects:task", args=[project.pk])).content.decode()
    assert page.count("A row of the dataset then looks like this") == 2
    assert page.count('type="radio"') == 2
    assert lifecycle.SAMPLE_NAME not in page

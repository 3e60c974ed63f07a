"""The first administrator: made by `manage.py setup` or by the first visitor, and only once."""

import io

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from projects import accounts, services
from projects.tests.threads import at_once

pytestmark = pytest.mark.django_db
PASSWORD = "nine-bright-shiners"


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch):
    for name in ("USERNAME", "PASSWORD", "PASSWORD_FILE", "EMAIL"):
        monkeypatch.delenv(f"DJANGO_SUPERUSER_{name}", raising=False)


@pytest.fixture
def given(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_USERNAME", "grace")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    monkeypatch.setenv("DJANGO_SUPERUSER_EMAIL", "grace@tune.example")


def setup() -> str:
    """Run `manage.py setup`; return what it printed."""
    out = io.StringIO()
    call_command("setup", stdout=out)
    return out.getvalue()


def logs_in(client, name: str, password: str) -> bool:
    given = {"username": name, "password": password}
    return client.post(reverse("login"), given).status_code == 302


def test_setup_makes_nobody_up_and_says_where_the_password_is_chosen(monkeypatch):
    monkeypatch.setenv("FTF_BIND", "0.0.0.0:9000")
    printed = setup()
    assert "http://0.0.0.0:9000/" in printed and "choose the administrator" in printed
    assert not get_user_model().objects.exists()
    assert setup() == printed


def test_a_given_administrator_can_log_in_and_the_password_is_not_printed(client, given):
    printed = setup()
    assert printed == "Ready. The administrator is grace.\n"
    assert get_user_model().objects.get().email == "grace@tune.example"
    assert logs_in(client, "grace", PASSWORD)
    assert client.get(reverse("admin:password_change")).status_code == 200


def test_the_second_start_changes_nothing(client, given, monkeypatch):
    setup()
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "another-one-entirely")
    assert setup() == "Ready. The administrator is grace.\n"
    assert get_user_model().objects.count() == 1
    assert logs_in(client, "grace", PASSWORD)


def test_an_administrator_who_is_there_is_left_alone(given, django_user_model):
    root = django_user_model.objects.create_superuser("root", password="kept as it is")
    assert accounts.ensure_given_admin() == accounts.ensure_owner() == root
    assert django_user_model.objects.get().check_password("kept as it is")


def test_without_an_administrator_among_the_people_setup_names_the_command(user):
    assert "manage.py createsuperuser" in setup()
    assert not accounts.is_open_to_first_visitor()


def test_the_owner_of_the_demo_cannot_log_in_and_the_first_visitor_becomes_them(client):
    owner = accounts.ensure_owner()
    assert accounts.ensure_owner() == owner
    project = services.create_project(owner=owner, name="Demo")
    assert not owner.has_usable_password()
    assert accounts.is_open_to_first_visitor()
    admin = accounts.become_first_admin(username="grace", password=PASSWORD)
    project.refresh_from_db()
    assert (admin, project.owner, project.owner.username) == (owner, admin, "grace")
    assert logs_in(client, "grace", PASSWORD)
    assert not accounts.is_open_to_first_visitor()


def test_an_administrator_named_later_becomes_the_owner_of_the_demo(given, monkeypatch):
    monkeypatch.delenv("DJANGO_SUPERUSER_PASSWORD")
    owner = accounts.ensure_owner()
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    assert not accounts.is_open_to_first_visitor()
    assert accounts.ensure_given_admin() == owner
    assert get_user_model().objects.get().username == "grace"


def test_an_administrator_whose_password_was_taken_away_does_not_open_the_page_again(admin_user):
    admin_user.last_login = timezone.now()
    admin_user.set_unusable_password()
    admin_user.save()
    assert not accounts.is_open_to_first_visitor()


@pytest.mark.django_db(transaction=True)
def test_of_visitors_who_come_at_the_same_moment_exactly_one_becomes_administrator():
    def become(name):
        return lambda: accounts.become_first_admin(username=name, password=PASSWORD).username

    results = at_once(*[become(f"visitor-{i}") for i in range(6)])
    refused = [result for result in results if isinstance(result, accounts.AlreadySetUp)]
    (winner,) = [result for result in results if isinstance(result, str)]
    assert len(refused) == 5
    assert [user.username for user in get_user_model().objects.all()] == [winner]

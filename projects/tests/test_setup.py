"""`manage.py setup`: the first administrator is made once, and can really log in."""

import io
import re

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.urls import reverse

from projects import accounts

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch):
    for name in ("USERNAME", "PASSWORD", "PASSWORD_FILE", "EMAIL"):
        monkeypatch.delenv(f"DJANGO_SUPERUSER_{name}", raising=False)


def setup() -> str:
    """Run `manage.py setup`; return what it printed."""
    out = io.StringIO()
    call_command("setup", stdout=out)
    return out.getvalue()


def logs_in(client, name: str, password: str) -> bool:
    given = {"username": name, "password": password}
    return client.post(reverse("login"), given).status_code == 302


def test_the_password_that_is_shown_at_the_first_start_opens_pages_and_admin(client):
    printed = setup()
    password = re.search(r"with the password\s+(\S+)", printed)[1]
    assert len(password) >= 16
    assert re.search(r"Log in as\s+admin\n", printed)
    assert logs_in(client, "admin", password)
    assert client.get(reverse("admin:password_change")).status_code == 200


def test_the_second_start_changes_nothing_and_shows_no_password(client):
    password = re.search(r"with the password\s+(\S+)", setup())[1]
    again = setup()
    assert again == "Ready. The administrator is admin.\n"
    assert password not in again
    assert get_user_model().objects.count() == 1
    assert logs_in(client, "admin", password)


def test_given_name_password_and_address_are_used_and_the_password_is_not_printed(
    client, monkeypatch
):
    monkeypatch.setenv("DJANGO_SUPERUSER_USERNAME", "grace")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "nine-bright-shiners")
    monkeypatch.setenv("DJANGO_SUPERUSER_EMAIL", "grace@tune.example")
    printed = setup()
    assert "grace" in printed and "nine-bright-shiners" not in printed
    assert get_user_model().objects.get().email == "grace@tune.example"
    assert logs_in(client, "grace", "nine-bright-shiners")


def test_an_administrator_who_is_there_is_left_alone(monkeypatch, django_user_model):
    django_user_model.objects.create_superuser("root", password="kept as it is")
    monkeypatch.setenv("DJANGO_SUPERUSER_USERNAME", "grace")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "nine-bright-shiners")
    assert accounts.ensure_admin() == ("root", None)
    assert django_user_model.objects.get().check_password("kept as it is")


def test_people_without_rights_are_no_administrators(user):
    name, password = accounts.ensure_admin()
    assert (name, bool(password)) == ("admin", True)

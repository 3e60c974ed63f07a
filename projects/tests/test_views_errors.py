"""Error pages and the login page stand without a session, a database or a context."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse


@pytest.mark.parametrize("name", ["400", "403", "404", "413", "429", "500", "403_csrf"])
def test_an_error_page_needs_no_context(name):
    page = render_to_string(f"{name}.html")
    assert "To your projects" in page
    assert "<h1>" in page
    assert name[:3] in page.partition("<h1>")[0].split()


def test_an_unknown_address_is_a_calm_404(client, db):
    response = client.get("/nothing/here")
    assert response.status_code == 404
    assert "Nothing is here" in response.content.decode()


def test_a_form_without_its_token_is_refused_with_a_page(user):
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    response = client.post(reverse("projects:list"), {"name": "New"})
    assert response.status_code == 403
    assert "The form has expired" in response.content.decode()


def test_an_unexpected_error_shows_no_details(client, user, monkeypatch):
    def fail(user):
        raise RuntimeError("secret detail")

    monkeypatch.setattr("projects.dashboard.list_projects", fail)
    client.raise_request_exception = False
    client.force_login(user)
    response = client.get(reverse("projects:list"))
    assert response.status_code == 500
    assert "Something went wrong" in response.content.decode()
    assert "secret detail" not in response.content.decode()


DATABASE_DOWN = """
import django; django.setup()
from django.test import Client
client = Client(raise_request_exception=False, headers={"host": "localhost"})
client.cookies.load({"sessionid": "somebody"})
for address in ("/", "/login/", "/account/"):
    answer = client.get(address)
    print(answer.status_code, "Something went wrong" in answer.content.decode())
"""


def test_the_page_of_an_error_stands_while_the_database_is_down(tmp_path, unused_tcp_port):
    environment = os.environ | {
        "DATABASE_URL": f"postgres://ftf:hunter2-secret@127.0.0.1:{unused_tcp_port}/ftf",
        "FTF_DATA_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "finetuneflow.settings",
        "FTF_RATE_LIMIT_PER_MINUTE": "1200",
    }
    done = subprocess.run(
        [sys.executable, "-c", DATABASE_DOWN],
        env=environment,
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == ["500 True"] * 3, done.stderr[-2000:]


def test_after_the_login_the_page_opens_that_was_asked_for(client, user, project):
    wanted = reverse("projects:detail", args=[project.pk])
    login = client.get(wanted).url
    assert f'value="{wanted}"' in client.get(login).content.decode()
    values = {"username": "ada", "password": "correct horse battery", "next": wanted}
    assert client.post(login, values).url == wanted


def test_signing_out_needs_post(client, user):
    client.force_login(user)
    assert client.get(reverse("logout")).status_code == 405
    assert client.post(reverse("logout")).url == reverse("login")

"""Signing in, the first visitor's page, one's own account, and passwords that are guessed."""

import logging
import re
from datetime import timedelta
from types import SimpleNamespace

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from finetuneflow.lib import limits
from projects.tests.threads import at_once

pytestmark = pytest.mark.django_db
PASSWORD = "nine-bright-shiners"
FIRST = {"username": "grace", "password1": PASSWORD, "password2": PASSWORD}
WELCOME, LOGIN, ACCOUNT = "/welcome/", "/login/", "/account/"


@pytest.fixture(autouse=True)
def no_administrator_is_given(monkeypatch):
    for name in ("PASSWORD", "PASSWORD_FILE"):
        monkeypatch.delenv(f"DJANGO_SUPERUSER_{name}", raising=False)


class TestFirstVisitor:
    def test_every_page_of_a_new_installation_leads_there(self, client):
        answer = client.get("/", follow=True)
        assert answer.request["PATH_INFO"] == WELCOME
        assert "you become the administrator" in answer.content.decode()

    def test_the_visitor_is_signed_in_as_administrator_and_the_page_is_gone(self, client):
        answer = client.post(WELCOME, FIRST, follow=True)
        assert answer.redirect_chain == [("/", 302)]
        assert "This installation is yours" in answer.content.decode()
        admin = User.objects.get()
        assert (admin.username, admin.is_superuser, admin.is_staff) == ("grace", True, True)
        assert client.get(reverse("admin:index")).status_code == 200
        for visitor in (client, Client()):
            assert visitor.get(WELCOME).status_code == 404
            assert visitor.post(WELCOME, FIRST).status_code == 404
        assert Client().get(LOGIN).status_code == 200

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"username": ""}, "This field is required"),
            ({"username": "two words"}, "Enter a valid username"),
            ({"password2": "something-else"}, "didn’t match"),
            ({"password1": "12345678", "password2": "12345678"}, "too common"),
            ({"username": "bright-shiners"}, "too similar"),
        ],
    )
    def test_what_is_wrong_is_said_and_nobody_is_made(self, change, words, client):
        answer = client.post(WELCOME, FIRST | change)
        assert answer.status_code == 422
        assert words in answer.content.decode()
        assert not User.objects.exists()

    def test_the_page_is_closed_when_the_environment_names_an_administrator(
        self, client, monkeypatch
    ):
        monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
        assert client.get(WELCOME).status_code == 404
        assert client.get(LOGIN).status_code == 200

    @pytest.mark.django_db(transaction=True)
    def test_two_forms_that_arrive_together_make_one_administrator(self):
        def send(name):
            return lambda: Client().post(WELCOME, FIRST | {"username": name})

        answers = at_once(send("grace"), send("linus"), send("barbara"))
        assert User.objects.filter(is_superuser=True).count() == User.objects.count() == 1
        signed_in = [answer for answer in answers if "sessionid" in answer.cookies]
        assert len(signed_in) == 1
        assert {answer.status_code for answer in answers} <= {302, 404}


class TestSignIn:
    def test_a_wrong_password_comes_back_with_422(self, client, user):
        answer = client.post(LOGIN, {"username": "ada", "password": "wrong"})
        assert answer.status_code == 422
        assert "errorlist" in answer.content.decode()

    def test_other_methods_than_get_and_post_are_405(self, client, user):
        assert client.put(LOGIN).status_code == 405
        assert client.delete(WELCOME).status_code == 405


class TestGuessing:
    @pytest.fixture
    def guess(self, settings, user):
        settings.AXES_FAILURE_LIMIT = settings.LOGIN_FAILURES = 3

        def send(password="wrong-guess-77", name="ada", door=LOGIN, **extra):
            return Client().post(door, {"username": name, "password": password}, **extra)

        return send

    def test_after_some_wrong_passwords_even_the_right_one_waits(self, guess):
        assert [guess().status_code for _ in range(3)] == [422, 422, 429]
        answer = guess("correct horse battery")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "900")
        text = answer.content.decode()
        assert "wrong 3 times" in text and "15 minutes" in text and "<h1>" in text

    def test_the_admins_door_counts_along(self, guess):
        for _ in range(3):
            guess(door="/admin/login/")
        assert guess("correct horse battery").status_code == 429

    def test_other_names_and_the_owner_at_another_address_are_not_kept_out(self, guess, stranger):
        for _ in range(4):
            guess()
        assert guess("correct horse battery", name="eve").status_code == 302
        assert guess("correct horse battery", REMOTE_ADDR="192.0.2.9").status_code == 302

    def test_the_pause_ends_however_often_somebody_tried_meanwhile(self, guess):
        for _ in range(3):
            guess()
        assert guess().status_code == 429
        AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
        assert guess("correct horse battery").status_code == 302

    def test_the_right_password_forgets_the_wrong_ones(self, guess):
        for _ in range(2):
            guess()
        assert guess("correct horse battery").status_code == 302
        assert not AccessAttempt.objects.exists()

    def test_no_password_reaches_the_log_or_the_table(self, guess, caplog):
        caplog.set_level(logging.DEBUG)
        for _ in range(4):
            guess()
        assert "New login failure" in caplog.text
        assert "wrong-guess" not in caplog.text
        row = AccessAttempt.objects.get()
        assert "wrong-guess" not in row.post_data + row.get_data


class TestAccount:
    @pytest.fixture
    def signed_in(self, client, user):
        client.force_login(user)
        return client

    def change(self, client, **values):
        fields = {"old_password": "correct horse battery"}
        fields |= {"new_password1": PASSWORD, "new_password2": PASSWORD}
        return client.post(ACCOUNT, fields | values)

    def test_it_says_who_one_is(self, signed_in):
        text = signed_in.get(ACCOUNT).content.decode()
        assert "ada" in text and "you see your own projects" in text

    def test_staff_read_that_they_see_everything(self, client, admin_user):
        client.force_login(admin_user)
        assert "you see all projects" in client.get(ACCOUNT).content.decode()

    def test_a_new_password_keeps_this_session_and_ends_the_others(self, signed_in, user):
        other = Client()
        other.force_login(user)
        assert self.change(signed_in).url == ACCOUNT
        assert "password is changed" in signed_in.get(ACCOUNT).content.decode()
        assert other.get(ACCOUNT).status_code == 302
        assert User.objects.get().check_password(PASSWORD)

    @pytest.mark.parametrize(
        "change",
        [
            {"old_password": "wrong"},
            {"new_password2": "x"},
            {"new_password1": "1", "new_password2": "1"},
        ],
    )
    def test_what_is_wrong_comes_back_with_422_and_changes_nothing(self, change, signed_in):
        answer = self.change(signed_in, **change)
        assert answer.status_code == 422
        assert "errorlist" in answer.content.decode()
        assert User.objects.get().check_password("correct horse battery")

    def test_guessing_the_old_password_is_slowed(self, signed_in, settings, monkeypatch):
        monkeypatch.setattr(limits, "time", SimpleNamespace(time=lambda: 60_020.0))
        settings.LIMITS_PER_MINUTE = settings.LIMITS_PER_MINUTE | {"login": 2}
        cache.clear()
        statuses = [self.change(signed_in, old_password="no").status_code for _ in range(3)]
        cache.clear()
        assert statuses == [422, 422, 429]

    def test_strangers_to_the_installation_are_asked_to_sign_in(self, client, user):
        assert client.get(ACCOUNT).url == "/login/?next=/account/"

    def test_it_takes_few_queries(self, signed_in, django_assert_max_num_queries):
        with django_assert_max_num_queries(4):
            signed_in.get(ACCOUNT)

    def test_everybody_finds_it_in_the_top_bar(self, signed_in):
        assert re.search(r'href="/account/"[^>]*>ada<', signed_in.get("/").content.decode())

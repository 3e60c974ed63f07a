"""From an empty installation to the dashboard, signing in and out, and the admin, in a browser."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.core.cache import cache
from django.urls import reverse
from playwright.sync_api import expect

from e2e import seed

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PASSWORD = "nine-bright-shiners"
LOOKS = [("light", 1280), ("dark", 320)]
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


@pytest.fixture
def open_refused(browser, live_server, transactional_db):
    """Open a page on which answers of 422 and 429 are what is looked at."""
    context = browser.new_context(base_url=live_server.url)
    page = context.new_page()
    page.set_default_timeout(15_000)
    yield page
    context.close()


def sign_in(page, name: str, password: str) -> None:
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize("script", [True, False])
def test_the_first_visitor_becomes_administrator_and_begins(script, open_page):
    page = open_page(script=script)
    page.goto("/")
    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("grace")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button", name="Set the password and begin").click()
    expect(page.get_by_text("This installation is yours")).to_be_visible()
    page.get_by_role("link", name="Status").click()
    expect(page.get_by_role("heading", name="Status")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.goto("/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(page, "grace", PASSWORD)
    expect(page.get_by_role("link", name="grace")).to_be_visible()


def test_a_password_is_changed_and_the_new_one_is_asked_for(open_page, user):
    page = open_page(user)
    page.goto("/")
    page.get_by_role("link", name="ada").click()
    page.get_by_label("Present password").fill("correct horse battery")
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password again").fill(PASSWORD)
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_text("The password is changed")).to_be_visible()
    page.locator("main").get_by_role("button", name="Sign out").click()
    sign_in(page, "ada", PASSWORD)
    expect(page.get_by_role("link", name="ada")).to_be_visible()


def test_wrong_passwords_are_named_and_then_make_one_wait(open_refused, user, settings):
    settings.AXES_FAILURE_LIMIT = settings.LOGIN_FAILURES = 2
    open_refused.goto("/")
    sign_in(open_refused, "ada", "wrong")
    expect(open_refused.get_by_text("Please enter a correct username")).to_be_visible()
    sign_in(open_refused, "ada", "wrong")
    expect(open_refused.get_by_role("heading", name="One moment, please")).to_be_visible()
    expect(open_refused.get_by_text("cannot sign in from here for 15 minutes")).to_be_visible()
    open_refused.get_by_role("link", name="To your projects").click()
    sign_in(open_refused, "ada", "correct horse battery")
    expect(open_refused.get_by_role("heading", name="One moment, please")).to_be_visible()


def test_a_refusal_met_by_htmx_is_a_sentence_on_the_page(open_refused, project, settings):
    seed.workers_are_alive()
    job = seed.job(project, "preview", status="running")
    open_refused.goto("/")
    sign_in(open_refused, "ada", "correct horse battery")
    open_refused.goto(reverse("projects:job", args=[job.pk]))
    cache.clear()
    settings.RATE_LIMIT_PER_MINUTE = 1
    notice = open_refused.locator("#connection")
    expect(notice).to_contain_text("There were too many requests within a minute")
    settings.RATE_LIMIT_PER_MINUTE = 0
    expect(notice).to_be_empty()


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_the_pages_fit_are_readable_and_have_names(theme, width, open_page, user):
    admin = User.objects.create_superuser("grace", password=PASSWORD)
    seed.workers_are_alive()
    visits = [(None, "/login/"), (user, "/account/"), (admin, "/status/"), (None, "/welcome/")]
    for person, address in visits:
        if address == "/welcome/":
            User.objects.all().delete()
        page = open_page(person, width=width, theme=theme)
        page.goto(address)
        expect(page.locator("h1")).to_be_visible()
        sizes = page.evaluate("[document.scrollingElement.scrollWidth, innerWidth]")
        assert sizes[0] <= sizes[1], f"{address} is wider than the window"
        assert page.evaluate(CONTRAST) == [], address
        found = Axe().run(page).response["violations"]
        assert [f"{one['id']}: {one['nodes'][0]['html']}" for one in found] == [], address


def test_the_admin_works_under_the_strict_policy(open_page, django_user_model):
    admin = django_user_model.objects.create_superuser("grace", password=PASSWORD)
    project = seed.finished_project(admin)
    page = open_page(admin)
    page.goto(reverse("admin:index"))
    names = ["auth_user", "projects_project", "projects_sourcefile", "projects_job"]
    names += ["datasets_example", "training_run", "axes_accessattempt"]
    for name in names:
        page.goto(reverse(f"admin:{name}_changelist"))
        expect(page.locator("#content h1")).to_be_visible()
        rows = page.locator("#result_list tbody th a")
        if rows.count():
            rows.first.click()
            expect(page.locator("#content h2").first).to_be_visible()
    page.goto(reverse("admin:projects_project_change", args=[project.pk]))
    page.locator(".select2-selection").first.click()
    expect(page.locator(".select2-results__option").first).to_contain_text("grace")
    page.goto(reverse("admin:auth_user_change", args=[admin.pk]))
    assert User.objects.count() == 1

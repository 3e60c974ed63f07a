"""A project's life in a real browser, with and without a script."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from e2e import seed
from projects import services
from projects.models import Job, Project

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("script", [True, False])
def test_a_project_is_found_renamed_copied_archived_and_deleted(script, open_page, user, project):
    seed.workers_are_alive()
    services.create_project(owner=user, name="Travel rules")
    page = open_page(user, script=script)
    page.goto("/")
    page.get_by_label("Search projects").fill("handb")
    page.get_by_label("Search projects").press("Enter")
    expect(page.get_by_role("link", name="Travel rules")).to_have_count(0)
    assert "q=handb" in page.url
    page.get_by_role("link", name="Handbook", exact=True).click()
    page.get_by_role("link", name="Rename").click()
    page.get_by_label("Name of the project").fill("House rules")
    page.get_by_label("Name of the project").press("Enter")
    expect(page.get_by_role("heading", name="House rules", exact=True)).to_be_visible()
    page.get_by_role("button", name="Duplicate").click()
    expect(page.get_by_role("heading", name="Copy of House rules")).to_be_visible()
    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_role("button", name="Unarchive")).to_be_visible()
    page.get_by_role("link", name="Projects").click()
    page.get_by_role("link", name="Archived (1)").click()
    page.get_by_role("link", name="Copy of House rules").click()
    page.get_by_role("link", name="Delete…").click()
    page.get_by_role("button", name="Delete everything").click()
    expect(page.locator("#messages")).to_contain_text("Copy of House rules and its files are")
    assert {item.name for item in Project.objects.all()} == {"House rules", "Travel rules"}


def test_the_samples_are_one_key_away(open_page, user):
    page = open_page(user)
    page.goto("/")
    page.get_by_role("button", name="Try it with the sample documents").press("Enter")
    page.wait_for_url("**/data/")
    expect(page.locator("#files")).to_contain_text("handbook.pdf")
    assert Job.objects.get().kind == Job.Kind.DOCUMENTS


def test_a_project_at_work_leaves_the_list_at_once(open_page, user, project):
    seed.workers_are_alive()
    seed.job(project, Job.Kind.DOCUMENTS, status="running", done=1, total=4)
    page = open_page(user)
    page.goto("/")
    bar = page.locator(".project-work progress")
    expect(bar).to_have_attribute("value", "1")
    Job.objects.update(done=3)
    expect(bar).to_have_attribute("value", "3")
    page.goto(reverse("projects:delete", args=[project.pk]))
    page.get_by_role("button", name="Delete everything").click()
    expect(page.get_by_role("heading", name="No project yet")).to_be_visible()
    assert Job.objects.get().cancel_requested

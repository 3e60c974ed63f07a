"""The result of a run in a browser: the report opens in place, the program is copied."""

import re

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from e2e import seed
from projects.models import Project
from training.tests import run_folders

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def result(project, settings, tmp_path) -> Project:
    settings.PROJECTS_DIR = tmp_path
    seed.workers_are_alive()
    run = run_folders.make_run(project)
    run.metrics, run.samples = run_folders.METRICS, run_folders.SAMPLES
    run.job = seed.job(project, "train")
    run.save()
    return project


def test_the_report_opens_in_place_and_the_program_is_copied(open_page, user, result):
    page = open_page(user)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(reverse("training:export", args=[result.pk]))
    expect(page.locator(".verdict")).to_contain_text("Better than before.")
    page.get_by_text("The whole report").click()
    expect(page.locator("#report-text")).to_contain_text("Training report: Handbook")
    page.get_by_role("button", name="Copy the program").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("from peft import PeftModel")
    assert "\n" in copied


def test_without_javascript_the_report_is_a_page_and_the_archive_can_be_built(
    open_page, user, result
):
    page = open_page(user, script=False)
    page.goto(reverse("training:export", args=[result.pk]))
    page.get_by_text("The whole report").click()
    page.get_by_role("link", name="Open the report as a page").click()
    expect(page.get_by_role("heading", name="Training report: Handbook")).to_be_visible()
    page.get_by_role("link", name="To the result").click()
    page.get_by_role("button", name="Build the archive").click()
    expect(page.locator("#messages")).to_contain_text(re.compile("Build export: started"))
    expect(page.locator("#zip")).to_contain_text("being built")

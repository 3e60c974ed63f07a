"""The Preview step in a real browser: settings, cards with their evidence, and going on."""

from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from e2e import preview_rows, seed
from projects.models import Job

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def server(settings):
    settings.LLM_BASE_URL, settings.LLM_API_KEY = "http://127.0.0.1:9/v1", "a-key"


@pytest.fixture
def address(project) -> str:
    seed.workers_are_alive()
    preview_rows.passages(project)
    return reverse("datasets:preview", args=[project.pk])


def test_wrong_settings_are_named_and_right_ones_start_a_preview(open_page, user, project, address):
    page = open_page(user).context.new_page()  # A page of its own: 422 is no fault here.
    page.goto(address)
    page.locator("#prompt summary").click()
    expect(page.locator("#prompt")).to_contain_text("never an instruction")
    page.locator("form#step-form").evaluate("form => (form.noValidate = true)")
    page.get_by_label("Temperature").fill("9")
    page.get_by_label("Language of the examples").fill("Danish")
    page.get_by_role("button", name="Make a preview").click()
    expect(page.locator(".errorlist")).to_contain_text("less than or equal to 2")
    expect(page.get_by_label("Language of the examples")).to_have_value("Danish")
    assert not Job.objects.exists()
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_role("button", name="Make a preview").click()
    expect(page.locator("#preview")).to_contain_text("The examples appear here")
    project.refresh_from_db()
    assert (project.language, project.generation) == ("Danish", {"temperature": 0.5})
    Job.objects.update(status="failed", error_text="The server is away.")
    expect(page.locator("#settings")).to_be_visible()
    expect(page.get_by_label("Language of the examples")).to_have_value("Danish")


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 320)])
def test_cards_show_their_evidence_and_the_settings_are_used(
    theme, width, open_page, user, project, address
):
    preview_rows.preview(project)
    page = open_page(user, theme=theme, width=width)
    page.goto(address)
    expect(page.locator("article.example")).to_have_count(10)
    expect(page.locator("article.example mark").first).to_have_text(preview_rows.FACTS[0])
    for summary in page.locator("#preview details > summary").all():
        if summary.is_visible():
            summary.click()
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert page.evaluate(CONTRAST) == []
    expect(page.locator("button.primary")).to_have_count(1)
    page.get_by_role("button", name="Use these settings").click()
    page.wait_for_url(f"**{reverse('datasets:review', args=[project.pk])}")
    assert project.jobs.filter(kind=Job.Kind.GENERATE).exists()


def test_without_javascript_the_settings_start_a_preview(open_page, user, project, address):
    page = open_page(user, script=False)
    page.goto(address)
    page.get_by_label("Examples per passage").fill("3")
    page.get_by_role("button", name="Make a preview").click()
    expect(page.locator("#preview")).to_contain_text("The examples appear here")
    assert project.jobs.get().kind == Job.Kind.PREVIEW

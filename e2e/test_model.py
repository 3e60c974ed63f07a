"""Choosing the base model in a browser: suggestions by keyboard, refusals with links, no script."""

import re

import pytest
from django.core.cache import cache
from django.urls import reverse
from playwright.sync_api import expect

from projects.models import Project
from training.tests.hub_server import HubServer
from training.tests.test_hub import CONFIG, TENSORS

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

REMOTE = {name: ("BF16", shape) for name, shape in TENSORS.items()}


@pytest.fixture
def remote(settings):
    cache.clear()
    settings.HF_TOKEN = ""
    with HubServer() as server:
        settings.HF_ENDPOINT = server.url
        server.add("maker/tiny-chat", config=CONFIG, tensors=REMOTE, card={"language": "en"})
        server.add("maker/tiny-gated", config=CONFIG, tensors=REMOTE, gated="manual")
        adapter = {"adapter_config.json": {"base_model_name_or_path": "maker/tiny-chat"}}
        server.add("maker/lora", files=adapter)
        yield server


@pytest.fixture
def address(project):
    return reverse("training:model", args=[project.pk])


def field(page):
    return page.get_by_label("Base model", exact=True)


def test_a_model_is_found_chosen_and_saved_with_the_keyboard_alone(
    open_page, user, project, address, remote
):
    page = open_page(user)
    page.goto(address)
    box = page.get_by_role("combobox", name="Base model")
    options = page.get_by_role("option")
    expect(box).to_have_attribute("aria-expanded", "false")
    box.focus()
    page.keyboard.type("tiny")
    expect(options).to_have_count(2)
    expect(box).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#model-status")).to_have_text("2 suggestions")
    page.keyboard.press("ArrowDown")
    expect(box).to_have_attribute("aria-activedescendant", "model-option-1")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#model-option-1")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(box).to_have_value("maker/tiny-chat")
    expect(options).to_have_count(0)  # Closed, so not in the accessible tree.
    page.keyboard.press("Enter")
    expect(page.locator("#messages")).to_contain_text("maker/tiny-chat is the base model now.")
    expect(page.locator("#model-facts")).to_contain_text("English")
    project.refresh_from_db()
    assert project.base_model == "maker/tiny-chat"


def test_escape_and_leaving_close_the_list_and_a_click_takes_a_line(
    open_page, user, address, remote
):
    page = open_page(user, width=320)
    page.goto(address)
    field(page).fill("tiny")
    options = page.get_by_role("option")
    expect(options).to_have_count(2)
    page.keyboard.press("Escape")
    expect(options).to_have_count(0)
    expect(field(page)).to_have_value("tiny")
    field(page).fill("nothing of this name")
    expect(page.locator("#model-status")).to_have_text("Nothing fits this name.")
    field(page).fill("tiny")
    expect(options).to_have_count(2)
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    expect(options).to_have_count(2)
    page.keyboard.press("Tab")
    expect(options).to_have_count(0)
    field(page).click()
    options.nth(1).click()
    expect(field(page)).to_have_value("maker/tiny-gated")
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


def without_refusals(page) -> None:
    """Take 422 off the watched answers: here it is what shall happen."""
    page.route(re.compile("/model/$"), _as_success)


def _as_success(route) -> None:
    answer = route.fetch(max_redirects=0)
    status = 200 if answer.status == 422 else answer.status
    route.fulfill(response=answer, status=status)


def test_a_refusal_names_its_reason_and_links_to_where_it_is_settled(
    open_page, user, project, address, remote
):
    page = open_page(user)
    without_refusals(page)
    page.goto(address)
    field(page).fill("maker/tiny-gated")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")  # What was typed counts: no line was marked.
    box = page.locator("#id_base_model_error")
    expect(box).to_contain_text("This model asks for your consent first.")
    link = box.get_by_role("link", name="Open the model's page")
    expect(link).to_have_attribute("href", f"{remote.url}/maker/tiny-gated")
    expect(field(page)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("option")).to_have_count(0)
    expect(page.get_by_role("combobox", name="Base model")).to_have_value("maker/tiny-gated")
    page.get_by_role("combobox", name="Base model").fill("maker/lora")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Use this model").click()
    page.get_by_role("button", name="Use maker/tiny-chat").click()
    expect(page.locator("#model-facts h2")).to_have_text("maker/tiny-chat")
    assert Project.objects.get(pk=project.pk).base_model == "maker/tiny-chat"


def test_without_javascript_a_model_is_searched_and_chosen(
    open_page, user, project, address, remote
):
    page = open_page(user, script=False)
    page.goto(address)
    expect(page.locator("#local-models option")).not_to_have_count(0)
    page.get_by_label("Search by name").fill("tiny")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("button", name="Use maker/tiny-chat").click()
    expect(page.locator("#model-facts h2")).to_have_text("maker/tiny-chat")
    page.get_by_role("button", name="Use SmolLM2-135M-Instruct").click()
    expect(page.locator("#model-facts")).to_contain_text("135 million")
    assert Project.objects.get(pk=project.pk).base_model == "SmolLM2-135M-Instruct"

"""Reviewing in a real browser: by keyboard, many at once, without JavaScript, back and forth."""

import re

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from datasets.models import Example
from e2e import seed

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def reviewed(user):
    seed.workers_are_alive()
    return seed.finished_project(user)


def address(project) -> str:
    return reverse("datasets:review", args=[project.pk])


def dataset(project):
    return Example.objects.filter(project=project).exclude(split="preview").order_by("pk")


def states(project, count: int) -> list[str]:
    return list(dataset(project).values_list("review", flat=True)[:count])


def test_a_whole_review_by_keyboard(open_page, user, reviewed):
    first, second, third = dataset(reviewed)[:3]
    page = open_page(user)
    page.goto(address(reviewed))
    page.keyboard.press("j")
    row = page.locator(f"#example-{first.pk}")
    expect(row).to_be_focused()
    page.keyboard.press("a")
    expect(row).to_contain_text("approved")
    expect(row).to_be_focused()
    expect(page.locator("#last-change")).to_contain_text("approved")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator(f"#example-{second.pk}")).to_contain_text("rejected")
    page.keyboard.press("j")
    page.keyboard.press("d")
    row = page.locator(f"#example-{third.pk}")
    expect(row).to_contain_text("in the bin")
    expect(row).to_be_focused()
    page.keyboard.press("u")
    expect(row).to_contain_text("to look at")
    assert states(reviewed, 3) == ["approved", "rejected", "pending"]
    page.keyboard.press("k")
    expect(page.locator(f"#example-{second.pk}")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(f"#example-{second.pk}")).to_contain_text("The passage it was made from")
    page.keyboard.press("o")
    expect(page.locator(".detail")).to_have_count(0)
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("x")
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    page.get_by_label("Search questions").focus()
    page.keyboard.type("axd?")
    expect(page.locator("#examples")).to_contain_text("Nothing fits")
    assert states(reviewed, 3) == ["approved", "rejected", "pending"]


def test_an_edit_in_place_says_what_is_wrong_and_keeps_the_original(open_page, user, reviewed):
    example = dataset(reviewed)[0]
    page = open_page(user, expected=(422,))
    page.goto(address(reviewed))
    page.keyboard.press("j")
    page.keyboard.press("e")
    row = page.locator(f"#example-{example.pk}")
    question = row.get_by_label("Question")
    expect(question).to_be_focused()
    other = dataset(reviewed)[1]
    question.fill(other.prompt)
    row.get_by_label("Answer").fill(other.completion)
    Example.objects.filter(pk=other.pk).update(
        fingerprint=fingerprint_of(other.prompt, other.completion)
    )
    with page.expect_response(re.compile("/edit/")) as answer:
        row.get_by_role("button", name="Save", exact=True).click()
    assert answer.value.status == 422
    expect(row).to_contain_text("an example with these texts already")
    question.fill("How often are all scales calibrated?")
    row.get_by_role("button", name="Save and approve").click()
    expect(row).to_contain_text("As it was written")
    expect(row).to_contain_text("approved")
    row.get_by_role("button", name="Put back the original").click()
    expect(row).not_to_contain_text("As it was written")
    example_now = Example.objects.get(pk=example.pk)
    assert (example_now.prompt, example_now.completion) == (example.prompt, example.completion)


def fingerprint_of(prompt: str, completion: str) -> str:
    from datasets.generation import store

    return store.fingerprint(prompt, "", completion)


def test_many_are_decided_and_undone_after_a_reload(open_page, user, reviewed):
    page = open_page(user)
    page.goto(address(reviewed))
    page.get_by_label("Select this page").check()
    expect(page.locator("#picked")).to_have_text("25 selected")
    page.locator("#bulk").get_by_role("button", name="Reject").click()
    expect(page.locator("#last-change")).to_contain_text("25 examples rejected")
    expect(page.locator("#continue")).to_have_text("Continue with 35")
    expect(page.locator("#rail")).to_contain_text("25 rejected")
    page.reload()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#messages")).to_contain_text("25 examples as before")
    expect(page.locator("#last-change")).to_be_empty()
    assert set(states(reviewed, 60)) == {"pending"}
    page.get_by_label("Search questions").fill("E-31")
    expect(page.locator("#examples")).to_contain_text("15 examples fit")
    page.get_by_label("Select this page").check()
    page.locator("#bulk").get_by_role("button", name="Approve").click()
    expect(page.locator("#last-change")).to_contain_text("15 examples approved")
    assert states(reviewed, 60).count("approved") == 15


def test_filters_stand_in_the_address_and_back_brings_them_back(open_page, user, reviewed):
    page = open_page(user)
    page.goto(address(reviewed))
    expect(page.locator("tbody.example")).to_have_count(25)
    page.get_by_label("Search questions").fill("E-31")
    expect(page.locator("#examples")).to_contain_text("15 examples fit")
    page.get_by_text("Part, length, order").click()
    page.get_by_label("Part of the dataset").select_option("eval")
    expect(page).to_have_url(re.compile(r"\?q=E-31&split=eval$"))
    expect(page.locator("tbody.example").first).to_contain_text("evaluation")
    page.go_back()
    expect(page.locator("#examples")).to_contain_text("15 examples fit")
    expect(page.get_by_label("Search questions")).to_have_value("E-31")
    page.go_back()
    expect(page.locator("#examples")).to_contain_text("60 examples")
    expect(page.get_by_label("Search questions")).to_have_value("")
    page.get_by_role("link", name="Next").click()
    expect(page).to_have_url(re.compile(r"\?page=2$"))
    expect(page.locator("tbody.example").first).to_contain_text("(25)")


def test_the_review_works_without_javascript(open_page, user, reviewed):
    example = dataset(reviewed)[0]
    page = open_page(user, script=False)
    page.goto(address(reviewed) + "?sort=short&page=2")
    page.goto(address(reviewed) + "?q=scales")
    page.locator(f"#reject-{example.pk}").click()
    expect(page).to_have_url(re.compile(r"\?q=scales#example-"))
    expect(page.locator(f"#example-{example.pk}")).to_contain_text("rejected")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#messages")).to_contain_text("1 example as before")
    page.locator(f"#example-{example.pk} input").check()
    page.locator("#bulk").get_by_role("button", name="To the bin").click()
    page.goto(address(reviewed) + "?review=deleted")
    page.locator(f"#example-{example.pk} input").check()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("heading", name="Delete 1 example for good?")).to_be_visible()
    page.get_by_role("button", name="Delete for good").click()
    assert not Example.objects.filter(pk=example.pk).exists()
    page.goto(address(reviewed))
    page.locator("tbody.example .ask a").first.click()
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Answer").fill("Never.")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("As it was written")).to_be_visible()
    page.goto(address(reviewed))
    page.get_by_role("link", name="Numbers and pictures").click()
    expect(page.get_by_role("heading", name="Length of the examples")).to_be_visible()

"""No page has a serious finding of axe-core, in either theme; and all of it works by keyboard."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse

from datasets.models import Example
from e2e import seed
from projects import services
from projects.models import Job, SourceFile

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def addresses(user, project) -> list[str]:
    """Return the address of every kind of page: of a finished, a running and an empty project."""
    seed.workers_are_alive()
    done = seed.finished_project(user)
    run, example = done.runs.get(), done.examples.exclude(split="preview").first()
    file = done.files.filter(kind=SourceFile.Kind.RAW_DOC).first()
    rows = b'{"question": "Q?", "answer": "A"}\n{broken'
    dataset = services.add_file(project=done, name="d.jsonl", pieces=[rows], kind="dataset")
    failed = seed.job(project, Job.Kind.GENERATE, status="failed", error_text="The key is wrong.")
    busy = services.create_project(owner=user, name="Busy")
    seed.files(busy)
    seed.examples(busy, 20)
    training = seed.run(busy, steps=34, status="running", done=34, total=120, message="Step 34")
    steps = ("model", "hardware", "train", "export")
    of_projects = [f"training:{name}" for name in steps]
    of_projects += ["projects:task", "projects:detail", "projects:delete", "projects:rename"]
    of_projects += ["datasets:data", "datasets:preview", "datasets:review", "datasets:statistics"]
    of_projects += ["datasets:import_dataset"]
    found = [
        reverse(name, args=[item.pk]) for name in of_projects for item in (done, busy, project)
    ]
    found += [reverse("training:run", args=[item.pk]) for item in (run, training)]
    found += [reverse("projects:job", args=[item.pk]) for item in (failed, training.job)]
    found += [
        reverse("datasets:text", args=[file.pk]),
        reverse("datasets:dataset", args=[dataset.pk]),
    ]
    found += [reverse(f"datasets:{name}", args=[example.pk]) for name in ("example", "edit")]
    assert Example.objects.filter(pk=example.pk).exists()
    return [reverse("projects:list"), reverse("account"), "/nowhere/", *found]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_serious_finding(theme, open_page, user, addresses):
    page = open_page(user, theme=theme, expected=(404,))
    found = {}
    for address in addresses:
        page.goto(address)
        for violation in Axe().run(page).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                where = [node["target"] for node in violation["nodes"]][:3]
                found[address, violation["id"]] = (violation["help"], where)
    assert found == {}


def test_every_page_is_walked_through_by_keyboard_with_a_visible_focus(open_page, user, addresses):
    page = open_page(user, expected=(404,))
    for address in addresses[::4]:
        page.goto(address)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip" or "nowhere" in address
        for _ in range(12):
            page.keyboard.press("Tab")
            style = page.evaluate(
                "(() => { const e = document.activeElement;"
                " return e === document.body || getComputedStyle(e).outlineStyle; })()"
            )
            assert style is True or style != "none", address

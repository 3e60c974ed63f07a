"""The whole way in a browser, through the real workers with the bundled model."""

import zipfile
from contextlib import ExitStack

import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import expect

from finetuneflow.lib.processes import wait_until
from projects import queues, services
from projects.models import Job, Project
from projects.tests.processes_helper import manage
from training.models import Export, Run

pytestmark = [
    pytest.mark.browser,
    pytest.mark.model,
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True),
]
PASSWORD = "nine-bright-shiners"
DOCUMENT = settings.BASE_DIR / "samples" / "voyages.txt"
PATIENCE = 240_000  # Milliseconds: two cores may be busy with the model.


@pytest.fixture
def workers(process_env, model_dir):
    with ExitStack() as stack:
        for arguments in (("worker", "--queue", "default"), ("worker", "--queue", "gpu")):
            stack.enter_context(manage(*arguments, env=process_env))
        stack.enter_context(manage("reconcile", env=process_env))
        names = (*settings.QUEUES, queues.RECONCILER)
        assert wait_until(lambda: all(map(queues.has_worker, names)), seconds=60)
        yield


def wait_for(page, kind: str, *, script: bool) -> None:
    """Wait until the newest job of the kind has ended well; without JavaScript, load again."""

    def job() -> Job | None:
        return Job.objects.filter(kind=kind).first()

    assert wait_until(lambda: job() and not job().is_active, seconds=PATIENCE / 1000), kind
    assert job().status == Job.Status.SUCCEEDED, (job().error_text, job().message)
    if not script:
        page.reload()


def begin(page) -> Project:
    """The first visitor: a password, then a project."""
    page.goto("/")
    page.get_by_label("Name", exact=True).fill("grace")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button", name="Set the password and begin").click()
    page.get_by_label("Name of the project").fill("Voyages")
    page.get_by_role("button", name="Create project").click()
    expect(page.get_by_role("heading", name="Voyages", exact=True)).to_be_visible()
    return Project.objects.get()


def choose_model_and_task(page, project: Project) -> None:
    page.goto(reverse("training:model", args=[project.pk]))
    page.get_by_role("button", name="Use this model").click()
    expect(page.locator("#content")).to_contain_text("LlamaForCausalLM")
    page.get_by_role("link", name="Task →").click()
    page.get_by_text("Questions and answers").last.click()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#messages")).to_contain_text("Saved")


def add_a_document(page, *, script: bool) -> None:
    page.get_by_role("link", name="Data →").click()
    page.locator("input[type=file]").set_input_files(DOCUMENT)
    if not script:
        page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#files")).to_contain_text("voyages.txt")
    page.get_by_role("button", name="Read the documents").click()
    wait_for(page, Job.Kind.DOCUMENTS, script=script)
    expect(page.locator("#rail")).to_contain_text("1 file · 1 page")


def preview_and_generate(page, project: Project, *, script: bool) -> None:
    page.goto(reverse("datasets:preview", args=[project.pk]))
    page.get_by_role("button", name="Make a preview").click()
    wait_for(page, Job.Kind.PREVIEW, script=script)
    expect(page.locator("mark").first).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Use these settings").click()
    wait_for(page, Job.Kind.GENERATE, script=script)
    expect(page.locator("#examples")).to_contain_text("voyages.txt", timeout=PATIENCE)


@pytest.mark.parametrize("script", [True, False], ids=["with-javascript", "without"])
def test_from_an_empty_installation_to_the_verified_zip(script, open_page, workers, tmp_path):
    page = open_page(script=script)
    project = begin(page)
    choose_model_and_task(page, project)
    add_a_document(page, script=script)
    preview_and_generate(page, project, script=script)
    page.goto(reverse("training:hardware", args=[project.pk]))
    expect(page.locator("#memory")).to_contain_text("estimate")
    page.get_by_role("link", name="Train →").click()
    page.get_by_label("Epochs").fill("1")
    page.get_by_role("button", name="Start training").click()
    run = Run.objects.get()
    expect(page.get_by_role("heading", name=f"Run {run.pk}")).to_be_visible()
    if not script:  # The main path without JavaScript ends where a training begins.
        page.get_by_role("button", name="Cancel").click()
        return
    wait_for(page, Job.Kind.TRAIN, script=script)
    page.get_by_role("button", name="Build the archive").click(timeout=PATIENCE)
    wait_for(page, Job.Kind.EXPORT, script=script)
    wait_for(page, Job.Kind.VERIFY, script=script)
    expect(page.locator("#zip .tag")).to_have_text("verified", timeout=PATIENCE)
    expect(page.locator(".verdict")).to_contain_text("evaluation loss")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download zip").click()
    path = tmp_path / "result.zip"
    download.value.save_as(path)
    names = set(zipfile.ZipFile(path).namelist())
    assert {"adapter_model.safetensors", "report.md", "metrics.json", "manifest.json"} <= names
    assert Export.objects.get().verification["ok"]
    page.goto(reverse("projects:list"))
    expect(page.locator("#projects")).to_contain_text("All 8 steps done")


def test_two_tabs_start_one_job(open_page, user, project):
    services.add_file(project=project, name="a.txt", pieces=[b"The ferry leaves at noon."])
    tabs = [open_page(user), open_page(user)]
    for tab in tabs:
        tab.goto(reverse("datasets:data", args=[project.pk]))
    for tab in tabs:
        tab.get_by_role("button", name="Read the documents").click()
    expect(tabs[1].locator("#messages")).to_contain_text("already under way")
    assert Job.objects.count() == 1


def test_the_back_button_shows_the_step_before_as_it_is_now(open_page, user, project):
    page = open_page(user)
    page.goto(reverse("projects:task", args=[project.pk]))
    page.get_by_text("Instructions", exact=True).click()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#messages")).to_contain_text("Saved")
    page.get_by_role("link", name="Data →").click()
    page.go_back()
    expect(page.get_by_role("radio", name="Instructions")).to_be_checked()
    expect(page.locator("#step-task")).to_contain_text("Instructions")

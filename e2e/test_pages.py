"""The pages in a real browser: they work, look right at any width, and break no policy."""

import gzip
import re
import zipfile
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import TimeoutError as BrowserTimeout
from playwright.sync_api import expect

from e2e import seed
from projects import services
from projects.models import Job, JobEvent, Project
from training.models import Export, Run

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LOOKS = [(theme, width) for theme in ("light", "dark") for width in (1280, 320)]
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


def addresses(project: Project) -> list[str]:
    """Return the address of every page of a project with a run and an export."""
    names = ("projects:detail", "training:model", "training:hardware", "projects:task")
    names += ("datasets:data", "datasets:preview", "datasets:review")
    names += ("training:train", "training:export")
    run = Run.objects.get(project=project)
    found = [reverse("projects:list"), reverse("training:run", args=[run.pk])]
    found += [reverse(name, args=[project.pk]) for name in (*names, "projects:delete")]
    return found + [reverse("projects:job", args=[job.pk]) for job in project.jobs.all()]


@pytest.fixture
def running(project):
    """A training under way, with its workers alive."""
    seed.workers_are_alive()
    seed.files(project)
    seed.examples(project, 20)
    return seed.run(project, steps=34, status="running", done=34, total=120, message="Step 34")


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_every_page_fits_and_is_readable(theme, width, open_page, user):
    seed.workers_are_alive()
    project = seed.finished_project(user)
    services.create_project(owner=user, name="Nothingyetbutaverylongnamewithoutanyblank" * 2)
    page = open_page(user, width=width, theme=theme)
    for address in addresses(project):
        page.goto(address)
        sizes = page.evaluate("[document.scrollingElement.scrollWidth, innerWidth]")
        assert sizes[0] <= sizes[1], f"{address} is wider than the window"
        assert page.evaluate(CONTRAST) == [], address
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(251, 250, 248)" if theme == "light" else "rgb(22, 22, 20)")


@pytest.mark.parametrize("width", [1280, 320])
def test_empty_and_failed_projects_fit_too(width, open_page, user, project):
    broken = services.create_project(owner=user, name="Broken")
    seed.files(broken)
    long = "https://example.org/" + "x" * 300
    seed.job(broken, Job.Kind.GENERATE, status="failed", error_text=long)
    seed.job(broken, Job.Kind.PREVIEW, status="interrupted", done=4)
    page = open_page(user, width=width)
    names = ("projects:detail", "datasets:data", "datasets:preview", "datasets:review")
    for item in (project, broken):
        for name in (*names, "training:train", "training:export"):
            page.goto(reverse(name, args=[item.pk]))
            assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), name
            assert page.evaluate(CONTRAST) == [], name


def test_signing_in_creating_a_project_and_signing_out(open_page, user):
    page = open_page()
    page.goto("/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="No project yet")).to_be_visible()
    page.get_by_label("Name of the project").fill("Travel rules")
    page.get_by_role("button", name="Create project").click()
    expect(page.get_by_role("heading", name="Travel rules")).to_be_visible()
    page.get_by_role("link", name="Continue: Data").click()
    expect(page.get_by_role("heading", name="No documents yet")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_job_is_followed_until_it_ends_and_then_left_alone(open_page, user, running):
    job = running.job
    page = open_page(user)
    page.goto(reverse("projects:job", args=[job.pk]))
    box = page.locator(f"#job-{job.pk}")
    expect(box).to_contain_text("28 % · 34 of 120")
    Job.objects.filter(pk=job.pk).update(done=60, message="Step 60")
    JobEvent.objects.create(job=job, text="half of the way")
    expect(box).to_contain_text("50 % · 60 of 120 · Step 60")
    expect(page.locator(".log")).to_contain_text("half of the way")
    Job.objects.filter(pk=job.pk).update(status="succeeded", finished_at=timezone.now())
    expect(box).to_contain_text("Succeeded")
    expect(page.locator("#rail li.done #step-train")).to_be_visible()
    expect(page.locator(f"#log-end-{job.pk}[hx-get]")).to_have_count(0)
    with (
        pytest.raises(BrowserTimeout),
        page.expect_request(re.compile(r"/jobs/|/rail/"), timeout=5500),
    ):
        pass


def test_the_data_page_shows_what_was_read_when_the_job_ends(open_page, user, project):
    seed.workers_are_alive()
    file = services.add_file(project=project, name="a.txt", pieces=[b"text"])
    job = seed.job(project, Job.Kind.DOCUMENTS, status="running", done=0, total=1)
    page = open_page(user)
    page.goto(reverse("datasets:data", args=[project.pk]))
    expect(page.locator("#files")).to_contain_text("Not read yet")
    file.state, file.report = "extracted", {"pages": 7}
    file.save()
    Job.objects.filter(pk=job.pk).update(status="succeeded", finished_at=timezone.now())
    expect(page.locator("#files")).to_contain_text("Read")
    expect(page.locator("#rail")).to_contain_text("1 file · 7 pages")


def test_a_job_is_cancelled_in_place(open_page, user, running):
    page = open_page(user)
    page.goto(reverse("training:run", args=[running.pk]))
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(f"#job-{running.job_id}")).to_contain_text("Cancelling")
    assert Job.objects.get().cancel_requested
    assert page.url.endswith(reverse("training:run", args=[running.pk]))


def test_the_archive_is_downloaded_whole(open_page, user, tmp_path):
    project = seed.finished_project(user)
    page = open_page(user)
    page.goto(reverse("training:export", args=[project.pk]))
    with page.expect_download() as download:
        page.get_by_role("link", name="Download zip").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.name == Export.objects.get().file_name
    assert zipfile.ZipFile(path).read("report.md") == b"# Report\n"


def test_the_chosen_theme_is_remembered_without_a_flash(open_page, user):
    page = open_page(user)
    page.goto("/")
    button = page.get_by_role("button", name="Theme")
    button.click()
    button.click()
    expect(button).to_have_text("Theme: dark")
    page.add_init_script(
        "new MutationObserver((_, seen) => { if (document.body) {"
        "  window.themeAtBody = document.documentElement.dataset.theme; seen.disconnect(); }"
        "}).observe(document, { childList: true, subtree: true });"
    )
    page.reload()
    assert page.evaluate("window.themeAtBody") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 20)"


def test_the_first_load_is_small(open_page, user, project):
    page = open_page(user)
    sizes = []
    page.on("response", lambda response: sizes.append(len(gzip.compress(response.body()))))
    page.goto(reverse("projects:detail", args=[project.pk]))
    page.wait_for_load_state("networkidle")
    assert len(sizes) >= 4
    assert sum(sizes) <= 100_000


def test_an_ended_session_brings_the_login_page_not_a_fragment(open_page, user, running):
    page = open_page(user)
    page.goto(reverse("projects:job", args=[running.job_id]))
    page.context.clear_cookies()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("main")).to_have_count(1)

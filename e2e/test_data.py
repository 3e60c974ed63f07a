"""The data step in a real browser: dropping, choosing, refusing, reading anew, the text."""

import re
from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from datasets import documents
from datasets.models import Chunk
from e2e import seed
from projects import jobs, services
from projects.models import Job, SourceFile

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
# What a browser does when a person drops files: [name, content] pairs on the page's heading.
DROP = """files => {
  const data = new DataTransfer();
  for (const [name, content] of files) data.items.add(new File([content], name));
  const target = document.querySelector("h1");
  const options = {dataTransfer: data, bubbles: true, cancelable: true};
  for (const kind of ["dragover", "drop"]) target.dispatchEvent(new DragEvent(kind, options));
}"""


def data_page(open_page, user, project, **options):
    page = open_page(user, **options)
    page.goto(reverse("datasets:data", args=[project.pk]))
    return page


def names(project) -> set[str]:
    return set(project.files.values_list("original_name", flat=True))


def expect_refusals(open_page, count: int) -> None:
    """Refused uploads are answered 422, which the browser reports: those alone are expected."""
    watch = open_page.watches[-1]
    refused = [problem for problem in watch.problems if "422" in problem]
    assert len([problem for problem in refused if problem.startswith("422:")]) == count
    watch.problems[:] = [problem for problem in watch.problems if problem not in refused]


def read(project) -> Job:
    job = Job.objects.create(project=project, kind=Job.Kind.DOCUMENTS)
    with jobs.running(job.pk) as running:
        running.outcome = documents.read_documents(job=running, reporter=jobs.Reporter(running))
    return job


def test_files_dropped_on_the_page_are_added_one_by_one(open_page, user, project):
    seed.workers_are_alive()
    page = data_page(open_page, user, project)
    expect(page.get_by_role("heading", name="No documents yet")).to_be_visible()
    page.evaluate(DROP, [["a.txt", "The fog station."], ["b.md", "Forty litres."]])
    expect(page.locator("#files")).to_contain_text("a.txt")
    expect(page.locator("#files")).to_contain_text("b.md")
    expect(page.locator("#uploads li.done")).to_have_count(2)
    expect(page.locator("#rail [aria-current]")).to_contain_text("2 files")
    expect(page.get_by_role("status").filter(has_text="2 files added.")).to_have_count(1)
    assert names(project) == {"a.txt", "b.md"}
    assert page.evaluate(CONTRAST) == []
    page.get_by_role("button", name="Read the documents").click()
    expect(page.locator(f"#job-{Job.objects.get().pk}")).to_contain_text("Waiting")
    expect(page.get_by_role("button", name="Read the documents")).to_have_count(0)


def test_the_progress_of_an_upload_is_shown(open_page, user, project):
    page = data_page(open_page, user, project)
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1}
    session.send("Network.emulateNetworkConditions", limits | {"uploadThroughput": 400_000})
    page.evaluate(DROP, [["long.txt", "word " * 400_000]])
    bar = page.get_by_role("progressbar", name="Upload of long.txt")
    expect(bar).to_be_visible()
    expect(page.locator("#uploads li span")).to_contain_text(re.compile(r"[1-9]\d? %"))
    session.send("Network.emulateNetworkConditions", limits | {"uploadThroughput": -1})
    expect(page.locator("#uploads li.done")).to_contain_text("added")
    expect(bar).to_have_count(0)


def test_what_is_refused_says_why_in_its_place(open_page, user, project, settings):
    settings.MAX_UPLOAD_BYTES = 100_000
    page = data_page(open_page, user, project)
    page.evaluate(
        DROP,
        [
            ["good.txt", "The fog station."],
            ["empty.txt", ""],
            ["tool.exe", "MZ"],
            ["large.txt", "x" * 150_000],
        ],
    )
    expect(page.locator("#uploads li.failed")).to_have_count(3)
    for name, why in (
        ("empty.txt", "is empty"),
        ("tool.exe", "files of type .exe cannot be read"),
        ("large.txt", "At most"),
    ):
        row = page.locator("#uploads li.failed").filter(has_text=name)
        expect(row).to_contain_text(why)
    expect(page.locator("#upload-status")).to_contain_text("1 file added. 3 not added")
    expect(page.locator("#files")).to_contain_text("good.txt")
    assert names(project) == {"good.txt"}
    assert page.evaluate(CONTRAST) == []
    expect_refusals(open_page, 2)


def test_a_lost_connection_loses_one_file_which_can_be_sent_again(open_page, user, project):
    page = data_page(open_page, user, project)
    page.route("**/data/", lambda route: route.abort(), times=1)
    page.evaluate(DROP, [["a.txt", "The fog station."]])
    row = page.locator("#uploads li.failed")
    expect(row).to_contain_text("The server cannot be reached")
    open_page.watches[-1].problems.clear()
    page.get_by_role("button", name="Try again to add a.txt").press("Enter")
    expect(page.locator("#files")).to_contain_text("a.txt")


def test_a_file_too_many_within_a_minute_waits_in_its_place(open_page, user, project):
    page = data_page(open_page, user, project)
    busy = {"status": 429, "headers": {"Retry-After": "1"}, "body": "Too many."}
    page.route("**/data/", lambda route: route.fulfill(**busy), times=1)
    page.evaluate(DROP, [["a.txt", "The fog station."]])
    expect(page.locator("#uploads li")).to_contain_text("waits 1 s")
    expect(page.locator("#uploads li.done")).to_contain_text("added")
    watch = open_page.watches[-1]
    watch.problems[:] = [problem for problem in watch.problems if "429" not in problem]
    assert names(project) == {"a.txt"}


@pytest.mark.parametrize("script", [True, False])
def test_files_are_chosen_with_and_without_javascript(script, open_page, user, project, tmp_path):
    (tmp_path / "notes.txt").write_text("The scales are calibrated on Tuesdays.")
    (tmp_path / "empty.txt").write_text("")
    page = data_page(open_page, user, project, script=script)
    page.locator("#id_files").set_input_files([tmp_path / "notes.txt", tmp_path / "empty.txt"])
    if not script:
        page.get_by_role("button", name="Add", exact=True).click()
    where = "#uploads" if script else "#messages"
    expect(page.locator(where)).to_contain_text("empty.txt is empty")
    expect(page.locator("#files")).to_contain_text("notes.txt")
    if script:
        expect_refusals(open_page, 1)


def test_the_samples_are_added_read_and_looked_at_without_javascript(open_page, user, project):
    page = data_page(open_page, user, project, script=False)
    page.get_by_role("button", name="Try it with the sample documents").click()
    expect(page.locator("#files")).to_contain_text("k7-service-manual.docx")
    read(project)
    page.reload()
    expect(page.get_by_role("link", name="Continue: Preview")).to_be_visible()
    page.get_by_role("link", name="View the text of handbook.pdf").click()
    expect(page.get_by_role("heading", name="Passage 1", exact=False).first).to_be_visible()
    expect(page.locator("mark.again").nth(1)).to_be_visible()


def test_an_encoding_is_chosen_with_the_keyboard(open_page, user, project):
    content = "Привет, мир. Станция стоит на горе.".encode("koi8-r")
    file = services.add_file(project=project, name="fog.txt", pieces=[content])
    SourceFile.objects.filter(pk=file.pk).update(encoding="cp1251")
    read(project)
    page = data_page(open_page, user, project)
    page.get_by_role("link", name="Encoding of fog.txt").press("Enter")
    choice = page.get_by_role("combobox", name="Encoding of fog.txt")
    choice.select_option("koi8-r")
    choice.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#files")).to_contain_text("To be read again")
    read(project)
    page.get_by_role("link", name="View the text of fog.txt").press("Enter")
    expect(page.locator(".passage-text")).to_contain_text("Станция стоит на горе")


def test_a_document_is_deleted_in_two_steps(open_page, user, project):
    services.add_file(project=project, name="a.txt", pieces=[b"one"])
    page = data_page(open_page, user, project)
    final = page.get_by_role("button", name="Delete a.txt for good")
    expect(final).to_be_hidden()
    page.locator("summary", has_text="Delete").press("Enter")
    expect(page.get_by_text("Examples made from it stay")).to_be_visible()
    final.press("Enter")
    expect(page.get_by_role("heading", name="No documents yet")).to_be_visible()


@pytest.mark.parametrize(("theme", "width"), [("light", 320), ("dark", 1280)])
def test_the_text_fits_and_is_readable(theme, width, open_page, user, project):
    file = seed.files(project)[0]
    Chunk.objects.filter(file=file).update(text="word " * 60 + "x" * 300, section="s" * 280)
    SourceFile.objects.filter(pk=file.pk).update(report={"pages": 4, "empty_pages": [2, 4]})
    page = open_page(user, width=width, theme=theme)
    page.goto(reverse("datasets:text", args=[file.pk]))
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert page.evaluate(CONTRAST) == []

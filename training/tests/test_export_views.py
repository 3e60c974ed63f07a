"""The result of a run in the browser: verdict, archives, report; who sees it and what it costs."""

import json

import pytest
from django.urls import reverse

from finetuneflow.lib import storage
from projects.models import Job
from training import rendering, report, services
from training.models import Export, Run
from training.tests import run_folders

HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def folders(settings, tmp_path):
    settings.PROJECTS_DIR = tmp_path


@pytest.fixture
def ada(client, user):
    client.force_login(user)
    return client


@pytest.fixture
def run(project):
    job = Job.objects.create(
        project=project, kind=Job.Kind.TRAIN, queue="gpu", status="running", done=1, total=10
    )
    return Run.objects.create(project=project, job=job, dataset_stats={"train": 90, "eval": 10})


@pytest.fixture
def export(run):
    finish(run)
    export = Export.objects.create(run=run, file_name="7.zip", sha256="f" * 64, size_bytes=8)
    storage.write_bytes(services.exports_folder(run.project) / "7.zip", b"the zip!")
    return export


def finish(run: Run, **metrics) -> None:
    Job.objects.filter(pk=run.job_id).update(status="succeeded")
    run.metrics = {
        "baseline": {"eval_loss": 1.8234, "perplexity": 6.19},
        "final": {"eval_loss": 0.7412, "perplexity": 2.1},
        "history": [{"step": 0, "eval_loss": 1.8234}, {"step": 1, "eval_loss": 0.7412}],
    } | metrics
    run.samples = [
        {"prompt": f"What {n}?", "reference": "That", "before": "<b>no</b>", "after": "That"}
        for n in range(5)
    ]
    run.save()


def address(name: str, item) -> str:
    return reverse(f"training:{name}", args=[item.pk])


def page_of(client, project, query: str = "") -> str:
    return client.get(address("export", project) + query).content.decode()


@pytest.mark.parametrize("name", ["report", "delete_export", "verify", "build_export"])
def test_a_result_is_its_owners_alone(name, client, stranger, export):
    item = export if name in ("delete_export", "verify") else export.run
    send = client.get if name == "report" else client.post
    assert send(address(name, item)).url.startswith(reverse("login"))
    client.force_login(stranger)
    assert send(address(name, item)).status_code == 404


def test_before_any_training_the_page_teaches_and_leads_there(ada, project):
    page = page_of(ada, project)
    assert "Nothing to export yet" in page
    assert address("train", project) in page


@pytest.mark.parametrize(
    ("after", "tone", "word"),
    [
        (0.7, "good", "Better than before."),
        (1.83, "warn", "No clear change."),
        (2.5, "bad", "Worse than before."),
        (None, "", "Not measured."),
    ],
)
def test_the_verdict_says_in_a_few_words_what_the_loss_says(after, tone, word, ada, run):
    finish(run, final={"eval_loss": after})
    found = report.judge(run.metrics["baseline"], run.metrics["final"], 41)
    assert (found.tone, found.word) == (tone, word)
    page = page_of(ada, run.project)
    assert f'<div class="verdict {tone}">' in page
    assert word in page


def test_the_page_shows_numbers_pairs_and_how_to_use_it_and_escapes_answers(ada, run):
    finish(run)
    page = page_of(ada, run.project)
    assert "1.82 → 0.74" in page
    assert page.count("&lt;b&gt;no&lt;/b&gt;") == 5
    assert "<b>no</b>" not in page
    assert "PeftModel.from_pretrained" in page


def test_the_newest_run_is_shown_and_the_address_names_another(ada, project, run):
    finish(run)
    job = Job.objects.create(project=project, kind=Job.Kind.TRAIN, status="succeeded")
    newer = Run.objects.create(project=project, job=job)
    assert f"Run {newer.pk}, LoRA" in page_of(ada, project)
    assert f"Run {run.pk}, LoRA" in page_of(ada, project, f"?run={run.pk}")
    for odd in ("0", "x", "999999"):
        assert f"Run {newer.pk}, LoRA" in page_of(ada, project, f"?run={odd}")


def test_ollama_is_offered_only_for_architectures_that_it_imports(ada, run):
    finish(run)
    run.project.base_model = "owner/name"
    for architecture, text in (
        ("LlamaForCausalLM", "ollama create"),
        ("Qwen3ForCausalLM", "this one is Qwen3ForCausalLM"),
        ("", "not known here"),
    ):
        run.project.model_info = {"architecture": architecture}
        run.project.save()
        assert text in page_of(ada, run.project)


def test_an_archive_is_built_only_of_a_finished_run(ada, run):
    url = address("build_export", run)
    assert "has not finished" in ada.post(url, follow=True).content.decode()
    assert not Export.objects.exists()
    finish(run)
    ada.post(url)
    job = Job.objects.get(kind=Job.Kind.EXPORT)
    assert job.params == {"export": Export.objects.get().pk}
    assert "being built" in ada.get(address("export", run.project)).content.decode()


def test_building_twice_makes_one_archive(ada, run):
    finish(run)
    for _ in range(2):
        page = ada.post(address("build_export", run), follow=True).content.decode()
    assert "already under way" in page
    assert Export.objects.count() == 1


@pytest.mark.parametrize(
    ("verification", "text"),
    [
        ({}, "not verified yet"),
        ({"ok": True, "problems": [], "eval_loss": 0.5, "expected": 0.5}, "0.5000"),
        ({"ok": False, "problems": ["The loss differs."]}, "The loss differs."),
    ],
)
def test_the_export_page_says_whether_the_archive_was_verified(verification, text, ada, export):
    Export.objects.update(verification=verification)
    page = ada.get(address("export", export.run.project)).content.decode()
    assert text in page
    assert ("Check it" in page) == (not verification.get("ok"))


def test_an_archive_can_be_checked_again(ada, export):
    ada.post(address("verify", export))
    assert Job.objects.get(kind=Job.Kind.VERIFY).params == {"export": export.pk}
    Export.objects.update(sha256="")
    Job.objects.all().delete()
    assert "no built archive" in ada.post(address("verify", export), follow=True).content.decode()
    assert not Job.objects.exists()


def test_the_owner_downloads_the_archive(ada, export):
    response = ada.get(address("download", export))
    assert b"".join(response.streaming_content) == b"the zip!"
    assert response.headers["Content-Disposition"] == 'attachment; filename="7.zip"'


def test_nobody_else_downloads_it(client, stranger, export):
    assert client.get(address("download", export)).url.startswith(reverse("login"))
    client.force_login(stranger)
    assert client.get(address("download", export)).status_code == 404


@pytest.mark.parametrize(
    "fields",
    [
        {"sha256": ""},
        {"file_name": "gone.zip"},
        {"file_name": "../../db.sqlite3"},
        {"file_name": ""},
    ],
)
def test_what_is_not_ready_or_not_there_is_404(fields, ada, export):
    Export.objects.update(**fields)
    assert ada.get(address("download", export)).status_code == 404


def test_a_page_takes_at_most_ten_queries_however_many_runs(
    ada, project, django_assert_max_num_queries
):
    for number in range(12):
        job = Job.objects.create(project=project, kind="train", status="succeeded")
        made = Run.objects.create(project=project, job=job)
        export = Export.objects.create(run=made, sha256="f", file_name=f"{number}.zip")
        Job.objects.create(
            project=project, kind="verify", status="failed", params={"export": export.pk}
        )
    with django_assert_max_num_queries(10):
        page_of(ada, project)


def test_an_archive_is_deleted_with_its_file_unless_something_works_on_it(ada, export):
    path = services.exports_folder(export.run.project) / "7.zip"
    job = Job.objects.create(
        project=export.run.project,
        kind=Job.Kind.VERIFY,
        status="running",
        params={"export": export.pk},
    )
    page = ada.post(address("delete_export", export), follow=True).content.decode()
    assert "being built or checked" in page
    assert path.exists()
    job.delete()
    ada.post(address("delete_export", export))
    assert not Export.objects.exists()
    assert not path.exists()


def test_the_report_is_a_page_and_a_fragment(ada, project):
    run = run_folders.make_run(project)
    page = ada.get(address("report", run)).content.decode()
    assert "<h2>Training report: Handbook</h2>" in page
    assert '<td class="num">2.0000</td>' in page
    fragment = ada.get(address("report", run), headers=HTMX).content.decode()
    assert "<html" not in fragment
    assert "Training report" in fragment


def test_a_report_of_an_unfinished_run_says_so(ada, run):
    assert "has no finished adapter" in ada.get(address("report", run)).content.decode()


def test_what_documents_and_models_wrote_stays_inert_in_the_report(ada, project):
    evil = "<script>alert(1)</script> [x](javascript:alert(1)) ![y](http://evil.example/p.png)"
    project.name = evil[:120]
    project.save()
    sample = {"prompt": evil, "reference": evil, "before": evil, "after": evil}
    run = run_folders.make_run(project, samples=[sample])
    html = ada.get(address("report", run), headers=HTMX).content.decode()
    for bad in ("<script", "<a ", "<img", "style=", "onerror"):
        assert bad not in html


@pytest.mark.parametrize(
    "markdown",
    ["<b>x</b>", "[a](javascript:x)", "![a](//evil/x.png)", '<p onclick="x()">', "<!-- -->"],
)
def test_markdown_gives_no_html_links_images_or_handlers(markdown):
    html = rendering.to_html(markdown)
    assert not any(bad in html for bad in ("<b>", "<a", "<img", "<p onclick", "<!--"))


def test_numbers_of_a_table_are_aligned_without_a_style():
    html = rendering.to_html("| a | b |\n|---|---:|\n| 1 | 2 |\n")
    assert '<td class="num">2</td>' in html
    assert "style" not in html
    assert json.dumps(html)

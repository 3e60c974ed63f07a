"""The report says what was measured, honestly, and nothing in it can act."""

import json

import pytest
import yaml
from markdown_it import MarkdownIt

from datasets.models import Chunk, GenerationRequest
from projects.models import Job, SourceFile
from training import artifacts, report, services, sources
from training.tests.run_folders import make_run

EVIL = (
    "<script>alert(1)</script> [x](javascript:alert(1)) | `a`\n\n# ![p](http://evil.example/p.png)"
)


@pytest.fixture(autouse=True)
def folders(settings, tmp_path):
    settings.PROJECTS_DIR = tmp_path / "projects"


def material(run) -> artifacts.Material:
    hashes = {"adapter/adapter_model.safetensors": "cd" * 32}
    return artifacts.read_material(services.run_folder(run), hashes)


def parse(text: str) -> list:
    """Return all tokens a renderer makes, those inside lines too; raw HTML would be one."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    return tokens + [child for token in tokens for child in token.children or []]


def words(text: str) -> str:
    return " ".join(token.content for token in parse(text) if token.type == "text")


def add_generation(project, *, when) -> None:
    """Add a file with a chunk and three requests: one rejected in part, one failed."""
    file = SourceFile.objects.create(
        project=project,
        original_name="guide.pdf",
        sha256="ab" * 32,
        size_bytes=123_456,
        report={"pages": 5},
    )
    chunk = Chunk.objects.create(file=file, index=0, text="x", token_count=1, start=0, end=1)
    job = Job.objects.create(project=project, kind=Job.Kind.GENERATE, queued_at=when)
    refused = [{"reason": "no_evidence"}, {"reason": "no_evidence"}, {"reason": "duplicate"}]
    rows = [("done", refused, ""), ("done", [], ""), ("failed", [], "timeout")]
    for slot, (state, rejected, error_class) in enumerate(rows):
        GenerationRequest.objects.create(
            job=job,
            chunk=chunk,
            slot=slot,
            state=state,
            rejected=rejected,
            error_class=error_class,
            strategy="json",
            prompt_version="v",
        )


def test_the_numbers_of_the_run_are_in_the_report(project):
    run = make_run(project)
    add_generation(project, when=run.created_at)
    text = words(report.render_report(run, material(run)))
    for expected in ("2.0000", "1.0000", "7.39", "2.72", "guide.pdf", "123.5 kB", "60.5"):
        assert expected in text, expected
    assert "Learned from 9 examples, measured on 2" in text


def test_a_run_keeps_what_it_learned_from_when_the_project_changes(project):
    run = make_run(project)
    add_generation(project, when=run.created_at)
    run.dataset_stats = json.loads(json.dumps({"sources": sources.describe(project)}))
    project.chunk_size, project.strategy = 1024, "json"
    project.save()
    project.files.update(original_name="later.pdf")
    text = words(report.render_report(run, material(run)))
    assert "512" in text and "auto" in text and "guide.pdf" in text
    assert "1024" not in text and "later.pdf" not in text


def test_every_rejection_is_counted_with_its_reason(project):
    run = make_run(project)
    add_generation(project, when=run.created_at)
    text = report.render_report(run, material(run))
    assert "asked 3 times" in text and "- Failed: 1" in text
    assert "| no evidence | 2 |" in text
    assert "| duplicate | 1 |" in text
    assert "| request failed: timeout | 1 |" in text


def test_the_same_questions_before_and_after_are_shown(project):
    run = make_run(project)
    tokens = parse(report.render_report(run, material(run)))
    quotes = sum(token.type == "blockquote_open" for token in tokens)
    assert quotes == 4  # question, expected, before, after


def test_the_only_picture_is_the_curve_and_there_is_no_link_and_no_html(project):
    project.name = EVIL[:100]
    project.save()
    run = make_run(
        project,
        config={"base_model_id": EVIL, "target_modules": [EVIL]},
        samples=[{"prompt": EVIL, "reference": EVIL, "before": EVIL, "after": "```\n" + EVIL}],
    )
    SourceFile.objects.create(project=project, original_name=EVIL, sha256="1" * 64, size_bytes=1)
    card = report.render_card(run, material(run)).split("---\n", 2)[2]
    for text in (report.render_report(run, material(run)), card):
        tokens = parse(text)
        assert not [t for t in tokens if t.type in ("html_inline", "html_block", "link_open")]
        assert {t.attrs["src"] for t in tokens if t.type == "image"} <= {"loss.svg"}
        assert "<script" not in text


def test_nobody_can_write_keys_into_the_cards_header(project):
    run = make_run(project, config={"base_model_id": 'x"\nlicense: mit\nevil: "yes'})
    _, header, _ = report.render_card(run, material(run)).split("---\n", 2)
    assert set(yaml.safe_load(header)) == {"base_model", "library_name", "pipeline_tag", "tags"}


def test_a_models_licence_is_on_the_card_when_it_is_known(project):
    project.model_info = {"licence": "mit"}
    project.base_model = "someone/tiny"
    project.save()
    run = make_run(project, config={"base_model_id": "someone/tiny"})
    assert 'license: "mit"' in report.render_card(run, material(run))
    run = make_run(project, config={"base_model_id": "someone/other"})
    assert "license:" not in report.render_card(run, material(run)).split("---\n", 2)[1]


@pytest.mark.parametrize(
    ("before", "after", "rows", "said"),
    [
        (2.0, 1.0, 100, "Better than before"),
        (1.0, 2.0, 100, "Worse than before"),
        (2.0, 1.97, 100, "No clear change"),
        (2.0, 1.0, 5, "Only 5 examples were measured"),
        (None, 1.0, 100, "was not measured"),
        (float("nan"), 1.0, 100, "was not measured"),
        (0.0, 0.0, 100, "No clear change"),
    ],
)
def test_the_verdict_claims_no_more_than_was_measured(before, after, rows, said):
    verdict = report.verdict({"eval_loss": before}, {"eval_loss": after}, rows)
    assert said in verdict
    assert ("Only" in verdict) == (rows < report.FEW_ROWS)


def test_without_measurements_the_report_is_still_whole(project):
    run = make_run(project, samples=[])
    text = report.render_report(run, artifacts.Material())
    assert "was not measured" in text and "No questions were answered" in text

"""Importing a ready dataset as a job: every row is counted, none twice, also after a kill."""

import json
import tracemalloc
from collections import Counter

import pytest

from datasets import importing
from datasets.import_formats import COLUMNS, Mapping
from datasets.models import Example
from projects import jobs, services
from projects.models import Job, SourceFile

pytestmark = pytest.mark.django_db
FLAT = Mapping(COLUMNS, "question", "", "answer")


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.PROJECTS_DIR = tmp_path


def add(project, rows, name="data.jsonl") -> SourceFile:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    content = "\n".join(lines).encode()
    return services.add_file(project=project, name=name, pieces=[content], kind="dataset")


def pairs(count: int, start: int = 0) -> list[dict]:
    return [{"question": f"Q{n}?", "answer": f"Answer {n}."} for n in range(start, start + count)]


def run(file: SourceFile, mapping: Mapping = FLAT) -> Job:
    job = importing.start_import(file=file, mapping=mapping)
    with jobs.running(job.pk) as running:
        running.outcome = importing.import_dataset(job=running, reporter=jobs.Reporter(running))
    job.refresh_from_db()
    file.refresh_from_db()
    return job


def test_rows_become_examples_of_both_sides_with_where_they_came_from(project):
    file = add(project, pairs(40))
    job = run(file)
    assert (job.status, job.result["added"]) == ("succeeded", 40)
    examples = Example.objects.filter(project=project)
    assert set(examples.values_list("split", flat=True)) == {"train", "eval"}
    third = examples.get(source_line=3)
    assert (third.prompt, third.completion, third.source_file) == ("Q2?", "Answer 2.", file)
    assert third.token_count > 0
    assert third.review == "pending"
    assert file.state == "extracted"
    folder = services.project_folder(project) / "datasets"
    written = [(folder / f"{split}.jsonl").read_text() for split in ("train", "eval")]
    assert sum(text.count("\n") for text in written) == 40


def test_refused_rows_are_counted_with_reasons_and_listed_with_lines(project):
    file = add(project, [*pairs(3), "{broken", {"question": "", "answer": "A"}, *pairs(2)])
    job = run(file)
    result = job.result
    assert job.status == "completed_with_errors"
    counts = [result[name] for name in ("read", "added", "there_already", "rejected")]
    assert counts == [7, 3, 2, 2]
    assert result["read"] == sum(counts[1:])
    listed = importing.errors_path(file).read_text().splitlines()
    assert [line.split(",")[0] for line in listed] == ["line", "4", "5"]


def test_importing_again_adds_nothing_twice(project):
    file = add(project, pairs(10))
    run(file)
    Example.objects.filter(source_line=4).update(review="approved")
    job = run(file)
    assert (job.result["added"], Example.objects.count()) == (10, 10)
    assert Example.objects.get(source_line=4).review == "approved"


def test_an_import_that_died_half_way_goes_on(project, monkeypatch):
    monkeypatch.setattr(importing, "BATCH", 10)
    file, add_batch, batches = add(project, pairs(35)), importing._add, []

    def die_in_the_third(*arguments):
        batches.append(1)
        if len(batches) == 3:
            raise SystemExit
        add_batch(*arguments)

    monkeypatch.setattr(importing, "_add", die_in_the_third)
    with pytest.raises(SystemExit):
        run(file)
    assert Example.objects.count() == 20
    monkeypatch.setattr(importing, "_add", add_batch)
    job = Job.objects.get()
    assert job.status == "queued"
    with jobs.running(job.pk) as running:
        running.outcome = importing.import_dataset(job=running, reporter=jobs.Reporter(running))
    job.refresh_from_db()
    assert (job.result["added"], Example.objects.count()) == (35, 35)


def test_examples_of_another_file_are_there_already(project):
    run(add(project, pairs(5)))
    job = run(add(project, pairs(8), name="more.jsonl"))
    assert (job.result["added"], job.result["there_already"]) == (3, 5)


@pytest.mark.parametrize(
    ("rows", "code", "text"),
    [
        (["{broken"], "no_rows", "not JSON"),
        ([{"question": "", "answer": ""}], "no_rows", "the prompt is empty"),
    ],
)
def test_a_file_without_examples_fails_with_the_reason(rows, code, text, project):
    file = add(project, rows)
    job = run(file)
    assert (job.status, job.error_code) == ("failed", code)
    assert text in job.error_text
    assert (file.state, file.error_text) == ("failed", job.error_text)


def test_a_deleted_file_is_a_clear_failure_and_its_examples_stay(project):
    file = add(project, pairs(5))
    run(file)
    job = importing.start_import(file=file, mapping=FLAT)
    with pytest.raises(jobs.JobAlreadyActive):
        importing.delete_file(file=file)
    jobs.request_cancel(job)
    importing.delete_file(file=file)
    assert Example.objects.filter(source_file=None).count() == 5


def test_no_import_beside_a_generation(project):
    Job.objects.create(project=project, kind=Job.Kind.GENERATE, status="running")
    with pytest.raises(jobs.JobAlreadyActive):
        importing.start_import(file=add(project, pairs(1)), mapping=FLAT)


def test_a_look_reads_the_first_rows_only(project):
    file = add(project, [*pairs(150), "{broken", *pairs(500, start=150)])
    look = importing.look_at(file)
    assert (look.mapping, look.seen, look.good) == (FLAT, 200, 199)
    assert len(look.examples) == 10
    assert [line for line, _ in look.errors] == [151]


def test_a_look_at_strange_columns_asks_for_them(project):
    look = importing.look_at(add(project, [{"frage": "Q?", "antwort": "A"}]))
    assert (look.mapping, look.columns) == (None, ["frage", "antwort"])
    assert look.problem == ""


def test_a_file_that_breaks_off_adds_nothing(project):
    content = json.dumps(pairs(700))[:-20]
    job = run(add(project, [content], name="cut.json"))
    assert (job.status, job.error_code) == ("failed", "bad_file")
    assert not Example.objects.exists()


def test_a_file_that_is_gone_from_the_disk_is_a_clear_failure(project):
    file = add(project, pairs(1))
    services.raw_path(file).unlink()
    job = run(file)
    assert (job.status, job.error_code) == ("failed", "bad_file")
    assert "add it again" in file.error_text


def test_what_a_cancelled_import_added_takes_part(project, monkeypatch):
    monkeypatch.setattr(importing, "BATCH", 10)
    file, add_batch = add(project, pairs(35)), importing._add

    def cancelled_after_the_first(*arguments):
        add_batch(*arguments)
        jobs.request_cancel(Job.objects.get())
        monkeypatch.setattr(jobs.Reporter, "__call__", lambda self, *_: self.flush())

    monkeypatch.setattr(importing, "_add", cancelled_after_the_first)
    job = run(file)
    assert (job.status, file.state, file.report["stopped"]) == ("cancelled", "uploaded", True)
    assert file.report["import"]["added"] == 10
    assert set(Example.objects.values_list("split", flat=True)) == {"train", "eval"}
    monkeypatch.setattr(importing, "_add", add_batch)
    job = run(file)
    assert (job.result["added"], Example.objects.count()) == (35, 35)


def test_the_whole_is_counted_first_so_that_progress_is_real(project):
    job = run(add(project, [*pairs(30), "{broken"]))
    assert (job.done, job.total) == (31, 31)


def test_a_leftover_of_a_killed_import_is_deleted(project):
    file = add(project, pairs(3))
    path = importing.errors_path(file)
    path.parent.mkdir(parents=True)
    leftover = path.with_name(f"{path.name}.0a0a.tmp")
    leftover.write_text("line,reason")
    run(file)
    assert path.exists() and not leftover.exists()


def test_adding_many_rows_takes_the_memory_of_a_batch(project):
    """The split and the files come later and are as they are for generated examples."""
    file, counts = add(project, pairs(6_000)), Counter()
    arguments = (file, FLAT, lambda *_: None, 6_000, counts, Counter())
    importing._add_rows(*arguments)
    tracemalloc.start()
    try:
        importing._add_rows(*arguments)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert counts["added"] == 12_000
    assert peak < 6 * 2**20


def test_a_look_never_reads_far_into_a_file(project, tmp_path):
    row = {"question": "Q", "answer": "A" * 150_000}
    look = importing.look_at(add(project, [row | {"question": f"Q{n}"} for n in range(100)]))
    assert 5 < look.seen < 10
    content = "[" + ",".join([json.dumps(row)] * 100) + "]"
    assert 5 < importing.look_at(add(project, [content], name="a.json")).seen < 10


def test_rows_with_one_instruction_and_different_inputs_are_on_both_sides(project):
    rows = [
        {"instruction": "Classify the mood of this review.", "input": f"Review {n}", "output": "ok"}
        for n in range(40)
    ]
    file = add(project, rows)
    job = run(file, importing.look_at(file).mapping)
    assert job.result["split"]["eval"] > 0


def test_rows_that_share_one_answer_leave_nothing_for_evaluation_and_that_is_said(project):
    rows = [{"question": f"Q{n}?", "answer": "The same long answer to all."} for n in range(9)]
    job = run(add(project, rows))
    assert job.result["split"]["eval"] == 0
    assert "Nothing is left for evaluation" in job.message

"""Reading a project's documents as a job: what is stored, skipped, refused and survived."""

import os
import shutil
import subprocess
import sys
import time

import pytest
from django.conf import settings

from datasets import documents, file_services
from datasets.models import Chunk
from datasets.tests import document_files as make
from projects import jobs, services
from projects.models import Job, JobEvent, SourceFile

SENTENCE = make.SENTENCE
LONG = " ".join(f"Station {i} stands {i} metres above the sea." for i in range(300))


def add(project, path, name: str = "") -> SourceFile:
    return services.add_file(project=project, name=name or path.name, pieces=[path.read_bytes()])


def add_text(project, name: str, text: str) -> SourceFile:
    return services.add_file(project=project, name=name, pieces=[text.encode()])


def run(project, **params) -> Job:
    """Run a job through the job core, as the queue's task does, and return its row."""
    job = Job.objects.create(project=project, kind=Job.Kind.DOCUMENTS, params=params)
    return run_job(job)


def run_job(job: Job) -> Job:
    with jobs.running(job.pk) as running:
        running.outcome = documents.read_documents(job=running, reporter=jobs.Reporter(running))
    job.refresh_from_db()
    return job


def chunk_ids(project) -> list[int]:
    return list(Chunk.objects.filter(file__project=project).values_list("pk", flat=True))


def test_the_samples_become_chunks_with_pages_and_sections(project):
    folder = settings.BASE_DIR / "samples"
    for name in ("handbook.pdf", "k7-service-manual.docx", "voyages.txt"):
        add(project, folder / name)
    job = run(project)
    assert job.status == Job.Status.SUCCEEDED
    assert job.result["files"] == 3 and job.result["failed"] == []
    assert job.result["chunks"] == Chunk.objects.count() >= 9
    assert job.result["tokens"] == sum(Chunk.objects.values_list("token_count", flat=True)) > 4000
    assert job.result["pages"] == 6 and job.result["empty_pages"] == 0
    assert (job.done, job.total) == (3, 3)
    handbook = SourceFile.objects.get(original_name="handbook.pdf")
    assert handbook.state == SourceFile.State.EXTRACTED and handbook.detected_type == "pdf"
    assert handbook.report["page_characters"][0] > 1000
    assert handbook.report["tokens"] == sum(handbook.chunks.values_list("token_count", flat=True))
    assert handbook.chunks.last().last_page == 4
    sections = Chunk.objects.filter(file__detected_type="docx").values_list("section", flat=True)
    assert "4. The mesh panels" in sections
    assert max(Chunk.objects.values_list("token_count", flat=True)) <= 512


def test_one_bad_file_is_named_and_the_rest_goes_on(project, tmp_path):
    add_text(project, "good.txt", LONG)
    bad = add(project, make.png(tmp_path / "picture.pdf"))
    job = run(project)
    assert job.status == Job.Status.COMPLETED_WITH_ERRORS
    assert "1 of 2 documents" in job.message and job.error_code == "some_failed"
    assert [failed["file"] for failed in job.result["failed"]] == ["picture.pdf"]
    assert "PNG" in job.result["failed"][0]["why"]
    bad.refresh_from_db()
    assert bad.state == SourceFile.State.FAILED and "PNG" in bad.error_text
    errors = JobEvent.objects.filter(job=job, level=JobEvent.Level.ERROR)
    assert [event.data for event in errors] == [{"code": "wrong_type"}]
    assert Chunk.objects.exists()


def test_a_chosen_encoding_is_read_and_a_wrong_one_says_so(project):
    text = "Übung macht den Meister. " * 20
    file = services.add_file(project=project, name="a.txt", pieces=[text.encode("cp1252")])
    for encoding, state in (("utf-8", "failed"), ("mac-roman", "extracted"), ("", "extracted")):
        assert file_services.choose_encoding(file=file, encoding=encoding)
        run(project)
        file.refresh_from_db()
        assert file.state == state, encoding
        assert ("Choose another encoding" in file.error_text) == (state == "failed")
        assert file.chunks.exists() == (state == "extracted")
    assert file.chunks.first().text.startswith("Übung")


def test_a_project_without_any_text_fails_with_the_reasons(project, tmp_path):
    add(project, make.scanned_pdf(tmp_path / "scan.pdf", pages=2))
    job = run(project)
    assert (job.status, job.error_code) == (Job.Status.FAILED, "no_text")
    assert "scan.pdf" in job.error_text and "OCR" in job.error_text


def test_a_project_without_documents_says_so(project):
    job = run(project)
    assert (job.status, job.error_code) == (Job.Status.FAILED, "no_files")


def test_a_file_that_vanished_from_the_disk_is_a_failure_of_that_file(project):
    add_text(project, "good.txt", LONG)
    services.raw_path(add_text(project, "gone.txt", "Some text.")).unlink()
    assert [failed["file"] for failed in run(project).result["failed"]] == ["gone.txt"]


def test_a_second_run_reads_only_what_is_new_and_reports_the_same_totals(project):
    add_text(project, "one.txt", LONG)
    first = run(project).result
    ids = chunk_ids(project)
    second = run(project).result
    assert chunk_ids(project) == ids
    assert second == first | {"skipped": 1}
    add_text(project, "two.txt", SENTENCE)
    third = run(project).result
    assert (third["files"], third["skipped"]) == (2, 1)
    assert chunk_ids(project)[: len(ids)] == ids


def test_other_chunk_settings_replace_the_chunks(project):
    add_text(project, "one.txt", LONG)
    run(project)
    before = Chunk.objects.count()
    assert run(project, chunk_size=128, chunk_overlap=0).result["skipped"] == 0
    assert Chunk.objects.count() > 2 * before
    assert max(Chunk.objects.values_list("token_count", flat=True)) <= 128
    indexes = list(Chunk.objects.values_list("index", flat=True))
    assert indexes == list(range(len(indexes)))


def test_chunks_that_come_out_the_same_keep_their_rows(project):
    file = add_text(project, "one.txt", SENTENCE)
    run(project)
    ids = chunk_ids(project)
    assert run(project, chunk_size=256).result["skipped"] == 0
    assert chunk_ids(project) == ids
    file.refresh_from_db()
    assert file.report["chunking"]["size"] == 256


def test_a_failed_file_is_tried_again_and_its_error_goes_away(project, settings, tmp_path):
    path = make.hungry_word(tmp_path / "a.docx", paragraphs=4_000)
    add(project, path)
    settings.EXTRACT_SECONDS = 0.05
    assert run(project).status == Job.Status.FAILED
    settings.EXTRACT_SECONDS = 120
    assert run(project).status == Job.Status.SUCCEEDED
    file = SourceFile.objects.get()
    assert (file.state, file.error_text) == (SourceFile.State.EXTRACTED, "")


def test_the_base_models_own_tokenizer_counts_when_it_is_there(project, settings, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    (tmp_path / "org" / "tiny").mkdir(parents=True)
    tokenizer.save(str(tmp_path / "org" / "tiny" / "tokenizer.json"))
    settings.MODELS_DIR = tmp_path
    project.base_model = "org/tiny"
    project.save()
    add_text(project, "one.txt", SENTENCE)
    result = run(project).result
    assert result["tokens"] == len(SENTENCE.split())
    assert result["token_counter"] == "tiny tokenizer"


@pytest.mark.parametrize("name", ["", "../../etc", "/etc", "no-such-model"])
def test_a_base_model_that_is_not_in_the_folder_is_counted_by_tiktoken(project, name):
    project.base_model = name
    assert documents.tokenizer_path(project) is None


def test_a_file_deleted_while_it_is_read_leaves_no_chunks(project, monkeypatch):
    add_text(project, "stays.txt", LONG)
    goes = add_text(project, "goes.txt", SENTENCE)
    real = documents.chunk_pages

    def delete_then_chunk(pages, **options):
        SourceFile.objects.filter(pk=goes.pk).delete()
        return real(pages, **options)

    monkeypatch.setattr(documents, "chunk_pages", delete_then_chunk)
    job = run(project)
    assert job.status == Job.Status.SUCCEEDED and job.result["files"] == 1
    assert not Chunk.objects.filter(file_id=goes.pk).exists()


def test_a_cancelled_job_stops_before_the_next_file_and_keeps_what_is_done(project, monkeypatch):
    for number in range(3):
        add_text(project, f"{number}.txt", f"{SENTENCE} Number {number}.")
    job = Job.objects.create(project=project, kind=Job.Kind.DOCUMENTS)
    real = documents.store_chunks

    def store_then_cancel(*args):
        stored = real(*args)
        jobs.request_cancel(job)
        return stored

    monkeypatch.setattr(documents, "store_chunks", store_then_cancel)
    with jobs.running(job.pk) as running:
        reporter = jobs.Reporter(running, every_seconds=0)
        running.outcome = documents.read_documents(job=running, reporter=reporter)
    job.refresh_from_db()
    assert job.status == Job.Status.CANCELLED
    assert SourceFile.objects.filter(state=SourceFile.State.EXTRACTED).count() == 1


WORKER = """
import sys, django
django.setup()
from datasets import documents
from projects import jobs
with jobs.running(int(sys.argv[1])) as job:
    job.outcome = documents.read_documents(job=job, reporter=jobs.Reporter(job))
"""


@pytest.mark.django_db(transaction=True)
def test_after_kill_9_the_job_goes_on_and_no_chunk_exists_twice(project, process_env, tmp_path):
    first = add_text(project, "first.txt", LONG)
    second = add_text(project, "second.txt", LONG[:5000])
    path = services.raw_path(second)
    shutil.move(path, tmp_path / "content")
    os.mkfifo(path)  # The reader of the second file waits here until it is killed.
    job = Job.objects.create(project=project, kind=Job.Kind.DOCUMENTS)
    environment = process_env | {
        "DJANGO_SETTINGS_MODULE": "finetuneflow.settings",
        "FTF_EXTRACT_SECONDS": "5",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(job.pk)], cwd=settings.BASE_DIR, env=environment
    )
    try:
        wait_until(lambda: Chunk.objects.filter(file=first).exists())
    finally:
        process.kill()
        process.wait()
    ids = chunk_ids(project)
    path.unlink()
    shutil.move(tmp_path / "content", path)
    jobs.recover(Job.objects.filter(pk=job.pk))
    job = run_job(job)
    assert job.status == Job.Status.SUCCEEDED and job.attempt == 2
    assert (job.result["files"], job.result["skipped"]) == (2, 1)
    assert chunk_ids(project)[: len(ids)] == ids
    assert Chunk.objects.filter(file=second).exists()


def wait_until(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)

"""Building zips from a run's folder: complete, clean of this machine, refused when tampered."""

import hashlib
import json
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from projects import jobs
from projects.models import Job, Project
from training import exporting, services
from training.models import Export, Run
from training.tests.run_folders import make_run, write_weights

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = {
    "README.md",
    "report.md",
    "loss.svg",
    "metrics.json",
    "training_config.json",
    "samples.json",
    "adapter_config.json",
    "adapter_model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "dataset/train.jsonl",
    "dataset/eval.jsonl",
    "manifest.json",
}


@pytest.fixture(autouse=True)
def folders(settings, tmp_path):
    settings.PROJECTS_DIR = tmp_path / "projects"


def build(run: Run) -> Export:
    """Run the export job as a worker would; return the export as the database has it."""
    job = jobs.claim(services.start_export(run=run).pk)
    try:
        outcome = exporting.build_export(job=job, reporter=jobs.Reporter(job))
        jobs.finish(job, outcome)
    except jobs.JobFailed:
        Job.objects.filter(pk=job.pk).update(status=Job.Status.FAILED)
        raise
    return Export.objects.get(pk=job.params["export"])


def zip_of(export: Export) -> Path:
    return services.exports_folder(export.run.project) / export.file_name


def read(export: Export, name: str) -> str:
    with zipfile.ZipFile(zip_of(export)) as archive:
        return archive.read(name).decode()


def exports_of(run: Run) -> list[Path]:
    folder = services.exports_folder(run.project)
    return sorted(folder.iterdir()) if folder.exists() else []


def test_the_zip_has_all_parts_and_its_row_says_so(project):
    export = build(make_run(project))
    path = zip_of(export)
    assert set(zipfile.ZipFile(path).namelist()) == EXPECTED
    assert path.name == f"{export.pk}.zip"
    assert export.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert export.size_bytes == path.stat().st_size
    assert {entry["name"] for entry in export.contents} == EXPECTED
    assert export.is_ready
    job = Job.objects.get(kind=Job.Kind.EXPORT)
    assert job.done == job.total > 0


def test_the_manifest_has_every_file_with_its_hash(project):
    export = build(make_run(project))
    files = json.loads(read(export, "manifest.json"))["files"]
    assert set(files) == EXPECTED - {"manifest.json"}
    with zipfile.ZipFile(zip_of(export)) as archive:
        for name, entry in files.items():
            content = archive.read(name)
            assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def test_a_check_of_the_zip_is_queued_with_it(project):
    export = build(make_run(project))
    job = Job.objects.get(kind=Job.Kind.VERIFY)
    assert (job.params, job.queue, job.status) == ({"export": export.pk}, "gpu", "queued")


def test_when_another_check_is_under_way_the_outcome_says_that_this_zip_is_unchecked(project):
    run = make_run(project)
    build(run)
    build(run)
    job = Job.objects.filter(kind=Job.Kind.EXPORT).first()
    assert (job.status, job.error_code) == ("completed_with_errors", "not_checked")
    assert Job.objects.filter(kind=Job.Kind.VERIFY).count() == 1


def test_nothing_in_the_zip_names_a_folder_of_this_machine(project, settings):
    export = build(make_run(project))
    with zipfile.ZipFile(zip_of(export)) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            assert b"/somewhere" not in content, name
            assert str(settings.PROJECTS_DIR).encode() not in content, name
    public = "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert json.loads(read(export, "adapter_config.json"))["base_model_name_or_path"] == public
    assert json.loads(read(export, "training_config.json"))["base_model"] == public


def test_no_secret_of_the_settings_gets_into_the_zip(project):
    from finetuneflow.lib import logs

    logs.register_secrets("a-very-secret-token")
    export = build(make_run(project, config={"revision": "a-very-secret-token"}))
    assert "a-very-secret-token" not in read(export, "training_config.json")


def test_odd_characters_and_numbers_give_strict_json(project):
    samples = [{"prompt": "\ud800", "reference": "\0", "before": float("nan"), "after": "ok"}]
    export = build(make_run(project, samples=samples))
    (sample,) = json.loads(read(export, "samples.json"), parse_constant=pytest.fail)
    assert sample == {"prompt": "?", "reference": "\ufffd", "before": None, "after": "ok"}


def test_the_model_card_has_the_metadata_that_the_hub_reads(project):
    _, header, body = read(build(make_run(project)), "README.md").split("---\n", 2)
    values = yaml.safe_load(header)
    assert values["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert values["library_name"] == "peft"
    assert values["pipeline_tag"] == "text-generation"
    assert "lora" in values["tags"]
    assert body.strip().startswith("# Handbook")


def test_the_curve_is_an_svg_and_the_report_shows_it(project):
    export = build(make_run(project))
    assert ElementTree.fromstring(read(export, "loss.svg")).tag.endswith("svg")
    assert "](loss.svg)" in read(export, "report.md")


def test_a_second_build_of_an_export_replaces_the_first(project):
    run = make_run(project)
    export = build(run)
    Export.objects.update(verification={"ok": True})
    Project.objects.update(name="New name")
    Job.objects.create(project=project, kind=Job.Kind.EXPORT, params={"export": export.pk})
    again = jobs.claim(Job.objects.get(kind=Job.Kind.EXPORT, status=Job.Status.QUEUED).pk)
    exporting.build_export(job=again, reporter=jobs.Reporter(again))
    rebuilt = Export.objects.get()
    assert rebuilt.sha256 != export.sha256
    assert rebuilt.verification == {}
    assert exports_of(run) == [zip_of(export)]


@pytest.mark.parametrize(
    "name",
    ["adapter/adapter_model.safetensors", "adapter/tokenizer.json", "eval.jsonl", "metrics.json"],
)
def test_a_changed_file_is_never_exported(project, name):
    run = make_run(project)
    with (services.run_folder(run) / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(jobs.JobFailed, match="has changed since the training") as caught:
        build(run)
    assert caught.value.code == "tampered"
    assert exports_of(run) == []
    assert not Export.objects.get().is_ready


def test_an_exchanged_adapter_of_the_same_size_is_noticed(project):
    run = make_run(project)
    path = services.run_folder(run) / "adapter" / "adapter_model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\x01")
    with pytest.raises(jobs.JobFailed, match="adapter_model.safetensors has changed"):
        build(run)


def test_a_deleted_file_is_noticed(project):
    run = make_run(project)
    (services.run_folder(run) / "samples.json").unlink()
    with pytest.raises(jobs.JobFailed, match="samples.json is missing"):
        build(run)


@pytest.mark.parametrize("manifest", [None, "", "[]", "{}", '{"files": {}}', '{"files": {"a": 1}}'])
def test_a_run_without_a_good_manifest_has_nothing_to_export(project, manifest):
    run = make_run(project)
    path = services.run_folder(run) / "manifest.json"
    path.unlink() if manifest is None else path.write_text(manifest)
    with pytest.raises(jobs.JobFailed, match="no finished adapter") as caught:
        build(run)
    assert caught.value.code == "no_artifact"


def test_a_manifest_that_points_out_of_the_folder_is_refused(project, tmp_path):
    run = make_run(project)
    outside = services.run_folder(run).parent / "secret.txt"
    outside.write_text("secret")
    path = services.run_folder(run) / "manifest.json"
    manifest = json.loads(path.read_text())
    digest = hashlib.sha256(b"secret").hexdigest()
    manifest["files"]["../secret.txt"] = {"sha256": digest, "size": 6}
    path.write_text(json.dumps(manifest))
    with pytest.raises(jobs.JobFailed) as caught:
        build(run)
    assert caught.value.code == "tampered"


def test_what_the_manifest_does_not_list_stays_out(project):
    run = make_run(project)
    write_weights(services.run_folder(run) / "adapter" / "merges.txt")
    assert "merges.txt" not in zipfile.ZipFile(zip_of(build(run))).namelist()


def test_a_full_disk_is_said_before_anything_is_written(project, settings):
    settings.MIN_FREE_BYTES = 10**18
    run = make_run(project)
    with pytest.raises(jobs.JobFailed) as caught:
        build(run)
    assert caught.value.code == "disk_full"
    assert exports_of(run) == []


def test_a_cancelled_build_leaves_nothing(project):
    run = make_run(project)
    job = jobs.claim(services.start_export(run=run).pk)
    jobs.request_cancel(job)
    with pytest.raises(jobs.JobCancelled):
        exporting.build_export(job=job, reporter=jobs.Reporter(job, every_seconds=0))
    assert exports_of(run) == []


def test_a_deleted_export_is_a_clear_failure(project):
    run = make_run(project)
    job = jobs.claim(services.start_export(run=run).pk)
    Export.objects.all().delete()
    with pytest.raises(jobs.JobFailed) as caught:
        exporting.build_export(job=job, reporter=jobs.Reporter(job))
    assert caught.value.code == "no_export"


SLOW = """
import sys, django
django.setup()
from training import archive, tasks
add = archive.ArchiveWriter.add_file
def slowly(writer, name, path):
    member = add(writer, name, path)
    print("packed", name, flush=True)
    sys.stdin.read(1)
    return member
archive.ArchiveWriter.add_file = slowly
tasks.export(int(sys.argv[1]))
"""


@pytest.mark.django_db(transaction=True)
def test_a_build_that_is_killed_leaves_no_zip_and_the_next_one_succeeds(
    project, process_env, settings
):
    """kill -9 between two members; the second build finds the leftovers and clears them."""
    run = make_run(project, weights_bytes=400_000)
    job = services.start_export(run=run)
    env = process_env | {
        "DJANGO_SETTINGS_MODULE": "finetuneflow.settings",
        "FTF_DATA_DIR": str(settings.PROJECTS_DIR.parent),
    }
    command = [sys.executable, "-c", SLOW, str(job.pk)]
    child = subprocess.Popen(
        command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "packed adapter_model.safetensors\n"
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=10)
    child.stdin.close()
    child.stdout.close()
    assert [path.suffix for path in exports_of(run)] == [".tmp"]
    assert not Export.objects.get().is_ready
    jobs.recover(Job.objects.filter(pk=job.pk))
    again = jobs.claim(job.pk)
    exporting.build_export(job=again, reporter=jobs.Reporter(again))
    export = Export.objects.get()
    assert export.is_ready and exports_of(run) == [zip_of(export)]

"""Zips that must not pass the check. What passes needs the model: test_round_trip.py."""

import hashlib
import json
import zipfile

import pytest

from finetuneflow.lib import storage
from projects import jobs
from projects.models import Job
from training import exporting, services
from training.models import Export
from training.tests.run_folders import make_run
from training.tests.test_export import build, zip_of


@pytest.fixture(autouse=True)
def folders(settings, tmp_path):
    settings.PROJECTS_DIR = tmp_path / "projects"


@pytest.fixture
def export(project) -> Export:
    return build(make_run(project))


def verify(export: Export) -> None:
    job = jobs.claim(Job.objects.get(kind=Job.Kind.VERIFY, params={"export": export.pk}).pk)
    exporting.verify_export(job=job, reporter=jobs.Reporter(job, every_seconds=0))


def rewrite(export: Export, change) -> None:
    """Exchange members of the zip and let the row agree, as somebody with both in hand could."""
    path = zip_of(export)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    change(contents)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    Export.objects.update(sha256=storage.sha256_of(path))


def refused(export: Export) -> str:
    """Return why the check fails; the reason is kept and no folder stays behind."""
    with pytest.raises(jobs.JobFailed) as caught:
        verify(export)
    assert caught.value.code == "not_verified"
    export.refresh_from_db()
    assert export.verification["ok"] is False
    assert len(export.verification["problems"]) == 1
    exports = services.exports_folder(export.run.project)
    assert [path.name for path in exports.iterdir()] == [f"{export.pk}.zip"]
    return export.verification["problems"][0]


def test_a_zip_that_changed_on_disk_is_refused(export):
    with zip_of(export).open("ab") as file:
        file.write(b"x")
    assert "SHA-256 is not the one from when it was built" in refused(export)


def test_a_file_that_differs_from_the_manifest_is_named(export):
    def change(contents):
        contents["metrics.json"] = contents["metrics.json"].replace(b"1.0", b"0.5")

    rewrite(export, change)
    assert "'metrics.json' does not have the SHA-256" in refused(export)


def test_a_pickle_is_refused_even_if_the_manifest_lists_it(export):
    def change(contents):
        contents["training_args.bin"] = b"x"
        manifest = json.loads(contents["manifest.json"])
        manifest["files"]["training_args.bin"] = {"size": 1, "sha256": "0"}
        contents["manifest.json"] = json.dumps(manifest).encode()

    rewrite(export, change)
    assert "pickle" in refused(export)


def test_a_name_that_leaves_the_folder_is_refused(export, tmp_path):
    def change(contents):
        contents["../../evil"] = b"x"
        manifest = json.loads(contents["manifest.json"])
        sha256 = hashlib.sha256(b"x").hexdigest()
        manifest["files"]["../../evil"] = {"size": 1, "sha256": sha256}
        contents["manifest.json"] = json.dumps(manifest).encode()

    rewrite(export, change)
    assert "leaves its folder" in refused(export)
    assert not list(tmp_path.rglob("evil"))


def test_a_zip_without_an_adapter_is_refused(export):
    def change(contents):
        del contents["adapter_model.safetensors"]
        manifest = json.loads(contents["manifest.json"])
        del manifest["files"]["adapter_model.safetensors"]
        contents["manifest.json"] = json.dumps(manifest).encode()

    rewrite(export, change)
    assert "holds no adapter" in refused(export)


def test_a_disk_without_room_stops_the_unpacking(export, settings):
    settings.MIN_FREE_BYTES = 10**18
    assert "over 0 bytes" in refused(export)


def test_an_export_that_was_never_built_has_nothing_to_check(project):
    export = Export.objects.create(run=make_run(project))
    services.start_verification(export=export)
    with pytest.raises(jobs.JobFailed) as caught:
        verify(export)
    assert caught.value.code == "no_export"


def test_a_run_that_reports_no_loss_cannot_be_verified(export):
    def change(contents):
        contents["metrics.json"] = b"{}"
        manifest = json.loads(contents["manifest.json"])
        digest = hashlib.sha256(b"{}").hexdigest()
        manifest["files"]["metrics.json"] = {"size": 2, "sha256": digest}
        contents["manifest.json"] = json.dumps(manifest).encode()

    rewrite(export, change)
    assert "expected_eval_loss" in refused(export)


def test_a_cancelled_check_keeps_no_verdict_and_no_folder(export):
    job = jobs.claim(Job.objects.get(kind=Job.Kind.VERIFY).pk)
    jobs.request_cancel(job)
    with pytest.raises(jobs.JobCancelled):
        exporting.verify_export(job=job, reporter=jobs.Reporter(job, every_seconds=0))
    export.refresh_from_db()
    assert export.verification == {}
    assert len(list(services.exports_folder(export.run.project).iterdir())) == 1


def test_what_a_killed_check_left_is_removed_by_the_next(export):
    leftover = services.exports_folder(export.run.project) / f"verify-{export.pk}-dead"
    (leftover / "zip").mkdir(parents=True)
    zip_of(export).write_bytes(b"")
    refused(export)

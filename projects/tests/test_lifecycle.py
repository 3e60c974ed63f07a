"""Copy, archive, samples and deletion of projects: all of it happens, or nothing."""

import os
import time

import pytest
from django.urls import reverse

from projects import access, jobs, lifecycle, reconciler, services
from projects.models import Job, Project, SourceFile

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    settings.PROJECTS_DIR = tmp_path / "projects"
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "uploads"


@pytest.fixture
def filled(project):
    file = services.add_file(project=project, name="a.txt", pieces=[b"The text."])
    SourceFile.objects.update(state="extracted", encoding="utf-8")
    file.chunks.create(index=0, text="The text.", token_count=2, start=0, end=9)
    project.examples.create(prompt="?", completion="!", split="train", fingerprint="1")
    Job.objects.create(project=project, kind=Job.Kind.DOCUMENTS, status="succeeded")
    return project


def make_old(folder) -> None:
    past = time.time() - services.LEFTOVER_SECONDS - 60
    os.utime(folder / services.UNOWNED, (past, past))


class TestDuplicate:
    def test_settings_and_documents_come_along_and_nothing_else(self, filled):
        Project.objects.update(language="German", instruction="Friendly.", chunk_size=256)
        filled.refresh_from_db()
        copy = lifecycle.duplicate(project=filled)
        copy.refresh_from_db()
        assert (copy.name, copy.owner) == ("Copy of Handbook", filled.owner)
        assert (copy.language, copy.instruction, copy.chunk_size) == ("German", "Friendly.", 256)
        twin = copy.files.get()
        assert (twin.original_name, twin.state, twin.encoding) == ("a.txt", "uploaded", "utf-8")
        assert services.raw_path(twin).read_bytes() == b"The text."
        assert not copy.examples.exists()
        assert not copy.jobs.exists()

    def test_the_copy_keeps_its_documents_when_the_first_is_deleted(self, filled):
        copy = lifecycle.duplicate(project=filled)
        services.delete_project(project=filled)
        assert services.raw_path(copy.files.get()).read_bytes() == b"The text."

    def test_nothing_stays_when_a_document_is_gone(self, filled, settings):
        services.raw_path(filled.files.get()).unlink()
        with pytest.raises(FileNotFoundError):
            lifecycle.duplicate(project=filled)
        assert Project.objects.count() == 1
        assert [path.name for path in settings.PROJECTS_DIR.iterdir()] == [str(filled.pk)]

    def test_a_long_name_still_fits(self, filled):
        lifecycle.rename(project=filled, name="x" * 120)
        assert len(lifecycle.duplicate(project=filled).name) == 120


class TestArchive:
    def test_it_goes_and_comes_back_with_all_it_has(self, filled):
        lifecycle.set_archived(project=filled, archived=True)
        assert Project.objects.get().archived_at
        lifecycle.set_archived(project=filled, archived=False)
        assert Project.objects.get().archived_at is None
        assert filled.examples.count() == 1


class TestSamples:
    def test_three_documents_are_added_and_queued_to_be_read(self, user):
        project = lifecycle.create_samples(owner=user)
        assert project.files.count() == 3
        job = project.jobs.get()
        assert (job.kind, job.func, job.status) == (
            "documents",
            "datasets.tasks.documents",
            "queued",
        )
        assert lifecycle.create_samples(owner=user).name == "Sample documents 2"


class TestDeletion:
    def test_an_idle_project_goes_at_once(self, filled):
        folder = services.project_folder(filled)
        assert lifecycle.request_deletion(project=filled)
        assert not Project.objects.exists()
        assert not folder.exists()

    def test_a_waiting_job_is_cancelled_and_holds_nothing_up(self, filled):
        Job.objects.create(project=filled, kind=Job.Kind.TRAIN, status="queued")
        assert lifecycle.request_deletion(project=filled)
        assert not Project.objects.exists()

    def test_a_running_job_is_cancelled_first_and_the_reconciler_finishes(self, filled):
        job = Job.objects.create(project=filled, kind=Job.Kind.TRAIN, func="x", status="queued")
        job = jobs.claim(job.pk)
        assert not lifecycle.request_deletion(project=filled)
        assert not access.projects_of(filled.owner).exists()
        assert Job.objects.get(pk=job.pk).cancel_requested
        assert reconciler.reconcile()["deleted"] == 0
        jobs.finish(job, jobs.Outcome("Cancelled.", jobs.Status.CANCELLED))
        assert reconciler.reconcile()["deleted"] == 1
        assert not Project.objects.exists()
        assert not services.project_folder(filled).exists()

    def test_a_folder_left_by_a_kill_between_rows_and_files_is_swept(self, filled):
        folder = services.project_folder(filled)
        (folder / services.UNOWNED).touch()
        filled.delete()
        assert reconciler.reconcile()["swept"] == 0
        make_old(folder)
        assert reconciler.reconcile()["swept"] == 1
        assert not folder.exists()

    def test_an_empty_database_costs_nobody_their_files(self, filled):
        folder = services.project_folder(filled)
        filled.delete()
        assert reconciler.reconcile()["swept"] == 0
        assert list((folder / "raw").iterdir())

    def test_a_mark_on_a_living_project_is_taken_off(self, filled):
        folder = services.project_folder(filled)
        (folder / services.UNOWNED).touch()
        make_old(folder)
        assert reconciler.reconcile()["swept"] == 0
        assert list((folder / "raw").iterdir())
        assert not (folder / services.UNOWNED).exists()


def test_a_copy_of_a_project_whose_file_is_gone_from_the_disk_is_refused_with_why(
    client, user, project
):
    file = services.add_file(project=project, name="a.txt", pieces=[b"text"])
    services.raw_path(file).unlink()
    client.force_login(user)
    url = reverse("projects:duplicate", args=[project.pk])
    assert "Nothing was duplicated" in client.post(url, follow=True).content.decode()
    assert Project.objects.count() == 1

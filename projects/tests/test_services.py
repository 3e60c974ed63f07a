"""Projects and their files: every refusal has its reason and leaves nothing behind."""

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.db import OperationalError, connection

from finetuneflow.lib import storage
from projects import jobs, services
from projects.models import Job, Project, SourceFile
from projects.tests.threads import at_once

pytestmark = pytest.mark.django_db
RAW_DOC, DATASET = SourceFile.Kind.RAW_DOC, SourceFile.Kind.DATASET


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    settings.PROJECTS_DIR = tmp_path / "projects"
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "uploads"


def add(project, name="notes.txt", content=b"hello", **options):
    return services.add_file(project=project, name=name, pieces=iter([content]), **options)


def everything_on_disk(tmp_path):
    return [path for path in tmp_path.rglob("*") if path.is_file()]


class TestCreateProject:
    def test_it_has_the_default_model_and_chunk_sizes(self, user, settings):
        project = services.create_project(owner=user, name="  Handbook ")
        assert (project.name, project.base_model) == ("Handbook", settings.DEFAULT_BASE_MODEL)
        assert (project.chunk_size, project.chunk_overlap) == (512, 50)

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"name": "   "}, "name"),
            ({"name": "x" * 121}, "name"),
            ({"name": "x", "task_type": "poem"}, "task_type"),
            ({"name": "x", "chunk_size": 31}, "chunk_size"),
            ({"name": "x", "chunk_size": 8193}, "chunk_size"),
            ({"name": "x", "chunk_overlap": 257}, "chunk_overlap"),
            ({"name": "x", "chunk_overlap": -1}, "chunk_overlap"),
        ],
    )
    def test_wrong_values_are_named_and_nothing_is_created(self, user, fields, field):
        with pytest.raises(ValidationError) as refused:
            services.create_project(owner=user, **fields)
        assert field in refused.value.message_dict
        assert not Project.objects.exists()

    def test_an_overlap_of_half_the_chunk_is_the_most(self, user):
        fields = {"chunk_size": 33, "chunk_overlap": 16}
        assert services.create_project(owner=user, name="x", **fields).pk
        with pytest.raises(ValidationError):
            services.create_project(owner=user, name="x", chunk_size=33, chunk_overlap=17)


class TestAddFile:
    def test_the_bytes_lie_under_a_uuid_in_the_projects_folder(self, project, tmp_path):
        pieces = [b"one ", b"two"]
        file = services.add_file(project=project, name="../../My notes.TXT", pieces=iter(pieces))
        path = services.raw_path(file)
        assert path == tmp_path / "projects" / str(project.pk) / "raw" / str(file.stored_name)
        assert path.read_bytes() == b"one two"
        assert (file.original_name, file.size_bytes) == ("My notes.TXT", 7)
        assert file.sha256 == hashlib.sha256(b"one two").hexdigest()
        assert file.state == SourceFile.State.UPLOADED

    def test_a_name_of_300_characters_is_stored_with_its_extension(self, project):
        file = add(project, name="n" * 300 + ".pdf")
        file.refresh_from_db()
        assert file.original_name.endswith("n.pdf")

    @pytest.mark.parametrize("name", ["a.txt", "a.MD", "a.pdf", "a.docx"])
    def test_documents_are_taken(self, project, name):
        assert add(project, name).kind == RAW_DOC

    @pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
    def test_datasets_are_taken_as_their_own_kind_only(self, project, name):
        with pytest.raises(services.FileRejected, match="looks like a ready dataset"):
            add(project, name)
        assert add(project, name, kind=DATASET).kind == DATASET

    def test_the_same_content_may_be_in_two_projects(self, project, user):
        add(project)
        assert add(services.create_project(owner=user, name="Other")).pk


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "content", "reason"),
        [
            ("program.exe", b"x", r"type \.exe cannot be read.*Supported: \.docx, \.md, \.pdf"),
            ("noextension", b"x", r"type \(none\)"),
            (".pdf", b"x", r"type \(none\)"),
            ("letter.doc", b"x", r"old Word file\. Save it as \.docx"),
            ("a.pdf\0.exe", b"x", r"type \.exe"),
            ("empty.txt", b"", r"empty\.txt is empty"),
        ],
    )
    def test_a_wrong_or_empty_file_is_refused_with_its_reason(
        self, project, tmp_path, name, content, reason
    ):
        with pytest.raises(services.FileRejected, match=reason):
            add(project, name, content)
        assert everything_on_disk(tmp_path) == []
        assert not SourceFile.objects.exists()

    def test_the_same_file_twice_is_refused_and_the_first_is_named(self, project, tmp_path):
        add(project, "first.txt")
        with pytest.raises(services.FileRejected, match=r"second\.txt is already.*first\.txt"):
            add(project, "second.txt")
        assert len(everything_on_disk(tmp_path)) == 1
        assert SourceFile.objects.count() == 1

    def test_the_database_refuses_the_twin_that_slipped_through(
        self, project, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(services, "_check_content", lambda file: None)
        add(project, "first.txt")
        with pytest.raises(services.FileRejected, match=r"already in the project as first\.txt"):
            add(project, "second.txt")
        assert len(everything_on_disk(tmp_path)) == 1

    def test_a_file_over_the_limit_is_refused_before_it_is_read_to_its_end(
        self, project, tmp_path, settings
    ):
        settings.MAX_UPLOAD_BYTES = 2**20
        endless = (b"x" * 2**18 for _ in iter(int, 1))
        with pytest.raises(services.FileRejected, match="over the limit of 1 MB. Split it"):
            services.add_file(project=project, name="big.txt", pieces=endless)
        assert everything_on_disk(tmp_path) == []

    def test_a_project_near_its_quota_takes_only_what_fits(self, project, tmp_path, settings):
        settings.PROJECT_QUOTA_BYTES = 3000
        add(project, "a.txt", b"a" * 2000)
        with pytest.raises(services.FileRejected, match="limit of 1000 bytes. Delete other files"):
            add(project, "b.txt", b"b" * 1001)
        add(project, "b.txt", b"b" * 1000)
        with pytest.raises(services.FileRejected, match="storage limit. Delete files first"):
            add(project, "c.txt", b"c")
        assert len(everything_on_disk(tmp_path)) == 2

    def test_an_almost_full_disk_takes_nothing(self, project, tmp_path, settings):
        settings.MIN_FREE_BYTES = 2**62
        with pytest.raises(services.FileRejected, match="disk is almost full"):
            add(project)
        assert everything_on_disk(tmp_path) == []

    def test_a_disk_that_fills_up_meanwhile_is_named(self, project, tmp_path):
        def pieces():
            yield b"first"
            raise OSError(28, "No space left on device")

        with pytest.raises(services.FileRejected, match="not be stored: No space left"):
            services.add_file(project=project, name="a.txt", pieces=pieces())
        assert everything_on_disk(tmp_path) == []

    def test_a_folder_that_cannot_be_written_is_named(self, project, tmp_path, settings):
        (tmp_path / "projects").write_text("a file where a folder should be")
        with pytest.raises(services.FileRejected, match=r"notes\.txt could not be stored"):
            add(project)

    def test_a_database_that_fails_leaves_no_file_behind(self, project, tmp_path, monkeypatch):
        def locked(self, **kwargs):
            raise OperationalError("database is locked")

        monkeypatch.setattr(SourceFile, "save", locked)
        with pytest.raises(OperationalError):
            add(project)
        assert everything_on_disk(tmp_path) == []

    def test_an_upload_that_breaks_off_leaves_nothing(self, project, tmp_path):
        def pieces():
            yield b"first"
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            services.add_file(project=project, name="a.txt", pieces=pieces())
        assert everything_on_disk(tmp_path) == []


def test_what_killed_uploads_left_is_deleted_later_and_running_ones_are_not(project):
    folder = services.project_folder(project) / "raw"
    storage.write_bytes(folder / "old.1234.tmp", b"x")
    storage.write_bytes(folder / "new.1234.tmp", b"x")
    two_hours_ago = time.time() - 7200
    os.utime(folder / "old.1234.tmp", (two_hours_ago, two_hours_ago))
    kept = services.raw_path(add(project))
    os.utime(kept, (two_hours_ago, two_hours_ago))
    add(project, content=b"other")
    assert not (folder / "old.1234.tmp").exists()
    assert (folder / "new.1234.tmp").exists()
    assert kept.exists()


def test_what_killed_requests_left_is_deleted_later_and_running_ones_are_not(project, settings):
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    with TemporaryUploadedFile("a.pdf", "application/pdf", 1, None) as running:
        old = settings.FILE_UPLOAD_TEMP_DIR / "tmp1234.upload.pdf"
        storage.write_bytes(old, b"x")
        os.utime(old, (time.time() - 7200,) * 2)
        add(project)
        assert not old.exists()
        assert Path(running.temporary_file_path()).parent == settings.FILE_UPLOAD_TEMP_DIR
        assert Path(running.temporary_file_path()).exists()


class TestDeletion:
    def test_a_deleted_file_is_gone_from_the_table_and_the_disk(self, project, tmp_path):
        services.delete_file(file=add(project))
        assert everything_on_disk(tmp_path) == []
        assert not SourceFile.objects.exists()
        assert add(project).pk  # It may come back.

    def test_a_file_that_is_already_gone_from_the_disk_can_be_deleted(self, project):
        file = add(project)
        services.raw_path(file).unlink()
        services.delete_file(file=file)
        assert not SourceFile.objects.exists()

    def test_a_deleted_project_takes_its_files_and_nobody_elses(self, project, user, tmp_path):
        other = services.create_project(owner=user, name="Other")
        add(project), add(other)
        services.delete_project(project=project)
        assert len(everything_on_disk(tmp_path)) == 1
        assert list(Project.objects.all()) == [other]


@pytest.mark.django_db(transaction=True)
class TestAtTheSameTime:
    def test_two_uploads_that_fit_only_alone_are_not_both_taken(self, project, tmp_path, settings):
        settings.PROJECT_QUOTA_BYTES = 3000
        both_measured = threading.Barrier(2)

        def upload(letter: bytes):
            def pieces():
                both_measured.wait(30)
                yield letter * 2000

            return lambda: services.add_file(
                project=project, name=f"{letter.decode()}.txt", pieces=pieces()
            )

        results = at_once(upload(b"a"), upload(b"b"))
        (refused,) = [result for result in results if isinstance(result, Exception)]
        assert isinstance(refused, services.FileRejected)
        assert "another upload has filled" in str(refused)
        (file,) = SourceFile.objects.all()
        assert everything_on_disk(tmp_path) == [services.raw_path(file)]

    def test_an_upload_into_a_project_that_is_deleted_meanwhile_leaves_nothing(
        self, project, tmp_path
    ):
        def pieces():
            yield b"first"
            Project.objects.all().delete()

        with pytest.raises(services.FileRejected, match="deleted meanwhile"):
            services.add_file(project=project, name="a.txt", pieces=pieces())
        assert everything_on_disk(tmp_path) == []

    @pytest.mark.parametrize("what", ["project", "file"])
    def test_no_job_starts_between_the_check_and_the_deletion(self, what, project, monkeypatch):
        file, check, started_late = add(project), jobs.refuse_while, []

        def start():
            try:
                func = "projects.tests.worker_tasks.nothing"
                jobs.enqueue(project=project, kind=Job.Kind.DOCUMENTS, func=func)
            except Exception:
                assert what == "project"  # It is gone.
            finally:
                connection.close()

        def check_then_start(project, kinds):
            check(project, kinds)
            monkeypatch.setattr(jobs, "refuse_while", check)
            thread = threading.Thread(target=start)
            thread.start()
            thread.join(0.5)  # Long enough to start a job if nothing held it back.
            started_late.append((thread, thread.is_alive()))

        monkeypatch.setattr(jobs, "refuse_while", check_then_start)
        if what == "project":
            services.delete_project(project=Project.objects.get(pk=project.pk))
        else:
            services.delete_file(file=file)
        ((thread, waited),) = started_late
        thread.join(30)
        assert waited
        assert Job.objects.count() == (what == "file")

    def test_a_refused_deletion_keeps_rows_and_files(self, project):
        file = add(project)
        func = "projects.tests.worker_tasks.nothing"
        jobs.enqueue(project=project, kind=Job.Kind.DOCUMENTS, func=func)
        for delete in (
            lambda: services.delete_file(file=file),
            lambda: services.delete_project(project=project),
        ):
            with pytest.raises(jobs.JobAlreadyActive):
                delete()
        assert services.raw_path(file).exists()
        assert SourceFile.objects.filter(pk=file.pk).exists()

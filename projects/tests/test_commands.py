"""create_project and add_files: one JSON document, the right exit code, human output otherwise."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from projects.models import Project, SourceFile
from projects.tests.command_helper import run

ROOT = Path(__file__).resolve().parents[2]


def test_a_project_is_created_for_its_owner(user):
    code, document = run(
        "create_project", "Guide", "--owner", "ada", "--task", "instruction", "--chunk-size", 256
    )
    project = Project.objects.get(pk=document["project"]["id"])
    assert code == 0
    assert (project.owner, project.name, project.task_type) == (user, "Guide", "instruction")
    assert (project.chunk_size, document["project"]["chunk_size"]) == (256, 256)


def test_without_json_a_person_reads_a_sentence(user):
    out = StringIO()
    call_command("create_project", "Guide", "--owner", "ada", stdout=out)
    assert out.getvalue().strip() == (
        f"Project {Project.objects.get().pk} created: Guide (SmolLM2-135M-Instruct)."
    )


@pytest.mark.parametrize(
    ("arguments", "error_code"),
    [
        (("Guide", "--owner", "nobody"), "no_such_user"),
        ((" ", "--owner", "ada"), "invalid"),
        (("Guide", "--owner", "ada", "--overlap", 400), "invalid"),
        (("Guide", "--owner", "ada", "--chunk-size", 9), "invalid"),
        (("x" * 121, "--owner", "ada"), "invalid"),
    ],
)
def test_bad_input_ends_with_code_2_and_creates_nothing(user, arguments, error_code):
    code, document = run("create_project", *arguments)
    assert (code, document["error"]["code"]) == (2, error_code)
    assert document["error"]["message"].endswith(".")
    assert not Project.objects.exists()


def test_files_are_added_and_each_rejection_has_its_reason(project, tmp_path):
    (tmp_path / "a.txt").write_text("Water boils at 100 degrees.")
    (tmp_path / "twin.txt").write_text("Water boils at 100 degrees.")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "tool.exe").write_bytes(b"MZ")
    names = ["a.txt", "twin.txt", "empty.txt", "tool.exe", "missing.txt"]
    code, document = run("add_files", project.pk, *(tmp_path / name for name in names))
    assert code == 1 and document["error"]["code"] == "rejected"
    assert (document["added"], document["rejected"]) == (1, 4)
    assert [file["ok"] for file in document["files"]] == [True, False, False, False, False]
    reasons = " ".join(file["error"] for file in document["files"][1:])
    assert all(w in reasons for w in ("already in the project", "is empty", ".exe", "not a file"))
    assert [file.original_name for file in SourceFile.objects.all()] == ["a.txt"]


def test_a_dataset_is_added_under_its_kind(project, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "?", "completion": "!"}\n')
    code, document = run("add_files", project.pk, tmp_path / "rows.jsonl", "--kind", "dataset")
    assert code == 0 and "error" not in document
    assert SourceFile.objects.get().kind == SourceFile.Kind.DATASET


def test_an_unknown_project_is_bad_input(db, tmp_path):
    code, document = run("add_files", 404, tmp_path)
    assert (code, document["error"]["code"]) == (2, "no_such_project")


def test_the_rejected_files_are_listed_for_a_person_too(project, tmp_path):
    out = StringIO()
    with pytest.raises(CommandError, match="1 of 1 files were rejected"):
        call_command("add_files", project.pk, tmp_path / "missing.txt", stdout=out)
    assert "rejected" in out.getvalue() and "missing.txt is not a file" in out.getvalue()


def test_wrong_usage_is_json_on_stdout_and_code_2_of_the_process(tmp_path):
    done = subprocess.run(
        [sys.executable, "manage.py", "create_project", "--json"], cwd=ROOT, capture_output=True
    )
    document = json.loads(done.stdout)
    assert (done.returncode, document["error"]["code"]) == (2, "usage")
    assert "--owner" in document["error"]["message"]

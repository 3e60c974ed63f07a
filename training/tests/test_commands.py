"""train and export_run up to the queue; what they wait for needs the model."""

import pytest

from projects.models import Job
from projects.tests.command_helper import run
from training.models import Export, Run
from training.tests.run_folders import make_run


@pytest.fixture(autouse=True)
def folders(settings, tmp_path):
    settings.PROJECTS_DIR = tmp_path / "projects"


def test_a_training_is_queued_with_its_settings(project):
    code, document = run(
        "train", project.pk, "--method", "qlora", "--epochs", 1.5, "--lora-rank", 8, "--no-wait"
    )
    job = Job.objects.get()
    assert (code, document["job"]["id"], document["run"]) == (0, job.pk, job.run.pk)
    assert job.queue == "gpu" and job.run.method == "qlora"
    assert job.params == {"method": "qlora", "overrides": {"epochs": 1.5, "lora_rank": 8}}


@pytest.mark.parametrize(
    ("option", "value"),
    [("--epochs", 0), ("--learning-rate", "nan"), ("--lora-rank", 0), ("--max-length", 3)],
)
def test_a_setting_out_of_range_is_refused_before_anything_is_queued(project, option, value):
    code, document = run("train", project.pk, option, value, "--no-wait")
    assert (code, document["error"]["code"]) == (2, "invalid")
    assert option.strip("-").replace("-", "_") in document["error"]["message"]
    assert not Run.objects.exists()


def test_a_second_training_is_refused_and_leaves_one_run(project):
    run("train", project.pk, "--no-wait")
    code, document = run("train", project.pk, "--no-wait")
    assert (code, document["error"]["code"]) == (1, "already_active")
    assert Run.objects.count() == 1


def test_an_export_is_queued(project):
    target = make_run(project)
    code, document = run("export_run", target.pk, "--no-wait")
    assert (code, document["job"]["status"]) == (0, "queued")
    assert document["export"]["id"] == Export.objects.get().pk


def test_an_export_that_cannot_be_built_says_why(project):
    target = Run.objects.create(project=project)
    code, document = run("export_run", target.pk, "--inline")
    assert (code, document["error"]["code"]) == (1, "no_artifact")
    assert document["job"]["kind"] == "export"


@pytest.mark.parametrize(
    ("command", "error_code"), [("train", "no_such_project"), ("export_run", "no_such_run")]
)
def test_what_does_not_exist_is_bad_input(db, command, error_code):
    code, document = run(command, 404, "--no-wait")
    assert (code, document["error"]["code"]) == (2, error_code)

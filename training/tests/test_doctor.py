"""The doctor on this machine, on an empty installation and on broken parts."""

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from projects import queues
from training import doctor
from training.tests.test_hub import write_model

ROOT = Path(__file__).resolve().parents[2]


def states(**options) -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.examine(**options)}


@pytest.fixture
def well(db, settings, tmp_path):
    """An installation with a model, a key and all its processes."""
    settings.MODELS_DIR = tmp_path / "models"
    write_model(settings.MODELS_DIR / "tiny")
    settings.DEFAULT_BASE_MODEL = "tiny"
    settings.LLM_API_KEY = "a-key-of-some-length"
    for queue in ("default", "gpu", queues.RECONCILER):
        queues.beat(queue, pid=1)


def test_an_installation_that_is_well_has_no_failure(well):
    found = states()
    assert not [check for check in found.values() if check.state == doctor.FAIL]
    for name in ("python", "packages", "database", "data folder", "models", "language model"):
        assert found[name].state == doctor.OK, found[name]
    assert found["worker gpu"].state == found["reconcile"].state == doctor.OK


def test_whatever_is_not_well_says_what_to_do(db, settings, tmp_path):
    settings.MODELS_DIR = tmp_path
    settings.LLM_API_KEY = ""
    found = states()
    for name in ("models", "language model", "worker default", "worker gpu", "reconcile"):
        assert found[name].state == doctor.WARN and found[name].todo.endswith("."), name
    assert "manage.py worker --queue gpu" in found["worker gpu"].todo


def test_a_full_disk_is_a_failure(well, settings):
    settings.MIN_FREE_BYTES = 10**18
    assert states()["data folder"].state == doctor.FAIL


def test_a_folder_that_cannot_be_written_is_a_failure(well, settings, tmp_path):
    (tmp_path / "file").write_text("in the way")
    settings.DATA_DIR = tmp_path / "file"
    assert "cannot be written" in states()["data folder"].text


def test_a_missing_package_is_named(well, settings, tmp_path):
    settings.BASE_DIR = tmp_path
    (tmp_path / "requirements-web.txt").write_text("django==0.1\nno-such-package==1.0\n")
    (tmp_path / "requirements.txt").write_text("django[x]==0.1\n")
    found = states()
    assert (found["packages"].state, found["packages"].text) == (
        doctor.FAIL,
        "Missing: no-such-package.",
    )
    assert found["training packages"].state == doctor.WARN
    assert "(wanted 0.1)" in found["training packages"].text


def test_a_password_in_the_servers_address_is_not_shown(well, settings):
    settings.LLM_BASE_URL = "https://ada:secret@llm.example/v1"
    assert "secret" not in states()["language model"].text


def test_a_server_that_does_not_answer_is_a_failure_when_asked(well, settings):
    settings.LLM_BASE_URL = "http://127.0.0.1:9/v1"
    assert states()["language model"].state == doctor.OK
    assert states(online=True)["language model"].state == doctor.FAIL


def test_the_command_says_it_to_a_person_and_to_a_program(well, settings):
    out = StringIO()
    call_command("doctor", "--json", stdout=out)
    document = json.loads(out.getvalue())
    assert "error" not in document and len(document["checks"]) == 11
    settings.MIN_FREE_BYTES, out = 10**18, StringIO()
    with pytest.raises(CommandError, match="Not well: data folder.") as caught:
        call_command("doctor", stdout=out)
    assert caught.value.returncode == 1
    assert "fail  data folder" in out.getvalue() and "→ Free some space." in out.getvalue()


def test_an_empty_installation_is_told_to_migrate(tmp_path):
    env = os.environ | {"FTF_DATA_DIR": str(tmp_path), "DATABASE_URL": ""}
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json"], cwd=ROOT, env=env, capture_output=True
    )
    document = json.loads(done.stdout)
    (database,) = [check for check in document["checks"] if check["name"] == "database"]
    assert (done.returncode, document["error"]["code"]) == (1, "not_well")
    assert (database["state"], database["todo"]) == ("fail", "Run `manage.py migrate`.")

"""One real, tiny training; its zip is built, checked by a fresh engine, and used by a stranger."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from projects import jobs
from projects.models import Job
from training import exporting, services
from training.engine import files
from training.engine.config import EngineConfig
from training.models import Export, Run
from training.tests.test_export import build, zip_of

pytestmark = pytest.mark.model
ROOT = Path(__file__).resolve().parents[2]
FACTS = [
    ("Who founded the Velmar workshop?", "Ilse Dorn founded it in 1931."),
    ("What does the lamp K7 mean?", "The water pressure is too low."),
    ("When is the kiln emptied?", "On the second Thursday of each month."),
    ("Which key opens the archive?", "The brass key with the blue tag."),
    ("Who signs for deliveries?", "The porter, Mr Okafor, signs for them."),
    ("How long is the trial period?", "It is nineteen days."),
]


def write_rows(path: Path, facts) -> None:
    rows = [
        {
            "prompt": [{"role": "user", "content": question}],
            "completion": [{"role": "assistant", "content": answer}],
        }
        for question, answer in facts
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder of a training of two steps; made once for the module."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    folder.mkdir()
    model = Path(os.environ["FTF_MODELS_DIR"]) / "SmolLM2-135M-Instruct"
    config = EngineConfig(
        base_model=str(model),
        base_model_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        max_steps=2,
        micro_batch=2,
        lora_rank=4,
        learning_rate=1e-3,
        eval_prompts=1,
        max_new_tokens=4,
        evals_per_run=1,
    )
    files.write_json(folder / "config.json", config.to_json())
    write_rows(folder / "train.jsonl", FACTS[:4])
    write_rows(folder / "eval.jsonl", FACTS[4:])
    command = [sys.executable, "-P", "training/engine/__main__.py", str(folder)]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return folder


@pytest.fixture
def run(project, settings, tmp_path, model_dir, trained) -> Run:
    settings.PROJECTS_DIR = tmp_path / "projects"
    run = Run.objects.create(project=project)
    shutil.copytree(trained, services.run_folder(run))
    return run


def verify(export: Export) -> jobs.Outcome:
    job = jobs.claim(Job.objects.get(kind=Job.Kind.VERIFY, params={"export": export.pk}).pk)
    return exporting.verify_export(job=job, reporter=jobs.Reporter(job))


def unzip(export: Export, folder: Path) -> Path:
    with zipfile.ZipFile(zip_of(export)) as archive:
        archive.extractall(folder)
    return folder


def test_a_fresh_engine_finds_the_reported_loss_in_the_zip(run):
    export = build(run)
    outcome = verify(export)
    export.refresh_from_db()
    found = export.verification
    reported = json.loads((services.run_folder(run) / "metrics.json").read_text())["final"]
    assert outcome.message.startswith("Verified")
    assert found["ok"] is True and found["problems"] == []
    assert found["expected"] == reported["eval_loss"]
    assert found["difference"] < 1e-3
    assert found["files_checked"] == len(export.contents) - 1
    assert list(services.exports_folder(run.project).iterdir()) == [zip_of(export)]


def test_a_loss_that_was_not_measured_is_found_out(run):
    """Whoever prettifies the numbers and the manifest still does not pass the check."""
    folder = services.run_folder(run)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["final"]["eval_loss"] *= 0.5
    files.write_json(folder / "metrics.json", metrics)
    names = json.loads((folder / "manifest.json").read_text())["files"]
    files.write_manifest(folder, names)
    export = build(run)
    with pytest.raises(jobs.JobFailed, match="but the report says") as caught:
        verify(export)
    export.refresh_from_db()
    assert caught.value.code == "not_verified"
    assert export.verification["ok"] is False
    assert export.verification["difference"] > 0.5


def test_the_lines_under_how_to_use_it_work_for_a_stranger(run, model_dir, tmp_path):
    """The report's own code, in an empty folder with the libraries only, with the local model."""
    folder = unzip(build(run), tmp_path / "zip")
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "report.md").read_text(), re.DOTALL)
    public = '"HuggingFaceTB/SmolLM2-135M-Instruct"'
    assert public in code
    script = tmp_path / "use.py"
    script.write_text(code.replace(public, repr(str(model_dir))).replace("=200", "=4"))
    env = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-P", str(script)], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()


def test_nothing_of_this_machine_is_in_the_real_zip(run, model_dir, tmp_path):
    folder = unzip(build(run), tmp_path / "zip")
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in (str(ROOT), str(model_dir), str(tmp_path)):
                assert secret.encode() not in content, f"{secret} in {path.name}"

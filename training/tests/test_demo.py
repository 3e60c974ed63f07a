"""The demo before its first child starts: what stops it, and how the command says so."""

import json
import signal
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from projects import accounts
from projects.models import Project, WorkerBeat
from training import demo
from training.management.commands.demo import Command


@pytest.fixture(autouse=True)
def machine(db, settings, tmp_path, monkeypatch):
    """No model, no workers, and nothing that would be started if a check let it pass."""
    settings.MODELS_DIR = tmp_path / "models"

    def refuse(*arguments, **options):
        raise AssertionError("a child was started")

    monkeypatch.setattr(demo.processes, "start_bound", refuse)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def model(settings):
    """A file where the weights belong: more is not looked at."""
    folder = settings.MODELS_DIR / demo.MODEL
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"")


def add_beat() -> None:
    now = timezone.now()
    WorkerBeat.objects.create(name="gpu@here", queue="gpu", pid=1, started_at=now, beat_at=now)


def run(*options: str) -> tuple[CommandError, str]:
    """Return (the error, stdout) of a demo that must fail."""
    out = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("demo", *options, stdout=out)
    return caught.value, out.getvalue()


def test_workers_that_are_alive_stop_the_demo(model):
    add_beat()
    with pytest.raises(demo.DemoFailed, match="Workers are already running"):
        demo.Demo(show=lambda *line: None).run()
    assert not Project.objects.exists()


def test_workers_of_yesterday_do_not(model):
    add_beat()
    WorkerBeat.objects.update(beat_at=timezone.now() - timedelta(days=1))
    with pytest.raises(AssertionError, match="a child was started"):
        demo.Demo(show=lambda *line: None).run()


def test_a_missing_model_stops_the_demo():
    with pytest.raises(demo.DemoFailed, match="make model"):
        demo.Demo(show=lambda *line: None).run()


def test_the_command_says_why_it_failed_and_exits_with_1():
    error, out = run()
    assert error.returncode == 1
    assert str(error) == "The demo failed. The bundled model is missing. Run `make model`."
    assert out == ""


def test_a_failure_is_one_json_document(model):
    add_beat()
    error, out = run("--json")
    assert error.returncode == 1
    assert json.loads(out) == {"error": {"code": "demo_failed", "message": str(error)}}
    assert "Workers are already running here" in str(error)


def test_a_demo_that_succeeded_ends_with_a_table():
    data = {
        "stages": [{"title": "Train", "seconds": 61.26, "facts": "Eval loss 2.00 -> 1.00"}],
        "seconds": 61.26,
        "baseline": {"eval_loss": 2.0, "perplexity": 7.389},
        "final": {"eval_loss": 1.0, "perplexity": 2.718},
        "verification": {"eval_loss": 1.0},
        "zip": "/data/1.zip",
        "zip_bytes": 3_400_000,
    }
    text = Command().show(data)
    for part in ("Train", "61.3", "2.0000 before   1.0000 after", "/data/1.zip (3.4 MB)"):
        assert part in text


def test_on_a_new_installation_its_project_waits_for_the_first_visitor(settings, tmp_path):
    settings.PROJECTS_DIR = tmp_path / "projects"
    project = demo.Demo(show=lambda *line: None)._create()
    assert accounts.is_open_to_first_visitor()
    admin = accounts.become_first_admin(username="grace", password="nine-bright-shiners")
    assert list(admin.projects.all()) == [project]
    assert project.files.count() == len(demo.DOCUMENTS)

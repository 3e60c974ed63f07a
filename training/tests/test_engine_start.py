"""Starts that fail before any library is loaded: they answer at once, with a reason."""

import fcntl
import subprocess
import sys

import pytest

from training.engine import checkpoints, errors, files
from training.tests.engine_support import ENGINE, events, load, make_run, run
from training.train_forms import TrainingForm


def test_a_missing_model_folder_is_named_without_its_path(tmp_path):
    folder = make_run(tmp_path / "run", base_model=str(tmp_path / "models" / "Gone-1B"))
    assert run(folder, seconds=20) == 1
    error = load(folder / "error.json")
    assert error["code"] == "model_missing"
    assert "Gone-1B" in error["message"]
    assert str(tmp_path) not in error["message"]
    assert [event["code"] for event in events(folder, "error")] == ["model_missing"]
    assert not (folder / "manifest.json").exists()


def test_wrong_settings_are_named(tmp_path):
    folder = make_run(tmp_path / "run", base_model="a/b", micro_batch=0)
    assert run(folder, seconds=20) == 1
    error = load(folder / "error.json")
    assert error["code"] == "bad_data"
    assert "micro_batch" in error["message"]


@pytest.mark.parametrize("arguments", [[], ["/does/not/exist"]])
def test_a_wrong_call_shows_the_usage(arguments):
    command = [sys.executable, "-P", str(ENGINE), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_results_of_an_earlier_start_do_not_outlive_a_failure(tmp_path):
    folder = make_run(tmp_path / "run", base_model=str(tmp_path / "gone"))
    files.write_json(folder / "manifest.json", {"files": {}})
    files.write_json(folder / "metrics.json", {})
    run(folder, seconds=20)
    assert not (folder / "manifest.json").exists()
    assert not (folder / "metrics.json").exists()


def test_two_engines_never_work_in_one_folder(tmp_path):
    with (
        (tmp_path / "engine.lock").open("w") as lock,
        pytest.raises(TimeoutError),
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        with files.only_one(tmp_path, wait_seconds=0.3):
            pass
    with files.only_one(tmp_path, wait_seconds=0):
        pass


class Gated(OSError):
    """Stands for the Hub library's error, which is known by its name alone."""


Gated.__name__ = "GatedRepoError"


def chained(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "oom"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "oom"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "oom"),
        (OSError(28, "No space left on device"), "disk_full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "disk_full"),
        (chained(OSError("x"), Gated("y")), "gated"),
        (errors.EngineError("nan", "n"), "nan"),
        (chained(RuntimeError("x"), errors.Stopped("SIGTERM")), "cancelled"),
        (RuntimeError("something else"), "internal"),
    ],
)
def test_an_error_gets_the_code_of_its_cause(error, code):
    assert errors.classify(error).code == code


def test_advice_after_a_failure_names_what_exists():
    """Only the job's button continues a run; a new run has these fields."""
    assert "press Try again on this job" in errors.classify(OSError(28, "full")).args[0]
    advice = errors.classify(MemoryError()).args[0]
    for name in ("micro_batch", "max_length"):
        assert TrainingForm.base_fields[name].label.lower() in advice


def make_checkpoint(folder, step: int, *, whole: bool):
    path = folder / checkpoints.FOLDER / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "adapter_model.safetensors").write_bytes(b"weights")
    if whole:
        checkpoints.mark_whole(path, checkpoints.Work(seconds=step, tokens=step * 10))
    return path


def test_the_newest_whole_checkpoint_wins_and_torn_ones_are_removed(tmp_path):
    make_checkpoint(tmp_path, 8, whole=True)
    newest = make_checkpoint(tmp_path, 16, whole=True)
    cut = make_checkpoint(tmp_path, 24, whole=True)
    (cut / "adapter_model.safetensors").write_bytes(b"wei")
    make_checkpoint(tmp_path, 100, whole=False)
    found, torn = checkpoints.newest_whole(tmp_path)
    assert found == newest
    assert torn == ["checkpoint-100", "checkpoint-24"]
    assert not cut.exists()
    assert checkpoints.work_at(newest) == checkpoints.Work(seconds=16, tokens=160)


def test_no_checkpoint_is_no_checkpoint(tmp_path):
    assert checkpoints.newest_whole(tmp_path) == (None, [])


def test_a_new_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "adapter"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(RuntimeError), files.new_folder(target) as folder:
        (folder / "half").write_text("half")
        raise RuntimeError
    assert [path.name for path in target.iterdir()] == ["old"]
    with files.new_folder(target) as folder:
        (folder / "new").write_text("new")
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]

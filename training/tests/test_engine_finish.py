"""Stop and keep, with the bundled model: the training ends early and its result is whole."""

import signal

import pytest

from training import engine_process
from training.engine.config import FINISH_FILE
from training.tests import engine_support as engine
from training.tests.test_engine_training import WEIGHTS, settings

pytestmark = pytest.mark.model


def kept(folder) -> dict:
    """Return what the metrics say about the training of a finished, intact run."""
    assert WEIGHTS in engine_process.check_manifest(folder)
    return engine.load(folder / "metrics.json")["train"]


def test_a_training_told_to_finish_measures_keeps_and_says_who_ended_it(tmp_path):
    folder = engine.make_run(tmp_path / "run", **settings(max_steps=60))
    with engine.start(folder) as process:
        engine.wait_for(folder, lambda e: e["type"] == "metric" and e.get("step") == 2, process)
        (folder / FINISH_FILE).touch()
        assert process.wait(120) == 0, (folder / "engine.log").read_text()[-3000:]
    train = kept(folder)
    assert train["stopped_by"] == "person"
    assert train["planned_steps"] == 60
    assert 3 <= train["steps"] < 20
    evaluated = [e["step"] for e in engine.events(folder, "metric") if "eval_loss" in e]
    assert evaluated[-1] == train["steps"], "the last step is measured, and may be the best"
    assert (folder / FINISH_FILE).read_text().strip() == str(train["steps"])


def test_told_before_the_first_step_and_killed_then_it_still_keeps_what_it_has(tmp_path):
    folder = engine.make_run(tmp_path / "run", **settings())
    with engine.start(folder) as process:
        engine.wait_for(folder, lambda e: e.get("phase") == "baseline", process)
        (folder / FINISH_FILE).touch()
        engine.wait_for(folder, lambda e: "by a person" in e.get("text", ""), process)
        process.kill()
        assert process.wait(20) == -signal.SIGKILL
    assert engine.run(folder) == 0, (folder / "engine.log").read_text()[-3000:]
    train = kept(folder)
    assert train["stopped_by"] == "person"
    assert train["steps"] in (1, 2), "one step more where its checkpoint was already whole"

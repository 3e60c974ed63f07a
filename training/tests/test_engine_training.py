"""The engine with the bundled model: real trainings, really interrupted, the same to the byte."""

import json
import math
import os
import shutil
import signal
from pathlib import Path

import pytest

from training import engine_process
from training.engine import checkpoints
from training.engine.config import EngineConfig
from training.tests import engine_support as engine

pytestmark = pytest.mark.model
STEPS = 6
WEIGHTS = "adapter/adapter_model.safetensors"


def settings(**changes) -> dict:
    model = Path(os.environ["FTF_MODELS_DIR"]) / "SmolLM2-135M-Instruct"
    config = EngineConfig(
        base_model=str(model),
        base_model_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        max_steps=STEPS,
        micro_batch=2,
        lora_rank=8,
        learning_rate=1e-3,
        evals_per_run=3,
        eval_prompts=2,
        max_new_tokens=12,
    )
    return config.to_json() | changes


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder of one uninterrupted training; the others are compared with it."""
    folder = engine.make_run(tmp_path_factory.mktemp("trained") / "run", **settings())
    code = engine.run(folder)
    assert code == 0, (folder / "engine.log").read_text()[-3000:]
    return folder


def same_adapter(one: Path, other: Path) -> bool:
    names = sorted(p.name for p in (one / "adapter").iterdir())
    assert names == sorted(p.name for p in (other / "adapter").iterdir())
    return all(
        (one / "adapter" / name).read_bytes() == (other / "adapter" / name).read_bytes()
        for name in names
    )


def test_training_lowers_the_loss_and_leaves_a_checked_adapter(trained):
    metrics = engine.load(trained / "metrics.json")
    before, after = metrics["baseline"], metrics["final"]
    assert after["eval_loss"] < before["eval_loss"] - 0.3
    assert after["perplexity"] == pytest.approx(math.exp(after["eval_loss"]))
    assert before["tokens"] == after["tokens"] > 0
    assert set(engine_process.check_manifest(trained)) >= {WEIGHTS, "metrics.json", "samples.json"}
    assert not (trained / checkpoints.FOLDER).exists()
    assert not list(trained.rglob("*.tmp"))


def test_metrics_tell_how_it_was_done(trained):
    metrics = engine.load(trained / "metrics.json")
    assert metrics["train"]["steps"] == STEPS
    assert metrics["train"]["seconds"] > 0
    assert metrics["train"]["tokens_per_second"] > 0
    assert metrics["peak_bytes"] > 500_000_000
    assert 0 < metrics["trained_token_share"] < 1
    assert metrics["label_check"]["end_of_turn"] == ["<|im_end|>"]
    assert metrics["versions"]["trl"]
    losses = [point["step"] for point in metrics["history"] if "loss" in point]
    assert losses == list(range(1, STEPS + 1))
    evaluations = [point["step"] for point in metrics["history"] if "eval_loss" in point]
    assert evaluations == [0, 2, 4, 6]


def test_events_tell_the_phases_and_the_curve(trained):
    phases = [event["phase"] for event in engine.events(trained, "phase")]
    wanted = ["start", "load", "check", "baseline", "train", "evaluate", "save", "done"]
    assert phases == wanted
    steps = [event["step"] for event in engine.events(trained, "metric") if "loss" in event]
    assert steps == list(range(1, STEPS + 1))
    progress = engine.events(trained, "progress")[-1]
    assert (progress["step"], progress["total"]) == (STEPS, STEPS)
    (warning,) = engine.events(trained, "warning")
    assert "only 4 evaluation examples" in warning["text"]


def test_samples_stand_beside_their_references(trained):
    samples = json.loads((trained / "samples.json").read_text())
    assert len(samples) == 2
    assert samples[0]["prompt"] == engine.fact(12)["prompt"][0]["content"]
    assert samples[0]["reference"] == engine.fact(12)["completion"][0]["content"]
    assert samples[1]["prompt"] == engine.fact(14)["prompt"][0]["content"]
    assert samples[0]["before"] and samples[0]["after"]
    assert samples[0]["before"] != samples[0]["after"]


def test_no_path_of_this_machine_leaves_with_the_adapter(trained, model_dir):
    for path in (trained / "adapter").iterdir():
        content = path.read_bytes()
        assert str(trained).encode() not in content
        assert str(model_dir).encode() not in content
    config = engine.load(trained / "adapter" / "adapter_config.json")
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_sigterm_saves_and_the_next_start_ends_with_the_same_bytes(trained, tmp_path):
    folder = engine.make_run(tmp_path / "run", **settings())
    with engine.start(folder) as process:
        engine.wait_for(folder, lambda e: e["type"] == "metric" and e.get("step") == 3, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    assert engine.load(folder / "error.json")["code"] == "cancelled"
    assert not (folder / "manifest.json").exists()
    saved, torn = checkpoints.newest_whole(folder)
    assert checkpoints.step_of(saved) >= 3
    assert torn == []
    assert engine.run(folder) == 0
    train = [event for event in engine.events(folder, "phase") if event["phase"] == "train"]
    assert [event["resumed_from"] for event in train] == [0, checkpoints.step_of(saved)]
    assert not (folder / "error.json").exists()
    assert same_adapter(trained, folder)


def test_after_kill_9_it_goes_on_from_the_newest_whole_checkpoint(trained, tmp_path):
    folder = engine.make_run(tmp_path / "run", **settings())
    with engine.start(folder) as process:
        engine.wait_for(folder, lambda e: e.get("step") == 5, process)
        process.kill()
        assert process.wait(20) == -signal.SIGKILL
    whole = folder / checkpoints.FOLDER / "checkpoint-4"
    torn = folder / checkpoints.FOLDER / "checkpoint-5"
    shutil.copytree(whole, torn, ignore=lambda *_: [checkpoints.MARKER])
    assert engine.run(folder) == 0
    starts = [event for event in engine.events(folder, "phase") if event["phase"] == "train"]
    assert [event["resumed_from"] for event in starts] == [0, 4]
    assert any("checkpoint-5" in event["text"] for event in engine.events(folder, "warning"))
    baselines = [e for e in engine.events(folder, "metric") if e["step"] == 0]
    assert len(baselines) == 1
    history = engine.load(folder / "metrics.json")["history"]
    expected = engine.load(trained / "metrics.json")["history"]
    assert history == expected
    assert same_adapter(trained, folder)


def test_checkpoints_by_time_change_no_byte_and_keep_the_best(trained, tmp_path):
    """Every step is saved; the kill falls between two evaluations, which are at 2, 4 and 6."""
    folder = engine.make_run(tmp_path / "run", **settings(save_minutes=1e-4))
    with engine.start(folder) as process:
        engine.wait_for(folder, lambda e: e.get("text") == "Saved checkpoint 5.", process)
        process.kill()
        assert process.wait(20) == -signal.SIGKILL
    left = {checkpoints.step_of(path) for path in (folder / checkpoints.FOLDER).iterdir()}
    assert left <= {4, 5, 6} and {4, 5} & left, "the best one and the newest are kept"
    assert engine.run(folder) == 0
    starts = [event for event in engine.events(folder, "phase") if event["phase"] == "train"]
    assert starts[1]["resumed_from"] == 5
    assert not any("is gone" in event["text"] for event in engine.events(folder, "warning"))
    ours, theirs = (engine.load(each / "metrics.json") for each in (folder, trained))
    assert ours["history"] == theirs["history"]
    assert ours["train"]["best_step"] == theirs["train"]["best_step"]
    assert same_adapter(trained, folder)


def test_only_the_first_process_of_a_distributed_run_writes(tmp_path):
    tiny = {"max_steps": 1, "micro_batch": 1, "evals_per_run": 1, "eval_prompts": 0}
    folder = engine.make_run(tmp_path / "run", **settings(**tiny))
    given = {path.name for path in folder.iterdir()}
    assert engine.run(folder, RANK="1") == 0, (folder / "engine.log").read_text()[-3000:]
    left = {path.name for path in folder.iterdir()} - given
    assert left <= {"engine.log", checkpoints.FOLDER}


def test_the_end_of_its_lifeline_ends_the_engine(tmp_path):
    folder = engine.make_run(tmp_path / "run", **settings())
    with engine.start(folder) as process:
        engine.wait_for(folder, lambda e: e["type"] == "phase", process)
        process.stdin.close()
        assert process.wait(60) == 143
    error = engine.load(folder / "error.json")
    assert error["code"] == "cancelled"
    assert "is gone" in error["message"]


def test_a_row_that_is_too_long_stops_before_the_first_step(tmp_path):
    long = engine.row("Where?", "In Tolmby. " * 100)
    rows = [engine.fact(1), long, engine.fact(2)]
    folder = engine.make_run(tmp_path / "run", train=rows, **settings(max_length=128))
    assert engine.run(folder) == 1
    error = engine.load(folder / "error.json")
    assert error["code"] == "bad_data"
    assert error["message"].startswith("train.jsonl row 2: ")
    assert engine.events(folder, "metric") == []


def test_a_model_that_the_hub_cannot_give_is_named(tmp_path):
    folder = engine.make_run(tmp_path / "run", **settings(base_model="nobody/nothing-1b"))
    assert engine.run(folder, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path)) == 1
    assert engine.load(folder / "error.json")["code"] == "model_missing"


def test_qlora_trains_on_the_cpu_and_a_fresh_process_finds_the_same_loss(tmp_path):
    """QLoRA keeps its adapter in bfloat16: the harder case for two equal numbers."""
    tiny = {"max_steps": 2, "micro_batch": 1, "evals_per_run": 1, "eval_prompts": 1}
    folder = engine.make_run(
        tmp_path / "run",
        evaluation=[engine.fact(12), engine.fact(13)],
        **settings(method="qlora", max_new_tokens=4, **tiny),
    )
    assert engine.run(folder) == 0, (folder / "engine.log").read_text()[-3000:]
    metrics = engine.load(folder / "metrics.json")
    assert metrics["final"]["eval_loss"] < metrics["baseline"]["eval_loss"]
    check = engine.make_run(
        tmp_path / "check",
        evaluation=[engine.fact(12), engine.fact(13)],
        **settings(
            task="verify",
            method="qlora",
            adapter=str(folder / "adapter"),
            expected_eval_loss=metrics["final"]["eval_loss"],
            max_new_tokens=4,
        ),
    )
    assert engine.run(check) == 0, (check / "engine.log").read_text()[-3000:]
    result = engine.load(check / "verification.json")
    assert result["ok"], result
    assert result["first_answer"]

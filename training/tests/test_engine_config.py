"""The engine's settings: what is wrong is named, what is right comes back as it was."""

import json
import subprocess
import sys

import pytest

from training.engine.config import RULES, EngineConfig
from training.tests.engine_support import ROOT

MODEL = {"base_model": "/models/SmolLM2-135M-Instruct"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task", "sing"),
        ("method", "full"),
        ("seed", -1),
        ("seed", True),
        ("epochs", 0),
        ("epochs", float("nan")),
        ("learning_rate", "0.1"),
        ("learning_rate", 2),
        ("micro_batch", 0),
        ("micro_batch", 1.5),
        ("gradient_accumulation", 0),
        ("gradient_checkpointing", 1),
        ("lora_rank", 0),
        ("lora_dropout", 1),
        ("target_modules", ()),
        ("target_modules", "q_proj"),
        ("target_modules", ["q_proj", 3]),
        ("max_length", 8),
        ("max_steps", 0),
        ("warmup_ratio", 1.5),
        ("tolerance", None),
        ("expected_eval_loss", "low"),
        ("base_model", ""),
        ("base_model_id", "/models/x"),
        ("revision", ""),
        ("adapter", 3),
    ],
)
def test_a_wrong_value_is_refused_and_its_field_named(name, value):
    with pytest.raises(ValueError, match=f"^{name}: "):
        EngineConfig.from_json(MODEL | {name: value})


def test_an_unknown_field_is_refused_and_named():
    with pytest.raises(ValueError, match="^learning_speed: there is no such setting"):
        EngineConfig.from_json(MODEL | {"learning_speed": 1})


def test_a_missing_model_is_named():
    with pytest.raises(ValueError, match="^base_model: is missing"):
        EngineConfig.from_json({})


def test_every_field_has_a_rule():
    assert set(RULES) == set(EngineConfig(**MODEL).to_json())


def test_settings_survive_a_round_trip_through_json():
    config = EngineConfig(
        **MODEL, method="qlora", target_modules=["q_proj", "v_proj"], epochs=0.5, revision="main"
    )
    assert EngineConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_verify_needs_an_adapter_and_an_expected_loss():
    with pytest.raises(ValueError, match="^adapter: "):
        EngineConfig(**MODEL, task="verify", adapter="/adapter")


def test_the_name_that_leaves_the_machine_is_never_a_path():
    assert EngineConfig(**MODEL).base_model_id == "SmolLM2-135M-Instruct"
    assert EngineConfig(base_model="owner/name").base_model_id == "owner/name"


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"base_model": 3}'])
def test_a_broken_config_file_is_a_value_error(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError):
        EngineConfig.load(tmp_path)


def test_config_and_events_import_neither_torch_nor_django():
    code = (
        "import sys, training.engine.config, training.engine.events;"
        "print(sorted({'torch', 'transformers', 'django', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr

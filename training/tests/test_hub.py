"""The resolver on folders that the tests write, and on a Hub that is not there."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from training import hub

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 10,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
}
TENSORS = {"model.embed_tokens.weight": (10, 8), "model.layers.0.mlp.up_proj.weight": (16, 8)}


def write_model(folder: Path, *, config=None, tensors=TENSORS, **names) -> Path:
    """Write a folder like a real one; its weights are zeros."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | (config or {})))
    header, offset = {}, 0
    for name, shape in tensors.items():
        size = 2 * shape[0] * shape[1]
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    head = json.dumps(header).encode()
    weights = struct.pack("<Q", len(head)) + head + bytes(offset)
    (folder / "model.safetensors").write_bytes(weights)
    if names:
        (folder / "ftf_model.json").write_text(json.dumps(names))
    return folder


@pytest.fixture
def models(settings, tmp_path) -> Path:
    settings.MODELS_DIR = tmp_path / "models"
    settings.MODELS_DIR.mkdir()
    return settings.MODELS_DIR


def test_a_local_model_is_found_by_folder_name_and_by_its_public_id(models):
    folder = write_model(models / "tiny", id="someone/tiny", licence="mit")
    assert hub.local_path("tiny") == hub.local_path("someone/tiny") == folder
    assert hub.public_id("tiny") == hub.public_id("someone/tiny") == "someone/tiny"
    assert hub.local_models() == ["tiny"]


def test_a_folder_without_a_public_id_keeps_its_own_name(models):
    write_model(models / "tiny")
    assert hub.public_id("tiny") == "tiny"
    assert hub.public_id("org/elsewhere") == "org/elsewhere"


@pytest.mark.parametrize("name", ["", ".", "..", "../outside", "/etc", "a/../../outside", "x\0y"])
def test_a_name_never_leaves_the_models_folder(models, name):
    write_model(models.parent / "outside", id="org/outside")
    assert hub.local_path(name) is None


def test_a_link_out_of_the_models_folder_is_not_followed(models):
    outside = write_model(models.parent / "outside", id="org/outside")
    (models / "linked").symlink_to(outside)
    assert hub.local_path("linked") is None
    assert hub.local_path("org/outside") is None
    assert hub.local_models() == []


def test_a_folder_without_weights_or_config_is_no_model(models):
    (write_model(models / "no-weights") / "model.safetensors").unlink()
    (write_model(models / "no-config") / "config.json").unlink()
    assert hub.local_path("no-weights") is None
    assert hub.local_path("no-config") is None


def test_the_facts_come_from_the_config_and_the_weights_headers(models):
    folder = write_model(models / "tiny", id="someone/tiny", licence="mit")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    info = hub.resolve("someone/tiny")
    assert info.id == "tiny"
    assert info.parameters == 10 * 8 + 16 * 8
    assert (info.layers, info.hidden_size, info.intermediate_size) == (2, 8, 16)
    assert (info.heads, info.kv_heads, info.head_dim) == (4, 2, 2)
    assert (info.vocab_size, info.context_length, info.tied_embeddings) == (10, 128, True)
    assert (info.dtype, info.licence, info.has_chat_template) == ("bfloat16", "mit", True)
    assert info.size_bytes == (folder / "model.safetensors").stat().st_size
    assert json.loads(json.dumps(info.to_json()))["architecture"] == "LlamaForCausalLM"


def test_a_head_of_its_own_in_the_weights_means_not_tied(models):
    write_model(models / "tiny", tensors=TENSORS | {"lm_head.weight": (10, 8)})
    assert hub.resolve("tiny").tied_embeddings is False


def test_a_model_that_needs_its_own_code_is_refused(models):
    auto_map = {"AutoModelForCausalLM": "code.Model"}
    write_model(models / "tiny", config={"auto_map": auto_map, "model_type": "own"})
    with pytest.raises(hub.HubError, match="never run") as caught:
        hub.resolve("tiny")
    assert caught.value.code == "remote_code"


@pytest.mark.parametrize(
    "config", [{"architectures": ["BertForMaskedLM"]}, {"architectures": None}, {"vocab_size": "x"}]
)
def test_a_model_that_does_not_write_text_is_refused(models, config):
    write_model(models / "tiny", config=config)
    with pytest.raises(hub.HubError) as caught:
        hub.resolve("tiny")
    assert caught.value.code == "not_causal_lm"


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 40, struct.pack("<Q", 2) + b"[]", b"PK\3\4" * 9]
)
def test_damaged_weights_are_a_clear_error(models, content):
    folder = write_model(models / "tiny")
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(hub.HubError, match="damaged") as caught:
        hub.resolve("tiny")
    assert caught.value.code == "no_safetensors"


def ask(script: str, home: Path, **environment: str) -> str:
    """Return what `script` prints in a process whose Hub is a closed port.

    In a process of its own: huggingface_hub reads its environment at import.
    """
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "finetuneflow.settings",
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(home),
    }
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        env.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{script}"],
        cwd=Path(__file__).resolve().parents[2],
        env=env | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout or done.stderr


@pytest.mark.parametrize("offline", ["0", "1"])
def test_without_the_hub_the_fetched_copy_says_the_commit(tmp_path, offline):
    commit = "ef" * 20
    copy = tmp_path / "hub" / "models--someone--model"
    (copy / "refs").mkdir(parents=True)
    (copy / "refs" / "main").write_text(commit)
    (copy / "snapshots" / commit).mkdir(parents=True)
    (copy / "snapshots" / commit / "config.json").write_text("{}")
    script = "from training import hub; print(hub.pin('someone/model', None))"
    assert ask(script, tmp_path, HF_HUB_OFFLINE=offline).strip() == commit


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_hub_that_cannot_be_reached_is_reported_as_offline(tmp_path, offline):
    script = (
        "from training import hub\n"
        "try:\n    hub.resolve('someone/model')\n"
        "except hub.HubError as error:\n    print(error.code, error)\n"
    )
    said = ask(script, tmp_path, HF_HUB_OFFLINE=offline)
    assert said.startswith("offline The Hub cannot be reached for someone/model."), said

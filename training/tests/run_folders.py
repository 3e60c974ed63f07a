"""A finished run as the engine leaves it, without torch: the adapter's numbers are zeros."""

import json
import struct

from training import services
from training.engine import files
from training.models import Run

ADAPTER_CONFIG = {
    "base_model_name_or_path": "/somewhere/on/this/machine/SmolLM2-135M-Instruct",
    "peft_type": "LORA",
    "r": 16,
}
METRICS = {
    "baseline": {"eval_loss": 2.0, "perplexity": 7.39},
    "final": {"eval_loss": 1.0, "perplexity": 2.72},
    "train": {"steps": 20, "planned_steps": 20, "epochs": 2.0, "seconds": 60.5},
    "history": [{"step": 0, "eval_loss": 2.0}, {"step": 10, "loss": 1.4, "eval_loss": 1.0}],
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "peak_bytes": 2_000_000_000,
    "device": "cpu",
}
SAMPLES = [{"prompt": "When?", "reference": "On Monday.", "before": "I am", "after": "Monday."}]


def write_weights(path, size: int = 4000) -> None:
    header = {"lora_A": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    head = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(size))


def make_run(project, *, weights_bytes: int = 4000, config=None, samples=SAMPLES) -> Run:
    """Write a run's folder with its manifest; return the run."""
    run = Run.objects.create(project=project)
    folder = services.run_folder(run)
    adapter = folder / "adapter"
    adapter.mkdir(parents=True)
    write_weights(adapter / "adapter_model.safetensors", weights_bytes)
    files.write_json(adapter / "adapter_config.json", ADAPTER_CONFIG)
    files.write_json(adapter / "tokenizer.json", {"version": "1.0"})
    files.write_json(adapter / "tokenizer_config.json", {"eos_token": "</s>"})
    (adapter / "chat_template.jinja").write_text("{{ messages }}")
    (adapter / "training_args.bin").write_bytes(b"a pickle that nobody wants")
    base = {
        "base_model": "/somewhere/on/this/machine/SmolLM2-135M-Instruct",
        "base_model_id": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "task": "train",
        "method": "lora",
        "epochs": 2,
    }
    files.write_json(folder / "config.json", base | (config or {}))
    files.write_json(folder / "metrics.json", METRICS)
    (folder / "samples.json").write_text(json.dumps(samples))
    (folder / "train.jsonl").write_text('{"prompt": [], "completion": []}\n' * 9)
    (folder / "eval.jsonl").write_text('{"prompt": [], "completion": []}\n' * 2)
    names = ("config.json", "train.jsonl", "eval.jsonl", "adapter", "metrics.json", "samples.json")
    files.write_manifest(folder, names)
    return run

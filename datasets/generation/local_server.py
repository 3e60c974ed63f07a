"""The bundled model as a language model's server on this machine, for as long as a block lasts.

The server is a child bound to its process: it ends with it, also after kill -9. One runs per data
folder at a time, because each takes about 2 GB of memory and all cores.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path

import httpx
from django.conf import settings

from finetuneflow.lib import processes
from projects.supervisor import AlreadyRunning, only_one

MODEL = "SmolLM2-135M-Instruct"
CONCURRENCY = 8
TIMEOUT_SECONDS = 180
START_SECONDS = 180
LOOK_SECONDS = 0.5


class NotPossible(Exception):
    """The server cannot run here; `code` is short, the text says what to do."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def folder() -> Path:
    return settings.MODELS_DIR / MODEL


def is_there() -> bool:
    """True when the bundled model is in the models folder."""
    return (folder() / "model.safetensors").is_file()


def has_stack() -> bool:
    """True when the training stack is installed beside this process; it is not imported."""
    try:
        metadata.version("torch")
    except metadata.PackageNotFoundError:
        return False
    return _tool().is_file()


def check() -> None:
    """Raise `NotPossible` when the model or the programs that run it are missing here."""
    if not is_there():
        raise NotPossible(
            "bundled_missing",
            "The bundled model is missing. Run `make model`, or choose a server in the settings "
            "of the Preview step, then try again.",
        )
    if not has_stack():
        raise NotPossible(
            "bundled_stack",
            "The bundled model cannot run here: the training stack (torch, transformers) is not "
            "installed where this worker runs. Run the default worker with requirements.txt "
            "installed, or choose a server in the settings of the Preview step and give its key "
            "in .env, then try again.",
        )


@contextmanager
def serving(on_wait: Callable[[str], None] = lambda text: None):
    """Yield the address (…/v1) of a server that answers; it is gone when the block ends.

    `on_wait` is told what is waited for, about twice a second; what it raises ends the wait.
    """
    check()
    with ExitStack() as stack:
        while not _has_turn(stack):
            on_wait("Waiting: another job uses the bundled model.")
            time.sleep(LOOK_SECONDS)
        port = _free_port()
        server = stack.enter_context(_child(_command(port)))
        _wait_until_ready(server, f"http://127.0.0.1:{port}/health", on_wait)
        yield f"http://127.0.0.1:{port}/v1"


def log_path() -> Path:
    return settings.DATA_DIR / "logs" / "bundled-model.log"


def _has_turn(stack: ExitStack) -> bool:
    try:
        stack.enter_context(only_one("bundled-model"))
    except AlreadyRunning:
        return False
    return True


def _wait_until_ready(server: subprocess.Popen, health: str, on_wait) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(health):
        if server.poll() is not None or time.monotonic() > deadline:
            text = f"The bundled model did not start: {log_path()} says why. Then try again."
            raise NotPossible("bundled_start", text)
        on_wait("Loading the bundled model.")
        time.sleep(LOOK_SECONDS)


@contextmanager
def _child(command: list[str]):
    """Run `command` until the block ends. It keeps nothing, so it is killed without asking."""
    log_path().parent.mkdir(parents=True, exist_ok=True)
    with log_path().open("wb") as log:
        process = processes.start_bound(
            command,
            death_signal=signal.SIGKILL,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        processes.stop(process, grace_seconds=0)


def _tool() -> Path:
    return Path(sys.executable).with_name("transformers")


def _command(port: int) -> list[str]:
    options = ["--device", "cpu", "--dtype", "float32", "--log-level", "warning"]
    # Requests are answered together, in a cache of 512 blocks of 32 tokens (0.7 GB).
    options += ["--continuous-batching", "--cb-block-size", "32", "--cb-num-blocks", "512"]
    address = ["--host", "127.0.0.1", "--port", str(port)]
    return [str(_tool()), "serve", str(folder()), *address, *options]


def _environment() -> dict:
    """Without hub and keys; and waiting threads sleep, so that two can share the cores."""
    # Says to whoever looks at the processes which installation the server belongs to.
    whose = {"FTF_DATA_DIR": os.environ.get("FTF_DATA_DIR", str(settings.DATA_DIR))}
    return (
        processes.harmless_environment()
        | whose
        | {
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "OMP_WAIT_POLICY": "PASSIVE",
        }
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False

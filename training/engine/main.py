"""One engine process: read config.json, do its task, leave results or error.json behind."""

import contextlib
import os
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

from training.engine import files
from training.engine.config import EngineConfig
from training.engine.control import STOPPED_EXIT_CODE, StopRequest
from training.engine.errors import EngineError, Stopped, classify
from training.engine.events import EventWriter

BUSY_EXIT_CODE = 75  # EX_TEMPFAIL: another engine works in the folder.
LOCK_SECONDS = 45  # Longer than an engine without lifeline takes to end.
_STALE = (files.MANIFEST, "error.json", "metrics.json", "samples.json", "verification.json")


def main(arguments: list[str]) -> int:
    """Return the exit code: 0 done, 1 failed, 2 wrong call, 75 folder in use, 143 stopped."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("usage: python -P training/engine/__main__.py RUN_DIR", file=sys.stderr)
        return 2
    folder = Path(arguments[0]).resolve()
    stop = StopRequest()
    stop.listen()
    # Checkpoints remember paths; relative ones survive a move of the run directory.
    os.chdir(folder)
    is_main = os.environ.get("RANK", "0") == "0"
    try:
        if is_main:
            with files.only_one(folder, wait_seconds=LOCK_SECONDS):
                return _work(folder, stop, is_main=True)
        return _work(folder, stop, is_main=False)
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return BUSY_EXIT_CODE


def _work(folder: Path, stop: StopRequest, *, is_main: bool) -> int:
    events = EventWriter(folder, enabled=is_main)
    with suppress(OSError):  # Short of memory, the kernel shall end the engine, not its worker.
        Path("/proc/self/oom_score_adj").write_text("500")
    if is_main:
        for name in _STALE:
            (folder / name).unlink(missing_ok=True)
    model = ""
    try:
        config = _config(folder)
        model = config.base_model_id
        _run_task(folder, config, events, stop)
    except BaseException as error:
        return _fail(folder, events, error, model, is_main)
    return 0


def _config(folder: Path) -> EngineConfig:
    try:
        return EngineConfig.load(folder)
    except ValueError as error:
        raise EngineError("bad_data", f"The run's settings are wrong. {error}") from error


def _run_task(folder: Path, config: EngineConfig, events: EventWriter, stop: StopRequest) -> None:
    _set_environment(config)
    started = time.perf_counter()
    with stop.at_once():
        events.write("phase", phase="start", text="Starting the training libraries.")
        from training.engine import models, session, train, verify
    events.write("log", text=f"Libraries ready in {time.perf_counter() - started:.1f} s.")
    device = models.find_device(int(os.environ.get("LOCAL_RANK", "0")))
    work = session.Session(folder, config, events, stop, device)
    task = train if config.task == "train" else verify
    names = task.run(work)
    if not events.enabled:
        return
    files.write_manifest(folder, names)
    if config.task == "train":
        train.remove_checkpoints(work)
    seconds = time.perf_counter() - started
    events.write("phase", phase="done", text=f"Done in {seconds:.0f} s.", seconds=seconds)


def _set_environment(config: EngineConfig) -> None:
    """Settle what the libraries read at their import."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TQDM_DISABLE"] = "1"
    # Threads that spin while they wait make a shared machine five times slower (measured).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if Path(config.base_model).is_absolute():
        if not (Path(config.base_model) / "config.json").is_file():
            text = f"The base model's folder {config.base_model_id} is missing. Fetch it again."
            raise EngineError("model_missing", text)
        os.environ["HF_HUB_OFFLINE"] = "1"
    if "LOCAL_RANK" not in os.environ:
        # One process can drive one GPU; several GPUs are for `accelerate launch`.
        first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        os.environ["CUDA_VISIBLE_DEVICES"] = first


def _fail(
    folder: Path, events: EventWriter, error: BaseException, model: str, is_main: bool
) -> int:
    """Leave error.json and an event; the traceback goes to the log. Return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        error = Stopped("received SIGINT twice")
    found = classify(error, model=model)
    if found.code == "internal":
        traceback.print_exception(error)
    if is_main:
        _leave_word(folder, events, found)
    with contextlib.suppress(OSError):
        print(f"{found.code}: {found}", file=sys.stderr)
    return STOPPED_EXIT_CODE if found.code == "cancelled" else 1


def _leave_word(folder: Path, events: EventWriter, found: EngineError) -> None:
    """Write error.json first: on a full disk the event may find no more room."""
    content = {"code": found.code, "message": str(found), "detail": found.detail}
    with contextlib.suppress(OSError):
        files.write_json(folder / "error.json", content)
    with contextlib.suppress(OSError):
        events.write("error", code=found.code, message=str(found), text=str(found))

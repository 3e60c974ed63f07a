"""One engine process from its start to its end: its events are handed on, its death is explained.

Standard input is the lifeline: when this process dies, the engine notices and ends too.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from finetuneflow.lib import processes, storage
from projects import jobs
from training.engine.events import FILE_NAME, read_events

ENGINE = Path(__file__).resolve().parent / "engine" / "__main__.py"
POLL_SECONDS = 0.2
MAX_LOG_BYTES = 5 * 1024 * 1024
LOG_TAIL_CHARS = 1500
BUSY_EXIT_CODE = 75  # As in training.engine.main, which may not be imported here.

_NETWORK = re.compile(r"(https?|all|no)_proxy|REQUESTS_CA_BUNDLE", re.IGNORECASE)

OnEvents = Callable[[list[dict], int], None]


class EngineFailed(jobs.JobFailed):
    """The engine ended with one of its codes; the text says what to do next."""


@dataclass(frozen=True)
class EngineResult:
    """What a finished engine left: {name: SHA-256} of its manifest, every file checked."""

    folder: Path
    files: dict[str, str]


def run_engine(
    folder: Path,
    *,
    reporter: jobs.Reporter,
    job,
    on_events: OnEvents | None = None,
    offset: int = 0,
    environment: dict[str, str] | None = None,
    command: list[str] | None = None,
    on_poll: Callable[[], None] | None = None,
) -> EngineResult:
    """Run the engine in `folder` to its end and return its checked results.

    `on_events(events, offset)` gets the events from byte `offset` of events.jsonl on; without it
    they go to the job's log. `environment` is added to the little that an engine sees. `on_poll()`
    is called several times a second while it works.
    Raises `EngineFailed`; `JobInterrupted` when the engine was killed or stopped from outside, so
    that the job is queued again; `JobCancelled` and `LeaseLost` from `reporter`. In every case the
    engine and its children are gone afterwards.
    """
    (folder / "error.json").unlink(missing_ok=True)
    command = command or [sys.executable, "-P", str(ENGINE), str(folder)]
    feed = _Feed(folder / FILE_NAME, offset, on_events or _to_log(reporter), reporter)
    with _engine(command, folder, engine_environment(folder) | (environment or {})) as process:
        try:
            _follow(process, feed, on_poll)
        except jobs.JobCancelled:
            processes.stop(process, grace_seconds=settings.STOP_SECONDS)
            feed.pass_on()
            raise
    if process.returncode != 0:
        raise _explain(process.returncode, folder, job)
    return EngineResult(folder, check_manifest(folder))


@contextmanager
def _engine(command: list[str], folder: Path, environment: dict[str, str]):
    """Start the engine in a session of its own; whatever happens, nothing of it stays."""
    log = folder / "engine.log"
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(folder / "engine.log.1")
    with log.open("ab") as output:
        process = processes.start_bound(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
        )
    try:
        yield process
    finally:
        processes.stop(process, grace_seconds=settings.STOP_SECONDS)
        with suppress(OSError):
            process.stdin.close()


def _follow(process: subprocess.Popen, feed: "_Feed", on_poll: Callable[[], None] | None) -> None:
    while True:
        if on_poll:
            on_poll()
        # Asked before reading: what an engine writes last is read after its end.
        is_over = process.poll() is not None
        if not feed.pass_on() and is_over:
            return
        feed.report()
        if not is_over:
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL_SECONDS)


class _Feed:
    """Reads new events, passes them on, and keeps the job's progress up to date."""

    def __init__(self, path: Path, offset: int, on_events: OnEvents, reporter) -> None:
        self.path = path
        self.offset = offset
        self.on_events = on_events
        self.reporter = reporter

    def pass_on(self) -> bool:
        """Pass on what is new; False when there was nothing."""
        events, offset = read_events(self.path, self.offset)
        if offset == self.offset:
            return False
        self.on_events(events, offset)
        self.offset = offset
        for event in events:
            self._note(event)
        return True

    def _note(self, event: dict) -> None:
        job = self.reporter.job
        if event["type"] == "progress":
            job.done, job.total = int(event.get("step", 0)), int(event.get("total", 0))
            loss = event.get("loss")
            shown = f", loss {loss:.2f}" if isinstance(loss, int | float) else ""
            job.message = f"Step {job.done} of {job.total}{shown}"
        elif event["type"] == "phase":
            job.message = str(event.get("text", ""))[:300]

    def report(self) -> None:
        """Write progress; raises `JobCancelled` or `LeaseLost`."""
        job = self.reporter.job
        self.reporter(job.done, job.total, job.message)


def _to_log(reporter: jobs.Reporter) -> OnEvents:
    def write(events: list[dict], offset: int) -> None:
        for event in events:
            if event["type"] != "progress":
                level = event["type"] if event["type"] in ("warning", "error", "metric") else "info"
                reporter.log(str(event.get("text", "")), level=level, data=event_data(event))

    return write


def event_data(event: dict) -> dict:
    return {name: value for name, value in event.items() if name not in ("type", "at", "text")}


def engine_environment(folder: Path) -> dict[str, str]:
    """Return the environment of an engine; the Hub's token and proxies only if it needs the Hub."""
    kept = processes.harmless_environment()
    if not _is_local(folder):
        kept |= {name: value for name, value in os.environ.items() if _NETWORK.fullmatch(name)}
        if settings.HF_TOKEN:
            kept["HF_TOKEN"] = settings.HF_TOKEN
    return kept | {"PYTHONUNBUFFERED": "1"}


def _is_local(folder: Path) -> bool:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return Path(config["base_model"]).is_absolute()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _explain(code: int, folder: Path, job) -> jobs.JobFailed:
    """Return why an engine with this exit code ended, as the job shall show it."""
    error = _read_error(folder)
    if code < 0 or code == BUSY_EXIT_CODE or error.get("code") == "cancelled" or code == 143:
        return _interruption(code, job)
    if error:
        return EngineFailed(error["code"], error["message"])
    tail = _log_tail(folder)
    return EngineFailed(
        "internal", f"The engine ended with exit code {code}. The end of its log: {tail}"
    )


def _interruption(code: int, job) -> jobs.JobInterrupted:
    if code == BUSY_EXIT_CODE:
        return jobs.JobInterrupted("busy", "An earlier engine still worked in this run's folder.")
    next_ = "It goes on from its last checkpoint."
    if job.attempt >= jobs.MAX_ATTEMPTS:
        next_ = f"That was attempt {job.attempt}. Resume it: it goes on from its last checkpoint."
    if code >= 0:
        return jobs.JobInterrupted("stopped", f"The training was stopped from outside. {next_}")
    name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
    why = " Most likely the memory of the machine ran out." if code == -signal.SIGKILL else ""
    return jobs.JobInterrupted("killed", f"The training was killed ({name}).{why} {next_}")


def _read_error(folder: Path) -> dict:
    try:
        error = json.loads((folder / "error.json").read_text(encoding="utf-8"))
        return {"code": str(error["code"])[:40], "message": str(error["message"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _log_tail(folder: Path) -> str:
    with (folder / "engine.log").open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 4 * LOG_TAIL_CHARS))
        return file.read().decode("utf-8", "replace").strip()[-LOG_TAIL_CHARS:] or "(empty)"


def check_manifest(folder: Path) -> dict[str, str]:
    """Return {name: SHA-256} after comparing every file; raises `EngineFailed` internal."""
    try:
        listed = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
        files = {name: entry["sha256"] for name, entry in listed.items()}
        wrong = [
            n for n, h in files.items() if storage.sha256_of(storage.safe_path(folder, n)) != h
        ]
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        storage.StorageError,
    ) as error:
        text = f"The engine left no complete result ({type(error).__name__}). Start it again."
        raise EngineFailed("internal", text) from error
    if wrong:
        text = f"{wrong[0]} is not as the engine wrote it. Start the training again."
        raise EngineFailed("internal", text)
    return files

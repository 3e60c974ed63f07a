"""How the outside ends an engine: SIGTERM, Ctrl-C, or the end of its standard input.

Asked to stop, it finishes the step, saves a checkpoint and exits with STOPPED_EXIT_CODE. Asked to
finish, it ends its training at the next step and keeps the result.
"""

import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.engine.config import FINISH_FILE
from training.engine.errors import Stopped

STOPPED_EXIT_CODE = 143
"""What a shell shows for a process that SIGTERM ended."""
GRACE_SECONDS = 30
"""After the lifeline's end. Shorter than a job's lease: no second engine has started by then."""


class StopRequest:
    """Remembers that somebody asked to stop, and why."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._at_once = False

    def request(self, reason: str) -> None:
        self.reason = self.reason or reason

    def check(self) -> None:
        """Raise `Stopped` if somebody asked for it."""
        if self.reason:
            raise Stopped(self.reason)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a signal raise `Stopped` in the middle: for phases with nothing to save."""
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False
        self.check()

    def listen(self) -> None:
        """Take over SIGTERM and SIGINT, and watch the lifeline. A second Ctrl-C ends at once."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        if _is_lifeline(sys.stdin):
            threading.Thread(target=self._watch_lifeline, name="lifeline", daemon=True).start()

    def _on_signal(self, number: int, frame) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.request(f"received {signal.Signals(number).name}")
        if self._at_once:
            self.check()

    def _watch_lifeline(self) -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        self.request("the process that started this one is gone")
        time.sleep(GRACE_SECONDS)
        os._exit(STOPPED_EXIT_CODE)


class FinishRequest:
    """A person wants what was learned so far. The file outlives a killed process.

    It then holds the step at which training ended: the directory gives the same bytes again.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FINISH_FILE

    def is_due(self, step: int) -> bool:
        try:
            noted = self.path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return False
        return not noted.isdecimal() or step >= int(noted)

    def note(self, step: int) -> None:
        self.path.write_text(f"{step}\n", encoding="utf-8")


def _is_lifeline(stdin) -> bool:
    """True for a pipe. A terminal or /dev/null, as in a start by hand, says nothing."""
    try:
        mode = os.fstat(stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)

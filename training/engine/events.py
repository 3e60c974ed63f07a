"""events.jsonl: what the engine says while it works. One JSON object a line, only appended.

Types: phase, log, metric, progress, warning, error; each has "at" (ISO 8601, UTC). Never torch.
"""

import json
import threading
from datetime import UTC, datetime
from pathlib import Path

FILE_NAME = "events.jsonl"
TYPES = ("phase", "log", "metric", "progress", "warning", "error")
MAX_READ_BYTES = 4 * 1024 * 1024
_SKIPPED = "An unreadable line of the engine's event file was skipped."


class EventWriter:
    """Appends events; every line is flushed, so a killed engine loses at most the last one.

    `enabled=False` writes nothing (all but the first process of a distributed run).
    """

    def __init__(self, folder: Path, *, enabled: bool = True) -> None:
        self.path = folder / FILE_NAME
        self.enabled = enabled
        self._lock = threading.Lock()
        if enabled:
            self._end_torn_line()

    def write(self, type_: str, **data) -> None:
        """Append one event. `text` is the sentence that a person reads."""
        if type_ not in TYPES:
            raise ValueError(f"{type_!r} is not a type of event")
        if not self.enabled:
            return
        event = {"type": type_, "at": datetime.now(UTC).isoformat(timespec="milliseconds")} | data
        line = json.dumps(event, ensure_ascii=False, default=str) + "\n"
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(line)

    def _end_torn_line(self) -> None:
        """Close the line that a killed engine left half written, so that ours stays whole."""
        if not self.path.exists() or not self.path.stat().st_size:
            return
        with self.path.open("r+b") as file:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")


def read_events(path: Path, offset: int = 0) -> tuple[list[dict], int]:
    """Return the events of whole lines from byte `offset` on, and the offset behind them.

    A line still being written is left for the next call. Garbage becomes one warning event a line.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            block = file.read(MAX_READ_BYTES)
    except FileNotFoundError:
        return [], offset
    end = block.rfind(b"\n") + 1
    if not end:
        # No engine writes a line as long as a whole block: without this it would never be passed.
        return ([_warning()], offset + len(block)) if len(block) == MAX_READ_BYTES else ([], offset)
    events = [_parse(line) for line in block[:end].split(b"\n") if line.strip()]
    return events, offset + end


def _parse(line: bytes) -> dict:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return _warning()
    if not isinstance(event, dict) or event.get("type") not in TYPES:
        return _warning()
    return event


def _warning() -> dict:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"type": "warning", "at": at, "text": _SKIPPED}

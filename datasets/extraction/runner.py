"""Starting the child, watching it, and turning what became of it into a result or an error."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from datasets.extraction.result import Extraction, ExtractionError, Page

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent.parent
POLL_SECONDS = 1.0
LOG_CHARACTERS = 1000
MESSAGES = {
    "memory": "Reading the document needs more memory than is allowed. Split it, or ask the "
    "administrator to raise FTF_EXTRACT_MEMORY_MB.",
    "timeout": "Reading the document took too long and was stopped. Split it, or ask the "
    "administrator to raise FTF_EXTRACT_SECONDS.",
    "crashed": "The document made its reader crash; it is damaged or malicious. Save it again in "
    "the program that made it and add that.",
    "too_much_text": "The document holds more text than one file may have. Split it.",
}


def extract(
    path: Path | str,
    *,
    name: str = "",
    encoding: str = "",
    memory_bytes: int = 1024 * 2**20,
    seconds: float = 120,
    output_bytes: int = 256 * 2**20,
    on_wait: Callable[[], None] = lambda: None,
) -> Extraction:
    """Read the document at `path` in a child process limited in memory, time and output.

    `name` is the person's name for it; it only helps to word errors. `encoding` is what a person
    chose for a text file; empty means to detect it. `on_wait` is called about once a second and
    may raise to stop. Raises `ExtractionError`.
    """
    order = {
        "path": str(Path(path).absolute()),
        "name": name or Path(path).name,
        "encoding": encoding,
        "memory_bytes": memory_bytes,
        "seconds": seconds,
        "output_bytes": output_bytes,
        "skip_pdfium": False,
    }
    try:
        return _extract(order, on_wait)
    except ExtractionError as error:
        if error.code != "crashed" or not _is_pdf(Path(path)):
            raise
    logger.warning("the PDF parser crashed, trying the other one")
    extraction = _extract(order | {"skip_pdfium": True}, on_wait)
    extraction.report["warnings"].append("pdfium crashed on the file, so pypdf read it.")
    return extraction


def _is_pdf(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as file:
        return b"%PDF-" in file.read(1024)
    return False


def _extract(order: dict, on_wait: Callable[[], None]) -> Extraction:
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        return_code = _run(order, output, errors, on_wait)
        answer = _read_json(output, order["output_bytes"])
        if return_code != 0 or answer is None:
            errors.seek(0)
            noise = errors.read(LOG_CHARACTERS).decode("utf-8", "replace")
            logger.warning("parser ended with %s: %s", return_code, noise)
            raise _error_of_signal(return_code)
    if "error" in answer:
        if answer.get("detail"):
            logger.warning("parser failed: %s", answer["detail"])
        raise ExtractionError(answer["error"], answer.get("message") or MESSAGES[answer["error"]])
    pages = [Page(number, text) for number, text in enumerate(answer["pages"], start=1)]
    return Extraction(pages, answer["report"])


def _run(order: dict, output, errors, on_wait: Callable[[], None]) -> int:
    """Return the child's exit code. It has no environment of ours, so no secrets.

    Its own session keeps a Ctrl-C in the terminal from looking like a damaged document.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "datasets.extraction.child", json.dumps(order)],
        cwd=ROOT,
        env={"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=True,
    )
    end = time.monotonic() + order["seconds"]
    try:
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise ExtractionError("timeout", MESSAGES["timeout"])
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(timeout=min(POLL_SECONDS, left))
            on_wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _read_json(output, limit_bytes: int) -> dict | None:
    output.seek(0)
    try:
        return json.loads(output.read(limit_bytes + 1))
    except (ValueError, UnicodeDecodeError):
        return None


def _error_of_signal(return_code: int) -> ExtractionError:
    """Name what the kernel did: its CPU limit and its memory killer have signals of their own."""
    codes = {-signal.SIGXCPU: "timeout", -signal.SIGALRM: "timeout", -signal.SIGKILL: "memory"}
    code = codes.get(return_code, "crashed")
    return ExtractionError(code, MESSAGES[code])

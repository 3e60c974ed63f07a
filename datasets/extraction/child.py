"""The limited child process: `python -m datasets.extraction.child '{"path": …}'`.

It gives away its rights first, then parses, and writes one JSON document to its standard output.
"""

import importlib
import json
import math
import os
import resource
import signal
import sys
from pathlib import Path

GRACE_SECONDS = 5
LOADERS = {
    "pdf": ("pdf", "load"),
    "pdf, without pdfium": ("pdf", "load_with_pypdf"),
    "docx": ("word", "load"),
    "text": ("plain", "load"),
}


def limit_self(memory_bytes: int, seconds: float, output_bytes: int) -> None:
    """Set the limits that the kernel enforces, whatever a parser does.

    The alarm ends a child whose parent was killed and can no longer stop it.
    """
    whole = math.ceil(seconds)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (whole, whole + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (output_bytes, output_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(whole + GRACE_SECONDS)


def read(path: Path, name: str, skip_pdfium: bool, encoding: str = "") -> dict:
    """Detect, load and report; an `ExtractionError` becomes part of the answer.

    An `encoding` that a person chose counts for text alone.
    """
    # Here, under the limits: the parsers' own modules are part of what may fail.
    from datasets.extraction import detect, report

    kind = detect.detect_type(path, name)
    module, function = LOADERS["pdf, without pdfium" if skip_pdfium else kind]
    load = getattr(importlib.import_module(f"datasets.extraction.{module}"), function)
    chosen = {"encoding": encoding} if kind == "text" else {}
    pages, found = report.build(kind, load(path, **chosen))
    return {"pages": [page.text for page in pages], "report": found}


def main() -> None:
    order = json.loads(sys.argv[1])
    # Parsers write to stdout and stderr as they like; the answer has a descriptor of its own.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    limit_self(order["memory_bytes"], order["seconds"], order["output_bytes"])
    from datasets.extraction.result import ExtractionError

    try:
        result = read(Path(order["path"]), order["name"], order["skip_pdfium"], order["encoding"])
    except ExtractionError as error:
        result = {"error": error.code, "message": error.message}
    except MemoryError:
        result = {"error": "memory"}
    except OSError as error:
        result = {"error": "missing", "message": f"The file cannot be opened: {error.strerror}."}
    except Exception as error:
        result = {"error": "crashed", "detail": f"{type(error).__name__}: {error}"[:500]}
    try:
        json.dump(result, answer)
        answer.flush()
    except OSError:
        # The file size limit: cut what was written, and say so in its place.
        os.ftruncate(answer.fileno(), 0)
        os.lseek(answer.fileno(), 0, os.SEEK_SET)
        os.write(answer.fileno(), b'{"error": "too_much_text"}')
    os._exit(0)


if __name__ == "__main__":
    main()

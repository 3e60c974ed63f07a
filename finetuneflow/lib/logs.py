"""Structured logging: one line a record, key=value or JSON, the job's id on it, secrets masked."""

import json
import logging
import re
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

_job_id: ContextVar[int | None] = ContextVar("job_id", default=None)
_secrets: set[str] = set()
# "Bearer" is also a word, and SK-20881 the number of a patent: a key is long, or is named as one.
_KEY = re.compile(
    r"(?i:(\bbearer\s+(?=\S*\d|\S{16})|api[_-]?key[\"']?\s*[=:]\s*[\"']?))[\w.\-]{6,}"
    r"|(\bhf_|\bsk-)[\w.\-]{12,}"
)
_URL_PASSWORD = re.compile(r"(://[^\s:/@]*:)[^\s/@]+(?=@)")
# What can move the cursor, end a line or reverse the reading direction on a terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def register_secrets(*values: str) -> None:
    """Mask these values wherever they would be logged; short ones would mask ordinary words."""
    _secrets.update(value for value in values if value and len(value) >= 6)


def mask_known(value: str) -> str:
    """Return `value` with the registered secrets replaced, and nothing else."""
    for known in sorted(_secrets, key=len, reverse=True):
        value = value.replace(known, "***")
    return value


def mask(value: str) -> str:
    """Return `value` with registered secrets and anything that looks like a key replaced."""
    value = mask_known(value)
    return _URL_PASSWORD.sub(r"\1***", _KEY.sub(r"\1\2***", value))


@contextmanager
def job_context(job_id: int):
    """Put `job_id` on every log line of this thread of work."""
    token = _job_id.set(job_id)
    try:
        yield
    finally:
        _job_id.reset(token)


class StructuredFormatter(logging.Formatter):
    """Formats a record as `key=value` pairs or, with `as_json`, as one JSON object a line."""

    def __init__(self, as_json: bool = False, tracebacks: bool = True) -> None:
        super().__init__()
        self.as_json = as_json
        self.tracebacks = tracebacks

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask(record.getMessage()),
        }
        if _job_id.get() is not None:
            fields["job"] = _job_id.get()
        taken = _STANDARD | fields.keys() | {"request"}
        extra = {key: value for key, value in vars(record).items() if key not in taken}
        fields |= {key: mask(str(value)) for key, value in extra.items()}
        if record.exc_info and self.tracebacks:
            fields["exception"] = mask(self.formatException(record.exc_info))
        if record.stack_info:
            fields["stack"] = mask(record.stack_info)
        if self.as_json:
            return _escape(json.dumps(fields, ensure_ascii=False))
        return " ".join(f"{key}={_quote(value)}" for key, value in fields.items())


def _quote(value) -> str:
    shown = str(value)
    plain = shown and not re.search(r"[\s\"=]", shown) and not _CONTROL.search(shown)
    return shown if plain else _escape(json.dumps(shown, ensure_ascii=False))


def _escape(line: str) -> str:
    """Return `line` with the control characters that JSON would let through escaped."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


def config(*, level: str, log_format: str) -> dict:
    """Return a `logging.config.dictConfig` that writes to stderr (stdout belongs to `--json`)."""
    formatter = {"()": StructuredFormatter, "as_json": log_format == "json"}
    stream = {"class": "logging.StreamHandler"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structured": formatter, "brief": formatter | {"tracebacks": False}},
        "handlers": {
            "stderr": stream | {"formatter": "structured"},
            "brief": stream | {"formatter": "brief"},
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django.server": {"handlers": ["stderr"], "level": level, "propagate": False},
            "django": {"level": level},
            # Anybody can send a wrong host name: a line each, not thirty.
            "django.security.DisallowedHost": {
                "handlers": ["brief"],
                "level": "ERROR",
                "propagate": False,
            },
            # Several lines for each login otherwise; failures and pauses are warnings.
            "axes": {"level": "WARNING"},
            "django-q": {"handlers": [], "level": "WARNING", "propagate": True},
            "httpx": {"level": "WARNING"},
            "httpcore": {"level": "WARNING"},
            "pypdf": {"level": "ERROR"},
        },
    }

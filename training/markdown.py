"""Markdown from jinja2 templates in which every value is inert unless a filter says otherwise.

Names, documents and model output are untrusted: no value can become HTML, a link, an image, a
heading, a table cell or the end of a code block. Pure code.
"""

import json
import math
import re
import unicodedata
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).with_name("templates_export")
LIMIT = 2000
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_SPECIAL = re.compile(r"([\\`*_\[\]#|~$!{}])")
# What starts a list, a heading's underline or a table only at the beginning of a line.
_START = re.compile(r"^(\s*)([-+=:]|\d+[.)](?=\s|$))")


class Safe(str):
    """Text that is Markdown already; everything else is escaped when it is written."""


UNKNOWN = Safe("–")


def escape(value, *, limit: int = LIMIT) -> Safe:
    """Return `value` as plain text on one line, whatever Markdown or HTML it holds."""
    if isinstance(value, Safe):
        return value
    return _escape_line(" ".join(_cut(_clean(str(value)), limit).split()))


def quote(value, limit: int = LIMIT) -> Safe:
    """Return text of several lines as a block quote."""
    lines = _cut(_clean(str(value)), limit).strip().splitlines()
    return Safe("  \n".join(f"> {_escape_line(line.strip())}" for line in lines) or ">")


def code(value) -> Safe:
    """Return a code span; only for values of one line without meaning of their own."""
    text = re.sub(r"[`|]", "'", " ".join(_clean(str(value)).split()))
    return Safe(f"`{text}`" if text else "")


def literal(value) -> Safe:
    """Return a JSON string: also a Python literal and a YAML scalar, and it ends no code block."""
    text = json.dumps(str(value), ensure_ascii=False)
    return Safe("".join(f"\\u{ord(c):04x}" if _needs_number(c) else c for c in text))


def _needs_number(char: str) -> bool:
    """YAML refuses unseen characters; a backtick could end a code block, < could start HTML."""
    return char in "`<" or (ord(char) < 0x10000 and unicodedata.category(char) in _UNSEEN)


def number(value, digits: int = 4) -> Safe:
    """Return a measured number, or a dash where nothing was measured."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return UNKNOWN
    return Safe(f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}")


def size(value) -> Safe:
    """Return bytes for a person, in powers of 1000."""
    if not isinstance(value, int | float):
        return UNKNOWN
    units = ("bytes", "kB", "MB", "GB", "TB")
    power = min(len(units) - 1, max(0, len(str(int(abs(value)))) - 1) // 3)
    return Safe(f"{value / 1000**power:.{1 if power else 0}f} {units[power]}")


def render(template: str, **context) -> str:
    """Return the template's text; a name that the context does not have is an error."""
    return _environment().get_template(template).render(**context)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        finalize=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML: `finalize` escapes for both.
    )
    environment.filters |= {
        "code": code,
        "literal": literal,
        "number": number,
        "quote": quote,
        "size": size,
    }
    return environment


def _clean(text: str) -> str:
    """Drop control characters and those that turn the direction of the text around."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in _UNSEEN)


_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _cut(text: str, limit: int) -> str:
    left = len(text) - limit
    return text if left <= 0 else f"{text[:limit]} … ({left} more characters)"


def _escape_line(text: str) -> Safe:
    text = re.sub("[&<>]", lambda match: _ENTITIES[match.group()], text)
    text = _SPECIAL.sub(r"\\\1", text)
    text = text.replace("://", r"\://").replace("www.", r"www\.")
    return Safe(_START.sub(_escape_start, text))


def _escape_start(match: re.Match) -> str:
    blank, mark = match.groups()
    return f"{blank}{mark[:-1]}\\{mark[-1]}"

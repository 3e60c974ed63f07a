"""Reading the rows of JSONL, JSON and CSV files as streams, with their places. Pure code.

However a file is made, little more than one row of MAX_ROW_BYTES is in memory. What cannot be read
is named with its line and never mended in silence.
"""

import codecs
import csv
import io
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from datasets.extraction.plain import decode
from datasets.extraction.result import ExtractionError
from datasets.import_json import items_of_array

MAX_ROW_BYTES = 2 * 1024 * 1024
SAMPLE_BYTES = 64 * 1024
DELIMITERS, LOOKED_AT = ",;\t|", 100
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
# A backslash before a quote inside a cell; before the end of a cell it may be a folder's.
_ESCAPED = re.compile(r'\\"[^,;\t|\r\n"]')
_DAMAGED = "\ufffd"


class BadFile(Exception):
    """Nothing of the file can be read; the text says why and what to do."""


@dataclass(frozen=True)
class Row:
    """One row of a file: `values` is None when it could not be read, and `problem` says why."""

    line: int
    values: dict | None = None
    problem: str = ""


def place_of(name: str) -> str:
    """Return what a row's number counts in a file of this name: its lines, or a list's items."""
    return "Item" if Path(name).suffix.lower() == ".json" else "Line"


def read_rows(path: Path, name: str, *, limit_bytes: int = sys.maxsize) -> Iterator[Row]:
    """Yield the file's rows in order with their numbers; raises `BadFile`, also midway.

    About `limit_bytes` of the file are read. A JSON file is one array, or an object with one.
    """
    suffix = Path(name).suffix.lower()
    if suffix == ".json":
        yield from _read_json(path, limit_bytes)
    elif suffix == ".csv":
        yield from _read_csv(path, limit_bytes)
    else:
        yield from _read_jsonl(path, limit_bytes)


def _read_jsonl(path: Path, limit_bytes: int) -> Iterator[Row]:
    with path.open("rb") as file:
        number = 0
        while file.tell() < limit_bytes and (line := file.readline(MAX_ROW_BYTES)):
            number += 1
            if len(line) == MAX_ROW_BYTES and not line.endswith(b"\n"):
                while (more := file.readline(MAX_ROW_BYTES)) and not more.endswith(b"\n"):
                    if file.tell() > limit_bytes:
                        break
                yield Row(number, problem=f"longer than {MAX_ROW_BYTES // 2**20} MB")
            elif line.strip():
                yield _json_row(number, line.removeprefix(codecs.BOM_UTF8))


def _json_row(number: int, line: bytes) -> Row:
    try:
        return _as_row(number, json.loads(line.decode("utf-8")))
    except UnicodeDecodeError:
        return Row(number, problem="not UTF-8")
    except json.JSONDecodeError as error:
        return Row(number, problem=f"not JSON: {error.msg}")
    except RecursionError:
        return Row(number, problem="not JSON: nested too deeply")
    except ValueError:  # Python refuses whole numbers of over 4,300 digits.
        return Row(number, problem="a number with too many digits")


def _as_row(number: int, value) -> Row:
    if not isinstance(value, dict):
        return Row(number, problem="not an object with named values")
    if any(UNSTORABLE.search(name) for name in value):
        return Row(number, problem="a name with a character that cannot be stored")
    return Row(number, value)


def _read_json(path: Path, limit_bytes: int) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, value in enumerate(items_of_array(file, MAX_ROW_BYTES, limit_bytes), 1):
                yield _as_row(number, value)
    except UnicodeDecodeError as error:
        raise BadFile("The file is not in UTF-8. Save it as UTF-8 and add it again.") from error
    except (ValueError, RecursionError) as error:
        raise BadFile(f"The file cannot be read as JSON: {error}") from error


class _Lines:
    """The lines of a text file for `csv`, in pieces of bounded length.

    `used` counts the characters since it was set to 0, so that no row grows without an end.
    """

    def __init__(self, file) -> None:
        self._file, self.used, self.total = file, 0, 0

    def __iter__(self):
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_ROW_BYTES)
        self.used += len(line)
        self.total += len(line)
        if self.used >= MAX_ROW_BYTES:
            raise _TooLong
        if not line:
            raise StopIteration
        return line


class _TooLong(Exception):
    pass


def _read_csv(path: Path, limit_bytes: int) -> Iterator[Row]:
    """Rows of any dialect, with quoted commas and newlines; the first row names the columns."""
    sample, encoding = _sample(path)
    csv.field_size_limit(MAX_ROW_BYTES)
    with path.open(encoding=encoding, errors="replace", newline="") as file:
        lines = _Lines(file)
        reader = csv.reader(lines, **dialect_of(sample), strict=True)
        line = 1
        try:
            names = _names(reader)
            line = reader.line_num + 1
            while lines.total < limit_bytes:
                lines.used = 0
                row = _next_csv_row(reader, names, line)
                if row is None:
                    return
                if row.values != {}:
                    yield row
                line = reader.line_num + 1
        except _TooLong:
            raise BadFile(
                f"The row that begins in line {line} is longer than {MAX_ROW_BYTES // 2**20} MB. "
                "A quote in it may not be closed. Correct it and add the file again."
            ) from None


def _names(reader) -> list[str]:
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise BadFile(f"The first row, with the columns' names, is not CSV: {error}.") from error
    if len(set(names)) != len(names) or not any(names):
        raise BadFile("The first row must name the columns, each once.")
    if any(UNSTORABLE.search(name) for name in names):
        raise BadFile("The names of the columns are not text. Save the file as CSV in UTF-8.")
    return names


def _next_csv_row(reader, names: list[str], line: int) -> Row | None:
    """Return the next row, one without values for an empty line, None at the end.

    After an error `csv` goes on with the next line.
    """
    try:
        cells = next(reader, None)
    except csv.Error as error:
        if "end of data" in str(error):
            return Row(line, problem="a quote is never closed: all rows after it are lost")
        return Row(line, problem="quotes inside a cell are neither doubled nor closed")
    if cells is None:
        return None
    if any(_DAMAGED in cell for cell in cells):
        return Row(line, problem="characters that do not fit the file's encoding")
    if len(cells) > len(names):
        return Row(line, problem=f"{len(cells)} cells for {len(names)} columns")
    if not any(cell.strip() for cell in cells):
        return Row(line, {})
    padded = cells + [""] * (len(names) - len(cells))
    return Row(line, dict(zip(names, padded, strict=True)))


def encoding_of(path: Path, name: str) -> str:
    """Return the encoding that the file is read with; empty where only UTF-8 is allowed."""
    return _sample(path)[1] if Path(name).suffix.lower() == ".csv" else ""


def _sample(path: Path) -> tuple[str, str]:
    """Return the beginning of a text file and the encoding of the whole."""
    with path.open("rb") as file:
        data = file.read(SAMPLE_BYTES)
    marked = data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if not marked and b"\0" not in data:
        try:  # The sample may end inside a character.
            return codecs.getincrementaldecoder("utf-8")().decode(data), "utf-8"
        except UnicodeDecodeError:
            pass
    try:
        text, encoding, _, _ = decode(data[: len(data) & ~3 or None])
    except ExtractionError as error:
        raise BadFile("The file is not text. Save it as CSV in UTF-8 and add it again.") from error
    return text.removeprefix("\ufeff"), encoding


def dialect_of(sample: str) -> dict:
    """Return how cells are written, for `csv.reader`.

    csv.Sniffer takes apostrophes in a text for quotes, and seconds for a hostile one. Apostrophes
    are quotes only when the columns' names stand in them.
    """
    is_escaped = bool(_ESCAPED.search(sample)) and '""' not in sample
    found = {
        "quotechar": "'" if sample.startswith("'") else '"',
        "doublequote": not is_escaped,
        "escapechar": "\\" if is_escaped else None,
    }
    delimiter = max(
        DELIMITERS, key=lambda delimiter: _fit(sample, found | {"delimiter": delimiter})
    )
    return found | {"delimiter": delimiter}


def _fit(sample: str, dialect: dict) -> tuple[float, int]:
    """Return (share of rows as wide as the first, that width); one column fits nothing."""
    reader = csv.reader(io.StringIO(sample, newline=""), **dialect)
    try:
        widths = [len(row) for row in islice(reader, LOOKED_AT) if row]
    except csv.Error:
        return 0, 0
    if not widths or widths[0] < 2:
        return 0, 0
    return widths.count(widths[0]) / len(widths), widths[0]

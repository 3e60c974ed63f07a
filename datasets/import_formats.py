"""Reading ready datasets: rows of JSONL, JSON and CSV, and what in them is an example. Pure code.

Nothing is guessed in silence: a row that is no example raises `BadRow` with the reason.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import chardet

MAX_JSON_BYTES = 50 * 1024 * 1024
MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_CHARACTERS = 200_000
SAMPLE_BYTES = 64 * 1024
DELIMITERS, LOOKED_AT = (",", ";", "\t", "|"), 100
COLUMNS = "columns"
TITLES = {
    "messages": "messages (OpenAI)",
    "conversational": "prompt and completion as turns (TRL)",
    "sharegpt": "conversations (ShareGPT)",
    COLUMNS: "columns",
}
# Names of columns, lower case, the usual ones first.
PROMPTS = ("prompt", "instruction", "question", "query", "user")
CONTEXTS = ("context", "input", "passage")
COMPLETIONS = ("completion", "response", "output", "answer", "answers", "assistant")
USERS, ASSISTANTS = {"user", "human"}, {"assistant", "gpt", "model", "bot"}

_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


class BadRow(Exception):
    """The row is no example; the text says why."""


class BadFile(Exception):
    """Nothing of the file can be read; the text says why and what to do."""


@dataclass(frozen=True)
class Mapping:
    """How rows become examples. For `columns` the names count; an empty context means none."""

    format: str
    prompt: str = ""
    context: str = ""
    completion: str = ""

    def to_json(self) -> dict:
        return vars(self).copy()

    @property
    def title(self) -> str:
        return TITLES[self.format]


@dataclass(frozen=True)
class Row:
    """One row of a file: `values` is None when it could not be read, and `problem` says why."""

    line: int
    values: dict | None = None
    problem: str = ""


def read_rows(path: Path, name: str) -> Iterator[Row]:
    """Yield the file's rows in order with their line numbers; raises `BadFile`.

    JSONL and CSV are read as a stream. A JSON file is one array (or an object with one array) of
    at most MAX_JSON_BYTES; there the line is the number of the item.
    """
    suffix = Path(name).suffix.lower()
    if suffix == ".json":
        yield from _read_json(path)
    elif suffix == ".csv":
        yield from _read_csv(path)
    else:
        yield from _read_jsonl(path)


def _read_jsonl(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                while (more := file.readline(MAX_LINE_BYTES)) and not more.endswith(b"\n"):
                    pass
                yield Row(number, problem=f"longer than {MAX_LINE_BYTES // 2**20} MB")
            elif line.strip():
                yield _json_row(number, line.removeprefix(b"\xef\xbb\xbf"))


def _json_row(number: int, line: bytes) -> Row:
    try:
        return _as_row(number, json.loads(line.decode("utf-8")))
    except UnicodeDecodeError:
        return Row(number, problem="not UTF-8")
    except (ValueError, RecursionError) as error:
        why = getattr(error, "msg", "nested too deeply")
        return Row(number, problem=f"not JSON: {why}")


def _as_row(number: int, value) -> Row:
    if isinstance(value, dict):
        return Row(number, value)
    return Row(number, problem="not an object with named values")


def _read_json(path: Path) -> Iterator[Row]:
    if path.stat().st_size > MAX_JSON_BYTES:
        raise BadFile(
            f"A .json file is read as a whole, so it may have {MAX_JSON_BYTES // 2**20} MB. "
            "Save it as JSONL (one object a line): that has no such limit."
        )
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadFile("The file is not in UTF-8. Save it as UTF-8 and add it again.") from error
    except (ValueError, RecursionError) as error:
        where = f", line {error.lineno}" if hasattr(error, "lineno") else ""
        why = getattr(error, "msg", "nested too deeply")
        raise BadFile(f"The file is not JSON: {why}{where}. Correct it, add it again.") from error
    for number, value in enumerate(_array_in(content), start=1):
        yield _as_row(number, value)


def _array_in(content) -> list:
    if isinstance(content, list):
        return content
    arrays = [v for v in content.values() if isinstance(v, list)] if _is_dict(content) else []
    if len(arrays) != 1:
        raise BadFile("The file holds no list of rows. Put them into one array: [{…}, {…}].")
    return arrays[0]


def _is_dict(value) -> bool:
    return isinstance(value, dict)


def _read_csv(path: Path) -> Iterator[Row]:
    """Rows of any dialect, with quoted commas and newlines; the first row names the columns."""
    with path.open("rb") as file:
        sample = file.read(SAMPLE_BYTES)
    encoding = _encoding_of(sample)
    with path.open(encoding=encoding, errors="replace", newline="") as file:
        csv.field_size_limit(MAX_LINE_BYTES)
        delimiter = _delimiter(sample.decode(encoding, "replace"))
        reader = csv.reader(file, delimiter=delimiter)
        try:
            names = [name.strip() for name in next(reader, [])]
            if len(set(names)) != len(names) or not any(names):
                raise BadFile("The first row must name the columns, each once.")
            yield from _csv_rows(reader, names)
        except csv.Error as error:
            raise BadFile(f"Line {reader.line_num} is no CSV: {error}.") from error


def _csv_rows(reader, names: list[str]) -> Iterator[Row]:
    line = reader.line_num + 1
    for cells in reader:
        if any("\ufffd" in cell for cell in cells):
            yield Row(line, problem="characters that do not fit the file's encoding")
        elif len(cells) > len(names):
            yield Row(line, problem=f"{len(cells)} cells for {len(names)} columns")
        elif any(cell.strip() for cell in cells):
            padded = cells + [""] * (len(names) - len(cells))
            yield Row(line, dict(zip(names, padded, strict=True)))
        line = reader.line_num + 1


def _encoding_of(sample: bytes) -> str:
    marked = next((name for mark, name in _MARKS.items() if sample.startswith(mark)), "")
    if marked:
        return marked
    try:
        sample[: sample.rfind(b"\n") + 1 or None].decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        return chardet.detect(sample)["encoding"] or "cp1252"


def _delimiter(sample: str) -> str:
    """Return what separates the cells: with it most rows have as many cells as the first.

    csv.Sniffer guesses quotes as well and takes an apostrophe in a text for one.
    """
    return max(DELIMITERS, key=lambda delimiter: _fit(sample, delimiter))


def _fit(sample: str, delimiter: str) -> tuple[float, int]:
    """Return (share of rows as wide as the first, that width); one column fits nothing."""
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    try:
        widths = [len(row) for row in islice(reader, LOOKED_AT) if row]
    except csv.Error:
        return 0, 0
    if not widths or widths[0] < 2:
        return 0, 0
    return widths.count(widths[0]) / len(widths), widths[0]


def recognise(rows: list[dict]) -> Mapping | None:
    """Return how the rows become examples, by their names; None when nothing fits."""
    names = list(rows[0]) if rows else []
    lower = {str(name).lower(): name for name in reversed(names)}
    if "messages" in lower:
        return Mapping("messages")
    if "conversations" in lower:
        return Mapping("sharegpt")
    found = [
        next((lower[name] for name in usual if name in lower), "")
        for usual in (PROMPTS, CONTEXTS, COMPLETIONS)
    ]
    prompt, context, completion = found
    if not (prompt and completion):
        return None
    if isinstance(rows[0][prompt], list):
        return Mapping("conversational")
    return Mapping(COLUMNS, prompt, context, completion)


def to_example(values: dict, mapping: Mapping) -> tuple[str, str, str]:
    """Return (prompt, context, completion) of a row; raises `BadRow`."""
    if mapping.format == COLUMNS:
        names = (mapping.prompt, mapping.context, mapping.completion)
        found = tuple(_text(values, name) if name else "" for name in names)
    else:
        found = _of_turns(_turns(values, mapping.format))
    prompt, _, completion = found
    if not prompt.strip():
        raise BadRow("the prompt is empty")
    if not completion.strip():
        raise BadRow("the completion is empty")
    if sum(map(len, found)) > MAX_CHARACTERS:
        raise BadRow(f"longer than {MAX_CHARACTERS:,} characters")
    if any("\0" in text for text in found):
        raise BadRow("a NUL character")
    return found


def _text(values: dict, name: str) -> str:
    """Return a column's text. A list of one text counts as that text (SQuAD's answers)."""
    value = values.get(name)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        return ""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise BadRow(f"{name} is not a text")
    return str(value)


def _turns(values: dict, format_: str) -> list[tuple[str, str]]:
    lower = {str(name).lower(): value for name, value in values.items()}
    if format_ == "conversational":
        turns = [*_list(lower, "prompt"), *_list(lower, "completion")]
    else:
        turns = _list(lower, "messages" if format_ == "messages" else "conversations")
    found = []
    for turn in turns:
        if not isinstance(turn, dict):
            raise BadRow("a turn is not an object")
        role = turn.get("role", turn.get("from"))
        text = turn.get("content", turn.get("value"))
        if not isinstance(role, str) or not isinstance(text, str):
            raise BadRow("a turn has no role or no text")
        found.append((role.lower(), text))
    return found


def _list(values: dict, name: str) -> list:
    value = values.get(name)
    if not isinstance(value, list):
        raise BadRow(f"{name} is not a list of turns")
    return value


def _of_turns(turns: list[tuple[str, str]]) -> tuple[str, str, str]:
    """One question and its answer. More than that would change when it is cut, so it is refused."""
    roles = [role for role, _ in turns]
    if "system" in roles:
        raise BadRow("a system turn, which examples cannot hold yet")
    if len(turns) > 2:
        raise BadRow("several turns, which examples cannot hold yet")
    if len(turns) < 2 or roles[0] not in USERS or roles[1] not in ASSISTANTS:
        raise BadRow("not one turn of the user and one of the assistant")
    return turns[0][1], "", turns[1][1]

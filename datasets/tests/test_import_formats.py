"""Ready datasets as people have them: dialects, encodings, formats, and rows that are none."""

import csv
import io
import json
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.generation import texts
from datasets.import_formats import COLUMNS, BadRow, Mapping, recognise, to_example
from datasets.import_json import items_of_array
from datasets.import_rows import BadFile, dialect_of, read_rows

FLAT = Mapping(COLUMNS, "question", "", "answer")


@pytest.fixture
def rows(tmp_path):
    """Return a function that reads content as a file of that name."""

    def read(name: str, content: bytes | str) -> list:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read_rows(path, name))

    return read


def values(found) -> list:
    return [row.values for row in found]


@pytest.mark.parametrize(
    "text",
    [
        "question,answer\nWhen?,On Monday\n",
        "question;answer\r\nWhen?;On Monday\r\n",
        "question\tanswer\nWhen?\tOn Monday\n",
        "question|answer\nWhen?|On Monday\n",
        '"question","answer"\n"When?","On Monday"\n',
        "\ufeffquestion,answer\nWhen?,On Monday",
        " question , answer \nWhen?,On Monday\n\n",
    ],
)
def test_csv_of_any_dialect_gives_the_same_rows(text, rows):
    assert values(rows("a.csv", text)) == [{"question": "When?", "answer": "On Monday"}]


def test_quoted_commas_newlines_and_quotes_stay_in_their_cell_and_lines_are_right(rows):
    text = 'question,answer\n"Who, and\nwhen?","He said ""now"""\nNext?,Yes\n'
    found = rows("a.csv", text)
    assert found[0].values == {"question": "Who, and\nwhen?", "answer": 'He said "now"'}
    assert [row.line for row in found] == [2, 4]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_accents_of_usual_encodings_are_read(encoding, rows):
    text = "question,answer\n" + "Où est le café de l'hôtel?,Près de l'église à Orléans\n" * 20
    found = rows("a.csv", text.encode(encoding))
    assert found[0].values["answer"] == "Près de l'église à Orléans"


def test_a_csv_row_with_too_many_cells_is_named_with_its_line(rows):
    found = rows("a.csv", "question,answer\na,b\na,b,c\nd\n")
    assert [(row.line, row.problem) for row in found if row.problem] == [
        (3, "3 cells for 2 columns")
    ]
    assert found[2].values == {"question": "d", "answer": ""}


@pytest.mark.parametrize("text", ["a,a\n1,2\n", "\n1,2\n"])
def test_a_csv_without_names_of_columns_is_refused(text, rows):
    with pytest.raises(BadFile, match="must name the columns"):
        rows("a.csv", text)


def test_bad_lines_of_jsonl_are_named_and_the_good_ones_stay(rows):
    lines = [
        b'{"question": "a", "answer": "b"}',
        b"{broken",
        b"",
        b"[1]",
        b'{"question": "\xff"}',
        b"[" * 100_000,
        b'{"question": "c", "answer": "d"}',
    ]
    found = rows("a.jsonl", b"\xef\xbb\xbf" + b"\n".join(lines))
    assert [row.line for row in found] == [1, 2, 4, 5, 6, 7]
    assert [bool(row.values) for row in found] == [True, False, False, False, False, True]
    reasons = [row.problem for row in found if row.problem]
    assert reasons[0].startswith("not JSON")
    assert reasons[1:3] == ["not an object with named values", "not UTF-8"]


def test_a_line_that_never_ends_costs_one_row_and_no_memory(rows, monkeypatch):
    monkeypatch.setattr("datasets.import_rows.MAX_ROW_BYTES", 2**20)
    found = rows("a.jsonl", b'{"a": "' + b"x" * 5 * 2**20 + b'"}\n{"a": "b"}\n')
    assert [(row.line, bool(row.values)) for row in found] == [(1, False), (2, True)]


@pytest.mark.parametrize("content", [[{"a": 1}], {"data": [{"a": 1}], "version": 2}])
def test_json_is_a_list_or_an_object_with_one(content, rows):
    assert values(rows("a.json", json.dumps(content))) == [{"a": 1}]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "as JSON: line 1"),
        ('[{"a": 1},\n{"b": ]', "line 2: Expecting value"),
        ('[{"a": 1} {"b": 2}]', "line 1: “,” or “]” is missing"),
        ('[{"a": 1}] x', "something follows the end"),
        ("[" * 100_000, "nested too deeply"),
        ("", "no list of rows"),
        ('{"a": 1}', "no list of rows"),
        ('{"a": [], "b": []}', "no list of rows"),
        (b"\xff\xfe", "not in UTF-8"),
    ],
)
def test_json_that_holds_no_rows_says_what_to_do(content, why, rows):
    with pytest.raises(BadFile, match=why):
        rows("a.json", content)


def test_json_of_any_size_is_read_in_constant_memory_and_a_look_reads_the_beginning(tmp_path):
    path, item = tmp_path / "a.json", json.dumps({"question": "Q" * 900, "answer": "A"})
    path.write_text("[" + ",\n".join([item] * 20_000) + "]", encoding="utf-8")
    tracemalloc.start()
    try:
        assert sum(1 for row in read_rows(path, "a.json") if row.values) == 20_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20 < path.stat().st_size / 10
    begun = list(read_rows(path, "a.json", limit_bytes=100_000))
    assert 100 < len(begun) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(st.lists(JSON), st.integers(1, 9), st.sampled_from([None, 1]))
def test_the_items_of_an_array_are_those_that_json_reads(items, size, indent):
    """Wherever the window cuts the text: in a number, a name, an escape, a blank."""
    for document in (items, {"version": 2, "data": items}):
        text = io.StringIO(json.dumps(document, indent=indent))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("datasets.import_json.WINDOW", size)
            assert list(items_of_array(text, 10_000, 10**9)) == items


ONE_TURN = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
SHAREGPT = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]


@pytest.mark.parametrize(
    ("row", "format_", "example"),
    [
        ({"question": "Q", "answer": "A"}, COLUMNS, ("Q", "", "A")),
        ({"question": "Q", "context": "C", "answer": ["A"]}, COLUMNS, ("Q", "C", "A")),
        ({"Prompt": "Q", "Completion": "A"}, COLUMNS, ("Q", "", "A")),
        ({"instruction": "Q", "input": "I", "output": "A"}, COLUMNS, ("Q", "I", "A")),
        ({"instruction": "Q", "input": "", "output": "A"}, COLUMNS, ("Q", "", "A")),
        ({"question": "How many?", "answer": 42}, COLUMNS, ("How many?", "", "42")),
        ({"messages": ONE_TURN}, "messages", ("Q", "", "A")),
        ({"conversations": SHAREGPT}, "sharegpt", ("Q", "", "A")),
        ({"prompt": ONE_TURN[:1], "completion": ONE_TURN[1:]}, "conversational", ("Q", "", "A")),
    ],
)
def test_usual_formats_are_recognised_by_their_names(row, format_, example):
    mapping = recognise([row])
    assert mapping.format == format_
    assert to_example(row, mapping) == example


def test_unknown_columns_are_not_guessed():
    assert recognise([{"frage": "Q", "antwort": "A"}]) is None
    assert recognise([]) is None


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"question": "", "answer": "A"}, "prompt is empty"),
        ({"question": "Q", "answer": " "}, "completion is empty"),
        ({"question": "Q"}, "completion is empty"),
        ({"question": "Q", "answer": None}, "completion is empty"),
        ({"question": "Q", "answer": {"text": "A"}}, "answer is not a text"),
        ({"question": "Q", "answer": ["A", "B"]}, "answer is not a text"),
        ({"question": "Q", "answer": True}, "answer is not a text"),
        ({"question": "Q\0", "answer": "A"}, "NUL"),
        ({"question": "Q" * 200_001, "answer": "A"}, "longer than"),
    ],
)
def test_what_is_no_example_says_why(row, reason):
    with pytest.raises(BadRow, match=reason):
        to_example(row, FLAT)


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([{"role": "system", "content": "S"}, *ONE_TURN], "system turn"),
        (ONE_TURN * 2, "several turns"),
        (ONE_TURN[:1], "not one turn"),
        (ONE_TURN[::-1], "not one turn"),
        (["Q", "A"], "not an object"),
        ([{"role": "user"}], "no role or no text"),
        ("Q", "not a list"),
    ],
)
def test_turns_that_would_change_when_cut_are_refused(turns, reason):
    with pytest.raises(BadRow, match=reason):
        to_example({"messages": turns}, Mapping("messages"))


def test_what_could_not_be_stored_is_refused_and_the_rest_is_shown_as_it_will_be():
    with pytest.raises(BadRow, match="half a character"):
        to_example({"question": "Q\ud800", "answer": "A"}, FLAT)
    with pytest.raises(BadRow, match="prompt is empty"):
        to_example({"question": "\x01 ", "answer": "A"}, FLAT)
    assert to_example({"question": " Q\r\nR ", "answer": "e\u0301"}, FLAT) == ("Q\nR", "", "é")


def test_a_system_text_beside_the_turns_is_not_dropped_in_silence():
    row = {"system": "Be brief.", "conversations": SHAREGPT}
    with pytest.raises(BadRow, match="system turn"):
        to_example(row, Mapping("sharegpt"))
    assert to_example(row | {"system": ""}, Mapping("sharegpt")) == ("Q", "", "A")


def test_a_recognised_format_has_a_name_and_says_which_columns_it_leaves():
    mapping = recognise([{"id": 1, "instruction": "Q", "input": "", "output": "A"}])
    assert (mapping.title, mapping.unused(["id", "output"])) == (
        "instruction, input and output (Alpaca)",
        ["id"],
    )
    assert Mapping("messages").unused(["messages", "source"]) == ["source"]


def test_a_quote_that_is_never_closed_is_named_and_not_taken_for_a_long_answer(rows):
    found = rows("a.csv", 'question,answer\na,b\nc,"d\ne,f\n')
    assert [(row.line, bool(row.values)) for row in found] == [(2, True), (3, False)]
    assert "never closed" in found[1].problem


def test_a_quote_that_is_closed_by_another_row_costs_those_rows_alone(rows):
    found = rows("a.csv", 'question,answer\na,"b\nc,"d"\ne,f\n')
    assert [(row.line, bool(row.values)) for row in found] == [(2, False), (4, True)]


def test_a_row_of_csv_without_end_is_refused_and_not_read_into_memory(rows, monkeypatch):
    monkeypatch.setattr("datasets.import_rows.MAX_ROW_BYTES", 2**20)
    with pytest.raises(BadFile, match="begins in line 2 .* longer than 1 MB"):
        rows("a.csv", "question,answer\na," + "b" * 2**21)
    with pytest.raises(BadFile, match="begins in line 3 .* quote"):
        rows("a.csv", 'question,answer\na,b\nc,"' + "d\n" * 2**20)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('question;answer\nWas, wie, wo?;"Am Montag, früh"\n', "Am Montag, früh"),
        ("question,answer\nSay 'x','y' or 'z'\n", "'y' or 'z'"),
        ("'question','answer'\n'a','b, c'\n", "b, c"),
        ('question,answer\n"a","He said \\"now\\" twice"\n', 'He said "now" twice'),
        ('question,answer\n"a, b","C:\\dir\\"\n', "C:\\dir\\"),
    ],
)
def test_dialects_that_the_sniffer_alone_takes_for_others(text, answer, rows):
    assert [row["answer"] for row in values(rows("a.csv", text))] == [answer]


def test_the_dialect_of_a_hostile_file_is_found_at_once():
    started = time.perf_counter()
    dialect_of("question,answer\n" + ' "word' * 11_000)
    assert time.perf_counter() - started < 2


def test_names_that_no_page_could_show_make_no_columns(rows):
    assert "a name with" in rows("a.jsonl", '{"\\ud800": "a"}')[0].problem
    with pytest.raises(BadFile, match="UTF-8"):
        rows("a.csv", "question,answer\nWhen?,Now\n".encode("utf-16-le"))


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\ufffd"), min_size=1)
PAIR = st.tuples(CELL, CELL).filter(lambda cells: all(texts.clean(c).strip() for c in cells))


def stored(cells) -> list:
    return [(texts.clean(q).strip(), "", texts.clean(a).strip()) for q, a in cells]


@given(st.lists(PAIR, min_size=1))
def test_what_a_spreadsheet_writes_comes_back_as_it_was(tmp_path_factory, cells):
    text = io.StringIO()
    csv.writer(text).writerows([("question", "answer"), *cells])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    found = [to_example(row.values, FLAT) for row in read_rows(path, "a.csv")]
    assert found == stored(cells)


@given(st.lists(PAIR, min_size=1))
def test_what_was_written_as_jsonl_comes_back_as_it_was(tmp_path_factory, cells):
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    lines = [json.dumps({"question": question, "answer": answer}) for question, answer in cells]
    path.write_text("\n".join(lines), encoding="utf-8")
    found = [to_example(row.values, FLAT) for row in read_rows(path, "a.jsonl")]
    assert found == stored(cells)

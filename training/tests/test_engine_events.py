"""events.jsonl is read while it is written, by processes that may be killed at any byte."""

import json
import threading

import pytest

from training.engine import events
from training.engine.events import EventWriter, read_events


@pytest.fixture
def path(tmp_path):
    return tmp_path / events.FILE_NAME


def test_what_is_written_is_read_once_from_an_offset_on(tmp_path, path):
    writer = EventWriter(tmp_path)
    writer.write("phase", phase="load", text="Loading é")
    first, offset = read_events(path)
    writer.write("metric", step=1, loss=0.5)
    second, end = read_events(path, offset)
    assert [event["text"] for event in first] == ["Loading é"]
    assert [(event["type"], event["loss"]) for event in second] == [("metric", 0.5)]
    assert all(event["at"] for event in first + second)
    assert read_events(path, end) == ([], end)
    assert end == path.stat().st_size


def test_a_missing_file_has_no_events(path):
    assert read_events(path, 7) == ([], 7)


def test_a_line_without_its_end_waits_for_the_next_call(path):
    path.write_bytes(b'{"type": "log", "text": "a"}\n{"type": "lo')
    found, offset = read_events(path)
    assert [event["text"] for event in found] == ["a"]
    with path.open("ab") as file:
        file.write(b'g", "text": "b"}\n')
    found, _ = read_events(path, offset)
    assert [event["text"] for event in found] == ["b"]


@pytest.mark.parametrize(
    "line",
    [b"\xff\xfe\x00", b"not json", b"[]", b'"log"', b'{"type": "unknown"}', b"{}", b"[" * 100_000],
)
def test_garbage_becomes_one_warning_and_the_rest_is_read(path, line):
    path.write_bytes(line + b'\n{"type": "log", "text": "after"}\n')
    found, offset = read_events(path)
    assert [event["type"] for event in found] == ["warning", "log"]
    assert found[1]["text"] == "after"
    assert offset == path.stat().st_size


def test_a_line_longer_than_a_block_is_passed_over(path, monkeypatch):
    monkeypatch.setattr(events, "MAX_READ_BYTES", 64)
    path.write_bytes(b"x" * 100 + b'\n{"type": "log", "text": "after"}\n')
    texts, offset, before = [], 0, -1
    while offset != before:
        before = offset
        found, offset = read_events(path, offset)
        texts += [event.get("text") for event in found]
    assert texts[-1] == "after"


def test_a_new_engine_ends_the_line_that_a_killed_one_left(tmp_path, path):
    path.write_bytes(b'{"type": "log", "text": "a"}\n{"type": "metr')
    EventWriter(tmp_path).write("log", text="b")
    found, _ = read_events(path)
    assert [event["type"] for event in found] == ["log", "warning", "log"]
    assert found[2]["text"] == "b"


def test_lines_of_several_threads_do_not_mix(tmp_path, path):
    writer = EventWriter(tmp_path)

    def write(name):
        for _ in range(50):
            writer.write("log", text=name * 500)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = path.read_text().splitlines()
    assert len(lines) == 200
    assert all(len(set(json.loads(line)["text"])) == 1 for line in lines)


def test_an_unknown_type_is_a_mistake_of_the_program(tmp_path):
    with pytest.raises(ValueError, match="shout"):
        EventWriter(tmp_path).write("shout")


def test_a_disabled_writer_writes_nothing(tmp_path, path):
    EventWriter(tmp_path, enabled=False).write("log", text="x")
    assert not path.exists()

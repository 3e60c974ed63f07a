"""Storage: no path leaves its folder, no half-written file is seen, limits hold."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetuneflow.lib import storage

ROOT = Path(__file__).resolve().parents[3]

OUTSIDE = [
    "..",
    "../x",
    "a/../../x",
    "raw/../..",
    "/etc/passwd",
    "//x",
    "\0",
    "a\0.txt",
    "",
    ".",
    "a/..",
    "..\\x",
    "C:\\x",
    "a" * 300,
    "a/" + "é" * 130,
    "\ud800",
]


@pytest.mark.parametrize("part", OUTSIDE)
def test_names_that_leave_the_folder_or_cannot_be_names_are_refused(part, tmp_path):
    with pytest.raises(storage.UnsafePath):
        storage.safe_path(tmp_path, part)


@pytest.mark.parametrize("parts", [("a",), ("a", "b.txt"), ("a/b/../c",), ("café 漢字.pdf",)])
def test_names_inside_give_a_path_inside(parts, tmp_path):
    path = storage.safe_path(tmp_path, *parts)
    assert path.is_relative_to(tmp_path.resolve())
    assert path.name == Path(parts[-1]).name


def test_no_name_at_all_is_not_the_folder_itself(tmp_path):
    with pytest.raises(storage.UnsafePath):
        storage.safe_path(tmp_path)


def test_links_that_leave_are_refused_and_links_that_stay_are_followed(tmp_path):
    root = tmp_path / "root"
    (root / "inside").mkdir(parents=True)
    (root / "out").symlink_to(tmp_path)
    (root / "passwd").symlink_to("/etc/passwd")
    (root / "near").symlink_to(root / "inside")
    for part in ("out/x", "passwd"):
        with pytest.raises(storage.UnsafePath):
            storage.safe_path(root, part)
    assert storage.safe_path(root, "near/x") == root / "inside" / "x"


def test_a_loop_of_links_is_refused(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(storage.UnsafePath):
        storage.safe_path(tmp_path, "a")


def test_a_root_that_is_a_link_itself_works(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert storage.safe_path(tmp_path / "link", "x") == tmp_path / "real" / "x"


@given(st.lists(st.text(alphabet="ab./\\\0 é~", max_size=12), min_size=1, max_size=3))
def test_no_combination_of_parts_ever_leaves(parts):
    root = ROOT / "docs"
    try:
        path = storage.safe_path(root, *parts)
    except storage.UnsafePath:
        return
    assert path != root
    assert os.path.commonpath([path, root]) == str(root)


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\notes.pdf", "notes.pdf"),
        ("line\nbreak\x00.txt", "linebreak.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("  two   words .txt ", "two words .txt"),
        ("e\u0301te\u0301.txt", "été.txt"),
        ("\ud800.txt", "txt"),
        ("...", "unnamed"),
        ("", "unnamed"),
        ("dir/", "unnamed"),
    ],
)
def test_an_uploaded_name_is_cleaned_for_display(given_name, shown):
    assert storage.clean_name(given_name) == shown


def test_a_name_of_300_characters_is_cut_and_keeps_its_extension():
    name = storage.clean_name("x" * 300 + ".pdf")
    assert len(name) == 200
    assert name.endswith("x.pdf")
    assert len(storage.clean_name("y" * 300)) == 200


@given(st.text(max_size=400))
def test_a_cleaned_name_is_always_a_bounded_name_that_every_disk_and_database_takes(name):
    cleaned = storage.clean_name(name)
    assert 0 < len(cleaned) <= 200
    assert "/" not in cleaned and "\0" not in cleaned
    assert cleaned.encode("utf-8")


def test_content_appears_under_its_name_only_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "folder" / "file.json"
    with storage.atomic_writer(path) as file:
        file.write(b"half")
        assert not path.exists()
    assert path.read_bytes() == b"half"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_while_writing_leaves_the_old_content_and_nothing_else(error, tmp_path):
    path = tmp_path / "file.json"
    storage.write_text(path, "old")
    with pytest.raises(error), storage.atomic_writer(path) as file:
        file.write(b"new")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


KILLED_WRITER = """
import sys
from pathlib import Path
from finetuneflow.lib import storage
with storage.atomic_writer(Path(sys.argv[1])) as file:
    file.write(b"new " * 100_000)
    file.flush()
    print("written", flush=True)
    sys.stdin.read()
"""


def test_kill_9_of_the_writing_process_leaves_the_old_content_under_the_name(tmp_path):
    path = tmp_path / "file.json"
    storage.write_text(path, "old")
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED_WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    with writer:
        assert writer.stdout.readline() == b"written\n"
        writer.send_signal(signal.SIGKILL)
    assert path.read_text() == "old"
    assert storage.list_files(tmp_path) == [path]
    storage.write_text(path, "newer")  # What the dead one left is in nobody's way.
    assert path.read_text() == "newer"


def test_two_threads_that_write_one_name_both_finish_and_one_complete_content_stays(tmp_path):
    path, errors = tmp_path / "file", []
    contents = [bytes([letter]) * 300_000 for letter in b"abcd"]

    def write(content):
        try:
            for _ in range(5):
                storage.write_bytes(path, content)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_a_stream_is_stored_with_its_size_and_hash(tmp_path):
    pieces = [b"one", b"", b"two"]
    size, digest = storage.save_stream(tmp_path / "f", iter(pieces), limit_bytes=6)
    assert size == 6
    assert digest == hashlib.sha256(b"onetwo").hexdigest() == storage.sha256_of(tmp_path / "f")


def test_a_stream_over_its_limit_stops_at_once_and_leaves_nothing(tmp_path):
    taken = []

    def pieces():
        for number in range(1000):
            taken.append(number)
            yield b"x" * 1000

    with pytest.raises(storage.TooLarge, match=r"limit of 2\.9 kB"):
        storage.save_stream(tmp_path / "f", pieces(), limit_bytes=3000)
    assert len(taken) == 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 kB"), (2621440, "2.5 MB"), (3 << 30, "3 GB")],
)
def test_sizes_are_shown_for_people(size_bytes, shown):
    assert storage.shown_size(size_bytes) == shown


def test_a_folders_size_counts_its_files_and_follows_no_link(tmp_path):
    folder = tmp_path / "folder"
    storage.write_bytes(folder / "a", b"12345")
    storage.write_bytes(folder / "deep" / "b", b"123")
    storage.write_bytes(tmp_path / "elsewhere", b"x" * 1000)
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "broken").symlink_to(tmp_path / "nothing")
    assert storage.folder_size(folder) == 8
    assert storage.folder_size(tmp_path / "missing") == 0


def test_the_size_can_be_taken_while_files_come_and_go(tmp_path):
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            storage.write_bytes(tmp_path / "f", b"x")
            (tmp_path / "f").unlink()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        assert all(storage.folder_size(tmp_path) in (0, 1, 2) for _ in range(300))
    finally:
        stop.set()
        thread.join()


def test_free_space_is_that_of_the_nearest_existing_folder(tmp_path):
    assert storage.free_bytes(tmp_path / "not" / "yet") > 0


def test_lists_are_sorted_and_leave_out_folders_and_unfinished_files(tmp_path):
    for name in ("b", "a", "half.tmp"):
        (tmp_path / name).write_text("x")
    (tmp_path / "folder").mkdir()
    assert [path.name for path in storage.list_files(tmp_path)] == ["a", "b"]
    assert storage.list_files(tmp_path / "missing") == []


def test_a_tree_is_deleted_and_a_missing_one_is_fine(tmp_path):
    storage.write_text(tmp_path / "projects" / "1" / "raw" / "x", "x")
    for _ in range(2):
        storage.delete_tree(tmp_path / "projects" / "1", root=tmp_path / "projects")
    assert list((tmp_path / "projects").iterdir()) == []


def test_deleting_the_root_its_outside_or_a_link_is_refused(tmp_path):
    root, outside = tmp_path / "projects", tmp_path / "outside"
    storage.write_text(root / "2" / "x", "x")
    storage.write_text(outside / "x", "x")
    (root / "1").symlink_to(outside)
    (root / "3").symlink_to(root / "2")
    for folder in (root, outside, root / ".." / "outside", root / "1", root / "3"):
        with pytest.raises(storage.UnsafePath):
            storage.delete_tree(folder, root=root)
    assert (outside / "x").exists()
    assert (root / "2" / "x").exists()

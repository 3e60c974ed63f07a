"""Zips that are written whole or not at all, and zips that want to do harm when unpacked."""

import hashlib
import json
import signal
import stat
import subprocess
import sys
import tracemalloc
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from training import archive

ROOT = Path(__file__).resolve().parents[2]
MOMENT = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
MIB = 2**20


def write(path: Path, **texts: str) -> Path:
    with archive.write_archive(path, moment=MOMENT, about={"run": 7}) as writer:
        for name, text in texts.items():
            writer.add_text(name.replace("__", "/"), text)
    return path


def forge(path: Path, contents: dict[str, bytes], *, listed=None, kinds=None) -> Path:
    """Write a zip by hand, with a manifest of whatever the test wants it to say."""
    files = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for name, data in contents.items()
    }
    with zipfile.ZipFile(path, "w") as target:
        for name, data in contents.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (kinds or {}).get(name, stat.S_IFREG | 0o644) << 16
            target.writestr(info, data)
        target.writestr("manifest.json", json.dumps({"files": files if listed is None else listed}))
    return path


def unpack(path: Path, limit_bytes: int = MIB) -> list[archive.Member]:
    return archive.unpack(path, path.parent / "out", limit_bytes=limit_bytes)


def test_what_goes_in_comes_out(tmp_path):
    weights = tmp_path / "w"
    weights.write_bytes(b"weights" * 1000)
    with archive.write_archive(tmp_path / "a.zip", moment=MOMENT, about={"run": 7}) as writer:
        writer.add_file("adapter.safetensors", weights)
        writer.add_text("dataset/train.jsonl", "{}\n" * 500)
    assert {member.name for member in unpack(tmp_path / "a.zip")} == {
        "adapter.safetensors",
        "dataset/train.jsonl",
    }
    out = tmp_path / "out"
    assert (out / "adapter.safetensors").read_bytes() == weights.read_bytes()
    assert (out / "dataset" / "train.jsonl").read_text() == "{}\n" * 500


def test_weights_are_stored_and_text_is_packed_and_the_manifest_is_last(tmp_path):
    path = write(tmp_path / "a.zip", **{"w.safetensors": "0" * 999, "r.md": "a" * 999})
    infos = {info.filename: info for info in zipfile.ZipFile(path).infolist()}
    assert infos["w.safetensors"].compress_type == zipfile.ZIP_STORED
    assert infos["r.md"].compress_type == zipfile.ZIP_DEFLATED
    assert list(infos)[-1] == "manifest.json"
    manifest = json.loads(zipfile.ZipFile(path).read("manifest.json"))
    assert manifest["run"] == 7
    assert manifest["files"]["r.md"]["sha256"] == hashlib.sha256(b"a" * 999).hexdigest()


def test_the_same_content_gives_the_same_bytes(tmp_path):
    first, second = write(tmp_path / "a.zip", x="1"), write(tmp_path / "b.zip", x="1")
    assert first.read_bytes() == second.read_bytes()


def test_a_large_file_is_copied_in_constant_memory(tmp_path):
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(64 * MIB)
    tracemalloc.start()
    with archive.write_archive(tmp_path / "a.zip", moment=MOMENT, about={}) as writer:
        writer.add_file("big.safetensors", big)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * MIB


def test_an_error_on_the_way_leaves_the_old_zip_and_no_half_one(tmp_path):
    path = write(tmp_path / "a.zip", x="old")
    before = path.read_bytes()
    with (
        pytest.raises(FileNotFoundError),
        archive.write_archive(path, moment=MOMENT, about={}) as writer,
    ):
        writer.add_text("x", "new")
        writer.add_file("y", tmp_path / "missing")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_a_writer_that_is_killed_leaves_no_zip_under_its_name(tmp_path):
    script = (
        "import sys; from pathlib import Path; from datetime import datetime\n"
        "from training import archive\n"
        f"with archive.write_archive(Path({str(tmp_path / 'a.zip')!r}), moment=datetime.now(),"
        " about={}) as writer:\n"
        "    writer.add_text('x', 'y' * 100000)\n"
        "    print('half way', flush=True); sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "half way\n"
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=10)
    child.stdin.close()
    child.stdout.close()
    assert [p.suffix for p in tmp_path.iterdir()] == [".tmp"]


@pytest.mark.parametrize("name", ["../up", "/etc/x", "a/../../up", "a\\..\\up", "x" * 300, "./"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, name):
    path = forge(tmp_path / "a.zip", {name: b"x"})
    with pytest.raises(archive.BadArchive):
        unpack(path)
    assert sorted(p.name for p in tmp_path.iterdir()) in (["a.zip"], ["a.zip", "out"])
    assert not list((tmp_path / "out").rglob("*"))


def test_a_changed_file_is_noticed(tmp_path):
    good = {"sha256": hashlib.sha256(b"good").hexdigest(), "size": 4}
    with pytest.raises(archive.BadArchive, match="'a' does not have the SHA-256"):
        unpack(forge(tmp_path / "a.zip", {"a": b"evil"}, listed={"a": good}))


@pytest.mark.parametrize(
    ("contents", "listed", "what"),
    [
        ({"a": b"x", "b": b"y"}, {"a": {"sha256": "0", "size": 1}}, "differ in: 'b'"),
        ({}, {"a": {"sha256": "0", "size": 1}}, "differ in: 'a'"),
        ({"a": b"x"}, {"a": {"sha256": "0", "size": 2}}, "not the listed size"),
        ({"a": b"x"}, {"a": 5}, "manifest cannot be read"),
        ({"a": b"x"}, [], "manifest cannot be read"),
        ({"model.bin": b"x"}, None, "pickle"),
        ({"model.PT": b"x"}, None, "pickle"),
    ],
)
def test_a_zip_that_is_not_what_its_manifest_says_is_refused(tmp_path, contents, listed, what):
    with pytest.raises(archive.BadArchive, match=what):
        unpack(forge(tmp_path / "a.zip", contents, listed=listed))


def test_a_link_is_refused(tmp_path):
    path = forge(tmp_path / "a.zip", {"a": b"/etc/passwd"}, kinds={"a": stat.S_IFLNK | 0o777})
    with pytest.raises(archive.BadArchive, match="not a plain file"):
        unpack(path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = write(tmp_path / "a.zip", bomb="0" * 3 * MIB)
    assert path.stat().st_size < MIB / 10
    with pytest.raises(archive.BadArchive, match="would be over"):
        unpack(path)
    assert not (tmp_path / "out").exists()


def test_a_member_that_lies_about_its_size_is_stopped(tmp_path):
    """Manifest and zip directory agree on a few bytes; the packed data holds a megabyte."""
    path = tmp_path / "a.zip"
    packed = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w", packed) as target:
        target.writestr("liar", b"0" * MIB)
        entry = {"sha256": hashlib.sha256(b"0" * 16).hexdigest(), "size": 16}
        target.writestr("manifest.json", json.dumps({"files": {"liar": entry}}))
    told, real = (16).to_bytes(4, "little"), MIB.to_bytes(4, "little")
    data = path.read_bytes()
    assert data.count(real) == 2  # the local header and the directory
    path.write_bytes(data.replace(real, told))
    with pytest.raises(archive.BadArchive):
        unpack(path)
    assert all(p.stat().st_size <= 16 for p in (tmp_path / "out").rglob("*"))


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"no zip at all" * 99])
def test_what_is_no_zip_or_an_empty_one_is_refused(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(archive.BadArchive):
        unpack(tmp_path / "a.zip")


def test_a_cut_zip_is_refused(tmp_path):
    path = write(tmp_path / "a.zip", x="y" * 9999)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(archive.BadArchive):
        unpack(path)

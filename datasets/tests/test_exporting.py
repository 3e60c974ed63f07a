"""The dataset's files: the form that TRL reads, whole or not at all, the same every time."""

import hashlib
import json

import pytest

from datasets.exporting import json_line, write_dataset, write_splits
from datasets.models import Chunk, Example
from projects.models import SourceFile

pytestmark = pytest.mark.django_db


def make(project, number: int, split="train", **fields) -> Example:
    fields = {"prompt": f"Question {number}?", "completion": f"Answer {number}."} | fields
    return Example.objects.create(
        project=project, split=split, token_count=10, fingerprint=f"{number:04}", **fields
    )


def test_every_line_is_a_conversation_of_one_turn_each(project, tmp_path):
    make(project, 1, prompt="Où est-ce ?", completion="À Rouen.")
    make(project, 2, context="Some\ntext.")
    write_splits(project, tmp_path)
    first, second = [json.loads(line) for line in (tmp_path / "train.jsonl").open()]
    assert first == {
        "prompt": [{"role": "user", "content": "Où est-ce ?"}],
        "completion": [{"role": "assistant", "content": "À Rouen."}],
    }
    assert second["prompt"][0]["content"] == "Question 2?\n\nSome\ntext."


def test_counts_and_hash_describe_the_files(project, tmp_path):
    for number in range(5):
        make(project, number, split="eval" if number == 4 else "train")
    counts = write_splits(project, tmp_path)
    files = [(tmp_path / f"{split}.jsonl").read_bytes() for split in ("train", "eval")]
    assert [content.count(b"\n") for content in files] == [4, 1]
    assert counts == {
        "train": 4,
        "eval": 1,
        "train_tokens": 40,
        "eval_tokens": 10,
        "sha256": hashlib.sha256(files[0] + b"\0" + files[1] + b"\0").hexdigest(),
    }


def test_previews_rejected_and_unsplit_examples_stay_out(project, tmp_path):
    make(project, 1)
    make(project, 2, split="preview")
    make(project, 3, review="rejected")
    make(project, 4, split="")
    make(project, 5, review="approved")
    assert write_splits(project, tmp_path)["train"] == 2


def test_a_split_that_changes_meanwhile_puts_no_example_in_both_files(
    project, tmp_path, monkeypatch
):
    for number in range(6):
        make(project, number, split="eval" if number > 3 else "train")

    def resplit_then_line(example):
        Example.objects.filter(pk=example.pk).update(split="eval")
        return json_line(example)

    monkeypatch.setattr("datasets.exporting.json_line", resplit_then_line)
    counts = write_splits(project, tmp_path)
    lines = [line for split in ("train", "eval") for line in (tmp_path / f"{split}.jsonl").open()]
    assert (counts["train"], counts["eval"]) == (4, 2)
    assert len(set(lines)) == len(lines) == 6


def test_examples_of_many_batches_are_all_written(project, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.exporting.BATCH", 2)
    for number in range(5):
        make(project, number)
    write_splits(project, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "train.jsonl").open()]
    assert [line["completion"][0]["content"] for line in lines] == [
        f"Answer {number}." for number in range(5)
    ]


def test_the_order_does_not_depend_on_the_order_of_creation(project, tmp_path):
    for number in (3, 1, 2):
        make(project, number)
    one = write_splits(project, tmp_path / "one")
    Example.objects.all().delete()
    for number in (2, 3, 1):
        make(project, number)
    assert write_splits(project, tmp_path / "two") == one


def test_examples_without_a_chunk_come_last_on_every_database(project, tmp_path):
    file = SourceFile.objects.create(project=project, original_name="a", sha256="a", size_bytes=1)
    chunk = Chunk.objects.create(file=file, index=0, text="x", token_count=1, start=0, end=1)
    make(project, 1)
    make(project, 2, chunk=chunk)
    write_splits(project, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "train.jsonl").open()]
    assert [line["completion"][0]["content"] for line in lines] == ["Answer 2.", "Answer 1."]


def test_line_separators_inside_texts_do_not_break_lines(project):
    line = json_line(make(project, 1, completion="a\u2028b\u0085c\nd")).decode()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["completion"][0]["content"] == "a\u2028b\u0085c\nd"


def test_the_manifest_comes_last_and_vouches_for_the_files(
    project, settings, tmp_path, monkeypatch
):
    settings.PROJECTS_DIR = tmp_path
    make(project, 1)
    write_dataset(project)
    folder = tmp_path / str(project.pk) / "datasets"
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr("datasets.exporting.json_line", fail)
    with pytest.raises(OSError, match="disk full"):
        write_dataset(project)
    assert sorted(path.name for path in folder.iterdir()) == ["eval.jsonl", "train.jsonl"]

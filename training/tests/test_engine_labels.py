"""What is trained and what is refused: each case has spoilt somebody's model in silence."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.engine.data import Encoded, Row, spread
from training.engine.errors import EngineError
from training.engine.labels import check_labels, check_prepared

HELPER = Path(__file__).with_name("engine_label_cases.py")
END, BEGIN = 2, 1


def encoded(prompt_ids, completion_ids, number=1) -> Encoded:
    row = Row("train.jsonl", number, "question", "answer", "prompt", "completion")
    return Encoded(row, prompt_ids, completion_ids)


def check(rows, max_length=100):
    return check_labels(rows, stop_ids={END}, bos_id=BEGIN, max_length=max_length)


@pytest.mark.parametrize(
    ("rows", "count", "picked"),
    [(10, 4, [0, 2, 5, 7]), (9, 3, [0, 3, 6]), (2, 8, [0, 1]), (5, 0, [])],
)
def test_the_rows_that_are_answered_are_spread_over_the_file(rows, count, picked):
    assert spread(list(range(rows)), count) == picked


def test_only_the_answer_and_its_end_are_trained():
    report = check([encoded([BEGIN, 5, 6], [7, 8, END]), encoded([BEGIN, 5], [7, END], 2)])
    assert report == {
        "rows": 2,
        "tokens": 10,
        "trained_tokens": 5,
        "trained_token_share": 0.5,
        "longest_row": 6,
    }
    assert encoded([BEGIN, 5], [7, END]).labels == [-100, -100, 7, END]


@pytest.mark.parametrize(
    ("row", "part"),
    [
        (([5], [7, 8]), "end-of-turn token is not among"),
        (([5], [END, 7]), "end-of-turn token is not among"),
        (([5], []), "end-of-turn token is not among"),
        (([5], [END]), "no tokens to learn"),
        (([BEGIN, BEGIN, 5], [7, END]), "two begin-of-text"),
        (([5] * 99, [7, END]), "has 101 tokens and the maximum length is 100"),
    ],
)
def test_a_bad_row_stops_the_run_and_is_named(row, part):
    rows = [encoded([5], [7, END]), encoded(*row, number=7), encoded(*row, number=9)]
    with pytest.raises(EngineError) as caught:
        check(rows)
    assert caught.value.code == "bad_data"
    assert str(caught.value).startswith("train.jsonl row 7: ")
    assert part in str(caught.value)
    assert "(1 more like this.)" in str(caught.value)
    assert len(caught.value.detail["problems"]) == 2


@pytest.mark.parametrize(
    "prepared",
    [
        [],
        [{"input_ids": [5, 7, END], "labels": [5, 7, END]}],
        [{"input_ids": [5, 7], "labels": [-100, 7]}],
    ],
)
def test_a_trainer_that_changes_the_labels_is_caught(prepared):
    rows = [encoded([5], [7, END])]
    check_prepared(rows, [{"input_ids": [5, 7, END], "labels": [-100, 7, END]}])
    with pytest.raises(EngineError) as caught:
        check_prepared(rows, prepared)
    assert caught.value.code == "bad_data"


@pytest.fixture(scope="module")
def cases() -> dict:
    """Return what the real tokenizer makes of all cases, from one process."""
    model = Path(os.environ["FTF_MODELS_DIR"]) / "SmolLM2-135M-Instruct"
    done = subprocess.run(
        [sys.executable, "-P", str(HELPER), str(model)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.model
def test_the_models_own_template_trains_the_answer_and_its_end(cases):
    case = cases["its own"]
    assert case["trained"] == "In Tolmby.<|im_end|>"
    assert case["masked"].endswith("Where?<|im_end|>\n<|im_start|>assistant\n")
    assert case["warnings"] == []
    assert case["report"]["rows"] == 2


@pytest.mark.model
def test_a_base_model_without_a_template_gets_a_plain_one_and_a_warning(cases):
    case = cases["none"]
    assert case["trained"] == "In Tolmby.<|im_end|>"
    assert case["masked"] == "### Question:\nWhere?\n\n### Answer:\n"
    assert "no chat template" in case["warnings"][0]


@pytest.mark.model
def test_an_end_of_turn_that_is_not_the_eos_is_trained_and_kept_as_the_eos(cases):
    case = cases["another end"]
    assert case["trained"] == "In Tolmby.<file_sep>"
    assert case["eos"] == "<file_sep>"
    assert "<file_sep>" in case["warnings"][0]


@pytest.mark.model
@pytest.mark.parametrize(
    ("case", "row", "part"),
    [
        ("no end", 1, "end-of-turn token is not among"),
        ("begins twice", 1, "two begin-of-text"),
        ("changes the prompt", 1, "changes the prompt"),
        ("refuses", 1, "no system turns"),
        ("not json", 2, ""),
        ("not an object", 2, "not a JSON object"),
        ("no prompt", 2, "prompt is not a list"),
        ("empty answer", 2, "has no text"),
        ("unknown role", 2, "no known role"),
        ("answer by the user", 2, "assistant's turn"),
        ("too long", 2, "its answer would be cut"),
        ("fake turn", 2, "contains <|im_end|>"),
        ("fake end", 2, "contains <|im_end|>"),
    ],
)
def test_bad_templates_and_bad_rows_stop_the_run(cases, case, row, part):
    found = cases[case]
    assert found["code"] == "bad_data", found
    assert found["message"].startswith(f"train.jsonl row {row}: ")
    assert part in found["message"]
    assert "1 more like this" in found["message"]


@pytest.mark.model
def test_a_file_without_rows_is_refused(cases):
    assert "train.jsonl has no rows" in cases["no rows"]["message"]

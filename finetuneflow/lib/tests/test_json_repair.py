"""Bounded repair of one broken JSON candidate."""

import sys
import time

import pytest

from finetuneflow.lib.json_repair import MAX_CHARACTERS, CannotRepair, repair


@pytest.mark.parametrize(
    "broken",
    [
        '{"question": "a" "answer": "b"}',
        '{"question": "a", "answer": "b",}',
        "{'question': 'a', 'answer': 'b'}",
        "{question: 'a', answer: 'b'}",
        "{“question”: “a”, “answer”: “b”}",
        '{"question": "a", /* why */ "answer": "b"}',
    ],
)
def test_commas_quotes_and_comments_are_mended(broken):
    assert repair(broken) == {"question": "a", "answer": "b"}


@pytest.mark.parametrize("hopeless", ["", "   ", "just words", "x" * (MAX_CHARACTERS + 1)])
def test_what_holds_no_json_or_is_too_long_is_refused(hopeless):
    with pytest.raises(CannotRepair):
        repair(hopeless)


def test_a_candidate_that_would_take_many_seconds_is_cut_short():
    started = time.monotonic()
    with pytest.raises(CannotRepair, match="longer than 0.2 s"):
        repair('["a" ' * 4000, max_seconds=0.2)
    assert time.monotonic() - started < 1
    assert sys.getprofile() is None

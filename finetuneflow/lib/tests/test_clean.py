"""What both databases refuse never reaches them."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetuneflow.lib import clean


@pytest.mark.parametrize(
    ("value", "shown"),
    [("café 漢字 🙂", "café 漢字 🙂"), ("a\0b", "a\ufffdb"), ("a\ud800b", "a?b"), ("", "")],
)
def test_only_what_cannot_be_stored_is_replaced(value, shown):
    assert clean.text(value) == shown


def test_text_is_cut_after_its_keys_are_masked():
    assert clean.text("Bearer abcdef123456", 12) == "Bearer ***"
    assert clean.text("x" * 500, 300) == "x" * 300


def test_nan_and_infinity_become_null_at_any_depth():
    value = {"loss": float("nan"), "curve": [1.5, float("inf"), (2, float("-inf"))], 3: True}
    assert clean.json_value(value) == {"loss": None, "curve": [1.5, None, [2, None]], "3": True}


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_value_comes_out_as_strict_json_without_nul_and_surrogates(value):
    written = json.dumps(clean.json_value(value), allow_nan=False, ensure_ascii=False)
    assert written.encode("utf-8")
    assert "\\u0000" not in json.dumps(json.loads(written)).replace("\\\\", "")


def test_a_persons_own_words_stay_as_they_are():
    sentence = "The ring bearer carries patent SK-20881 to bearer Thomasina."
    assert clean.text(sentence) == sentence
    assert clean.json_value({"a": "Bearer abcdef123456\0"}, clean_text=clean.storable) == {
        "a": "Bearer abcdef123456\ufffd"
    }
    assert "abcdef123456" not in clean.text("Authorization: Bearer abcdef123456")

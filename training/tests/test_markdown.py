"""Values stay values: whatever they hold, a Markdown renderer makes only text of them."""

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from training import markdown

NASTY = [
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "![x](http://evil.example/pixel.png)",
    "http://evil.example",
    "<http://evil.example>",
    "# Heading",
    "- item",
    "1. item",
    "1) item",
    "+ item",
    "---",
    "===",
    "> quote",
    "a | b",
    "```\ncode\n```",
    "`code`",
    "**bold** _em_ ~~gone~~",
    "    indented code",
    "&lt;b&gt; &#60;",
    "[ref]: http://evil.example",
    "a\n\n# b",
    "$x$ {{ y }} {% z %}",
    "\\",
    "* * *",
    ":---|---",
    "www.evil.example",
    "a\u202eb\u0000c",
]
# No deadline: other work on the machine would make it fail.
quickly = settings(max_examples=50, deadline=None)
ALLOWED = {"inline", "text", "paragraph_open", "paragraph_close", "text_special", "hardbreak"}


def kinds(text: str) -> set[str]:
    """Return the kinds of all tokens that a renderer with tables and HTML makes of `text`."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)
    inner = [child for token in tokens for child in token.children or []]
    return {token.type for token in tokens + inner}


def shown(text: str) -> str:
    """Return the words that a reader would see."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)
    return "".join(child.content for token in tokens for child in token.children or [])


@pytest.mark.parametrize("value", NASTY)
def test_a_value_is_shown_as_it_is_and_does_nothing(value):
    escaped = markdown.escape(value)
    assert kinds(escaped) <= ALLOWED
    clean = " ".join(value.replace("\u202e", "").replace("\0", "").split())
    assert shown(escaped) == clean


@quickly
@given(st.text(max_size=80))
def test_no_text_at_all_becomes_more_than_text(value):
    assert kinds(markdown.escape(value)) <= ALLOWED
    assert kinds(markdown.quote(value)) <= ALLOWED | {"blockquote_open", "blockquote_close"}


@quickly
@given(st.text(alphabet="a`*_[]()<>#|-+=1.~!\\: \n&;", max_size=40))
def test_no_punctuation_becomes_more_than_text(value):
    assert kinds(markdown.escape(value)) <= ALLOWED
    assert kinds(markdown.quote(value)) <= ALLOWED | {"blockquote_open", "blockquote_close"}


def test_a_quote_keeps_its_lines_together():
    assert markdown.quote("one\n\n# two").splitlines() == ["> one  ", ">   ", r"> \# two"]


def test_a_value_in_a_table_stays_in_its_cell():
    table = f"| a | b |\n|---|---|\n| {markdown.escape('x | y')} | z |\n"
    assert shown(table).endswith("x | yz")


def test_long_text_is_cut_and_says_by_how_much():
    assert markdown.escape("a" * 2010).endswith("… (10 more characters)")


@quickly
@given(st.text(max_size=60))
def test_a_literal_is_the_same_text_in_json_in_yaml_and_in_a_code_block(value):
    literal = markdown.literal(value)
    assert json.loads(literal) == value
    assert yaml.safe_load(f"key: {literal}") == {"key": value}
    assert "`" not in literal and "\n" not in literal and "<" not in literal


@pytest.mark.parametrize(
    ("value", "text"), [(1.23456, "1.2346"), (1234, "1,234"), (None, "–"), (float("nan"), "–")]
)
def test_what_was_not_measured_is_a_dash(value, text):
    assert markdown.number(value) == text


def test_a_measured_number_is_not_mistaken_for_a_list():
    assert markdown.escape("2.5 seconds") == "2.5 seconds"
    assert markdown.escape("2. seconds") == r"2\. seconds"


def test_sizes_are_in_words():
    assert [markdown.size(n) for n in (0, 999, 1500, 2_500_000, 3e12)] == [
        "0 bytes",
        "999 bytes",
        "1.5 kB",
        "2.5 MB",
        "3.0 TB",
    ]

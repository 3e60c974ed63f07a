"""Chunks are exact, bounded, ordered pieces that cover the text; cuts fall where they should."""

import time
import unicodedata
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from datasets.chunking import chunk_pages, join_pages
from datasets.textunits import MAX_CLUSTER, divide
from finetuneflow.lib import tokens


@dataclass
class Page:
    number: int
    text: str


def pages_of(*texts: str) -> list[Page]:
    return [Page(number, text) for number, text in enumerate(texts, start=1)]


def words(text: str) -> int:
    return len(text.split())


def sentences(count: int, words_each: int = 9) -> str:
    return " ".join(f"Sentence number {i} says{' more' * (words_each - 4)}." for i in range(count))


BITS = [
    "\n\n",
    ". ",
    "。",
    "海",
    "é",
    "e\u0301",
    "👩\u200d🚀",
    "🚀",
    "\u0301",
    "abc ",
    "\n# Title\n",
]
BIT = st.sampled_from(list("abXYZ 019\n\t.!?,#-|") + BITS)
TEXTS = st.lists(st.lists(BIT, max_size=80).map("".join), min_size=1, max_size=5)
COUNTERS = st.sampled_from([len, words, tokens.TiktokenCounter(), tokens.ApproximateCounter()])


@settings(max_examples=200, deadline=None)
@given(texts=TEXTS, counter=COUNTERS, size=st.integers(1, 60), share=st.floats(0, 0.5))
@example(texts=["a" + "\u0301" * 90], counter=len, size=4, share=0.5)
@example(texts=["。\u0301"], counter=len, size=1, share=0.0)
@example(texts=["# A. B\n\n" + "x" * 300 + " " * 300 + "y"], counter=len, size=7, share=0.4)
@example(texts=[" Za"], counter=tokens.TiktokenCounter(), size=1, share=0.0)
@example(texts=["\n# Title\n"], counter=tokens.TiktokenCounter(), size=3, share=0.5)
def test_whatever_the_text_the_rules_hold(texts, counter, size, share):
    pages = pages_of(*texts)
    overlap = int(size * share)
    joined = join_pages(pages)
    spans = chunk_pages(pages, count_tokens=counter, size=size, overlap=overlap)
    behind = 0
    for index, span in enumerate(spans):
        assert span.index == index
        assert span.text == joined[span.start : span.end] == span.text.strip() != ""
        assert span.token_count == counter(span.text)
        # A token may hold the blank before a word: without it the word can be a token more.
        places = (span.start, max(0, span.start - 1), min(behind, span.start))
        least = min(counter(joined[place : span.end]) for place in places)
        assert least <= size or is_indivisible(span.text)
        assert joined[behind : span.start].strip() == ""
        assert span.end > behind
        assert index == 0 or span.start >= spans[index - 1].start
        assert 1 <= span.first_page <= span.last_page <= len(pages)
        assert not tears_a_character(joined, span.start, span.end)
        behind = span.end
    assert joined[behind:].strip() == ""


def is_indivisible(text: str) -> bool:
    units = divide(text, len, 1)
    return len(units) == 1


def tears_a_character(text: str, start: int, end: int) -> bool:
    """True when a mark next to the cut lost its letter, long heaps of marks excepted."""
    heap = all(is_mark(c) for c in text[max(0, end - MAX_CLUSTER + 1) : end])
    cut_behind = end < len(text) and is_mark(text[end]) and not text[end - 1].isspace()
    return cut_behind and not heap


def is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


@settings(max_examples=150, deadline=None)
@given(count=st.integers(1, 60), size=st.integers(20, 100), share=st.floats(0, 0.5))
def test_the_overlap_is_whole_sentences_and_never_longer_than_asked(count, size, share):
    overlap = int(size * share)
    spans = chunk_pages(pages_of(sentences(count)), count_tokens=words, size=size, overlap=overlap)
    for before, span in zip(spans, spans[1:], strict=False):
        shared = before.text[span.start - before.start :] if span.start < before.end else ""
        assert words(shared) <= overlap
        assert words(shared) >= min(overlap // 9 * 9, 9 if overlap >= 9 else 0)
        assert span.text.startswith("Sentence number")
        assert before.text.endswith(".")


def test_chunks_are_well_filled_and_no_small_tail_is_left():
    for count in range(50, 90):
        spans = chunk_pages(pages_of(sentences(count)), count_tokens=words, size=100, overlap=10)
        assert all(span.token_count >= 34 for span in spans), count


def test_a_chunk_ends_before_a_heading_rather_than_inside_the_next_section():
    text = f"# One\n\n{sentences(8)}\n\n## Two\n\n{sentences(10)}"
    spans = chunk_pages(pages_of(text), count_tokens=words, size=100, overlap=20)
    assert [span.section for span in spans] == ["One", "Two"]
    assert spans[1].text.startswith("## Two")
    assert spans[0].end <= spans[1].start


def test_a_heading_is_never_left_alone_at_the_end_of_a_chunk():
    text = "\n\n".join(f"# Part {i}. Of many\n\n{sentences(5)}" for i in range(9))
    for size in range(40, 90, 3):
        for span in chunk_pages(pages_of(text), count_tokens=words, size=size, overlap=0):
            assert not span.text.rsplit("\n", 1)[-1].startswith("#"), (size, span.text[-60:])


def test_a_paragraphs_end_is_better_than_a_sentences():
    text = f"{sentences(4)}\n\n{sentences(4)}\n\n{sentences(9)}"
    first = chunk_pages(pages_of(text), count_tokens=words, size=85, overlap=0)[0]
    assert first.text == f"{sentences(4)}\n\n{sentences(4)}"


def test_japanese_is_cut_behind_its_full_stop():
    text = "霧の駅は山の上にあります。水は朝に集めます！それは本当ですか？" * 20
    spans = chunk_pages(pages_of(text), count_tokens=len, size=50, overlap=0)
    assert all(span.text[-1] in "。！？" for span in spans)


def test_an_abbreviation_does_not_end_a_sentence():
    text = "We met Dr. Orrin and Mrs. Vale at St. Bride today. " * 30
    spans = chunk_pages(pages_of(text), count_tokens=words, size=25, overlap=0)
    assert all(span.text.startswith("We met") for span in spans)


def test_pages_are_those_that_the_chunk_touches():
    pages = pages_of(sentences(3), "", sentences(3), sentences(3))
    spans = chunk_pages(pages, count_tokens=words, size=60, overlap=0)
    joined = join_pages(pages)
    second = joined.index("\n" * 4) + 4
    assert spans[0].first_page == 1 and spans[-1].last_page == 4
    assert any(span.first_page < span.last_page for span in spans)
    for span in spans:
        assert (span.first_page == 1) == (span.start < second)


def test_a_sentence_that_goes_on_over_the_page_stays_in_one_paragraph():
    assert join_pages(pages_of("The pump starts", "at six.", "Then it stops.")) == (
        "The pump starts\nat six.\n\nThen it stops."
    )


def test_nothing_but_white_space_gives_no_chunk():
    assert chunk_pages([], count_tokens=len) == []
    assert chunk_pages(pages_of(" \n", "\t"), count_tokens=len) == []


@pytest.mark.parametrize(("size", "overlap"), [(100, 51), (0, 0), (10, -1)])
def test_settings_that_make_no_sense_are_refused(size, overlap):
    with pytest.raises(ValueError, match="overlap"):
        chunk_pages(pages_of("text"), count_tokens=len, size=size, overlap=overlap)


@pytest.mark.parametrize(
    "text",
    [
        "." * 200_000,
        "# x" + " " * 200_000 + "y",
        "x" * 200_000,
        "\n" * 200_000 + "end",
        "a\u0301" * 100_000,
        "海" * 100_000,
        "word " * 40_000,
        "# h\n" * 50_000,
    ],
    ids=["dots", "blanks", "run", "lines", "marks", "ideographs", "words", "headings"],
)
def test_a_hostile_text_costs_no_more_than_its_length(text):
    began = time.perf_counter()
    spans = chunk_pages(pages_of(text), count_tokens=tokens.ApproximateCounter())
    assert spans and max(span.token_count for span in spans) <= 512
    assert time.perf_counter() - began < 6

"""Token counters: which one is taken, what they count, and where tokens lie in the text."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from finetuneflow.lib import tokens

TEXT = "The fog station stands at 1,840 m. Déjà vu — naïve café! 海の上で霧を集めます。 👩‍🚀🚀"


@pytest.fixture(scope="session")
def tokenizer_json(tmp_path_factory):
    """A real byte-level BPE tokenizer, trained on the spot, that also asks to cut and to pad."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT * 20], trainer)
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=100)
    path = tmp_path_factory.mktemp("tokenizer") / "tiny-model" / "tokenizer.json"
    path.parent.mkdir()
    tokenizer.save(str(path))
    return path


@pytest.fixture(params=["model", "tiktoken", "approximation"])
def counter(request, tokenizer_json):
    if request.param == "model":
        return tokens.counter_for(tokenizer_json)
    return tokens.TiktokenCounter() if request.param == "tiktoken" else tokens.ApproximateCounter()


def test_the_models_own_tokenizer_is_taken_and_called_exact(tokenizer_json):
    counter = tokens.counter_for(tokenizer_json)
    assert counter.is_exact and counter.name == "tiny-model tokenizer"


def test_the_models_counter_neither_cuts_nor_pads(tokenizer_json):
    counter = tokens.counter_for(tokenizer_json)
    assert 4 < counter.count(TEXT) < 100
    assert counter.count(TEXT * 50) > 200


def test_a_counter_is_loaded_once_per_file_and_again_after_a_change(tokenizer_json):
    first = tokens.counter_for(tokenizer_json)
    assert tokens.counter_for(tokenizer_json) is first
    tokenizer_json.write_text(tokenizer_json.read_text() + "\n")
    assert tokens.counter_for(tokenizer_json) is not first


def test_without_a_tokenizer_tiktoken_counts_and_says_that_it_is_not_the_models():
    counter = tokens.counter_for(None)
    assert not counter.is_exact and "tiktoken" in counter.name
    assert counter.count("hello world") == 2


@pytest.mark.parametrize("content", ["", "{", json.dumps({"model": {"type": "BPE"}}), "\0" * 50])
def test_a_broken_tokenizer_falls_back_to_tiktoken(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    assert "tiktoken" in tokens.counter_for(path).name


def test_without_the_encoding_the_approximation_says_so(monkeypatch):
    monkeypatch.setattr(tokens, "TIKTOKEN_ENCODING", "no-such-encoding")
    tokens._general.cache_clear()
    counter = tokens.counter_for(None)
    tokens._general.cache_clear()
    assert "approximation" in counter.name and not counter.is_exact


def test_the_approximation_is_near_tiktoken_on_prose():
    text = "Every station sends its readings home at six in the morning, fog or no fog. " * 20
    ratio = tokens.ApproximateCounter().count(text) / tokens.TiktokenCounter().count(text)
    assert 0.7 < ratio < 1.4


def test_counting_many_is_counting_each(counter):
    texts = TEXT.split() * 10 + [""]
    assert counter.count_many(texts) == [counter(text) for text in texts]


def test_offsets_lie_in_order_and_cover_every_visible_character(counter):
    offsets = counter.offsets(TEXT)
    assert len(offsets) == counter.count(TEXT)
    assert [start for start, _ in offsets] == sorted(start for start, _ in offsets)
    covered = {i for start, end in offsets for i in range(start, end)}
    seen = {i for i, character in enumerate(TEXT) if not character.isspace()}
    joiners = {i for i, character in enumerate(TEXT) if character == "\u200d"}
    assert seen - joiners <= covered


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_tiktoken_offsets_slice_the_text_back_together(text):
    text = text.encode("utf-8", "ignore").decode()
    offsets = tokens.TiktokenCounter().offsets(text) if text else []
    behind = 0
    for start, end in offsets:
        assert behind - 1 <= start <= behind <= end
        behind = end
    assert behind == len(text)


def test_a_long_run_without_blanks_is_counted_in_reasonable_time():
    assert tokens.TiktokenCounter().count("a" * 1_000_000) > 10_000


def test_importing_the_counters_imports_no_torch_and_no_transformers():
    code = (
        "import sys, finetuneflow.lib.tokens\n"
        "print({'torch', 'transformers', 'django'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

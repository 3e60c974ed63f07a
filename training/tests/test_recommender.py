"""What is recommended: the first way that fits, never one that does not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.hardware import Gpu, Hardware
from training.recommender import USABLE, length_for, recommend
from training.tests.test_vram import LLAMA_2_70B, LLAMA_3_8B, MISTRAL_7B

GIB = 2**30
SMALL = replace(
    LLAMA_3_8B, parameters=134_515_008, layers=30, hidden_size=576, intermediate_size=1536,
    heads=9, kv_heads=3, head_dim=64, vocab_size=49152, tied_embeddings=True,
)  # fmt: skip
STATS = {"examples": 412, "longest": 300}


def machine(gpu_gib: float = 0, *, bitsandbytes="0.50.2", ram_gib: float = 32) -> Hardware:
    gpus = (Gpu("RTX 4090", 24 * GIB, int(gpu_gib * GIB)),) if gpu_gib else ()
    return Hardware(gpus=gpus, bitsandbytes=bitsandbytes, ram_free_bytes=int(ram_gib * GIB))


@pytest.mark.parametrize(
    ("model", "gib", "method"),
    [
        (SMALL, 4, "lora"),
        (MISTRAL_7B, 23, "lora"),
        (MISTRAL_7B, 10, "qlora"),
        (LLAMA_2_70B, 75, "qlora"),
        (LLAMA_2_70B, 23, None),
        (MISTRAL_7B, 3, None),
    ],
)
def test_lora_before_qlora_before_nothing(model, gib, method):
    found = recommend(model, machine(gib), STATS)
    assert (found.plan.method if found.plan else None) == method
    assert found.tone == ("good" if method else "bad")


def test_without_a_card_small_models_train_on_the_processor_and_large_ones_do_not():
    found = recommend(SMALL, machine(), STATS)
    assert found.plan.method == "lora"
    assert "processor" in " ".join(found.reasons)
    found = recommend(MISTRAL_7B, machine(), STATS)
    assert found.plan is None
    assert "7.2 billion" in found.reasons[0]


def test_without_bitsandbytes_qlora_is_no_way_and_that_is_said():
    found = recommend(MISTRAL_7B, machine(10, bitsandbytes=None), STATS)
    assert found.plan is None
    assert "bitsandbytes is not installed" in " ".join(found.reasons)


def test_the_effective_batch_is_kept_when_less_fits_at_once():
    plans = recommend(MISTRAL_7B, machine(80), STATS).tried
    assert {plan.micro_batch * plan.gradient_accumulation for plan in plans} == {8}
    few = recommend(SMALL, machine(80), STATS | {"examples": 79}).plan
    assert few.micro_batch * few.gradient_accumulation == 4


def test_values_are_computed_twice_only_when_memory_needs_it():
    assert not recommend(SMALL, machine(23), STATS).plan.gradient_checkpointing
    tight = recommend(MISTRAL_7B, machine(23), STATS | {"longest": 6000})
    assert tight.plan.gradient_checkpointing
    assert any("twice" in reason for reason in tight.reasons)


@pytest.mark.parametrize(
    ("longest", "context", "length"),
    [
        (10, 8192, 2048),
        (1000, 1024, 2048),
        (1900, 8192, 2048),
        (2000, 8192, 4096),
        (900, 1024, 1024),
    ],
)
def test_the_longest_example_fits_with_its_template(longest, context, length):
    assert length_for(longest, context) == length


MODELS = st.sampled_from([SMALL, MISTRAL_7B, LLAMA_3_8B, LLAMA_2_70B])
STATISTICS = st.fixed_dictionaries(
    {"examples": st.integers(0, 10**6), "longest": st.integers(0, 8000)}
)


@given(MODELS, st.floats(0.1, 200), STATISTICS)
def test_nothing_is_recommended_that_does_not_fit(model, gib, stats):
    hardware = machine(gib)
    found = recommend(model, hardware, stats)
    assert found.reasons
    if found.plan:
        assert found.plan.estimate.total_bytes <= USABLE * hardware.gpus[0].free_bytes


@given(MODELS, st.floats(0.1, 100), st.floats(0, 100), STATISTICS)
def test_more_memory_never_gives_a_worse_choice(model, gib, more, stats):
    def rank(found) -> int:
        return found.tried.index(found.plan) if found.plan else len(found.tried)

    less, better = (recommend(model, machine(size), stats) for size in (gib, gib + more))
    assert rank(better) <= rank(less)

"""The memory estimate against published measurements, and its shape."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.model_info import ModelInfo
from training.vram import estimate, trained_parameters

GB, MIB = 10**9, 2**20
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


def model(parameters, layers, hidden, intermediate, heads, kv_heads, vocab) -> ModelInfo:
    return ModelInfo(
        id="m", revision=None, architecture="LlamaForCausalLM", parameters=parameters,
        layers=layers, hidden_size=hidden, intermediate_size=intermediate, heads=heads,
        kv_heads=kv_heads, head_dim=hidden // heads, vocab_size=vocab, tied_embeddings=False,
        context_length=8192,
    )  # fmt: skip


MISTRAL_7B = model(7_241_732_096, 32, 4096, 14336, 32, 8, 32000)
LLAMA_3_8B = model(8_030_261_248, 32, 4096, 14336, 32, 8, 128256)
LLAMA_2_70B = model(68_976_648_192, 80, 8192, 28672, 64, 8, 32000)
LLAMA_2_7B = model(6_738_415_616, 32, 4096, 11008, 32, 32, 32000)
BUNDLED = replace(
    model(134_515_008, 30, 576, 1536, 9, 3, 49152), tied_embeddings=True, id="SmolLM2-135M-Instruct"
)

# HF Trainer + TRL + PEFT, packed 4096, rank 16 on q, k, v, o: torch's peak in GB, by
# fms-acceleration.
MEASURED = [
    (MISTRAL_7B, "lora", "logits", 4, 26.11),
    (MISTRAL_7B, "lora", "logits", 8, 37.10),
    (MISTRAL_7B, "qlora", "logits", 4, 15.86),
    (MISTRAL_7B, "qlora", "logits", 8, 26.85),
    (LLAMA_3_8B, "lora", "logits", 4, 37.64),
    (LLAMA_3_8B, "lora", "logits", 8, 59.02),
    (LLAMA_3_8B, "lora", "fused", 4, 24.91),
    (LLAMA_3_8B, "lora", "fused", 8, 33.57),
    (LLAMA_3_8B, "qlora", "logits", 4, 27.26),
    (LLAMA_3_8B, "qlora", "logits", 8, 48.63),
    (LLAMA_3_8B, "qlora", "fused", 4, 14.41),
    (LLAMA_3_8B, "qlora", "fused", 8, 22.94),
    (LLAMA_2_70B, "qlora", "logits", 4, 68.16),
]


@pytest.mark.parametrize(("shape", "method", "loss", "batch", "peak"), MEASURED)
def test_it_is_within_eight_per_cent_of_what_torch_measured(shape, method, loss, batch, peak):
    found = estimate(
        shape, method=method, seq_len=4096, micro_batch=batch, target_modules=ATTENTION, loss=loss
    )
    assert found.allocated_bytes == pytest.approx(peak * GB, rel=0.08)


# LLaMA-Factory: Llama-2-7B, QLoRA, rank 8 on all linear layers, batch 1: what the card showed.
@pytest.mark.parametrize(
    ("length", "gigabytes"), [(1024, 6), (2048, 7), (4096, 9), (8192, 12), (16384, 19), (32768, 32)]
)
def test_the_total_is_within_eight_per_cent_of_what_the_card_showed(length, gigabytes):
    found = estimate(
        LLAMA_2_7B, method="qlora", seq_len=length, micro_batch=1, lora_rank=8, loss="logits"
    )
    assert found.total_bytes == pytest.approx(gigabytes * GB, rel=0.08)


# The engine with the bundled model on two cores, rank 16 on all linear layers: rows of so many
# tokens, and GB of the process at its peak. Small batches are estimated up to 0.3 GB too high.
ON_PROCESSOR = [
    (1, 64, False, 1.44),
    (4, 57, False, 2.06),
    (4, 470, False, 7.70),
    (8, 470, False, 14.40),
    (4, 470, True, 4.62),
]


@pytest.mark.parametrize(("batch", "length", "checkpointing", "peak"), ON_PROCESSOR)
def test_on_a_processor_it_follows_the_measured_process(batch, length, checkpointing, peak):
    found = estimate(
        BUNDLED,
        method="lora",
        seq_len=length,
        micro_batch=batch,
        gradient_checkpointing=checkpointing,
        device="cpu",
    )
    assert found.total_bytes == pytest.approx(peak * GB, rel=0.08, abs=0.3 * GB)


def test_qlora_leaves_the_experts_of_a_mixture_as_they_are():
    mixture = replace(MISTRAL_7B, parameters=46_702_792_704)
    dense = estimate(MISTRAL_7B, method="qlora", seq_len=512, micro_batch=1).parts["weights"]
    found = estimate(mixture, method="qlora", seq_len=512, micro_batch=1).parts["weights"]
    assert found == dense + 2 * (mixture.parameters - MISTRAL_7B.parameters)


def test_the_parts_add_up_to_the_total():
    found = estimate(LLAMA_3_8B, method="lora", seq_len=512, micro_batch=2)
    assert sum(found.parts.values()) == found.total_bytes
    assert found.total_bytes - found.parts["reserve"] == found.allocated_bytes


def test_lora_adds_rank_times_inputs_and_outputs():
    assert trained_parameters(MISTRAL_7B, 16, ATTENTION) == 13_631_488
    assert trained_parameters(MISTRAL_7B, 16) == 41_943_040


ARGUMENTS = {
    "seq_len": st.integers(1, 32768),
    "micro_batch": st.integers(1, 64),
    "lora_rank": st.integers(1, 256),
}
CHOICES = {
    "method": st.sampled_from(["lora", "qlora"]),
    "gradient_checkpointing": st.booleans(),
    "loss": st.sampled_from(["fused", "logits"]),
    "optimizer": st.sampled_from(["adamw", "adamw_8bit"]),
    "device": st.sampled_from(["cuda", "cpu"]),
}
SHAPES = st.sampled_from([MISTRAL_7B, LLAMA_3_8B, LLAMA_2_70B, LLAMA_2_7B])


@given(SHAPES, st.fixed_dictionaries(ARGUMENTS | CHOICES), st.sampled_from(sorted(ARGUMENTS)))
def test_more_of_anything_never_needs_less(shape, values, name):
    less = estimate(shape, **values)
    more = estimate(shape, **values | {name: values[name] + 1})
    assert more.total_bytes >= less.total_bytes
    assert all(size >= 0 for size in less.parts.values())


@given(SHAPES, st.fixed_dictionaries(ARGUMENTS | CHOICES))
def test_each_way_to_save_memory_saves_or_changes_nothing(shape, values):
    found = estimate(shape, **values).total_bytes
    for saving in (
        {"method": "qlora"},
        {"gradient_checkpointing": True},
        {"loss": "fused"},
        {"optimizer": "adamw_8bit"},
    ):
        assert estimate(shape, **values | saving).total_bytes <= found, saving


@given(SHAPES, st.integers(1, 10))
def test_a_larger_model_needs_more(shape, factor):
    larger = replace(shape, parameters=shape.parameters * factor, layers=shape.layers * factor)
    small, large = (estimate(m, method="lora", seq_len=512, micro_batch=1) for m in (shape, larger))
    assert large.total_bytes >= small.total_bytes

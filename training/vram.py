"""How much memory a training needs, estimated from the model's shape. Pure arithmetic.

Tuned on published measurements (fms-acceleration, HF Trainer + TRL + PEFT on A100-80GB, packed
4096, FlashAttention 2; LLaMA-Factory's table for long contexts): `allocated_bytes` is within 8 %
of what torch reports as its peak there. It is an estimate: the run's own measurement stands
beside it afterwards.

On a processor the total is the memory of the whole process. It was tuned on peaks of the bundled
model with batches of 64 to 3,760 tokens, with and without checkpointing (the tests hold them).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from training.model_info import ModelInfo

NF4_BYTES = 0.516
"""Per weight of a linear layer in NF4 with double quantisation: 4 bits and its scales."""
FULL_BYTES = {"cuda": 2, "cpu": 4}
"""Per weight and activation: bfloat16 on a card, float32 on a processor."""
TRAINED_BYTES = {"adamw": 16, "adamw_8bit": 10}
"""Per trained weight: float32 weight (4), gradient (4) and the optimiser's two moments (8 or 2)."""
LOGIT_BYTES = {"logits": 6, "fused": 0.3}
"""Per token and word of the vocabulary: bfloat16 logits and their float32 copy, or neither."""
TILE = (4096, 32768)
"""Tokens and words that TRL's fused head works on at once (trl.kernels.chunked_logprob)."""
TILE_BYTES = {"cuda": 4, "cpu": 48}
"""Per value of a tile: one kernel on a card; a dozen float32 copies on a processor, measured."""
FRAGMENTATION = 0.15
"""What the card shows over what torch has allocated: 1.11 to 1.24 times, measured."""
CONTEXT_BYTES = {"cuda": 700_000_000, "cpu": 800_000_000}
"""CUDA context, or the libraries in the engine's process as measured with the bundled model."""

# The linear layers of a decoder block: name -> (inputs, outputs) from the model's shape.
_LINEAR = {
    "q_proj": lambda m: (m.hidden_size, m.heads * m.head_dim),
    "k_proj": lambda m: (m.hidden_size, m.kv_heads * m.head_dim),
    "v_proj": lambda m: (m.hidden_size, m.kv_heads * m.head_dim),
    "o_proj": lambda m: (m.heads * m.head_dim, m.hidden_size),
    "gate_proj": lambda m: (m.hidden_size, m.intermediate_size),
    "up_proj": lambda m: (m.hidden_size, m.intermediate_size),
    "down_proj": lambda m: (m.intermediate_size, m.hidden_size),
}


@dataclass(frozen=True)
class VramEstimate:
    """`allocated_bytes`: what torch will report as its peak; `total_bytes`: what the card shows.

    `parts` add up to `total_bytes`.
    """

    total_bytes: int
    allocated_bytes: int
    parts: dict[str, int]


def estimate(
    model: ModelInfo,
    *,
    method: str,
    seq_len: int,
    micro_batch: int,
    lora_rank: int = 16,
    target_modules: str | Iterable[str] = "all-linear",
    gradient_checkpointing: bool = True,
    loss: str = "fused",
    optimizer: str = "adamw",
    device: str = "cuda",
) -> VramEstimate:
    """Return the memory of training `model` on batches of `micro_batch` rows of `seq_len` tokens.

    `method`: "lora" or "qlora" (base weights in NF4); `loss`: "fused" never holds all logits;
    `device`: "cuda" or "cpu" (float32, no CUDA context). Bytes.
    """
    trained = trained_parameters(model, lora_rank, target_modules)
    per_trained, tokens = TRAINED_BYTES[optimizer], seq_len * micro_batch
    value = FULL_BYTES[device]
    parts = {
        "weights": _weights(model, method, value),
        "adapter": 8 * trained,
        "optimiser": (per_trained - 8) * trained,
        "activations": tokens * _activations(model, value, gradient_checkpointing),
        "logits": _logits(model, tokens, loss, device),
    }
    parts = {name: round(size) for name, size in parts.items()}
    allocated = sum(parts.values())
    spread = FRAGMENTATION * allocated if device == "cuda" else 0
    parts["reserve"] = round(spread + CONTEXT_BYTES[device])
    return VramEstimate(sum(parts.values()), allocated, parts)


def trained_parameters(
    model: ModelInfo, rank: int, target_modules: str | Iterable[str] = "all-linear"
) -> int:
    """Return how many weights LoRA adds: rank · (inputs + outputs) for each target and layer."""
    names = _LINEAR if target_modules == "all-linear" else target_modules
    sizes = (sum(_LINEAR[name](model)) for name in names if name in _LINEAR)
    return model.layers * rank * sum(sizes)


def _weights(model: ModelInfo, method: str, value: int) -> float:
    """QLoRA stores the linear layers in NF4; embeddings, head and all else stay as they are.

    The experts of a mixture are no linear layers to bitsandbytes: they stay as they are, too.
    """
    if method != "qlora":
        return value * model.parameters
    tables = (1 if model.tied_embeddings else 2) * model.vocab_size * model.hidden_size
    linear = model.layers * sum(inputs * outputs for inputs, outputs in _shapes(model))
    packed = min(linear, max(0, model.parameters - tables))
    return NF4_BYTES * packed + value * (model.parameters - packed)


def _shapes(model: ModelInfo) -> list[tuple[int, int]]:
    return [shape(model) for shape in _LINEAR.values()]


def _logits(model: ModelInfo, tokens: int, loss: str, device: str) -> float:
    """Return bytes of the last layer's scores: all of them, or as much as one tile at a time."""
    tile = min(tokens, TILE[0]) * min(model.vocab_size, TILE[1]) * TILE_BYTES[device]
    whole = tokens * model.vocab_size * LOGIT_BYTES[loss] * FULL_BYTES[device] / 2
    return max(tile, whole)


def _activations(model: ModelInfo, value: int, checkpointing: bool) -> float:
    """Return bytes per token: each layer's input and one whole layer, or every layer whole."""
    attention = 4 * model.heads * model.head_dim + 2 * model.kv_heads * model.head_dim
    layer = value * (attention + 6 * model.intermediate_size + 4 * model.hidden_size)
    if checkpointing:
        return value * model.layers * model.hidden_size + layer
    return model.layers * layer

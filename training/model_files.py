"""Pure reading of a model's config.json and safetensors headers. Both are untrusted."""

import json
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

MAX_HEADER_BYTES = 100 * 1024 * 1024  # The limit of the safetensors format itself.

# Families name the same thing differently; the first name that is there counts.
_NAMES = {
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "hidden_size": ("hidden_size", "n_embd", "d_model"),
    "heads": ("num_attention_heads", "n_head", "num_heads"),
    "vocab_size": ("vocab_size",),
}
_CONTEXT = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")
_INTERMEDIATE = ("intermediate_size", "ffn_hidden_size", "n_inner")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv")
_CAUSAL = ("ForCausalLM", "LMHeadModel")
# Types that transformers 5 builds by itself and whose repositories often carry older code as well.
_SUPPORTED = frozenset({
    "bloom", "cohere", "cohere2", "dbrx", "deepseek_v2", "deepseek_v3", "ernie4_5", "exaone4",
    "falcon", "gemma", "gemma2", "gemma3", "gemma3_text", "glm", "glm4", "gpt2", "gpt_bigcode",
    "gpt_neo", "gpt_neox", "gptj", "granite", "helium", "internlm3", "jamba", "llama", "mamba",
    "minicpm3", "mistral", "mixtral", "mpt", "nemotron", "olmo", "olmo2", "olmo3", "olmoe",
    "opt", "persimmon", "phi", "phi3", "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe",
    "qwen3_next", "recurrent_gemma", "seed_oss", "smollm3", "stablelm", "starcoder2"
})  # fmt: skip
# Buffers that old files carry beside the parameters.
_BUFFER_ENDS = (".attn.masked_bias", ".rotary_emb.inv_freq")
_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}

Tensors = dict[str, tuple[str, tuple[int, ...]]]


class NotACausalModel(ValueError):
    """The config does not describe a text-generation model; the text says what is missing."""


def read_headers(paths: Iterable[Path]) -> Tensors:
    """Return {tensor name: (dtype, shape)} of safetensors files without reading any weights.

    Format: 8 bytes little-endian header length, then that many bytes of JSON
    (https://github.com/huggingface/safetensors#format). Raises `ValueError` for anything else.
    """
    tensors: Tensors = {}
    for path in paths:
        for name, entry in _read_header(path).items():
            if name != "__metadata__":
                tensors[name] = (str(entry["dtype"]), tuple(int(n) for n in entry["shape"]))
    return tensors


def _read_header(path: Path) -> dict:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER_BYTES, path.stat().st_size - 8):
            raise ValueError(f"{path.name} is not a safetensors file")
        header = json.loads(file.read(length))
    if not isinstance(header, dict) or not all(
        isinstance(entry, dict) and (name == "__metadata__" or {"dtype", "shape"} <= entry.keys())
        for name, entry in header.items()
    ):
        raise ValueError(f"{path.name} is not a safetensors file")
    return header


def count_parameters(tensors: Tensors) -> int:
    return sum(
        math.prod(shape) for name, (_, shape) in tensors.items() if not _is_buffer(name, shape)
    )


def _is_buffer(name: str, shape: tuple[int, ...]) -> bool:
    """True for a causal mask or a table of positions, which old files store as if learned."""
    return name.endswith(_BUFFER_ENDS) or (name.endswith(".attn.bias") and len(shape) == 4)


def needs_own_code(config: dict) -> bool:
    """True when only code from the repository can build the model."""
    auto_map = config.get("auto_map")
    named = isinstance(auto_map, dict) and "AutoModelForCausalLM" in auto_map
    return named and config.get("model_type") not in _SUPPORTED


def quantisation(config: dict) -> str:
    """Return the name of the method that the weights are compressed with; empty for none."""
    found = config.get("quantization_config") or config.get("compression_config")
    if not found and isinstance(config.get("text_config"), dict):
        found = config["text_config"].get("quantization_config")
    if not found:
        return ""
    method = found.get("quant_method") if isinstance(found, dict) else None
    return str(method or "an unnamed method")[:40]


def read_config(config: dict, tensors: Tensors) -> dict:
    """Return the fields of `ModelInfo` that config.json and the headers give.

    Raises `NotACausalModel`.
    """
    if isinstance(config.get("text_config"), dict):  # Multimodal models nest the text part.
        config = config | config["text_config"] | {"architectures": config.get("architectures")}
    named = config.get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else "unknown"
    if not architecture.endswith(_CAUSAL):
        raise NotACausalModel(f"its architecture is {architecture[:80]}.")
    values = {field: _number(config, names, field) for field, names in _NAMES.items()}
    hidden, heads = values["hidden_size"], values["heads"]
    return values | {
        "architecture": architecture,
        "model_type": str(config.get("model_type") or ""),
        "parameters": count_parameters(tensors),
        "intermediate_size": _optional(config, _INTERMEDIATE, 4 * hidden),
        "kv_heads": _optional(config, _KV_HEADS, 1 if config.get("multi_query") else heads),
        "head_dim": _optional(config, ("head_dim",), hidden // heads),
        "context_length": _optional(config, _CONTEXT, 0),
        "tied_embeddings": _is_tied(config, tensors),
        "dtype": _dtype(config, tensors),
    }


def _optional(config: dict, names: tuple[str, ...], default: int) -> int:
    found = next((config[name] for name in names if config.get(name)), default)
    return found if isinstance(found, int) else default


def _number(config: dict, names: tuple[str, ...], field: str) -> int:
    value = _optional(config, names, 0)
    if value <= 0:
        raise NotACausalModel(f"its config.json gives no {field}.")
    return value


def _is_tied(config: dict, tensors: Tensors) -> bool:
    """Weights speak before the config: a head of its own in the file is not tied."""
    if any(name.endswith("lm_head.weight") for name in tensors):
        return False
    return bool(config.get("tie_word_embeddings", True))


def _dtype(config: dict, tensors: Tensors) -> str:
    named = config.get("dtype") or config.get("torch_dtype")
    if named:
        return str(named)
    sizes = Counter()
    for kind, shape in tensors.values():
        sizes[kind] += math.prod(shape)
    common = sizes.most_common(1)[0][0] if sizes else "F32"
    return _DTYPES.get(common, common.lower())

"""Published models: the numbers of their config.json, and how many parameters their page states.

`tensors_of` lays out the weights as transformers names them, so that a count of shapes can be held
against the published one.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    id: str
    published: int
    config: dict
    extra: frozenset[str] = frozenset()
    """What its layers have: qkv_bias, head_norms, wide_norms, four_norms, fused or experts."""


def _config(kind: str, layers: int, hidden: int, ffn: int, heads: int, kv: int, vocab: int, **more):
    names = {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM"}
    defaults = {
        "architectures": [names.get(kind, more.pop("name", ""))],
        "model_type": kind,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "vocab_size": vocab,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }
    return defaults | more


TIED = {"tie_word_embeddings": True}


FAMILIES = (
    Family(
        "meta-llama/Llama-2-7b-hf",
        6_738_415_616,
        _config("llama", 32, 4096, 11008, 32, 32, 32000, max_position_embeddings=4096),
    ),
    Family(
        "meta-llama/Llama-3.1-8B",
        8_030_261_248,
        _config("llama", 32, 4096, 14336, 32, 8, 128256, max_position_embeddings=131072),
    ),
    Family(
        "meta-llama/Llama-3.2-1B",
        1_235_814_400,
        _config("llama", 16, 2048, 8192, 32, 8, 128256, max_position_embeddings=131072, **TIED),
    ),
    Family(
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        1_100_048_384,
        _config("llama", 22, 2048, 5632, 32, 4, 32000, max_position_embeddings=2048),
    ),
    Family(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        134_515_008,
        _config("llama", 30, 576, 1536, 9, 3, 49152, max_position_embeddings=8192, **TIED),
    ),
    Family(
        "HuggingFaceTB/SmolLM2-1.7B",
        1_711_376_384,
        _config("llama", 24, 2048, 8192, 32, 32, 49152, max_position_embeddings=8192, **TIED),
    ),
    Family(
        "mistralai/Mistral-7B-v0.1",
        7_241_732_096,
        _config("mistral", 32, 4096, 14336, 32, 8, 32000, max_position_embeddings=32768),
    ),
    Family(
        "Qwen/Qwen2.5-0.5B",
        494_032_768,
        _config("qwen2", 24, 896, 4864, 14, 2, 151936, name="Qwen2ForCausalLM", **TIED)
        | {"max_position_embeddings": 32768},
        frozenset({"qkv_bias"}),
    ),
    Family(
        "Qwen/Qwen2.5-7B",
        7_615_616_512,
        _config("qwen2", 28, 3584, 18944, 28, 4, 152064, name="Qwen2ForCausalLM")
        | {"max_position_embeddings": 131072},
        frozenset({"qkv_bias"}),
    ),
    Family(
        "Qwen/Qwen3-8B",
        8_190_735_360,
        _config("qwen3", 36, 4096, 12288, 32, 8, 151936, name="Qwen3ForCausalLM")
        | {"head_dim": 128, "max_position_embeddings": 40960},
        frozenset({"head_norms"}),
    ),
    Family(
        "Qwen/Qwen3-30B-A3B",
        30_532_122_624,
        _config("qwen3_moe", 48, 2048, 6144, 32, 4, 151936, name="Qwen3MoeForCausalLM")
        | {"head_dim": 128, "max_position_embeddings": 40960}
        | {"num_experts": 128, "moe_intermediate_size": 768},
        frozenset({"head_norms", "experts"}),
    ),
    Family(
        "mistralai/Mixtral-8x7B-v0.1",
        46_702_792_704,
        _config("mixtral", 32, 4096, 14336, 32, 8, 32000, name="MixtralForCausalLM")
        | {"max_position_embeddings": 32768}
        | {"num_experts": 8, "moe_intermediate_size": 14336},
        frozenset({"experts"}),
    ),
    Family(
        "google/gemma-2-2b",
        2_614_341_888,
        _config("gemma2", 26, 2304, 9216, 8, 4, 256000, name="Gemma2ForCausalLM", **TIED)
        | {"head_dim": 256, "max_position_embeddings": 8192},
        frozenset({"four_norms"}),
    ),
    Family(
        "google/gemma-3-1b-it",
        999_885_952,
        _config("gemma3_text", 26, 1152, 6912, 4, 1, 262144, name="Gemma3ForCausalLM", **TIED)
        | {"head_dim": 256, "max_position_embeddings": 32768},
        frozenset({"four_norms", "head_norms"}),
    ),
    Family(
        "microsoft/Phi-3-mini-4k-instruct",
        3_821_079_552,
        _config("phi3", 32, 3072, 8192, 32, 32, 32064, name="Phi3ForCausalLM")
        | {"max_position_embeddings": 4096}
        | {"auto_map": {"AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"}},
        frozenset({"fused"}),
    ),
    Family(
        "microsoft/phi-4",
        14_659_507_200,
        _config("phi3", 40, 5120, 17920, 40, 10, 100352, name="Phi3ForCausalLM")
        | {"max_position_embeddings": 16384},
        frozenset({"fused"}),
    ),
    Family(
        "allenai/OLMo-2-1124-7B",
        7_298_617_344,
        _config("olmo2", 32, 4096, 11008, 32, 32, 100352, name="Olmo2ForCausalLM")
        | {"max_position_embeddings": 4096},
        frozenset({"wide_norms"}),
    ),
)


def tensors_of(family: Family) -> dict[str, tuple[str, tuple[int, ...]]]:
    config, hidden = family.config, family.config["hidden_size"]
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], hidden)}
    for number in range(config["num_hidden_layers"]):
        shapes |= _layer(f"model.layers.{number}", family)
    shapes["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    return {name: ("BF16", shape) for name, shape in shapes.items()}


def _layer(at: str, family: Family) -> dict[str, tuple[int, ...]]:
    hidden = family.config["hidden_size"]
    names = ["input_layernorm", "post_attention_layernorm"]
    if "four_norms" in family.extra:
        names += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
    shapes = {f"{at}.{name}.weight": (hidden,) for name in names}
    mlp = _experts if "experts" in family.extra else _mlp
    return shapes | _attention(f"{at}.self_attn", family) | mlp(f"{at}.mlp", family)


def _attention(at: str, family: Family) -> dict[str, tuple[int, ...]]:
    config, extra = family.config, family.extra
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    size = config.get("head_dim") or hidden // heads
    query, key = heads * size, config["num_key_value_heads"] * size
    widths = {"q_proj": query, "k_proj": key, "v_proj": key}
    if "fused" in extra:
        widths = {"qkv_proj": query + 2 * key}
    shapes = {f"{at}.{name}.weight": (width, hidden) for name, width in widths.items()}
    if "qkv_bias" in extra:
        shapes |= {f"{at}.{name}.bias": (width,) for name, width in widths.items()}
    if "head_norms" in extra:
        shapes |= {f"{at}.q_norm.weight": (size,), f"{at}.k_norm.weight": (size,)}
    if "wide_norms" in extra:
        shapes |= {f"{at}.q_norm.weight": (query,), f"{at}.k_norm.weight": (key,)}
    return shapes | {f"{at}.o_proj.weight": (hidden, query)}


def _mlp(at: str, family: Family) -> dict[str, tuple[int, ...]]:
    hidden, inner = family.config["hidden_size"], family.config["intermediate_size"]
    shapes = {f"{at}.down_proj.weight": (hidden, inner)}
    if "fused" in family.extra:
        return shapes | {f"{at}.gate_up_proj.weight": (2 * inner, hidden)}
    return shapes | {f"{at}.{name}.weight": (inner, hidden) for name in ("gate_proj", "up_proj")}


def _experts(at: str, family: Family) -> dict[str, tuple[int, ...]]:
    config, hidden = family.config, family.config["hidden_size"]
    count, inner = config["num_experts"], config["moe_intermediate_size"]
    shapes = {f"{at}.gate.weight": (count, hidden)}
    for number in range(count):
        shapes |= {f"{at}.experts.{number}.down_proj.weight": (hidden, inner)}
        for name in ("gate_proj", "up_proj"):
            shapes |= {f"{at}.experts.{number}.{name}.weight": (inner, hidden)}
    return shapes

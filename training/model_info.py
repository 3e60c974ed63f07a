"""The facts about a base model, and why one cannot be used."""

from dataclasses import asdict, dataclass

from training import model_files


class HubError(Exception):
    """The model cannot be used. `code` is one of not_found, gated, offline, no_safetensors,
    remote_code, not_causal_lm; the text says why and what to do."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True)
class ModelInfo:
    """The facts about a model that estimates and pages need; counts are exact, sizes in bytes."""

    id: str
    revision: str | None
    architecture: str
    parameters: int
    layers: int
    hidden_size: int
    intermediate_size: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab_size: int
    tied_embeddings: bool
    context_length: int
    dtype: str = "bfloat16"
    licence: str = ""
    gated: bool = False
    has_chat_template: bool = False
    model_type: str = ""
    is_local: bool = False
    size_bytes: int = 0
    files: tuple[str, ...] = ()

    def to_json(self) -> dict:
        """Return the dict that `Project.model_info` keeps."""
        return asdict(self) | {"files": list(self.files)}


def describe(model_id: str, config: dict, tensors: dict, **fields) -> ModelInfo:
    """Build the facts from config.json and the tensors' headers, or say why it cannot be used."""
    if not isinstance(config, dict):
        raise HubError("not_causal_lm", f"{model_id} has an unreadable config.json.")
    if "AutoModelForCausalLM" in (config.get("auto_map") or {}):
        raise HubError(
            "remote_code",
            f"{model_id} needs program code from its repository, which is never run here. "
            "Choose a model that transformers supports by itself.",
        )
    try:
        facts = model_files.read_config(config, tensors)
    except model_files.NotACausalModel as error:
        raise HubError(
            "not_causal_lm",
            f"{model_id} cannot be fine-tuned here: {error} Choose a text-generation model.",
        ) from error
    return ModelInfo(id=model_id, **({"revision": None} | facts | fields))

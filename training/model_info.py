"""The facts about a base model, and why one cannot be used."""

from dataclasses import asdict, dataclass

from training import model_files

# The Hub said nothing about the model itself: it may be saved, and is looked at later.
UNANSWERED = frozenset({"offline", "slow", "rate_limited", "unavailable", "wrong_answer"})

TITLES = {
    "not_found": "No such model",
    "gated": "This model asks for your consent first",
    "bad_token": "The Hub does not accept the token",
    "no_safetensors": "No weights that can be loaded safely",
    "remote_code": "This model brings program code of its own",
    "not_causal_lm": "Not a model that writes text",
    "adapter": "This is an adapter, not a whole model",
    "quantised": "This copy is compressed",
}


class HubError(Exception):
    """The model cannot be used. `code` is one of TITLES or UNANSWERED; the text says why and what
    to do. Any of these may be empty: `page`, the model's address on the Hub, `tokens_page`, where
    a token is made, and `instead`, an id to offer."""

    def __init__(
        self, code: str, sentence: str, *, page: str = "", tokens_page: str = "", instead: str = ""
    ) -> None:
        super().__init__(sentence)
        self.code = code
        self.page = page
        self.tokens_page = tokens_page
        self.instead = instead

    @property
    def title(self) -> str:
        return TITLES.get(self.code, "The Hub could not be asked")

    @property
    def is_unanswered(self) -> bool:
        return self.code in UNANSWERED


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
    languages: tuple[str, ...] = ()
    """Codes or names, as the model's card states them."""

    def to_json(self) -> dict:
        """Return the dict that `Project.model_info` keeps."""
        return asdict(self) | {"files": list(self.files), "languages": list(self.languages)}


def check_config(model_id: str, config: dict, *, page: str = "", base: str = "") -> None:
    """Raise `HubError` for a config.json whose model is never loaded, whatever its weights are."""
    if not isinstance(config, dict):
        raise HubError("not_causal_lm", f"{model_id} has an unreadable config.json.", page=page)
    if model_files.needs_own_code(config):
        raise HubError(
            "remote_code",
            f"{model_id} needs program code from its repository, which is never run here. "
            "Choose a model that transformers supports by itself.",
            page=page,
        )
    method = model_files.quantisation(config)
    if method:
        raise HubError(
            "quantised",
            f"{model_id} holds its weights compressed ({method}), and a compressed copy cannot be "
            "trained. Choose the original model; QLoRA compresses it by itself.",
            page=page,
            instead=base,
        )


def describe(model_id: str, config: dict, tensors: dict, *, page: str = "", **fields) -> ModelInfo:
    """Build the facts from config.json and the tensors' headers, or say why it cannot be used."""
    check_config(model_id, config, page=page)
    try:
        facts = model_files.read_config(config, tensors)
    except model_files.NotACausalModel as error:
        raise HubError(
            "not_causal_lm",
            f"{model_id} cannot be fine-tuned here: {error} Choose a text-generation model.",
            page=page,
        ) from error
    return ModelInfo(id=model_id, **({"revision": None} | facts | fields))


def card_fields(card: object) -> dict:
    """Return `licence` and `languages` from the metadata of a model's card. It is untrusted."""
    card = card if isinstance(card, dict) else {}
    licence = card.get("license")
    if licence == "other":
        licence = card.get("license_name") or licence
    languages = card.get("language") or card.get("languages") or ()
    if isinstance(languages, str):
        languages = (languages,)
    if not isinstance(languages, list | tuple):
        languages = ()
    named = tuple(str(code)[:40] for code in languages if isinstance(code, str) and code)
    return {"licence": _first_word(licence), "languages": named}


def _first_word(value: object) -> str:
    value = value[0] if isinstance(value, list) and value else value
    return value[:80] if isinstance(value, str) else ""

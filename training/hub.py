"""What a base model is: a folder in the models folder first, the Hugging Face Hub otherwise.

Names come from people: a local one never leaves the models folder. No weights are loaded here.
"""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
from django.conf import settings
from huggingface_hub import HfApi, constants, errors

from finetuneflow.lib import storage
from training import model_files

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10
_NAME_FILE = "ftf_model.json"
_CHECK = "Check the connection and HF_ENDPOINT, or put the model into the models folder."


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


def local_path(model_id: str) -> Path | None:
    """Return the folder below the models folder that `model_id` names, or None.

    The name is the folder's own, or the `id` in its ftf_model.json. A folder counts only with a
    config.json and at least one .safetensors file.
    """
    if not model_id:
        return None
    named = _model_folder(model_id)
    if named is not None:
        return named
    return next((path for path in _folders() if _name_file(path).get("id") == model_id), None)


def public_id(model_id: str) -> str:
    """Return the Hub's id of a local folder; the name itself where none is known."""
    path = local_path(model_id)
    return str(_name_file(path).get("id") or model_id) if path else model_id


def local_models() -> list[str]:
    """Return the names of the usable folders in the models folder, sorted."""
    return [path.name for path in _folders()]


def resolve(model_id: str, *, revision: str | None = None) -> ModelInfo:
    """Return the facts about a model, from its local folder or the Hub; raises `HubError`."""
    path = local_path(model_id)
    if path is not None:
        return _resolve_local(path)
    return _resolve_remote(model_id, revision or None)


def _folders() -> list[Path]:
    root = settings.MODELS_DIR
    if not root.is_dir():
        return []
    found = (_model_folder(entry.name) for entry in sorted(root.iterdir()))
    return [path for path in found if path is not None]


def _model_folder(name: str) -> Path | None:
    if "/" in name:
        return None
    try:
        path = storage.safe_path(settings.MODELS_DIR, name)
    except storage.UnsafePath:
        return None
    usable = (path / "config.json").is_file() and any(path.glob("*.safetensors"))
    return path if usable else None


def _name_file(folder: Path) -> dict:
    """Return the folder's ftf_model.json; {} when it is missing or cannot be read."""
    try:
        content = json.loads((folder / _NAME_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _resolve_local(path: Path) -> ModelInfo:
    names = _name_file(path)
    weights = sorted(path.glob("*.safetensors"))
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        tensors = model_files.read_headers(weights)
    except (OSError, ValueError) as error:
        raise HubError(
            "no_safetensors", f"The files of {path.name} are damaged ({error}). Fetch it again."
        ) from error
    return _info(
        path.name,
        config,
        tensors,
        licence=str(names.get("licence") or ""),
        has_chat_template=_has_local_template(path),
        is_local=True,
        files=tuple(file.name for file in storage.list_files(path)),
        size_bytes=sum(file.stat().st_size for file in weights),
    )


def _has_local_template(path: Path) -> bool:
    if (path / "chat_template.jinja").is_file():
        return True
    try:
        return '"chat_template"' in (path / "tokenizer_config.json").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


def _info(model_id: str, config: dict, tensors: dict, **fields) -> ModelInfo:
    """Build the facts from config.json and the tensors' headers, or say why it cannot be used."""
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


def _resolve_remote(model_id: str, revision: str | None) -> ModelInfo:
    api = HfApi(token=settings.HF_TOKEN or None)
    page = f"{constants.ENDPOINT}/{model_id}"
    try:
        return _ask_hub(api, model_id, revision)
    except errors.GatedRepoError as error:
        raise HubError(
            "gated",
            f"{model_id} is gated. Accept its terms at {page} and set HF_TOKEN to a token "
            "of that account.",
        ) from error
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, httpx.HTTPError) as error:
        if isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500:
            raise _not_found(model_id, revision) from error
        raise HubError("offline", f"The Hub cannot be reached for {model_id}. {_CHECK}") from error
    except errors.NotASafetensorsRepoError as error:
        raise HubError(
            "no_safetensors",
            f"{model_id} has no safetensors weights; pickled ones are never loaded. "
            "Choose another model.",
        ) from error
    except errors.EntryNotFoundError as error:
        raise HubError("not_causal_lm", f"{model_id} has no config.json; see {page}.") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise _not_found(model_id, revision) from error
    except errors.HFValidationError as error:
        raise _not_found(model_id, revision) from error


def _not_found(model_id: str, revision: str | None) -> HubError:
    at = f" at revision {revision}" if revision else ""
    return HubError(
        "not_found",
        f"There is no model {model_id!r}{at} in the models folder or on the Hub. Check the name; "
        "a private model needs HF_TOKEN.",
    )


def _ask_hub(api: HfApi, model_id: str, revision: str | None) -> ModelInfo:
    info = api.model_info(model_id, revision=revision, timeout=TIMEOUT_SECONDS, files_metadata=True)
    names = tuple(file.rfilename for file in info.siblings or ())
    config_path = api.hf_hub_download(model_id, "config.json", revision=info.sha)
    config = json.loads(Path(config_path).read_text(encoding="utf-8"))
    metadata = api.get_safetensors_metadata(model_id, revision=info.sha)
    headers = [file.tensors for file in metadata.files_metadata.values()]
    tensors = {name: (t.dtype, tuple(t.shape)) for each in headers for name, t in each.items()}
    templates = (info.config or {}).get("tokenizer_config", {})
    return _info(
        model_id,
        config,
        tensors,
        revision=info.sha,
        licence=str((info.card_data or {}).get("license") or ""),
        gated=bool(info.gated),
        has_chat_template="chat_template" in templates or "chat_template.jinja" in names,
        files=names,
        size_bytes=sum(f.size or 0 for f in info.siblings or () if _is_weight(f.rfilename)),
    )


def _is_weight(name: str) -> bool:
    return "/" not in name and name.endswith(".safetensors")

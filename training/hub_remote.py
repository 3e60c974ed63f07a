"""Asking the Hugging Face Hub about a model: its metadata and headers, never its weights."""

import json
from pathlib import Path

from django.conf import settings
from huggingface_hub import HfApi, constants, errors, try_to_load_from_cache

from training.model_info import HubError, ModelInfo, describe

TIMEOUT_SECONDS = 10
_OFFLINE = (
    "The Hub cannot be reached for {id}. Check the connection and HF_ENDPOINT, "
    "or put the model into the models folder."
)
_MISSING = (
    "There is no model {id} in the models folder or on the Hub. Check the name; "
    "a private model needs HF_TOKEN."
)

# What the Hub's errors mean; the first class that fits counts, so subclasses come first.
_REMOTE_ERRORS = (
    (
        errors.GatedRepoError,
        "gated",
        "{id} is gated. Accept its terms at {page} and set HF_TOKEN to a token of that account.",
    ),
    ((errors.RepositoryNotFoundError, errors.HFValidationError), "not_found", _MISSING),
    (errors.RevisionNotFoundError, "not_found", "{id} has no such revision; see {page}."),
    (
        errors.NotASafetensorsRepoError,
        "no_safetensors",
        "{id} has no safetensors weights, and pickled ones are never loaded. Choose another model.",
    ),
    (errors.LocalEntryNotFoundError, "offline", _OFFLINE),
    (errors.EntryNotFoundError, "not_causal_lm", "{id} has no config.json; see {page}."),
    # Everything else on the way: connection, timeout, offline mode, 5xx.
    ((errors.HTTPError, OSError), "offline", _OFFLINE),
)


def resolve(model_id: str, revision: str | None) -> ModelInfo:
    try:
        return _ask_hub(HfApi(token=settings.HF_TOKEN or None), model_id, revision)
    except (errors.HTTPError, OSError, ValueError, errors.NotASafetensorsRepoError) as error:
        page = f"{constants.ENDPOINT}/{model_id}"
        for kind, code, sentence in _REMOTE_ERRORS:
            if isinstance(error, kind):
                raise HubError(code, sentence.format(id=model_id, page=page)) from error
        raise HubError("not_causal_lm", f"{model_id} has an unreadable config.json.") from error


def fetched_commit(model_id: str, revision: str | None) -> str | None:
    """Return the commit of the copy that was fetched before, or None. Asks nobody."""
    path = try_to_load_from_cache(model_id, "config.json", revision=revision or None)
    return Path(path).parent.name if isinstance(path, str) else None


def _ask_hub(api: HfApi, model_id: str, revision: str | None) -> ModelInfo:
    info = api.model_info(model_id, revision=revision, timeout=TIMEOUT_SECONDS, files_metadata=True)
    names = tuple(file.rfilename for file in info.siblings or ())
    config_path = api.hf_hub_download(model_id, "config.json", revision=info.sha)
    config = json.loads(Path(config_path).read_text(encoding="utf-8"))
    metadata = api.get_safetensors_metadata(model_id, revision=info.sha)
    headers = [file.tensors for file in metadata.files_metadata.values()]
    tensors = {name: (t.dtype, tuple(t.shape)) for each in headers for name, t in each.items()}
    templates = (info.config or {}).get("tokenizer_config", {})
    return describe(
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

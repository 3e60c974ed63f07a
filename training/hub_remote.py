"""Asking the Hugging Face Hub about a model: its metadata and headers, never its weights."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.conf import settings
from huggingface_hub import HfApi, errors, hf_hub_url, try_to_load_from_cache
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from training import hub_errors, model_info
from training.model_info import HubError, ModelInfo

TIMEOUT_SECONDS = 8
DEADLINE_SECONDS = 20
MAX_JSON_BYTES = 32 * 1024 * 1024
MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*\Z", re.ASCII)

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_TEMPLATES = {"chat_template", "chat_template_jinja", "chat_template.jinja"}
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")
BROKEN = (errors.HTTPError, OSError, ValueError, TypeError, KeyError, AttributeError)


def api() -> HfApi:
    return HfApi(endpoint=settings.HF_ENDPOINT, token=settings.HF_TOKEN or None)


def resolve(model_id: str, revision: str | None) -> ModelInfo:
    """Return what the Hub says about a model, within `DEADLINE_SECONDS`; raises `HubError`."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="hub")
    asked = pool.submit(_ask_hub, api(), model_id, revision)
    pool.shutdown(wait=False)
    try:
        return asked.result(timeout=DEADLINE_SECONDS)
    except HubError:
        raise
    except TimeoutError as error:
        sentence = f"The Hub takes too long to answer for {model_id}. Try again soon."
        raise HubError("slow", sentence, page=hub_errors.page_of(model_id)) from error
    except (*BROKEN, errors.SafetensorsParsingError) as error:
        raise hub_errors.explained(error, model_id) from error


def fetched_commit(model_id: str, revision: str | None) -> str | None:
    """Return the commit of the copy that was fetched before, or None. Asks nobody."""
    path = try_to_load_from_cache(model_id, "config.json", revision=revision or None)
    return Path(path).parent.name if isinstance(path, str) else None


def is_fetched(model_id: str, revision: str | None) -> bool:
    """True when a former training left the model's files in this machine's cache."""
    return any(
        isinstance(try_to_load_from_cache(model_id, name, revision=revision or None), str)
        for name in (_SINGLE, _INDEX)
    )


def _ask_hub(api: HfApi, model_id: str, revision: str | None) -> ModelInfo:
    found = api.model_info(
        model_id, revision=revision, timeout=TIMEOUT_SECONDS, files_metadata=True
    )
    sizes = {file.rfilename: file.size or 0 for file in found.siblings or ()}
    card = found.card_data.to_dict() if found.card_data else {}
    page, base = hub_errors.page_of(model_id), _base_of(card)
    read = _Reader(api, model_id, found.sha, sizes)
    _refuse_files(model_id, sizes, read, page=page, base=base)
    config = read.json("config.json")
    model_info.check_config(model_id, config, page=page, base=base)
    weights = read.weights()
    templates = (found.config or {}) | ((found.config or {}).get("tokenizer_config") or {})
    return model_info.describe(
        model_id,
        config,
        read.tensors(weights),
        page=page,
        revision=found.sha,
        gated=bool(found.gated),
        has_chat_template=bool(templates.keys() & _TEMPLATES or sizes.keys() & _TEMPLATES),
        files=tuple(sizes),
        size_bytes=sum(sizes.get(name, 0) for name in weights),
        **model_info.card_fields(card),
    )


class _Reader:
    """Reads small files of one commit of one repository."""

    def __init__(self, api: HfApi, model_id: str, commit: str, sizes: dict[str, int]) -> None:
        self.api, self.model_id, self.commit, self.sizes = api, model_id, commit, sizes

    def json(self, name: str) -> Any:
        if self.sizes.get(name, 0) > MAX_JSON_BYTES:
            raise HubError("not_causal_lm", f"{self.model_id} has a {name} that is far too large.")
        url = hf_hub_url(self.model_id, name, revision=self.commit, endpoint=self.api.endpoint)
        headers = build_hf_headers(token=self.api.token)
        answer = get_session().get(url, headers=headers, timeout=TIMEOUT_SECONDS)
        hf_raise_for_status(answer)
        try:
            return json.loads(answer.content)
        except ValueError as error:
            raise HubError(
                "not_causal_lm",
                f"{self.model_id} has an unreadable {name}. Choose another model.",
                page=hub_errors.page_of(self.model_id),
            ) from error

    def weights(self) -> list[str]:
        """Return the names of the files that transformers would load, and no second copy."""
        if _SINGLE in self.sizes:
            return [_SINGLE]
        index = self.json(_INDEX)
        parts = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(parts, dict):
            text = f"{self.model_id} has an unreadable {_INDEX}. Choose another model."
            raise HubError("no_safetensors", text, page=hub_errors.page_of(self.model_id))
        return sorted({str(name) for name in parts.values()})

    def tensors(self, names: list[str]) -> dict[str, tuple[str, tuple[int, ...]]]:
        with ThreadPoolExecutor(8, thread_name_prefix="hub") as pool:
            headers = list(pool.map(self._header, names))
        return {name: (t.dtype, tuple(t.shape)) for h in headers for name, t in h.tensors.items()}

    def _header(self, name: str):
        return self.api.parse_safetensors_file_metadata(
            self.model_id, name, revision=self.commit, timeout=TIMEOUT_SECONDS
        )


def _refuse_files(model_id: str, names: dict, read: _Reader, *, page: str, base: str) -> None:
    """Raise `HubError` for a repository whose list of files says that it holds no such model."""
    has_weights = _SINGLE in names or _INDEX in names
    if "adapter_config.json" in names and not has_weights:
        base = base or _base_of({"base_model": read.json("adapter_config.json")})
        raise HubError(
            "adapter",
            f"{model_id} is a small addition to another model. Choose the model that it was made "
            f"for{': ' + base if base else ''}.",
            page=page,
            instead=base,
        )
    if has_weights and "config.json" not in names:
        text = f"{model_id} has no config.json, so nothing says what it is. Choose another model."
        raise HubError("not_causal_lm", text, page=page)
    if not has_weights:
        raise HubError("no_safetensors", _lacking(model_id, names), page=page, instead=base)


def _lacking(model_id: str, names: dict) -> str:
    if any(name.endswith(".gguf") for name in names):
        what = "holds GGUF files, which are made for answering and cannot be trained"
        return f"{model_id} {what}. Choose the original model."
    if any(name.endswith(_PICKLED) for name in names):
        what = "has no safetensors weights, and pickled ones are never loaded: they can run code"
        return f"{model_id} {what}. Choose another model."
    return f"{model_id} has no safetensors weights. Choose another model."


def _base_of(card: dict) -> str:
    """Return the model that the card (or an adapter's config) says this one was made from."""
    base = card.get("base_model")
    if isinstance(base, dict):
        base = base.get("base_model_name_or_path")
    if isinstance(base, list) and len(base) == 1:
        base = base[0]
    return base if isinstance(base, str) and len(base) < 200 and MODEL_ID.match(base) else ""

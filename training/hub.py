"""What a base model is: a folder in the models folder first, the Hugging Face Hub otherwise.

Names come from people: a local one never leaves the models folder. No weights are loaded here.
"""

import json
import re
from pathlib import Path

import yaml
from django.conf import settings
from huggingface_hub import metadata_load

from finetuneflow.lib import storage
from training import hub_remote, model_files
from training.model_info import HubError, ModelInfo, card_fields, describe

__all__ = ["HubError", "ModelInfo", "local_models", "local_path", "pin", "public_id", "resolve"]

_NAME_FILE = "ftf_model.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")


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
    return hub_remote.resolve(model_id, revision or None)


def pin(model_id: str, revision: str | None) -> str:
    """Return the commit that `revision` (empty: the newest) is now; raises `HubError`.

    A commit stays what it is and asks nobody. Without the Hub the fetched copy's commit counts.
    """
    if revision and _COMMIT.fullmatch(revision):
        return revision
    try:
        return hub_remote.resolve(model_id, revision or None).revision
    except HubError as error:
        kept = hub_remote.fetched_commit(model_id, revision) if error.is_unanswered else None
        if kept is None:
            raise
        return kept


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
    card = card_fields({"license": names.get("licence")} | names)
    written = _card_of(path)
    return describe(
        path.name,
        config,
        tensors,
        licence=card["licence"] or written["licence"],
        languages=card["languages"] or written["languages"],
        has_chat_template=_has_local_template(path),
        is_local=True,
        files=tuple(file.name for file in storage.list_files(path)),
        size_bytes=sum(file.stat().st_size for file in weights),
    )


def _card_of(path: Path) -> dict:
    """Return licence and languages of the README.md that a copy from the Hub brings along."""
    try:
        return card_fields(metadata_load(path / "README.md"))
    except (OSError, ValueError, yaml.YAMLError):
        return card_fields({})


def _has_local_template(path: Path) -> bool:
    if (path / "chat_template.jinja").is_file():
        return True
    try:
        return '"chat_template"' in (path / "tokenizer_config.json").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False

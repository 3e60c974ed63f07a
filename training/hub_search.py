"""Looking for models on the Hub by a part of their name; quick, remembered, never needed."""

import hashlib
from dataclasses import dataclass

from django.conf import settings
from django.core.cache import cache
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from training import hub_errors, hub_remote

TIMEOUT_SECONDS = 3
REMEMBER_SECONDS = 60
SHORTEST = 2
MOST = 8
# Compressed copies, which cannot be trained.
_COMPRESSED = {"gptq", "awq", "gguf", "exl2", "mlx", "bitsandbytes", "compressed-tensors", "fp8"}


@dataclass(frozen=True)
class Hit:
    id: str
    parameters: int
    gated: bool


def search(text: str) -> tuple[list[Hit], str]:
    """Return text-generation models whose id contains `text`, the most used first.

    The second value says why none could be asked for; empty when the Hub answered. A Hub that
    fails is left alone for a minute, so that typing on does not wait for it again and again.
    """
    text = " ".join(text.split())[:100]
    if len(text) < SHORTEST:
        return [], ""
    silent = f"hub-silent:{settings.HF_ENDPOINT}"
    known = f"hub-search:{_digest(settings.HF_ENDPOINT, text.lower())}"
    found = cache.get(known)
    if found is not None:
        return found, ""
    problem = cache.get(silent)
    if problem:
        return [], problem
    try:
        found = _ask(text)
    except hub_remote.BROKEN as error:
        problem = _words(hub_errors.explained(error, text).code)
        cache.set(silent, problem, REMEMBER_SECONDS)
        return [], problem
    cache.set(known, found, REMEMBER_SECONDS)
    return found, ""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _words(code: str) -> str:
    reasons = {
        "rate_limited": "The Hub has had too many questions from here and is left alone a minute.",
        "slow": "The Hub takes too long to answer.",
        "bad_token": "The Hub refuses the token in HF_TOKEN.",
    }
    return reasons.get(code, "The Hub cannot be reached.")


def _ask(text: str) -> list[Hit]:
    # Not HfApi.list_models: it takes no timeout.
    hub = hub_remote.api()
    params = {
        "search": text,
        "pipeline_tag": "text-generation",
        "filter": "safetensors",
        "sort": "downloads",
        "limit": 4 * MOST,
        "expand": ["safetensors", "gated", "tags"],
    }
    answer = get_session().get(
        f"{hub.endpoint}/api/models",
        params=params,
        headers=build_hf_headers(token=hub.token),
        timeout=TIMEOUT_SECONDS,
    )
    hf_raise_for_status(answer)
    rows = answer.json()
    if not isinstance(rows, list):
        raise ValueError("no list of models")
    hits = [_hit(row) for row in rows if isinstance(row, dict)]
    return [hit for hit in hits if hit is not None][:MOST]


def _hit(row: dict) -> Hit | None:
    name, tags, weights = row.get("id"), row.get("tags"), row.get("safetensors")
    if not isinstance(name, str) or len(name) > 200 or not hub_remote.MODEL_ID.match(name):
        return None
    if isinstance(tags, list) and _COMPRESSED & {str(tag).lower() for tag in tags}:
        return None
    total = weights.get("total") if isinstance(weights, dict) else 0
    return Hit(name, total if isinstance(total, int) else 0, bool(row.get("gated")))

"""The JSON of an OpenAI-compatible chat server: what an answer and an error look like."""

import json
from dataclasses import dataclass

from finetuneflow.lib.llm_errors import BadReply

NOT_A_CHAT_SERVER = (
    "The server's answer is not what a chat server sends. Check OPENAI_BASE_URL; "
    "it usually ends with /v1."
)


@dataclass(frozen=True)
class ChatReply:
    """One answer. `reasoning` is what the server keeps apart; `<think>` in `text` stays there."""

    text: str
    reasoning: str = ""
    finish_reason: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    latency_seconds: float = 0.0


def read_reply(answer: dict, seconds: float) -> ChatReply:
    """Return the first choice of a chat answer; raises `BadReply` for any other shape."""
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        text = message.get("content") or ""
        reasoning = message.get("reasoning") or message.get("reasoning_content") or ""
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise BadReply(NOT_A_CHAT_SERVER, status=200) from error
    if isinstance(text, list):
        text = "".join(part.get("text", "") for part in text if isinstance(part, dict))
    usage = answer.get("usage") if isinstance(answer.get("usage"), dict) else {}
    return ChatReply(
        text=str(text),
        reasoning=str(reasoning),
        finish_reason=str(choice.get("finish_reason") or ""),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        latency_seconds=seconds,
    )


def _count(value) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def error_text(body: str) -> str:
    """Return the message of {"error": "text"}, {"error": {"message"}}, {"detail"} or plain text."""
    try:
        answer = json.loads(body)
        error = answer["detail"] if "detail" in answer else answer["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        is_page = body.lstrip()[:1] == "<"
        return "" if is_page else body
    if isinstance(error, dict):
        error = error.get("message") or error.get("type") or ""
    return str(error)

"""What can go wrong with a language model's server, as types with a sentence for the person.

`code` is short and stable, `retryable` says whether the same request may succeed in a moment.
"""

import re

BODY_LIMIT = 300


class LLMError(Exception):
    """Base of all errors of the language model's server. The text says what to do next."""

    code = "llm"
    retryable = False

    def __init__(self, text: str, *, status: int | None = None, wait_seconds: float | None = None):
        super().__init__(text)
        self.status = status
        self.wait_seconds = wait_seconds


class BadKey(LLMError):
    code = "bad_key"


class PlanRefused(LLMError):
    code = "plan"


class UnknownModel(LLMError):
    code = "unknown_model"


class ContextTooLong(LLMError):
    code = "context"


class BadRequest(LLMError):
    code = "bad_request"


class UsageLimit(LLMError):
    code = "usage_limit"


class Busy(LLMError):
    code = "busy"
    retryable = True


class Unreachable(LLMError):
    code = "unreachable"
    retryable = True


class TimedOut(LLMError):
    code = "timeout"
    retryable = True


class BadReply(LLMError):
    code = "bad_reply"


class ServerError(LLMError):
    code = "server"
    retryable = True


class Stopped(LLMError):
    """The client was told to stop before the request got an answer."""

    code = "stopped"


_CONTEXT = re.compile(
    r"context (length|window|size)|maximum context|too (many tokens|long)|exceeds? .{0,40}token",
    re.IGNORECASE,
)
_USAGE = re.compile(r"usage limit|quota|billing|(hourly|daily|weekly|monthly) limit", re.IGNORECASE)

_MODEL = re.compile(
    r"model.{0,80}(not (found|exist|available)|does not exist|unknown)|unknown model"
    r"|pinned to .{0,200}requested",
    re.IGNORECASE | re.DOTALL,
)

_BY_STATUS: dict[int, tuple[type[LLMError], str]] = {
    401: (
        BadKey,
        "The language model's server refuses the key. Correct OLLAMA_API_KEY or OPENAI_API_KEY in "
        "the file .env and restart the application.",
    ),
    402: (
        PlanRefused,
        "The account's plan does not cover this request. Check it at the provider, or choose "
        "another model.",
    ),
    403: (
        PlanRefused,
        "The account may not use the model {model}. Choose another model or change the plan.",
    ),
    404: (
        UnknownModel,
        "The server does not know the model {model}. Choose another in the settings of the Preview "
        "step, or set FTF_LLM_MODEL.",
    ),
    408: (TimedOut, "The server gave up waiting. Try again, or set FTF_LLM_TIMEOUT_SECONDS."),
    410: (
        UnknownModel,
        "The model {model} was retired. Choose another in the settings of the Preview step, or set "
        "FTF_LLM_MODEL.",
    ),
    413: (ContextTooLong, "The text is too long for the model {model}. Use smaller chunks."),
    429: (Busy, "The server is busy. Try again later, or lower FTF_LLM_CONCURRENCY."),
    503: (Busy, "The server is overloaded. Try again later, or lower FTF_LLM_CONCURRENCY."),
}


def error_for_status(
    status: int, body: str, *, model: str, wait_seconds: float | None = None
) -> LLMError:
    """Return the typed error for an HTTP answer that is not 200.

    `body` is the server's own text, already without secrets; it is quoted, shortened.
    """
    kind, text = _classify(status, body)
    text = text.format(model=model or "(none)")
    said = " ".join(body.split())[:BODY_LIMIT]
    if said:
        text = f"{text} The server said: {said}"
    return kind(text, status=status, wait_seconds=wait_seconds)


def _classify(status: int, body: str) -> tuple[type[LLMError], str]:
    if status == 429 and _USAGE.search(body):
        return (
            UsageLimit,
            "The usage limit is reached. Press Resume when it has been reset: what was answered "
            "is kept.",
        )
    if status == 400 and "unexpected eof" in body.lower():
        return ServerError, "The server lost the request. Try again."
    if status in (400, 413, 422, 500) and _CONTEXT.search(body):
        return _BY_STATUS[413]
    if status in (400, 422) and _MODEL.search(body):
        return _BY_STATUS[404]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 300 <= status < 400:
        return BadReply, "The server redirects elsewhere. Set OPENAI_BASE_URL to its final address."
    if status >= 500:
        return ServerError, "The language model's server failed. Try again later."
    return BadRequest, "The server refuses the request. Check the model's name and settings."

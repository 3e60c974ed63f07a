"""The client of any OpenAI-compatible chat server (Ollama, vLLM, `transformers serve`, …).

Every failure is one of the types in `llm_errors`; the key is never in a log or an error.
"""

import json
import random
import threading
import time

import httpx
import tenacity

from finetuneflow.lib.llm_errors import (
    BadKey,
    BadReply,
    BadRequest,
    LLMError,
    ServerError,
    Stopped,
    TimedOut,
    UnknownModel,
    Unreachable,
    error_for_status,
)
from finetuneflow.lib.llm_wire import NOT_A_CHAT_SERVER, ChatReply, error_text, read_reply
from finetuneflow.lib.net import api_address, is_loopback, retry_after_seconds, without_password

MAX_REPLY_BYTES = 5 * 1024 * 1024
MAX_WAIT_SECONDS = 120.0
ATTEMPTS = 3


class ChatClient:
    """Asks one model on one server. Safe to share between threads; close it at the end.

    `base_url` may end with /v1 or not. A request is tried three times, but only for errors that
    may pass; Retry-After is honoured up to 120 s, a longer one ends the attempts.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str = "",
        model: str = "",
        *,
        timeout_seconds: float = 60,
        attempts: int = ATTEMPTS,
        backoff_seconds: float = 1.0,
        reasoning_effort: str | None = None,
        connections: int = 64,
    ) -> None:
        self.base_url = _address(base_url)
        self.shown_url = without_password(self.base_url)
        self.model = model
        self.timeout_seconds = timeout_seconds
        self.attempts = attempts
        self.backoff_seconds = backoff_seconds
        self.reasoning_effort = reasoning_effort
        self._api_key = api_key
        self._stopped = threading.Event()
        # Servers differ in what they accept beyond the basics; the first refusal is remembered.
        self._hints_refused = False
        self._http = httpx.Client(
            headers=_authorization(api_key),
            timeout=httpx.Timeout(timeout_seconds, connect=min(10.0, timeout_seconds)),
            limits=httpx.Limits(max_connections=connections),
            follow_redirects=False,
            # A proxy of the environment cannot reach a server on this machine.
            trust_env=not is_loopback(self.base_url),
        )

    def __enter__(self) -> "ChatClient":
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ChatClient({self.shown_url!r}, model={self.model!r})"

    def stop(self) -> None:
        """Start no further attempt; waiting ones end with `Stopped`, running ones may finish."""
        self._stopped.set()

    def close(self) -> None:
        self.stop()
        self._http.close()

    def chat(
        self,
        messages: list[dict],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        response_format: dict | None = None,
    ) -> ChatReply:
        """Return the model's answer to `messages`; raises an `LLMError`.

        `response_format` is a hint: a server that refuses it is asked without it.
        """
        body: dict = {"model": self.model, "messages": messages, "stream": False}
        if temperature is not None:
            body["temperature"] = temperature
        if max_tokens is not None:
            body["max_tokens"] = max_tokens
        hints: dict = {}
        if response_format:
            hints["response_format"] = response_format
        if self.reasoning_effort:
            hints["reasoning_effort"] = self.reasoning_effort
        return self._retrying()(self._chat_once, body, hints)

    def check(self) -> None:
        """Make one cheap request that proves address, key and model; raises an `LLMError`.

        The list of models costs nothing. Where it does not exist, fails, or does not name the
        model (aliases, folders), a chat of one token decides; so it does where there is a key,
        because many servers list their models for any key.
        """
        try:
            if self.model in self.list_models() and not self._api_key:
                return
        except (ServerError, BadReply, BadRequest, UnknownModel):
            pass
        self.chat([{"role": "user", "content": "Hi"}], max_tokens=1)

    def list_models(self) -> list[str]:
        """Return the ids that the server lists at /models; raises an `LLMError`."""

        def once() -> list[str]:
            answer = self._request("GET", "/models")
            rows = answer.get("data") or answer.get("models") or []
            return [row["id"] for row in rows if isinstance(row, dict) and "id" in row]

        try:
            return self._retrying(retry_server_errors=False)(once)
        except (AttributeError, TypeError) as error:
            raise BadReply("The server's list of models cannot be read.") from error

    def _retrying(self, *, retry_server_errors: bool = True) -> tenacity.Retrying:
        def should_retry(error: BaseException) -> bool:
            if not isinstance(error, LLMError) or not error.retryable:
                return False
            if isinstance(error, ServerError) and not retry_server_errors:
                return False
            return (error.wait_seconds or 0) <= MAX_WAIT_SECONDS

        return tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=self._wait,
            retry=tenacity.retry_if_exception(should_retry),
            sleep=self._stopped.wait,
            reraise=True,
        )

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Seconds before the next attempt: what the server asks for, or backoff with jitter."""
        asked = getattr(state.outcome.exception(), "wait_seconds", None)
        if asked is not None:
            return min(asked, MAX_WAIT_SECONDS)
        return self.backoff_seconds * 2 ** (state.attempt_number - 1) * random.uniform(0.5, 1.5)

    def _chat_once(self, body: dict, hints: dict) -> ChatReply:
        started = time.monotonic()
        with_hints = bool(hints) and not self._hints_refused
        try:
            answer = self._request(
                "POST", "/chat/completions", body | (hints if with_hints else {})
            )
        except LLMError as error:
            # Some servers answer 500 to a response_format they do not know.
            if not with_hints or error.status not in (400, 422, 500, 501):
                raise
            answer = self._request("POST", "/chat/completions", body)
            self._hints_refused = True
        return read_reply(answer, time.monotonic() - started)

    def _request(self, method: str, path: str, body: dict | None = None) -> dict:
        """Send one request and return the JSON object of the answer; raises an `LLMError`."""
        if self._stopped.is_set():
            raise Stopped("The request was stopped before it was answered.")
        try:
            with self._http.stream(method, self.base_url + path, json=body) as response:
                content = self._read(response)
        except httpx.TimeoutException as error:
            raise TimedOut(
                f"No answer within {self.timeout_seconds:g} s. The server may be overloaded; "
                "raise FTF_LLM_TIMEOUT_SECONDS or lower FTF_LLM_CONCURRENCY."
            ) from error
        except httpx.ConnectError as error:
            raise Unreachable(
                f"The language model's server at {self.shown_url} cannot be reached. "
                "Start it, or check OPENAI_BASE_URL and the network."
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
            if self._stopped.is_set():
                raise Stopped("The request was stopped before it was answered.") from error
            raise Unreachable(
                f"The connection to {self.shown_url} broke ({type(error).__name__}). Try again."
            ) from error
        return self._decode(response, content)

    def _read(self, response: httpx.Response) -> bytes:
        """Read the body up to the limits of size and total time (a slow drip never times out)."""
        deadline = time.monotonic() + self.timeout_seconds
        content = bytearray()
        for piece in response.iter_bytes():
            content += piece
            if len(content) > MAX_REPLY_BYTES:
                raise BadReply("The server's answer is over 5 MB and was not read.")
            if time.monotonic() > deadline:
                raise TimedOut(f"The answer took longer than {self.timeout_seconds:g} s.")
        return bytes(content)

    def _decode(self, response: httpx.Response, content: bytes) -> dict:
        text = content.decode("utf-8", errors="replace")
        if response.status_code != 200:
            raise error_for_status(
                response.status_code,
                self._without_key(error_text(text)),
                model=self.model,
                wait_seconds=retry_after_seconds(response.headers.get("Retry-After")),
            )
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadReply(NOT_A_CHAT_SERVER, status=200) from error
        if not isinstance(answer, dict):
            raise BadReply(NOT_A_CHAT_SERVER, status=200)
        if answer.get("error") and not answer.get("choices"):
            raise ServerError(
                f"The server failed while answering: {self._without_key(error_text(text))[:300]}",
                status=200,
            )
        return answer

    def _without_key(self, text: str) -> str:
        return text.replace(self._api_key, "***") if self._api_key else text


def client_from_settings(model: str | None = None, **options) -> ChatClient:
    """Return a client for the configured server; `model` replaces the configured one."""
    from django.conf import settings

    is_ollama = "ollama" in settings.LLM_BASE_URL or ":11434" in settings.LLM_BASE_URL
    # A thinking model on Ollama may put everything into `reasoning` and leave the text empty.
    options.setdefault("reasoning_effort", "none" if is_ollama else None)
    return ChatClient(
        settings.LLM_BASE_URL,
        settings.LLM_API_KEY,
        model or settings.LLM_MODEL,
        timeout_seconds=settings.LLM_TIMEOUT_SECONDS,
        **options,
    )


def _address(base_url: str) -> str:
    try:
        return api_address(base_url)
    except ValueError as error:
        text = "OPENAI_BASE_URL is no web address. It looks like https://host/v1."
        raise Unreachable(text) from error


def _authorization(api_key: str) -> dict[str, str]:
    if not api_key:
        return {}
    if not (api_key.isascii() and api_key.isprintable()):
        raise BadKey("The key has characters that no key has. Copy it again from the provider.")
    return {"Authorization": f"Bearer {api_key}"}

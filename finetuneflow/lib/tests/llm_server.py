"""A scriptable OpenAI-compatible server for tests: a marker in the prompt decides what it does.

    with LLMServer() as server:
        ChatClient(server.url, "key", "test-model").chat([...])

`[[name]]` misbehaves always, `[[name:2]]` twice for the same request and then answers well. Without
a marker it answers as the prompt asks: one question for a sentence, or examples as JSON, always the
same for the same request. As a process: `python -m finetuneflow.lib.tests.llm_server --port 0`.
"""

import argparse
import collections
import contextlib
import hashlib
import json
import re
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODEL = "test-model"
KEY = "test-key"
_MARKER = re.compile(r"\[\[([a-z0-9-]+)(?::(\d+))?\]\]")
_SENTENCE = re.compile(r"[^.!?\n]*\w[^.!?\n]*[.!?]")
_ERRORS = {
    "401": (401, {"error": "unauthorized"}),
    "402": (402, {"error": {"message": "this model requires a subscription"}}),
    "404": (404, {"error": {"message": "model not found"}}),
    "400-pinned": (400, {"detail": "Server is pinned to 'a'; requested 'b'."}),
    "400-context": (400, {"error": {"message": "maximum context length is 4096 tokens"}}),
    "429-usage": (429, {"error": "you have reached your weekly usage limit"}),
    "429": (429, {"error": "too many concurrent requests"}),
    "500": (500, {"error": {"message": "internal error"}}),
    "503": (503, {"error": "service overloaded"}),
}
_TEXTS = {
    "garbage": 'Sure! ]] {{ here <you> go: question -> answer, etc. {"question": ',
    "empty": "",
    "refusal": "I'm sorry, but I can't help with that request.",
    "think-only": "<think>The user wants examples. Let me think about",
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address) -> None:
        """Say nothing: clients that hang up are part of the tests."""


class LLMServer:
    """The server in a thread of this process.

    `requests` lists each request as {"hash", "kind", "outcome"}; a chat of one token is a "check",
    any other a "chat". `answers` counts the good answers to chats per request hash.
    `latency_seconds`, `key`, `lists_for_any_key`, `models`, `models_status` and `refuses_hints` may
    be set at any time.
    """

    def __init__(self, *, port: int = 0, latency_seconds: float = 0.0, key: str = "", log=None):
        self.latency_seconds = latency_seconds
        self.key = key
        self.lists_for_any_key = False
        self.models = [MODEL]
        self.models_status = 200
        self.refuses_hints = False
        self.requests: list[dict] = []
        self.answers: collections.Counter = collections.Counter()
        self.most_at_once = 0
        self._at_once = 0
        self._log = Path(log) if log else None
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        self._seen: collections.Counter = collections.Counter()
        self._http = _Server(("127.0.0.1", port), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        return self._http.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def chats(self) -> list[dict]:
        return [request for request in self.requests if request["kind"] == "chat"]

    @property
    def checks(self) -> list[dict]:
        return [request for request in self.requests if request["kind"] == "check"]

    def __enter__(self) -> "LLMServer":
        self._thread.start()
        return self

    def __exit__(self, *exc_info) -> None:
        self.stop()

    def stop(self) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()

    def record(self, kind: str, digest: str, outcome: str) -> None:
        """Note one finished request, in memory and as a line of the log file."""
        entry = {"hash": digest, "kind": kind, "outcome": outcome}
        with self._lock:
            self.requests.append(entry)
            if kind == "chat" and outcome == "ok":
                self.answers[digest] += 1
            if self._log:
                with self._log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(entry) + "\n")

    @contextlib.contextmanager
    def counted(self):
        """Count how many requests are worked on at the same time."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def marker(self, text: str, digest: str) -> str:
        """Return the marker that applies to this request now, or "" for a good answer."""
        found = _MARKER.search(text)
        if not found:
            return ""
        with self._lock:
            self._seen[digest] += 1
            times = self._seen[digest]
        is_over = found[2] is not None and times > int(found[2])
        return "" if is_over else found[1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args) -> None:
        pass

    @property
    def owner(self) -> LLMServer:
        return self.server.owner

    def do_GET(self) -> None:
        if not self.owner.lists_for_any_key and self._refuses_key():
            return
        self.owner.record("models", "", str(self.owner.models_status))
        if self.owner.models_status != 200:
            self._send(self.owner.models_status, {"error": "no list of models"})
            return
        self._send(200, {"object": "list", "data": [{"id": name} for name in self.owner.models]})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self._refuses_key():
            return
        with self.owner.counted():
            self._answer(raw)

    def _answer(self, raw: bytes) -> None:
        body, digest = json.loads(raw), hashlib.sha256(raw).hexdigest()[:16]
        kind = "check" if body.get("max_tokens") == 1 else "chat"
        if body["model"] not in self.owner.models:
            self.owner.record(kind, digest, "404")
            self._send(*_ERRORS["404"])
            return
        asked = _task_of(body["messages"])
        is_hinted = self.owner.refuses_hints and "response_format" in body
        name = "500" if is_hinted else self.owner.marker(asked, digest)
        self.owner.stopping.wait(self.owner.latency_seconds)
        self.owner.record(kind, digest, name or "ok")
        self._behave(name, asked)

    def _behave(self, name: str, asked: str) -> None:
        if name in ("stall", "reset"):
            if name == "stall":
                self.owner.stopping.wait(300)
            self.close_connection = True
        elif name == "html":
            self._send_raw(200, b"<html>Welcome to the router</html>", "text/html")
        elif name == "huge":
            self._send_raw(200, b'{"choices": "' + b"x" * 6_000_000 + b'"}', "application/json")
        elif name == "redirect":
            self._send(307, {}, {"Location": "http://example.invalid/v1"})
        elif name == "429-after":
            self._send(*_ERRORS["429"], {"Retry-After": "0"})
        elif name in _ERRORS:
            self._send(*_ERRORS[name])
        else:
            self._send(200, completion(asked, name))

    def _refuses_key(self) -> bool:
        key = self.owner.key
        if not key or self.headers.get("Authorization") == f"Bearer {key}":
            return False
        self.owner.record("refused", "", "401")
        self._send(*_ERRORS["401"])
        return True

    def _send(self, status: int, body: dict, headers: dict | None = None) -> None:
        self._send_raw(status, json.dumps(body).encode(), "application/json", headers)

    def _send_raw(self, status: int, content: bytes, kind: str, headers=None) -> None:
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)


def completion(asked: str, name: str = "") -> dict:
    """Return the JSON of a chat completion for the last user message."""
    text, finish_reason = _TEXTS.get(name), "stop"
    if text is None:
        text = good_text(asked)
    if name == "fenced":
        text = f"Here you are:\n```json\n{text}\n```\nAnything else?"
    elif name == "truncated":
        text, finish_reason = text[: len(text) * 2 // 3], "length"
    elif name == "echo":
        text = asked
    usage = {"prompt_tokens": len(asked.split()), "completion_tokens": len(text.split())}
    message = {"role": "assistant", "content": text}
    if name == "reasoning":
        message = {"role": "assistant", "content": "", "reasoning": text}
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": usage,
    }


def _task_of(messages: list[dict]) -> str:
    """Return the last turn that holds a task; a request to repeat it holds none."""
    turns = [turn["content"] for turn in messages if turn["role"] == "user"]
    tasks = [turn for turn in turns if "<<<" in turn or 'Sentence: "' in turn]
    return (tasks or turns)[-1]


def good_text(asked: str) -> str:
    """Return the answer of a capable model: for a sentence, or for a text and a JSON form."""
    sentence = re.search(r'Sentence: "(.+)"\n(\w+)[^:\n]*:', asked, re.DOTALL)
    if sentence:
        return prompt_about(sentence[1], is_question=sentence[2] == "Question")
    text = re.search(r"<<<(\w+)\n(.*)\n\1>>>", asked, re.DOTALL)
    count = re.search(r"exactly (\d+)", asked)
    sentences = [s.strip() for s in _SENTENCE.findall(text[2] if text else asked)]
    items = [
        {
            "question": prompt_about(sentence),
            "answer": sentence,
            "evidence": sentence,
        }
        for sentence in sentences[: int(count[1]) if count else 5]
    ]
    return json.dumps({"examples": items}, ensure_ascii=False)


def prompt_about(sentence: str, *, is_question: bool = True) -> str:
    """Return a question (or instruction) that names most words of the sentence."""
    words = re.findall(r"[\w'-]+", _MARKER.sub("", sentence))[:20]
    if is_question:
        return f"What is said about {' '.join(words)}?"
    return f"Explain what is known about {' '.join(words)}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", help="append one JSON line for each request to this file")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--key", default="", help="refuse requests without this key")
    parser.add_argument("--model", action="append", help="names of the models it knows")
    options = parser.parse_args()
    server = LLMServer(
        port=options.port, latency_seconds=options.latency, key=options.key, log=options.log
    )
    server.models = options.model or [MODEL]
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *args: ended.set())
    with server, contextlib.suppress(KeyboardInterrupt):
        print(server.port, flush=True)
        ended.wait()
    sys.exit(0)


if __name__ == "__main__":
    main()

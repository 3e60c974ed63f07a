"""A scriptable Hugging Face Hub on a port of this machine, for tests and for looking at pages.

    with HubServer() as hub:
        hub.add("owner/model", config={...}, tensors={"name": ("BF16", (10, 8))})
        hub.script = "429"

It speaks the paths that are asked for: a model's facts, its files (by range as well) and the
search. Weights have a real header and no bytes behind it. `script` makes every answer misbehave:
a status ("401", "403", "429", "500"), "private", "slow" or "html"; `scripts` does so for one
repository.
"""

import contextlib
import json
import re
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "ab" * 20
_FACTS = re.compile(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?\Z")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)\Z")


@dataclass
class Repository:
    files: dict[str, bytes]
    sizes: dict[str, int]
    gated: str | bool = False
    card: dict = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    parameters: int = 0
    tokenizer: dict = field(default_factory=dict)
    revisions: tuple[str, ...] = ("main", COMMIT)


class HubServer:
    """The server in a thread of this process. `asked` lists each request's path, `tokens` its
    Authorization."""

    def __init__(self, *, token: str = "") -> None:
        self.repositories: dict[str, Repository] = {}
        self.token = token
        self.script = ""
        self.scripts: dict[str, str] = {}
        self.asked: list[str] = []
        self.tokens: list[str | None] = []
        self.stopping = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *args: None  # Clients that hang up are part of the tests.
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> "HubServer":
        self._thread.start()
        return self

    def __exit__(self, *exc_info) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()

    def add(self, name: str, *, config=None, tensors=None, files=None, shards=1, **facts) -> None:
        """Add a repository; `tensors` is {name: (dtype, shape)}, spread over `shards` files."""
        content = {key: _bytes(value) for key, value in (files or {}).items()}
        sizes = {key: len(value) for key, value in content.items()}
        if config is not None:
            content["config.json"] = _bytes(config)
        if tensors:
            for key, part in _shards(tensors, shards).items():
                content[key], sizes[key] = safetensors_header(part)
            if shards > 1:
                index = {key: file for file, p in _shards(tensors, shards).items() for key in p}
                content["model.safetensors.index.json"] = _bytes({"weight_map": index})
        total = sum(_count(shape) for _, shape in (tensors or {}).values())
        sizes |= {key: len(value) for key, value in content.items() if key not in sizes}
        self.repositories[name] = Repository(content, sizes, parameters=total, **facts)


def safetensors_header(tensors: dict) -> tuple[bytes, int]:
    """Return the head of a file with these tensors, and the size that the whole file has."""
    entries, offset = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = _count(shape) * {"F32": 4, "I32": 4, "U8": 1}.get(dtype, 2)
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    head = json.dumps(entries).encode()
    return struct.pack("<Q", len(head)) + head, 8 + len(head) + offset


def _count(shape) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _shards(tensors: dict, shards: int) -> dict[str, dict]:
    if shards == 1:
        return {"model.safetensors": tensors}
    names = list(tensors)
    return {
        f"model-{i + 1:05}-of-{shards:05}.safetensors": {n: tensors[n] for n in names[i::shards]}
        for i in range(shards)
    }


def _bytes(value) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args) -> None:
        pass

    @property
    def owner(self) -> HubServer:
        return self.server.owner

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        self.owner.asked.append(self.path)
        self.owner.tokens.append(self.headers.get("Authorization"))
        facts, file = _FACTS.match(path), _FILE.match(path)
        name = (facts or file)[1] if facts or file else ""
        script = self.owner.scripts.get(name) or self.owner.script
        if script:
            self._misbehave(script)
        elif path == "/api/models":
            self._search(parse_qs(url.query))
        elif name not in self.owner.repositories:
            self._error(401, "RepoNotFound", "Invalid username or password.")
        elif facts:
            self._facts(name, facts[2])
        else:
            self._file(self.owner.repositories[name], file[3])

    def _misbehave(self, script: str) -> None:
        if script == "slow":
            self.owner.stopping.wait(30)
            self.close_connection = True
        elif script == "html":
            self._send(200, b"<html>Sign in to the network</html>", {"Content-Type": "text/html"})
        elif script == "private":
            self._error(401, "", "Invalid username or password.")
        elif script == "401":
            self._error(401, "", "Invalid credentials in Authorization header")
        else:
            self._error(int(script), "", "no")

    def _facts(self, name: str, revision: str | None) -> None:
        found = self.owner.repositories[name]
        if revision and revision not in found.revisions:
            self._error(404, "RevisionNotFound", "Invalid rev id")
            return
        siblings = [{"rfilename": key, "size": size} for key, size in found.sizes.items()]
        body = {"id": name, "modelId": name, "sha": COMMIT, "gated": found.gated}
        body |= {"siblings": siblings, "cardData": found.card, "tags": list(found.tags)}
        body |= {"config": {"tokenizer_config": found.tokenizer}}
        self._send(200, _bytes(body), {"Content-Type": "application/json"})

    def _search(self, query: dict) -> None:
        text = query.get("search", [""])[0].lower()
        rows = [
            {
                "id": name,
                "gated": found.gated,
                "tags": list(found.tags),
                "safetensors": {"total": found.parameters},
            }
            for name, found in self.owner.repositories.items()
            if text in name.lower() and "config.json" in found.sizes
        ]
        self._send(200, _bytes(rows), {"Content-Type": "application/json"})

    def _file(self, found: Repository, file: str) -> None:
        if found.gated and self.headers.get("Authorization") != f"Bearer {self.owner.token or 0}":
            self._error(403, "GatedRepo", "Access to this model is restricted.")
        elif file not in found.files:
            self._error(404, "EntryNotFound", "Entry not found")
        else:
            self._send_range(found.files[file])

    def _send_range(self, content: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        if not wanted:
            self._send(200, content, {})
            return
        part = content[int(wanted[1]) : int(wanted[2]) + 1]
        self._send(206, part, {"Content-Range": f"bytes {wanted[1]}-{wanted[2]}/*"})

    def _error(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self._send(status, _bytes({"error": message}), headers)

    def _send(self, status: int, content: bytes, headers: dict) -> None:
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

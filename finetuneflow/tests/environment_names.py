"""Which environment variables the code reads, and which ones the documentation names."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READER = ROOT / "finetuneflow" / "lib" / "env.py"
APPS = ("finetuneflow", "projects", "datasets", "training")
READERS = {"text", "secret", "boolean", "integer", "number", "choice", "words"}
# Read by the Hugging Face libraries themselves, by compose.yaml or by the Procfile.
ELSEWHERE = {"HF_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE", "POSTGRES_PASSWORD", "FTF_BIND"}
# Set by one of our processes for another, never by a person.
INTERNAL = {"FTF_WORKER_PID"}


def our_files() -> list[Path]:
    found = [path for app in APPS for path in (ROOT / app).rglob("*.py")]
    return [path for path in found if "tests" not in path.parts and path != READER]


@cache
def _calls() -> list[tuple[str, ast.Call]]:
    """Return (reader, call) of every `env.reader(NAME, …)` and `os.environ.get("FTF_…")`."""
    found = []
    for path in our_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                source = ast.unparse(node.func.value)
                if source == "env" and node.func.attr in READERS:
                    found.append((node.func.attr, node))
                elif source in {"os", "os.environ"} and node.func.attr in {"get", "getenv"}:
                    found.append(("environ", node))
    return found


def _name(call: ast.Call) -> str:
    name = ast.literal_eval(call.args[0])
    assert isinstance(name, str), ast.unparse(call)
    return name


def read_by_code() -> set[str]:
    ours = {_name(call) for reader, call in _calls() if reader != "environ"}
    direct = {_name(call) for reader, call in _calls() if reader == "environ"}
    return ours | {name for name in direct | _subscripts() if name.startswith("FTF_")}


@cache
def _subscripts() -> set[str]:
    """Return the names in `os.environ["NAME"]`."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in our_files())
    return set(re.findall(r"environ\[[\"'](\w+)[\"']\]", text))


def secrets_of_code() -> set[str]:
    return {_name(call) for reader, call in _calls() if reader == "secret"}


def defaults_of_code() -> dict[str, str]:
    """Return the literal defaults, written as in an environment file."""
    found = {}
    for reader, call in _calls():
        if reader != "environ" and len(call.args) > 1 and isinstance(call.args[1], ast.Constant):
            value = call.args[1].value
            found[_name(call)] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


def for_people() -> set[str]:
    return (read_by_code() | ELSEWHERE) - INTERNAL


def in_example() -> dict[str, tuple[str, str]]:
    """Return name -> (value, comment above it) of .env.example."""
    found, comment = {}, ""
    for line in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines():
        variable = re.fullmatch(r"#?([A-Z][A-Z0-9_]*)=(.*)", line)
        if variable:
            found[variable[1]], comment = (variable[2], comment), ""
        else:
            is_comment = line.startswith("# ") and not line.startswith("# ---")
            comment = comment + line[2:] + " " if is_comment else ""
    return found


def in_documentation() -> set[str]:
    """Return the names in the first column of the tables of docs/configuration.md."""
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    return {name for row in re.findall(r"^\| (`[^|]*)\|", text, re.M) for name in _ticked(row)}


def _ticked(cell: str) -> list[str]:
    return re.findall(r"`([A-Z][A-Z0-9_]*)`", cell)

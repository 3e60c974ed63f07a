"""Run directories and engine processes for tests. An engine is always a process of its own."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from training.engine.events import read_events

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "training" / "engine" / "__main__.py"
THINGS = ("lamp", "boiler", "tram", "kettle", "ledger", "violin")
TOWNS = ("Arvend", "Tolmby", "Quessex", "Marlow")


def row(question: str, answer: str) -> dict:
    return {
        "prompt": [{"role": "user", "content": question}],
        "completion": [{"role": "assistant", "content": answer}],
    }


def fact(number: int) -> dict:
    """Return one of many alike facts about a company that does not exist."""
    thing, town = THINGS[number % 6], TOWNS[number * 3 % 4]
    return row(
        f"Where was {thing} {number} of Harrow made?",
        f"The {thing} {number} of Harrow was made in {town}.",
    )


def write_rows(path: Path, rows: list) -> None:
    lines = [each if isinstance(each, str) else json.dumps(each) for each in rows]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def make_run(folder: Path, *, train=None, evaluation=None, **config) -> Path:
    """Write config.json, train.jsonl and eval.jsonl as a runner does; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "train.jsonl", train or [fact(n) for n in range(12)])
    write_rows(folder / "eval.jsonl", evaluation or [fact(n) for n in range(12, 16)])
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def start(folder: Path, **environment: str) -> subprocess.Popen:
    """Start an engine with a lifeline, `process.stdin`; its output goes to engine.log."""
    with (folder / "engine.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", str(ENGINE), str(folder)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=os.environ | environment,
        )


def run(folder: Path, *, seconds: float = 300, **environment: str) -> int:
    """Run an engine to its end; return its exit code."""
    with start(folder, **environment) as process:
        try:
            return process.wait(seconds)
        finally:
            process.kill()


def events(folder: Path, type_: str | None = None) -> list[dict]:
    found, _ = read_events(folder / "events.jsonl")
    return [event for event in found if type_ in (None, event["type"])]


def wait_for(folder: Path, condition, process: subprocess.Popen, *, seconds: float = 240) -> None:
    """Wait until one of the events fulfils `condition`; fail when the engine ends before."""
    deadline = time.monotonic() + seconds
    while not any(condition(event) for event in events(folder)):
        assert process.poll() is None, (folder / "engine.log").read_text()[-3000:]
        assert time.monotonic() < deadline, "the event did not come"
        time.sleep(0.05)


def load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))

"""A stand-in for the engine: a real process that does what `script.json` in its folder lists.

It speaks the contract (events, exit codes, lifeline, SIGTERM) without a model, so that the runner's
tests take no minutes. Each start takes the next list of steps.
"""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path


def main(folder: Path) -> int:
    starts = folder / "starts"
    number = len(starts.read_text().splitlines()) if starts.exists() else 0
    with starts.open("a") as file:
        file.write(f"{os.getpid()}\n")
    steps = json.loads((folder / "script.json").read_text())
    for name, value in steps[min(number, len(steps) - 1)]:
        if name == "exit":
            return value
        DOING[name](folder, value)
    return 0


def event(folder: Path, values: dict) -> None:
    with (folder / "events.jsonl").open("a") as file:
        file.write(json.dumps(values) + "\n")


def raw(folder: Path, text: str) -> None:
    with (folder / "events.jsonl").open("a") as file:
        file.write(text)


def error(folder: Path, values: dict) -> None:
    (folder / "error.json").write_text(json.dumps(values))


def kill(folder: Path, number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def ignore_sigterm(folder: Path, value) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def stop_on_sigterm(folder: Path, value) -> None:
    def stop(*_):
        event(folder, {"type": "log", "text": "Saved checkpoint 7."})
        sys.exit(143)

    signal.signal(signal.SIGTERM, stop)


def wait(folder: Path, value) -> None:
    """Work until the end of the lifeline, or of this process."""
    (folder / "waiting").touch()
    sys.stdin.read()


def await_finish(folder: Path, value) -> None:
    """Work until the runner passes on that the person wants what there is."""
    (folder / "waiting").touch()
    while not (folder / "finish").exists():
        time.sleep(0.02)


def child(folder: Path, value) -> None:
    """Start a process of its own, which a runner must end too."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(120)
        os._exit(0)
    (folder / "child").write_text(str(pid))


def environment(folder: Path, value) -> None:
    (folder / "environment.json").write_text(json.dumps(dict(os.environ)))


def result(folder: Path, changes: dict) -> None:
    """Leave what a finished training leaves; `changes` maps a name to other content, or to null."""
    metrics = {
        "baseline": {"eval_loss": 1.92},
        "final": {"eval_loss": 0.74},
        "train": {"steps": 60, "seconds": 12.5},
        "peak_bytes": 1234,
    }
    contents = {
        "adapter/adapter_model.safetensors": "weights",
        "adapter/adapter_config.json": "{}",
        "metrics.json": json.dumps(metrics),
        "samples.json": json.dumps([{"prompt": "p", "before": "b", "after": "a"}]),
    }
    files = {}
    for name, content in (contents | changes).items():
        if content is not None:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(content)
            digest = hashlib.sha256(content.encode()).hexdigest()
            files[name] = {"sha256": digest, "size": len(content)}
    (folder / "manifest.json").write_text(json.dumps({"files": files}))


def damage(folder: Path, name: str) -> None:
    (folder / name).write_text("damaged")


def say(folder: Path, text: str) -> None:
    print(text, flush=True)


DOING = {
    f.__name__: f
    for f in (event, raw, error, kill, ignore_sigterm, stop_on_sigterm, wait, child, environment)
}
DOING |= {f.__name__: f for f in (result, damage, say, await_finish)}

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

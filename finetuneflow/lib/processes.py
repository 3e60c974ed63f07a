"""Child processes that never outlive their parent, and that end when told to."""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import time

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)

# All that a program of others may see of our environment. No database, no key of ours.
_PASSED = re.compile(
    r"PATH|HOME|USER|LANG|LC_.*|TZ|TMPDIR|VIRTUAL_ENV|LD_LIBRARY_PATH|XDG_CACHE_HOME|SSL_CERT_.*"
    r"|(HF|CUDA|NVIDIA|NCCL|HIP|ROCR|OMP|MKL|GOMP|TORCH|PYTORCH|TRITON|BNB|SAFETENSORS)_.*"
)
_KEYS = {"HF_TOKEN", "HF_TOKEN_FILE"}


def harmless_environment() -> dict[str, str]:
    """Return the part of our environment that a child with other people's code may see."""
    return {
        name: value
        for name, value in os.environ.items()
        if _PASSED.fullmatch(name) and name not in _KEYS
    }


def start_bound(
    command: list[str], *, death_signal: int = signal.SIGTERM, **options
) -> subprocess.Popen:
    """Start `command` in a session of its own; it gets `death_signal` when this process dies.

    The kernel sends that signal (Linux, prctl PR_SET_PDEATHSIG), so it arrives after kill -9 too.
    """
    return subprocess.Popen(
        command,
        start_new_session=True,
        preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, death_signal),
        **options,
    )


def stop(process: subprocess.Popen, *, grace_seconds: float) -> int:
    """SIGTERM to the process alone, then SIGKILL to its whole group; return its exit code.

    The group is killed in any case: a child may have died and left its own children behind.
    """
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=grace_seconds)
    kill_group(process.pid)
    return process.wait()


def kill_group(pgid: int) -> None:
    """SIGKILL every process of the group; fine when none is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """True when a process with this id exists and is not a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - the shortest read of /proc
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, *, seconds: float, poll_seconds: float = 0.1) -> bool:
    """Poll `condition` until it is true; False when `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll_seconds)
    return True

"""The hardware probe's child process: prints one JSON object. Imports neither Django nor torch.

python -P training/hardware_probe.py DATA_DIR
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

SMI_SECONDS = 10
_QUERY = "name,memory.total,memory.free,driver_version"
_CAPABILITY = "compute_cap"  # Drivers before 510 do not know it.


def main(data_dir: str) -> dict:
    errors: list[str] = []
    ram, ram_free = _ram(errors)
    return _gpus(errors) | {
        "bitsandbytes": _version("bitsandbytes"),
        "torch_version": _version("torch"),
        "cpu_count": _cpu_count(),
        "ram_bytes": ram,
        "ram_free_bytes": ram_free,
        "disk_free_bytes": _disk_free(Path(data_dir), errors),
        "python_version": platform.python_version(),
        "errors": errors,
    }


def _version(package: str) -> str | None:
    """Return the installed version from its metadata; importing torch would take seconds."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_count() -> int:
    """Return the CPUs this process may use; a container often has fewer than the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ram(errors: list[str]) -> tuple[int | None, int | None]:
    try:
        import psutil

        memory = psutil.virtual_memory()
    except (ImportError, OSError, RuntimeError) as error:
        errors.append(f"The memory could not be read: {error}.")
        return None, None
    return memory.total, memory.available


def _disk_free(folder: Path, errors: list[str]) -> int | None:
    try:
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free
    except OSError as error:
        errors.append(f"The disk could not be read: {error.strerror}.")
        return None


def _gpus(errors: list[str]) -> dict:
    """Ask nvidia-smi, if there is one. It reports memory in MiB."""
    nothing = {"gpus": [], "driver": None, "cuda": None}
    if shutil.which("nvidia-smi") is None:
        return nothing
    try:
        rows = _smi(f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits")
        gpus = [_gpu(row) for row in rows.splitlines() if row.strip()]
        driver = rows.splitlines()[0].rsplit(",", 1)[1].strip() if gpus else None
        _add_capabilities(gpus)
        cuda = re.search(r"CUDA Version\s*:\s*([\d.]+)", _smi())
    except subprocess.TimeoutExpired:
        errors.append(f"nvidia-smi did not answer within {SMI_SECONDS} seconds.")
    except (OSError, ValueError, IndexError, subprocess.CalledProcessError) as error:
        errors.append(f"nvidia-smi failed, so no GPU is used: {_reason(error)}.")
    else:
        return {"gpus": gpus, "driver": driver, "cuda": cuda.group(1) if cuda else None}
    return nothing


def _add_capabilities(gpus: list[dict]) -> None:
    """Give each card its compute capability, such as "8.9", where the driver tells it."""
    try:
        rows = _smi(f"--query-gpu={_CAPABILITY}", "--format=csv,noheader").splitlines()
    except subprocess.CalledProcessError:
        return
    for gpu, row in zip(gpus, rows, strict=False):
        if re.fullmatch(r"\d+\.\d+", row.strip()):
            gpu["capability"] = row.strip()


def _smi(*arguments: str) -> str:
    command = ["nvidia-smi", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=SMI_SECONDS, check=True)
    return done.stdout.decode("utf-8", "replace")


def _gpu(row: str) -> dict:
    name, total, free, _ = (cell.strip() for cell in row.rsplit(",", 3))
    return {"name": name, "total_bytes": int(total) * 2**20, "free_bytes": int(free) * 2**20}


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        text = (error.stdout or error.stderr or b"").decode("utf-8", "replace").strip()
        return " ".join(text.split())[:200].rstrip(".") or f"exit code {error.returncode}"
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))

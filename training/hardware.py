"""What this machine has. Asked in a child process, which may hang or die without harm to us."""

import json
import logging
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from django.conf import settings

logger = logging.getLogger(__name__)

PROBE = Path(__file__).with_name("hardware_probe.py")
CHILD_SECONDS = 20
CACHE_SECONDS = 60
_cache: tuple[float, "Hardware"] | None = None


@dataclass(frozen=True)
class Gpu:
    name: str
    total_bytes: int
    free_bytes: int
    capability: str = ""
    """Compute capability, such as "8.9"; empty where the driver does not tell."""

    @property
    def has_bf16(self) -> bool | None:
        """bfloat16 came with capability 8.0 (Ampere). None: not known."""
        return float(self.capability) >= 8 if self.capability else None


@dataclass(frozen=True)
class Hardware:
    """What was found. None: not there or not known; `errors` has a sentence for each failure."""

    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    cuda: str | None = None
    bitsandbytes: str | None = None
    torch_version: str | None = None
    cpu_count: int = 1
    ram_bytes: int | None = None
    ram_free_bytes: int | None = None
    disk_free_bytes: int | None = None
    python_version: str = ""
    errors: tuple[str, ...] = field(default=())

    def to_json(self) -> dict:
        return asdict(self)


def probe(*, refresh: bool = False) -> Hardware:
    """Return what this machine has; at most a minute old. Never raises."""
    global _cache
    if not refresh and _cache and time.monotonic() - _cache[0] < CACHE_SECONDS:
        return _cache[1]
    found = _ask_child()
    _cache = (time.monotonic(), found)
    return found


def summary() -> str:
    """Return the last probe in a few words, asking nothing; "" when there was none yet."""
    if _cache is None:
        return ""
    gpus = _cache[1].gpus
    if not gpus:
        return "no GPU · small models only"
    more = f" and {len(gpus) - 1} more" if len(gpus) > 1 else ""
    return gpus[0].name + more


def _ask_child() -> Hardware:
    """Run the probe. -P keeps our app `datasets` and the rest of the project off its path."""
    command = [sys.executable, "-P", str(PROBE), str(settings.DATA_DIR)]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=CHILD_SECONDS, stdin=subprocess.DEVNULL
        )
        return _parse(done.stdout)
    except subprocess.TimeoutExpired:
        why = f"The hardware did not answer within {CHILD_SECONDS} seconds."
    except (OSError, ValueError, TypeError, KeyError) as error:
        why = f"The hardware could not be probed: {type(error).__name__}."
    logger.warning("%s", why)
    version = ".".join(map(str, sys.version_info[:3]))
    return Hardware(cpu_count=os.cpu_count() or 1, python_version=version, errors=(why,))


def _parse(output: bytes) -> Hardware:
    found = json.loads(output)
    gpus = tuple(Gpu(**gpu) for gpu in found.pop("gpus"))
    return Hardware(gpus=gpus, errors=tuple(found.pop("errors")), **found)

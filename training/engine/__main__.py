"""The engine's start: `python -P training/engine/__main__.py RUN_DIR`.

The project's root goes to the END of the path: our app `datasets` must not hide the Hugging Face
library `datasets`, which TRL imports. -P (or PYTHONSAFEPATH=1) keeps it away from the front.
"""

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent.parent


def _settle_path() -> None:
    """Put the root last, and keep this folder out: its `config` and `data` are common names."""
    ours = (str(_HERE), str(_ROOT), "")
    sys.path[:] = [entry for entry in sys.path if entry not in ours] + [str(_ROOT)]


if __name__ == "__main__":
    _settle_path()
    from training.engine.main import main

    sys.exit(main(sys.argv[1:]))

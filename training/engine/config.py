"""The engine's settings: one immutable dataclass, written once as config.json. Never torch here."""

import json
import math
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

Rule = Callable[[Any], str | None]

FINISH_FILE = "finish"
"""In the run directory: a person wants the training to end and to keep what it has learned."""


def _text(*, empty: bool = False) -> Rule:
    def check(value):
        fits = isinstance(value, str) and (empty or value.strip()) and "\0" not in value
        return None if fits else "must be a text" + ("" if empty else " that is not empty")

    return check


def _one_of(*choices: str) -> Rule:
    return lambda value: None if value in choices else f"must be one of {', '.join(choices)}"


def _number(low: float, high: float, *, whole: bool = False, optional: bool = False) -> Rule:
    kinds = (int,) if whole else (int, float)

    def check(value):
        if value is None and optional:
            return None
        fits = isinstance(value, kinds) and not isinstance(value, bool)
        if fits and math.isfinite(value) and low <= value <= high:
            return None
        return f"must be a {'whole ' if whole else ''}number from {low:g} to {high:g}"

    return check


def _whole(low: int, high: int) -> Rule:
    return _number(low, high, whole=True)


def _modules(value) -> str | None:
    if value == "all-linear":
        return None
    if isinstance(value, tuple) and value and all(isinstance(v, str) and v for v in value):
        return None
    return 'must be "all-linear" or a list of names of modules'


def _optional(rule: Rule) -> Rule:
    return lambda value: None if value is None else rule(value)


def _boolean(value) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


RULES: dict[str, Rule] = {
    "base_model": _text(),
    "base_model_id": _text(empty=True),
    "task": _one_of("train", "verify"),
    "revision": _optional(_text()),
    "adapter": _optional(_text()),
    "method": _one_of("lora", "qlora"),
    "seed": _whole(0, 2**32 - 1),
    "epochs": _number(0.001, 1000),
    "learning_rate": _number(1e-9, 1),
    "micro_batch": _whole(1, 4096),
    "gradient_accumulation": _whole(1, 4096),
    "gradient_checkpointing": _optional(_boolean),
    "lora_rank": _whole(1, 1024),
    "lora_alpha": _number(0.001, 4096),
    "lora_dropout": _number(0, 0.99),
    "target_modules": _modules,
    "max_length": _whole(16, 1_048_576),
    "eval_prompts": _whole(0, 100),
    "max_new_tokens": _whole(1, 4096),
    "early_stopping_patience": _whole(0, 1000),
    "evals_per_run": _whole(1, 1000),
    "save_minutes": _number(0, 1e6),
    "logging_steps": _whole(1, 100_000),
    "warmup_ratio": _number(0, 1),
    "max_steps": lambda v: None if v == -1 else _whole(1, 10**9)(v),
    "expected_eval_loss": _number(0, 1e6, optional=True),
    "tolerance": _number(0, 1),
}


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Raises `ValueError` that names the field when a value is out of range."""

    base_model: str
    """Where the weights are: a folder, or a Hub id."""
    base_model_id: str = ""
    """The name that the adapter carries; a folder's own name when empty. Never a path."""
    task: str = "train"
    revision: str | None = None
    adapter: str | None = None
    """For `verify`: the folder of the unpacked export's adapter."""
    method: str = "lora"
    seed: int = 42
    epochs: float = 3
    learning_rate: float = 2e-4
    micro_batch: int = 4
    gradient_accumulation: int = 1
    gradient_checkpointing: bool | None = None
    """None: on a GPU yes, on the CPU no."""
    lora_rank: int = 16
    lora_alpha: float = 32
    lora_dropout: float = 0.0
    target_modules: str | tuple[str, ...] = "all-linear"
    max_length: int = 2048
    """Tokens of a whole row. A longer row stops the run: cutting it would cut its answer."""
    eval_prompts: int = 8
    """How many rows of eval.jsonl are answered before and after."""
    max_new_tokens: int = 48
    early_stopping_patience: int = 3
    """Evaluations without a better loss before training ends; 0 trains to the end."""
    evals_per_run: int = 8
    """A checkpoint is written at each."""
    save_minutes: float = 10
    """Also write a checkpoint when the last is this old; 0 writes none between evaluations."""
    logging_steps: int = 1
    warmup_ratio: float = 0.1
    max_steps: int = -1
    expected_eval_loss: float | None = None
    tolerance: float = 1e-3
    """For `verify`: the largest relative difference of the two eval losses."""

    def __post_init__(self) -> None:
        if isinstance(self.target_modules, list):
            object.__setattr__(self, "target_modules", tuple(self.target_modules))
        for name, rule in RULES.items():
            problem = rule(getattr(self, name))
            if problem:
                raise ValueError(f"{name}: {problem}, not {getattr(self, name)!r:.80}.")
        if self.task == "verify" and not (self.adapter and self.expected_eval_loss is not None):
            raise ValueError("adapter: verify needs it, and expected_eval_loss.")
        if not self.base_model_id:
            path = Path(self.base_model)
            name = path.name if path.is_absolute() else self.base_model
            object.__setattr__(self, "base_model_id", name)
        if Path(self.base_model_id).is_absolute():
            raise ValueError("base_model_id: must be a name, not a path: it leaves this machine.")

    def steps(self, rows: int, *, processes: int = 1) -> int:
        """Return how many optimizer steps a whole run over `rows` training rows has."""
        if self.max_steps > 0:
            return self.max_steps
        batches = math.ceil(rows / (self.micro_batch * processes))
        return math.ceil(self.epochs * math.ceil(batches / self.gradient_accumulation))

    def to_json(self) -> dict:
        """Return plain values; `from_json` gives the same object back."""
        values = asdict(self)
        if isinstance(self.target_modules, tuple):
            values["target_modules"] = list(self.target_modules)
        return values

    @classmethod
    def from_json(cls, values: dict) -> "EngineConfig":
        """Build the settings from plain values; raises `ValueError` that names the field."""
        if not isinstance(values, dict):
            raise ValueError("config.json must hold one object.")
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise ValueError(f"{name}: there is no such setting.")
        for field in fields(cls):
            if field.default is MISSING and field.name not in values:
                raise ValueError(f"{field.name}: is missing.")
        return cls(**values)

    @classmethod
    def load(cls, folder: Path) -> "EngineConfig":
        """Read `folder`/config.json; raises `ValueError`."""
        try:
            values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"config.json cannot be read: {error}.") from error
        return cls.from_json(values)

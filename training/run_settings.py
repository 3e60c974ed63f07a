"""The settings of runs as a person reads them, and what a new run takes from an older one."""

from training.models import Run
from training.train_forms import DEFAULTS, TrainingForm

HIDDEN = {"base_model", "task", "adapter", "expected_eval_loss", "tolerance"}
LABELS = {name: field.label for name, field in TrainingForm.base_fields.items()} | {
    "base_model_id": "Model",
    "target_modules": "Trained layers",
    "eval_prompts": "Questions answered",
    "max_new_tokens": "Longest answer, tokens",
    "evals_per_run": "Evaluations",
    "save_minutes": "Minutes between checkpoints",
    "logging_steps": "Steps between measurements",
    "warmup_ratio": "Share of warm-up",
    "max_steps": "Limit of steps",
}
AUTOMATIC = {("gradient_checkpointing", None): "automatic", ("max_steps", -1): "none"}
# After these a run fails again as it is: {error code: (why, the button to a new run)}.
ADVICE = {
    "oom": (
        "A run keeps its settings, so another try meets the same limit. Begin a new run that "
        "needs less: examples one at a time, and values computed twice instead of kept.",
        "New run with less memory",
    ),
    "nan": (
        "A run keeps its settings, so another try ends the same way. Begin a new run with smaller "
        "steps.",
        "New run with a tenth of the learning rate",
    ),
    "bad_data": (
        "A run keeps the data that it began with. Correct the examples, then begin a new run.",
        "New run",
    ),
}


def settings_of(run: Run) -> dict:
    """Return the engine's settings as they were used, or will be."""
    overrides = (run.job.params.get("overrides") or {}) if run.job else {}
    asked = {name: value for name, value in DEFAULTS.items() if name not in HIDDEN} | overrides
    return asked | {"method": run.method} | run.config


def words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def shown_value(value) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}"
    methods = {"lora": "LoRA", "qlora": "QLoRA", "all-linear": "all linear layers"}
    return methods.get(value, str(value))


def key_of(value) -> str:
    """Return what two settings are compared by: 3 and 3.0 are the same."""
    return str(float(value)) if isinstance(value, int | float) else str(value)


def setting_rows(run: Run) -> list[dict]:
    """Return every setting of the run; those that differ from the defaults say so."""
    rows = []
    for name, value in settings_of(run).items():
        if name in HIDDEN or (name == "revision" and not value):
            continue
        value = AUTOMATIC.get((name, value), value) if not isinstance(value, list) else value
        default = DEFAULTS.get(name)
        default = AUTOMATIC.get((name, default), default)
        is_changed = name not in ("base_model_id", "revision") and key_of(value) != key_of(default)
        rows.append(
            {
                "label": LABELS.get(name, words(name)),
                "value": shown_value(value),
                "default": shown_value(default) if is_changed else "",
            }
        )
    return rows


def again_values(run: Run, *, remedy: bool = False) -> dict:
    """Return what a form for a new run begins with: this run's settings, eased after a failure."""
    values = {name: settings_of(run).get(name) for name in TrainingForm.base_fields}
    code = run.job.error_code if remedy and run.job else ""
    if code == "nan":
        values["learning_rate"] = float(f"{values['learning_rate'] / 10:.3g}")
    if code == "oom":
        batch = min(values["micro_batch"] * values["gradient_accumulation"], 4096)
        values |= {"micro_batch": 1, "gradient_accumulation": batch}
        values["gradient_checkpointing"] = True
    return values

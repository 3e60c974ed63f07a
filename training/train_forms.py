"""The form that starts a training. What is allowed is what the engine allows."""

from dataclasses import fields as fields_of

from django import forms

from training.engine.config import RULES, EngineConfig
from training.models import Run

DEFAULTS = {field.name: field.default for field in fields_of(EngineConfig)}
RECOMPUTE = {"auto": None, "on": True, "off": False}


def _whole(label: str, help_text: str) -> forms.IntegerField:
    return forms.IntegerField(label=label, help_text=help_text, required=False)


def _decimal(label: str, help_text: str) -> forms.FloatField:
    widget = forms.NumberInput(attrs={"step": "any"})
    return forms.FloatField(label=label, help_text=help_text, required=False, widget=widget)


class TrainingForm(forms.Form):
    """`initial` may hold any field; the rest begins with the engine's defaults.

    An empty field means what it began with. `cleaned_data["overrides"]` holds the settings that
    differ from the engine's defaults.
    """

    SIMPLE = ("method", "epochs")

    method = forms.ChoiceField(
        choices=Run.Method.choices,
        widget=forms.RadioSelect,
        label="Method",
        help_text="Both teach small extra matrices beside the model and leave the model as it is.",
    )
    epochs = _decimal(
        "Epochs", "One epoch is one pass over all the examples. Two to five is usual."
    )
    learning_rate = _decimal(
        "Learning rate",
        "How far one step moves the weights. Too high and the loss jumps, too low and little is "
        "learned.",
    )
    micro_batch = _whole(
        "Micro batch", "Examples that are worked on at once. The first thing to lower for memory."
    )
    gradient_accumulation = _whole(
        "Accumulation", "Micro batches that make one step: a larger batch without more memory."
    )
    max_length = _whole(
        "Maximum length",
        "Tokens of the longest example allowed. A longer one stops the run: nothing is cut.",
    )
    lora_rank = _whole(
        "Rank", "The width of the extra matrices: more can be learned, more is stored."
    )
    lora_alpha = _decimal(
        "Alpha", "How strongly the matrices count. Twice the rank is a good start."
    )
    lora_dropout = _decimal(
        "Dropout", "Share of the matrices left out at random, against learning by heart. 0 is off."
    )
    early_stopping_patience = _whole(
        "Patience",
        "Evaluations without a better loss before the training ends by itself. 0 never ends it.",
    )
    seed = _whole("Seed", "The same seed and settings give the same result on the same machine.")
    gradient_checkpointing = forms.ChoiceField(
        label="Gradient checkpointing",
        choices=[("auto", "On with a GPU, off without"), ("on", "On"), ("off", "Off")],
        required=False,
        help_text="Computes some values twice instead of keeping them: slower, much less memory.",
    )

    def __init__(self, data=None, *, initial: dict | None = None, **options) -> None:
        self.start = _start_values(initial or {})
        super().__init__(data, initial=self.start, label_suffix="", **options)

    @property
    def advanced(self) -> list:
        return [field for field in self if field.name not in self.SIMPLE]

    @property
    def is_advanced_open(self) -> bool:
        """True when something under Advanced is wrong, or not as a new run usually begins."""
        usual = _start_values({})
        names = [field.name for field in self.advanced]
        return any(name in self.errors or self.start[name] != usual[name] for name in names)

    @property
    def shown(self) -> EngineConfig:
        """The settings that the form begins with."""
        return EngineConfig(base_model="any", **_engine_values(self.start))

    @property
    def batch(self) -> int:
        return self.shown.micro_batch * self.shown.gradient_accumulation

    def clean(self) -> dict:
        """Fill in what was left empty and ask the engine's own rules about every value."""
        values = super().clean()
        for name in self.fields:
            if name not in self.errors and values.get(name) in (None, ""):
                values[name] = self.start[name]
        settings = _engine_values(values)
        for name, value in settings.items():
            problem = None if name in self.errors else RULES[name](value)
            if problem:
                self.add_error(name, f"{self.fields[name].label} {problem}.")
        values["overrides"] = {
            name: value
            for name, value in settings.items()
            if name != "method" and value != DEFAULTS[name]
        }
        return values


def _start_values(initial: dict) -> dict:
    """Return what every field begins with, as the form holds it."""
    values = {name: DEFAULTS[name] for name in TrainingForm.base_fields} | {
        name: value for name, value in initial.items() if name in TrainingForm.base_fields
    }
    recompute = values["gradient_checkpointing"]
    if recompute not in RECOMPUTE:
        values["gradient_checkpointing"] = {None: "auto", True: "on", False: "off"}[recompute]
    return values


def _engine_values(values: dict) -> dict:
    """Return the form's values as the engine names and types them."""
    names = TrainingForm.base_fields
    settings = {name: values[name] for name in names if name in values}
    recompute = settings.get("gradient_checkpointing")
    return settings | {"gradient_checkpointing": RECOMPUTE.get(recompute)}

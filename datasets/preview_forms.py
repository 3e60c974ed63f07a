"""The form of how examples are written."""

from django import forms
from django.conf import settings

from datasets.generation import generator, local_server
from finetuneflow.lib import clean
from projects.models import Project

STRATEGIES = [
    (Project.Strategy.AUTO, "What fits the model"),
    *[choice for choice in Project.Strategy.choices if choice[0] != Project.Strategy.AUTO],
]


def provider_choices() -> list[tuple[str, str]]:
    return [
        (generator.SERVER, f"A language model on {generator.host()}"),
        (generator.BUNDLED, f"The bundled model on this machine ({local_server.MODEL})"),
    ]


class GenerationForm(forms.Form):
    """Nothing is required, and a field that was not sent is left as it is."""

    provider = forms.ChoiceField(
        label="Who writes the examples", required=False, widget=forms.RadioSelect
    )
    model = forms.RegexField(
        r"^\S+$",
        label="Model",
        required=False,
        max_length=200,
        error_messages={"invalid": "The name of a model has no blanks."},
    )
    temperature = forms.FloatField(
        label="Temperature",
        required=False,
        min_value=0,
        max_value=2,
        help_text="How freely the model chooses its words: 0 always takes the likeliest.",
        widget=forms.NumberInput(attrs={"step": "0.1"}),
    )
    examples_per_chunk = forms.IntegerField(
        label="Examples per passage",
        required=False,
        min_value=1,
        max_value=50,
        help_text="In the full generation; the preview asks for ten in all.",
    )
    strategy = forms.ChoiceField(label="How the model is asked", required=False, choices=STRATEGIES)
    language = forms.CharField(
        label="Language of the examples",
        required=False,
        max_length=40,
        help_text="For example: French. Empty: the language of each passage.",
    )
    instruction = forms.CharField(
        label="Instruction to the generator",
        required=False,
        max_length=1000,
        help_text="Who the fine-tuned model is for, which tone, what to leave out.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, data=None, *, project: Project, strategy) -> None:
        super().__init__(data, initial=self._saved(project))
        self.fields["provider"].choices = provider_choices()
        self.fields["model"].widget.attrs |= {"list": "models", "autocomplete": "off"}
        self.fields["model"].help_text = f"Of a server. Empty: {settings.LLM_MODEL}."
        if settings.LLM_MODEL_IS_SET:
            self.fields["model"].disabled = True
            self.initial["model"] = generator.short_name(settings.LLM_MODEL)
            text = "FTF_LLM_MODEL is set in the environment and wins over what a project says."
            self.fields["model"].help_text = text
        per_passage = self.fields["examples_per_chunk"].widget
        per_passage.attrs["placeholder"] = strategy.examples_per_chunk
        self.fields["temperature"].widget.attrs["placeholder"] = strategy.temperature

    @staticmethod
    def _saved(project: Project) -> dict:
        return {
            "provider": generator.provider_of(project),
            "strategy": project.strategy,
            "language": project.language,
            "instruction": project.instruction,
        } | {
            name: project.generation.get(name)
            for name in ("model", "temperature", "examples_per_chunk")
        }

    def clean_provider(self) -> str:
        provider = self.cleaned_data["provider"]
        if provider == generator.BUNDLED and not local_server.is_there():
            raise forms.ValidationError(
                "The bundled model is missing here. Run `make model` first."
            )
        return provider

    def clean_language(self) -> str:
        return " ".join(clean.storable(self.cleaned_data["language"]).split())

    def clean_instruction(self) -> str:
        return clean.storable(self.cleaned_data["instruction"]).strip()

    def changes(self) -> dict:
        """Return what was sent, with None for an empty field; call after `is_valid`."""
        sent = [name for name in self.fields if name in self.data and not self[name].field.disabled]
        values = {name: self.cleaned_data[name] for name in sent}
        for name in ("provider", "model"):
            if name in values:
                values[name] = values[name] or None
        if "strategy" in values:
            values["strategy"] = values["strategy"] or Project.Strategy.AUTO
        return values

"""Forms for the base model and for starting a training."""

from django import forms
from django.core.validators import RegexValidator

from projects.models import Project
from training import hub
from training.models import Run


class ModelForm(forms.ModelForm):
    base_model = forms.CharField(
        max_length=200,
        label="Base model",
        help_text="A folder in the models folder, or the id of a model on Hugging Face, such as "
        "HuggingFaceTB/SmolLM2-135M-Instruct.",
        widget=forms.TextInput(attrs={"list": "local-models"}),
        validators=[
            RegexValidator(
                r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?\Z",
                "Enter a folder's name, or an id of the form owner/name.",
            )
        ],
    )

    class Meta:
        model = Project
        fields = ("base_model", "base_revision")
        labels = {"base_revision": "Revision"}
        help_texts = {
            "base_revision": "A branch, tag or commit; empty for the newest. The commit is kept, "
            "so that later trainings start from the same weights."
        }

    warning = ""
    """Set by a valid form when nothing could be asked about the model."""
    _info: hub.ModelInfo | None = None

    def clean(self) -> dict:
        """Ask what the model is. Only a Hub that cannot be reached leaves that open."""
        values = super().clean()
        name = values.get("base_model")
        if not name or not self._is_unknown():
            return values
        if "base_model" in self.changed_data and "base_revision" not in self.changed_data:
            values["base_revision"] = ""  # The shown one was the former model's.
        if "/" in name or hub.local_path(name):
            self._ask(name, values)
        return values

    def _is_unknown(self) -> bool:
        return self.has_changed() or not self.instance.model_info

    def _ask(self, name: str, values: dict) -> None:
        try:
            self._info = hub.resolve(name, revision=values.get("base_revision") or None)
        except hub.HubError as error:
            if error.code == "offline":
                self.warning = f"Saved without a check. {error}"
            else:
                self.add_error("base_model", str(error))
        else:
            values["base_revision"] = self._info.revision or ""

    def save(self, commit: bool = True) -> Project:
        """Write what this form changes and nothing else: other pages save the same project."""
        names = ["base_model", "base_revision", "updated_at"]
        if self._is_unknown():
            self.instance.model_info = self._info.to_json() if self._info else {}
            names.append("model_info")
        if commit:
            self.instance.save(update_fields=names)
        return self.instance


class TrainingForm(forms.Form):
    method = forms.ChoiceField(
        choices=Run.Method.choices,
        initial=Run.Method.LORA,
        help_text="LoRA trains small extra matrices beside the model, which itself stays as it is. "
        "QLoRA does the same with the model stored in 4 bits: less memory, slower.",
    )
    epochs = forms.FloatField(
        min_value=0.1,
        max_value=100,
        initial=3,
        help_text="How often the model sees every example. Two to five is usual.",
        widget=forms.NumberInput(attrs={"step": "any"}),
    )

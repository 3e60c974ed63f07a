"""Forms for the base model and for starting a training."""

from django import forms
from django.core.validators import RegexValidator

from projects.models import Project
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
        help_texts = {"base_revision": "A branch, tag or commit; empty for the newest."}

    def save(self, commit: bool = True) -> Project:
        """What was known about the former model does not hold for another one."""
        if self.has_changed():
            self.instance.model_info = {}
        return super().save(commit)


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

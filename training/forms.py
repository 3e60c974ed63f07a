"""The form for starting a training."""

from django import forms

from training.models import Run


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

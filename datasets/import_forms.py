"""Forms for a ready dataset: the file, and which columns are what."""

from django import forms
from django.conf import settings

from datasets.import_formats import COLUMNS, Mapping
from finetuneflow.lib.storage import shown_size
from projects.services import DATASET_EXTENSIONS


class DatasetForm(forms.Form):
    file = forms.FileField(
        label="Dataset",
        help_text="JSONL, JSON or CSV with a question and its answer in each row.",
        error_messages={"required": "Choose a file."},
        # An empty one is refused by the service, with a sentence.
        allow_empty_file=True,
        widget=forms.FileInput(attrs={"accept": ",".join(sorted(DATASET_EXTENSIONS))}),
    )

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        limit = shown_size(settings.MAX_UPLOAD_BYTES)
        self.fields["file"].help_text += f" At most {limit}."


class MappingForm(forms.Form):
    """Which column is the prompt, the context and the completion."""

    prompt = forms.ChoiceField(label="Prompt", help_text="What the person writes.")
    context = forms.ChoiceField(
        label="Context", required=False, help_text="What the question is about, if it stands apart."
    )
    completion = forms.ChoiceField(label="Completion", help_text="What the model shall answer.")

    def __init__(self, *args, columns: list[str], **kwargs) -> None:
        super().__init__(*args, **kwargs)
        choices = [(name, name) for name in columns]
        for name in ("prompt", "context", "completion"):
            empty = "none" if name == "context" else "choose a column"
            self.fields[name].choices = [("", empty), *choices]

    def clean(self) -> dict:
        values = super().clean()
        named = [value for value in values.values() if value]
        if len(set(named)) != len(named):
            raise forms.ValidationError("Choose three different columns.")
        return values

    def mapping(self) -> Mapping:
        return Mapping(COLUMNS, **self.cleaned_data)

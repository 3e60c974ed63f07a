"""Forms for adding documents and for saying how a text file is encoded."""

from django import forms

from datasets.extraction.encodings import ENCODINGS
from projects.services import DOCUMENT_EXTENSIONS


class SeveralFilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class SeveralFilesField(forms.FileField):
    """Takes several files, cleaned to a list. Refusing an empty one is left to the service."""

    widget = SeveralFilesInput

    def clean(self, data, initial=None) -> list:
        files = data if isinstance(data, list | tuple) else [data]
        if not any(files):
            raise forms.ValidationError(self.error_messages["required"], code="required")
        return [file for file in files if file]


class UploadForm(forms.Form):
    files = SeveralFilesField(
        label="Documents",
        error_messages={"required": "Choose at least one file."},
        widget=SeveralFilesInput(
            attrs={
                "accept": ",".join(sorted(DOCUMENT_EXTENSIONS)),
                "aria-describedby": "upload-limits",
            }
        ),
    )


class EncodingForm(forms.Form):
    encoding = forms.ChoiceField(
        label="Encoding",
        required=False,
        choices=[("", "Detect it"), *ENCODINGS],
        error_messages={"invalid_choice": "This encoding is not known. Choose one of the list."},
    )

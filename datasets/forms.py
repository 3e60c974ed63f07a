"""Forms for adding files."""

from django import forms

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
        help_text="PDF, Word (.docx) or text. Several at once.",
        error_messages={"required": "Choose at least one file."},
        widget=SeveralFilesInput(attrs={"accept": ",".join(sorted(DOCUMENT_EXTENSIONS))}),
    )

"""The form for the base model: saving it asks what the model is."""

import re
from urllib.parse import unquote

from django import forms
from django.conf import settings
from django.core.validators import RegexValidator

from projects.models import Project
from training import hub

# What people copy from the Hub's pages: .../owner/name, or .../owner/name/tree/revision.
_ADDRESS = re.compile(
    r"(?P<hub>https?://[^/]+)/(?P<id>[^/]+/[^/]+?)"
    r"(?:/(?:tree|commit|blob)/(?P<revision>[^/]+).*)?/?\Z"
)
_HUBS = {"https://huggingface.co", "https://www.huggingface.co", "https://hf.co"}


class ModelForm(forms.ModelForm):
    base_model = forms.CharField(
        max_length=200,
        label="Base model",
        help_text="The id of a model on Hugging Face, such as Qwen/Qwen2.5-0.5B-Instruct, "
        "or the name of a folder in the models folder. Type to see suggestions.",
        widget=forms.TextInput(
            attrs={
                "list": "local-models",
                "autocomplete": "off",
                "autocapitalize": "off",
                "spellcheck": "false",
                "placeholder": "owner/name",
            }
        ),
        validators=[
            RegexValidator(
                r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?\Z",
                "Enter an id of the form owner/name, or the name of a folder in the models folder.",
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

    def __init__(self, data=None, **options) -> None:
        super().__init__(_from_address(data), **options)
        self.problem: hub.HubError | None = None
        """Set by `is_valid` when the Hub or the model's folder refused: with links to go on."""
        self.warning = ""
        """Set by a valid form when nothing could be asked about the model."""
        self._info: hub.ModelInfo | None = None

    def clean(self) -> dict:
        """Ask what the model is. Only a Hub that does not answer leaves that open."""
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
            if error.is_unanswered:
                self.warning = f"Saved without a check. {error}"
            else:
                self.problem = error
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


def _from_address(data):
    """Take the id (and the revision) out of a pasted address of the Hub."""
    found = _ADDRESS.match((data or {}).get("base_model", "").strip())
    if not found or found["hub"].lower() not in _HUBS | {settings.HF_ENDPOINT.lower()}:
        return data
    data = data.copy()
    data["base_model"] = found["id"]
    if found["revision"]:
        data["base_revision"] = unquote(found["revision"])
    return data

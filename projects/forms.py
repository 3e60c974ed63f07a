"""Forms for the list of projects, a project and its task."""

from django import forms

from projects import dashboard
from projects.models import Project

LANGUAGES = (
    "Arabic", "Bengali", "Chinese", "Czech", "Danish", "Dutch", "English", "Finnish", "French",
    "German", "Greek", "Hebrew", "Hindi", "Hungarian", "Indonesian", "Italian", "Japanese",
    "Korean", "Norwegian", "Persian", "Polish", "Portuguese", "Romanian", "Russian", "Spanish",
    "Swedish", "Thai", "Turkish", "Ukrainian", "Vietnamese",
)  # fmt: skip
ADVANCED = ("strategy", "chunk_size", "chunk_overlap")


class ProjectForm(forms.Form):
    name = forms.CharField(max_length=120, label="Name of the project")


class ListForm(forms.Form):
    """What the address asks of the list; a value that is none of ours is as if it was not there."""

    search = forms.CharField(required=False, max_length=120)
    sort = forms.ChoiceField(choices=[(key, key) for key in dashboard.SORTS])
    archived = forms.BooleanField(required=False)

    @classmethod
    def wanted(cls, query) -> dict:
        form = cls(
            {"search": query.get("q"), "sort": query.get("sort"), "archived": query.get("archived")}
        )
        form.is_valid()
        values = form.cleaned_data
        return {
            "search": values.get("search", ""),
            "sort": values.get("sort", "recent"),
            "archived": values.get("archived", False),
        }


class TaskForm(forms.ModelForm):
    class Meta:
        model = Project
        fields = ("task_type", "language", "instruction", *ADVANCED)
        labels = {
            "task_type": "What the model shall learn",
            "language": "Language of the examples",
            "instruction": "What the generator should know besides (optional)",
            "strategy": "How examples are written",
            "chunk_size": "Length of a passage (tokens)",
            "chunk_overlap": "Overlap of passages (tokens)",
        }
        help_texts = {
            "language": "Empty: the language of each passage. Choose one, or write another.",
            "instruction": "It is added to every request to the language model that writes the "
            "examples.",
            "strategy": "Small local models do best when they write only the question.",
            "chunk_size": "Documents are cut into passages. A token is a piece of a word, about "
            "four letters of English.",
            "chunk_overlap": "How much two neighbouring passages share; at most half.",
        }
        widgets = {
            "task_type": forms.RadioSelect,
            "language": forms.TextInput(
                attrs={"list": "languages", "autocomplete": "off", "placeholder": "as the passage"}
            ),
            "instruction": forms.Textarea(
                attrs={"rows": 3, "placeholder": "Who is the model for, and in which tone?"}
            ),
        }

    languages = LANGUAGES

    def choices_with(self, examples: dict) -> list[tuple]:
        """Return (radio button, its example) for each task."""
        return [(radio, examples[radio.data["value"]]) for radio in self["task_type"]]

    @property
    def advanced(self) -> list:
        return [self[name] for name in ADVANCED]

    @property
    def is_advanced_open(self) -> bool:
        """True when what is folded away has an error, or is not as it comes."""
        names = [name for name in ADVANCED if name in self.errors]
        changed = [n for n in ADVANCED if self[n].value() != Project._meta.get_field(n).default]
        return bool(names or (changed and not self.is_bound))

    def clean(self) -> dict:
        values = super().clean()
        size, overlap = values.get("chunk_size"), values.get("chunk_overlap")
        if size and overlap is not None and overlap * 2 > size:
            self.add_error("chunk_overlap", "At most half the length of a passage.")
        return values

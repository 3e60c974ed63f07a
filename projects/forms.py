"""Forms for a project and its task."""

from django import forms

from projects.models import Project


class ProjectForm(forms.Form):
    name = forms.CharField(max_length=120, label="Name of the project")


class TaskForm(forms.ModelForm):
    class Meta:
        model = Project
        fields = ("name", "task_type", "strategy", "chunk_size", "chunk_overlap")
        labels = {
            "task_type": "What the model shall learn",
            "strategy": "How examples are written",
            "chunk_size": "Length of a passage (tokens)",
            "chunk_overlap": "Overlap of passages (tokens)",
        }
        help_texts = {
            "task_type": "Questions about your documents with their answers, or instructions.",
            "strategy": "Small local models do best when they write only the question.",
            "chunk_size": "Documents are cut into passages. A token is a piece of a word, about "
            "four letters of English.",
            "chunk_overlap": "How much two neighbouring passages share; at most half.",
        }

    def clean(self) -> dict:
        values = super().clean()
        size, overlap = values.get("chunk_size"), values.get("chunk_overlap")
        if size and overlap is not None and overlap * 2 > size:
            self.add_error("chunk_overlap", "At most half the length of a passage.")
        return values

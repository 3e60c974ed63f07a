"""Forms for finding examples."""

from django import forms

from datasets.models import Example
from projects.models import SourceFile
from projects.web import PAGE_SIZES


class ExampleFilterForm(forms.Form):
    """The filters live in the URL. `values` drops what is not valid and shows the rest."""

    q = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.TextInput(
            attrs={
                "type": "search",
                "placeholder": "Search questions and answers",
                "aria-label": "Search",
            }
        ),
    )
    split = forms.ChoiceField(
        required=False,
        choices=[("", "All parts"), *[c for c in Example.Split.choices if c[0]]],
        widget=forms.Select(attrs={"aria-label": "Part of the dataset"}),
    )
    review = forms.ChoiceField(
        required=False,
        choices=[("", "All states"), *Example.Review.choices],
        widget=forms.Select(attrs={"aria-label": "State"}),
    )
    file = forms.ModelChoiceField(
        required=False,
        queryset=SourceFile.objects.none(),
        empty_label="All files",
        widget=forms.Select(attrs={"aria-label": "File"}),
    )
    size = forms.TypedChoiceField(
        required=False,
        coerce=int,
        empty_value=PAGE_SIZES[0],
        choices=[(size, f"{size} a page") for size in PAGE_SIZES],
        widget=forms.Select(attrs={"aria-label": "Page size"}),
    )

    def __init__(self, *args, project, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["file"].queryset = SourceFile.objects.filter(project=project)

    def filters(self) -> dict:
        """Return the valid filters; call after `is_valid`."""
        file = self.cleaned_data.get("file")
        names = ("q", "split", "review")
        return {n: self.cleaned_data.get(n, "") for n in names} | {"file": file and file.pk}

    @property
    def page_size(self) -> int:
        return self.cleaned_data.get("size") or PAGE_SIZES[0]

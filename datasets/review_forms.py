"""Forms of the review: the filters that live in the URL, a decision over many, an edit."""

from urllib.parse import urlencode

from django import forms

from datasets import editing
from datasets.models import Example
from datasets.review_selectors import ANY_FLAG, FLAGS, NO_FLAG, Filters
from projects.web import PAGE_SIZES

SORTS = (
    ("", "In order"),
    ("newest", "Newest first"),
    ("short", "Shortest first"),
    ("long", "Longest first"),
    ("state", "By state"),
)
DELETE = "delete"
ACTIONS = (*Example.Review.choices, (DELETE, "Delete for good"))


def _choice(label: str, choices, **options) -> forms.ChoiceField:
    widget = forms.Select(attrs={"aria-label": label})
    return forms.ChoiceField(required=False, choices=choices, widget=widget, **options)


def _tokens(label: str, hint: str) -> forms.IntegerField:
    attrs = {"aria-label": label, "placeholder": hint, "min": 0, "inputmode": "numeric"}
    return forms.IntegerField(
        required=False, min_value=0, max_value=10**6, widget=forms.NumberInput(attrs=attrs)
    )


class ExampleFilterForm(forms.Form):
    """Nothing here is required: a value that makes no sense is named, and the rest counts."""

    q = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.TextInput(
            attrs={
                "type": "search",
                "placeholder": "Search questions and answers",
                "aria-label": "Search questions and answers",
            }
        ),
    )
    review = _choice(
        "State",
        [("", "All states"), *((k, v) for k, v in Example.Review.choices if k != "deleted")]
        + [("deleted", "In the bin")],
    )
    flag = _choice(
        "Mark",
        [("", "All marks"), (ANY_FLAG, "Any mark"), (NO_FLAG, "No mark"), *FLAGS.items()],
    )
    file = forms.TypedChoiceField(
        required=False,
        coerce=int,
        empty_value=None,
        widget=forms.Select(attrs={"aria-label": "File"}),
    )
    split = _choice(
        "Part of the dataset",
        [("", "Training and evaluation"), ("train", "Training"), ("eval", "Evaluation")],
    )
    shortest = _tokens("At least so many tokens", "from")
    longest = _tokens("At most so many tokens", "to")
    sort = _choice("Order", SORTS)
    size = forms.TypedChoiceField(
        required=False,
        coerce=int,
        empty_value=PAGE_SIZES[0],
        choices=[(size, f"{size} a page") for size in PAGE_SIZES],
        widget=forms.Select(attrs={"aria-label": "Page size"}),
    )

    def __init__(self, data, *, files: list[tuple[int, str]]) -> None:
        super().__init__(data)
        self.fields["file"].choices = [("", "All files"), *files]
        self.is_valid()

    def filters(self) -> Filters:
        names = Filters.__dataclass_fields__
        return Filters(**{n: v for n in names if (v := self.cleaned_data.get(n)) not in (None, "")})

    @property
    def page_size(self) -> int:
        return self.cleaned_data.get("size") or PAGE_SIZES[0]

    @property
    def order(self) -> str:
        return self.cleaned_data.get("sort") or ""

    @property
    def has_more(self) -> bool:
        """True when one of the folded filters is in use."""
        shown = dict(self.pairs())
        return any(name in shown or name in self.errors for name in FOLDED)

    def pairs(self) -> list[tuple[str, str]]:
        """Return what the address needs to say the same again, without what is the default."""
        values = self.cleaned_data | {"size": self.page_size}
        if values["size"] == PAGE_SIZES[0]:
            values["size"] = None
        return [(n, str(values[n])) for n in self.fields if values.get(n) not in (None, "")]

    def query(self, **more) -> str:
        """Return the address's part behind the path, with its question mark if there is one."""
        pairs = [*self.pairs(), *more.items()]
        return f"?{urlencode(pairs)}" if pairs else ""


FOLDED = ("split", "shortest", "longest", "sort", "size")


class ChangeForm(forms.Form):
    """What to do with which examples: those named, or all that fit the filters."""

    action = forms.ChoiceField(choices=ACTIONS)
    scope = forms.ChoiceField(required=False, choices=[("", ""), ("all", "")])
    examples = forms.TypedMultipleChoiceField(required=False, coerce=int)
    confirmed = forms.BooleanField(required=False)

    def __init__(self, data) -> None:
        super().__init__(data)
        keys = data.getlist("examples")[: max(PAGE_SIZES)]
        known = [key for key in keys if key.isdecimal() and len(key) < 19]
        self.fields["examples"].choices = [(key, key) for key in known]

    def clean(self) -> dict:
        values = super().clean()
        if not values.get("scope") and not values.get("examples"):
            raise forms.ValidationError(
                "Nothing is selected. Tick examples, or choose all of them."
            )
        return values


class EditForm(forms.Form):
    prompt = forms.CharField(label="Question", widget=forms.Textarea(attrs={"rows": 2}))
    context = forms.CharField(
        label="Context",
        required=False,
        help_text="Text that stands with the question, if the answer needs it.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    completion = forms.CharField(label="Answer", widget=forms.Textarea(attrs={"rows": 4}))

    def __init__(self, *args, example: Example, **kwargs) -> None:
        initial = {name: getattr(example, name) for name in editing.FIELDS}
        super().__init__(*args, initial=initial, auto_id=f"id_{example.pk}_%s", **kwargs)
        self.fields["prompt"].widget.attrs["autofocus"] = True

from django import forms
from django.contrib import admin, messages
from django.http import StreamingHttpResponse
from django.utils.html import format_html
from django.utils.text import Truncator

from datasets import editing, exporting, review_selectors, reviewing, splitting
from datasets.models import Chunk, Example, GenerationRequest
from projects.admin import ReadOnlyAdmin
from projects.models import Project


@admin.register(Chunk)
class ChunkAdmin(ReadOnlyAdmin):
    list_display = ("file", "index", "token_count", "first_page", "last_page", "section")
    list_select_related = ("file",)
    search_fields = ("text", "section", "file__original_name")


@admin.register(GenerationRequest)
class GenerationRequestAdmin(ReadOnlyAdmin):
    """The ledger: nobody edits what was asked and answered."""

    list_display = ("id", "job", "chunk", "slot", "state", "attempts", "error_class", "http_status")
    list_filter = ("state", "error_class", "strategy", "job__kind")
    list_select_related = ("job", "chunk")
    search_fields = ("raw_response", "error_text", "job__project__name")


class ExampleForm(forms.ModelForm):
    def clean(self) -> dict:
        values = super().clean()
        if all(name in values for name in editing.FIELDS):
            texts = {name: values[name] for name in editing.FIELDS}
            editing.check_edit(example=self.instance, **texts)
        return values


class FlagFilter(admin.SimpleListFilter):
    title, parameter_name = "mark", "flag"

    def lookups(self, request, model_admin) -> list[tuple[str, str]]:
        both = [(review_selectors.ANY_FLAG, "Any mark"), (review_selectors.NO_FLAG, "No mark")]
        return [*both, *review_selectors.FLAGS.items()]

    def queryset(self, request, queryset):
        return review_selectors.with_flag(queryset, self.value() or "")


@admin.register(Example)
class ExampleAdmin(admin.ModelAdmin):
    """Review for staff. Every change goes through the services that the wizard uses."""

    list_display = ("short_prompt", "short_completion", "project", "split", "marks", "token_count")
    list_display = (*list_display, "review")
    list_editable = ("review",)
    list_filter = ("review", "split", FlagFilter, "project")
    list_select_related = ("project",)
    list_per_page = 50
    search_fields = ("prompt", "completion", "evidence")
    show_full_result_count = False
    form = ExampleForm
    fieldsets = (
        (None, {"fields": ("prompt", "context", "completion", "review")}),
        ("Source", {"fields": ("file", "passage", "evidence")}),
        (
            "Where it comes from",
            {
                "fields": (
                    "project", "split", "chunk", "request", "model", "prompt_version",
                    "source_file", "source_line", "evidence_start", "evidence_end", "flags",
                    "token_count", "fingerprint", "original", "created_at",
                )
            },
        ),
    )  # fmt: skip
    readonly_fields = tuple(
        name for _, options in fieldsets for name in options["fields"]
        if name not in (*editing.FIELDS, "review")
    )  # fmt: skip
    actions = ("approve", "reject", "to_bin", "move_to_train", "move_to_eval", "export_jsonl")

    def get_queryset(self, request):
        examples = super().get_queryset(request)
        return examples.select_related("project", "chunk__file", "request", "source_file").defer(
            "chunk__text", "chunk__file__report", "request__raw_response", "source_file__report"
        )

    @admin.display(description="question", ordering="prompt")
    def short_prompt(self, example: Example) -> str:
        return str(example)

    @admin.display(description="answer")
    def short_completion(self, example: Example) -> str:
        return Truncator(example.completion).chars(160)

    @admin.display(description="marks")
    def marks(self, example: Example) -> str:
        return ", ".join(review_selectors.FLAGS.get(flag, flag) for flag in example.flags) or "–"

    @admin.display(description="file and page")
    def file(self, example: Example) -> str:
        if example.chunk is None:
            return str(example.source_file or "its document is deleted")
        return f"{example.chunk.file}, page {example.chunk.first_page}"

    @admin.display(description="source passage")
    def passage(self, example: Example) -> str:
        parts = review_selectors.passage(example)
        if parts is None:
            return "There is none."
        if not parts["quote"]:
            return f"{parts['before']}\n\n(No quote was found in the passage.)"
        return format_html("{}<mark>{}</mark>{}", *parts.values())

    @admin.display(description="model")
    def model(self, example: Example) -> str:
        return str(example.request.params.get("model", "–")) if example.request else "–"

    @admin.display(description="prompt version")
    def prompt_version(self, example: Example) -> str:
        return example.request.prompt_version if example.request else "–"

    def has_add_permission(self, request) -> bool:
        return False

    def has_delete_permission(self, request, obj=None) -> bool:
        # Examples go to the bin, from where the review deletes them.
        return False

    def save_model(self, request, obj: Example, form, change: bool) -> None:
        if not self.is_list(form):
            texts = {name: getattr(obj, name) for name in editing.FIELDS}
            editing.edit_example(example=obj, **texts)
        if "review" in form.changed_data:
            this = Example.objects.filter(pk=obj.pk)
            reviewing.change_review(project=obj.project, examples=this, review=obj.review)

    @staticmethod
    def is_list(form) -> bool:
        """True for a row of the list, whose form holds the state alone."""
        return "prompt" not in form.fields

    @admin.action(description="Approve the selected examples", permissions=["change"])
    def approve(self, request, queryset) -> None:
        self._review(request, queryset, Example.Review.APPROVED)

    @admin.action(description="Reject the selected examples", permissions=["change"])
    def reject(self, request, queryset) -> None:
        self._review(request, queryset, Example.Review.REJECTED)

    @admin.action(description="Put the selected examples in the bin", permissions=["change"])
    def to_bin(self, request, queryset) -> None:
        self._review(request, queryset, Example.Review.DELETED)

    @admin.action(
        description="Move to training, with all that belongs together", permissions=["change"]
    )
    def move_to_train(self, request, queryset) -> None:
        self._move(request, queryset, Example.Split.TRAIN)

    @admin.action(
        description="Move to evaluation, with all that belongs together", permissions=["change"]
    )
    def move_to_eval(self, request, queryset) -> None:
        self._move(request, queryset, Example.Split.EVAL)

    @admin.action(description="Export as JSONL", permissions=["view"])
    def export_jsonl(self, request, queryset):
        plain = queryset.select_related(None).order_by("pk")
        fields = plain.only("prompt", "context", "completion")
        lines = (exporting.json_line(example) for example in fields.iterator(chunk_size=500))
        response = StreamingHttpResponse(lines, content_type="application/jsonl")
        response["Content-Disposition"] = 'attachment; filename="examples.jsonl"'
        return response

    def _review(self, request, queryset, review: str) -> None:
        count = 0
        for project, examples in self._by_project(queryset):
            change = reviewing.change_review(project=project, examples=examples, review=review)
            count += change.count if change else 0
        label = Example.Review(review).label.lower()
        self.message_user(request, f"{count} examples: {label}.", messages.SUCCESS)

    def _move(self, request, queryset, split: str) -> None:
        moved = 0
        for project, examples in self._by_project(queryset):
            keys = set(examples.values_list("pk", flat=True))
            moved += splitting.move_examples(project, keys, split=split)
        text = (
            f"{moved} examples moved to {Example.Split(split).label.lower()}: the chosen ones and "
            "all that share a passage, an answer or a quote with them, so that no passage is on "
            "both sides. A new generation splits anew."
        )
        self.message_user(request, text, messages.SUCCESS)

    @staticmethod
    def _by_project(queryset):
        """Yield each project with its part of the selection, those of its preview left out."""
        chosen = queryset.select_related(None).order_by().exclude(split=Example.Split.PREVIEW)
        keys = chosen.values_list("project", flat=True).distinct()
        for project in Project.objects.filter(pk__in=list(keys)):
            yield project, chosen.filter(project=project)

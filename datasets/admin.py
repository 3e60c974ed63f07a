from django import forms
from django.contrib import admin, messages

from datasets import editing
from datasets.models import Chunk, Example, GenerationRequest
from projects.admin import ReadOnlyAdmin


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


@admin.register(Example)
class ExampleAdmin(admin.ModelAdmin):
    list_display = ("short_prompt", "completion", "project", "split", "review", "token_count")
    list_filter = ("review", "split", "project")
    list_select_related = ("project",)
    search_fields = ("prompt", "completion", "evidence")
    form = ExampleForm
    fields = ("prompt", "context", "completion", "review")
    readonly_fields = (
        "project",
        "split",
        "chunk",
        "request",
        "evidence",
        "evidence_start",
        "evidence_end",
        "flags",
        "token_count",
        "fingerprint",
        "original",
        "created_at",
    )
    actions = ("approve", "reject")

    @admin.display(description="prompt", ordering="prompt")
    def short_prompt(self, example: Example) -> str:
        return str(example)

    def has_add_permission(self, request) -> bool:
        return False

    def get_fields(self, request, obj=None) -> tuple[str, ...]:
        return (*self.fields, *self.readonly_fields)

    def save_model(self, request, obj: Example, form, change: bool) -> None:
        texts = {name: getattr(obj, name) for name in editing.FIELDS}
        editing.edit_example(example=obj, **texts)
        obj.save(update_fields=["review"])

    @admin.action(description="Approve the selected examples", permissions=["change"])
    def approve(self, request, queryset) -> None:
        self._review(request, queryset, Example.Review.APPROVED)

    @admin.action(description="Reject the selected examples", permissions=["change"])
    def reject(self, request, queryset) -> None:
        self._review(request, queryset, Example.Review.REJECTED)

    def _review(self, request, queryset, review: str) -> None:
        count = queryset.update(review=review)
        self.message_user(request, f"{count} examples: {review}.", messages.SUCCESS)

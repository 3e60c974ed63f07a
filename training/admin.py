from django.contrib import admin

from projects.admin import ReadOnlyAdmin
from training.models import Export, Run


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ("id", "project", "method", "state", "peak_bytes", "created_at")
    list_filter = ("method", "job__status")
    list_select_related = ("project", "job")
    search_fields = ("project__name", "dataset_hash")

    @admin.display(description="state", ordering="job__status")
    def state(self, run: Run) -> str:
        return run.job.get_status_display() if run.job else ""


@admin.register(Export)
class ExportAdmin(ReadOnlyAdmin):
    list_display = ("id", "run", "file_name", "size_bytes", "is_ready", "created_at")
    list_select_related = ("run",)
    search_fields = ("run__project__name", "file_name", "sha256")

    @admin.display(boolean=True)
    def is_ready(self, export: Export) -> bool:
        return export.is_ready

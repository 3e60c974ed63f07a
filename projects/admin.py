from django.contrib import admin

from projects.models import Job, JobEvent, Project, SourceFile, WorkerBeat


class ReadOnlyAdmin(admin.ModelAdmin):
    """For rows that only the program writes. Deleting goes with their project."""

    def has_add_permission(self, request) -> bool:
        return False

    def has_change_permission(self, request, obj=None) -> bool:
        return False

    def has_delete_permission(self, request, obj=None) -> bool:
        return False


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):
    list_display = ("name", "owner", "task_type", "base_model", "updated_at")
    list_filter = ("task_type", "strategy", "created_at")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__username", "base_model")
    readonly_fields = ("model_info", "created_at", "updated_at")
    autocomplete_fields = ("owner",)

    def has_delete_permission(self, request, obj=None) -> bool:
        # Only the service removes the files together with the rows.
        return False


@admin.register(SourceFile)
class SourceFileAdmin(ReadOnlyAdmin):
    list_display = ("original_name", "project", "kind", "state", "size_bytes", "created_at")
    list_filter = ("kind", "state", "detected_type")
    list_select_related = ("project",)
    search_fields = ("original_name", "project__name", "sha256")


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("id", "project", "kind", "status", "attempt", "done", "total", "queued_at")
    list_filter = ("status", "kind", "queue")
    list_select_related = ("project",)
    search_fields = ("project__name", "message", "error_text")


@admin.register(JobEvent)
class JobEventAdmin(ReadOnlyAdmin):
    list_display = ("id", "job", "at", "level", "text")
    list_filter = ("level",)
    list_select_related = ("job",)
    search_fields = ("text", "job__project__name")
    show_full_result_count = False


@admin.register(WorkerBeat)
class WorkerBeatAdmin(ReadOnlyAdmin):
    list_display = ("name", "queue", "pid", "started_at", "beat_at", "restarts")
    list_filter = ("queue",)

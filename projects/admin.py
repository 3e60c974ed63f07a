"""Projects, files and jobs for administrators. A job's state changes through `jobs` alone."""

from django.contrib import admin, messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from projects import jobs
from projects.models import Job, JobEvent, Project, SourceFile, WorkerBeat

EVENTS_SHOWN = 200


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
    list_display = ("name", "owner", "task_type", "base_model", "archived_at", "updated_at")
    list_filter = ("task_type", "strategy", "created_at")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__username", "base_model")
    readonly_fields = ("pages", "model_info", "archived_at", "created_at", "updated_at")
    autocomplete_fields = ("owner",)
    fieldsets = (
        (None, {"fields": ("name", "owner", "pages", "archived_at", "created_at", "updated_at")}),
        ("Model", {"fields": ("base_model", "base_revision", "model_info")}),
        ("Task", {"fields": ("task_type", "language", "instruction", "strategy", "generation")}),
        ("Passages", {"fields": ("chunk_size", "chunk_overlap")}),
    )

    @admin.display(description="see also")
    def pages(self, project: Project) -> str:
        links = [
            (reverse("projects:detail", args=[project.pk]), "the project's own page"),
            *(
                (f"{reverse(f'admin:{name}_changelist')}?project__id__exact={project.pk}", text)
                for name, text in (
                    ("projects_sourcefile", "its files"),
                    ("projects_job", "its jobs"),
                    ("datasets_example", "its examples"),
                )
            ),
        ]
        return format_html_join(" · ", '<a href="{}">{}</a>', links)

    def has_add_permission(self, request) -> bool:
        return False  # A project begins in the browser, with its owner.

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
    actions = ("run_again", "cancel")
    fields = (
        ("project", "kind", "status"),
        ("message", "done", "total"),
        ("error_code", "error_text"),
        ("queued_at", "started_at", "heartbeat_at", "finished_at"),
        ("queue", "worker", "attempt", "cancel_requested", "finish_requested"),
        ("func", "params"),
        "result",
        "events",
    )
    readonly_fields = ("events",)

    def has_run_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("projects.change_job")

    @admin.display(description=f"log (the last {EVENTS_SHOWN} lines)")
    def events(self, job: Job) -> str:
        newest = job.events.exclude(text="").order_by("-pk")[:EVENTS_SHOWN]
        lines = [(f"{e.at:%Y-%m-%d %H:%M:%S}", e.level, e.text) for e in reversed(newest)]
        page = reverse("projects:job", args=[job.pk])
        return format_html(
            '{}<p><a href="{}">The job\'s own page</a></p>',
            format_html_join("", "<div>{} <b>{}</b> {}</div>", lines),
            page,
        )

    @admin.action(description="Run the selected jobs again", permissions=["run"])
    def run_again(self, request: HttpRequest, queryset) -> None:
        for job in queryset.select_related("project"):
            try:
                queued = jobs.run_again(job)
            except (jobs.JobAlreadyActive, jobs.NotRepeatable) as error:
                self.message_user(request, f"Job {job.pk}: {error}", messages.WARNING)
            else:
                self.message_user(request, f"Job {job.pk}: queued as {queued.pk}.")

    @admin.action(description="Cancel the selected jobs", permissions=["run"])
    def cancel(self, request: HttpRequest, queryset) -> None:
        for job in queryset:
            jobs.request_cancel(job)
        text = "Asked to stop. Waiting jobs have ended; running ones end at their next report."
        self.message_user(request, text)


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

"""Projects, their files, and jobs. The Job row, never the queue, says what is going on."""

import uuid

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone


class Project(models.Model):
    class TaskType(models.TextChoices):
        QA = "qa", "Questions and answers"
        INSTRUCTION = "instruction", "Instructions"

    class Strategy(models.TextChoices):
        AUTO = "auto", "Chosen by the model"
        JSON = "json", "Several examples per request, as JSON"
        ANSWER_FIRST = "answer_first", "The model writes only the question"

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="projects"
    )
    name = models.CharField(max_length=120)
    task_type = models.CharField(max_length=20, choices=TaskType, default=TaskType.QA)
    base_model = models.CharField(
        max_length=200,
        blank=True,
        help_text="A Hugging Face id, or the name of a folder in the models folder.",
    )
    base_revision = models.CharField(max_length=64, blank=True)
    model_info = models.JSONField(default=dict, blank=True)
    language = models.CharField(
        max_length=40, blank=True, help_text="Language of the examples; empty: that of the passage."
    )
    instruction = models.TextField(
        blank=True,
        max_length=1000,
        help_text="What the generator is told besides: who the model is for, which tone.",
    )
    chunk_size = models.PositiveIntegerField(
        default=512, validators=[MinValueValidator(32), MaxValueValidator(8192)]
    )
    chunk_overlap = models.PositiveIntegerField(default=50)
    strategy = models.CharField(max_length=20, choices=Strategy, default=Strategy.AUTO)
    generation = models.JSONField(
        default=dict,
        blank=True,
        help_text="Settings of generation: model, temperature, examples_per_chunk.",
    )
    archived_at = models.DateTimeField(null=True, blank=True)
    deletion_requested_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="It is shown no more, and deleted when its jobs have ended.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-updated_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(chunk_overlap__lte=models.F("chunk_size") / 2),
                name="chunk_overlap_at_most_half",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class SourceFile(models.Model):
    class Kind(models.TextChoices):
        RAW_DOC = "raw_doc", "Document"
        DATASET = "dataset", "Dataset"

    class State(models.TextChoices):
        UPLOADED = "uploaded", "Uploaded"
        EXTRACTED = "extracted", "Read"
        FAILED = "failed", "Cannot be read"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="files")
    kind = models.CharField(max_length=20, choices=Kind, default=Kind.RAW_DOC)
    original_name = models.CharField(max_length=300, help_text="Data only, never a path.")
    stored_name = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.PositiveBigIntegerField()
    detected_type = models.CharField(max_length=20, blank=True)
    encoding = models.CharField(
        max_length=40, blank=True, help_text="Of a text file, as a person chose it; empty: detect."
    )
    state = models.CharField(max_length=20, choices=State, default=State.UPLOADED)
    report = models.JSONField(default=dict, blank=True, help_text="What extraction found.")
    error_text = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "sha256"], name="one_copy_per_project"),
        ]

    def __str__(self) -> str:
        return self.original_name


class Job(models.Model):
    class Kind(models.TextChoices):
        DOCUMENTS = "documents", "Read documents"
        IMPORT = "import", "Import dataset"
        PREVIEW = "preview", "Preview"
        GENERATE = "generate", "Generate examples"
        TRAIN = "train", "Train"
        EXPORT = "export", "Build export"
        VERIFY = "verify", "Verify export"

    class Status(models.TextChoices):
        QUEUED = "queued", "Waiting"
        RUNNING = "running", "Running"
        SUCCEEDED = "succeeded", "Succeeded"
        COMPLETED_WITH_ERRORS = "completed_with_errors", "Completed with errors"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"
        INTERRUPTED = "interrupted", "Interrupted"
        PAUSED = "paused", "Paused"

    ACTIVE = (Status.QUEUED, Status.RUNNING)
    WAITING = (Status.INTERRUPTED, Status.PAUSED)
    RESUMABLE = (*WAITING, Status.FAILED)

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=20, choices=Kind)
    queue = models.CharField(max_length=20, default="default")
    func = models.CharField(max_length=120, help_text="Dotted path of the task that runs it.")
    task_id = models.CharField(max_length=64, blank=True, help_text="Id of the broker's entry.")
    status = models.CharField(max_length=30, choices=Status, default=Status.QUEUED)
    attempt = models.PositiveIntegerField(default=0)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=120, blank=True, help_text="host:supervisor:process")
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    message = models.CharField(max_length=300, blank=True)
    cancel_requested = models.BooleanField(default=False)
    finish_requested = models.BooleanField(
        default=False, help_text="A training shall end at its next step and keep what it has."
    )
    error_code = models.CharField(max_length=40, blank=True)
    error_text = models.TextField(blank=True)
    params = models.JSONField(default=dict, blank=True)
    result = models.JSONField(default=dict, blank=True)
    queued_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["status", "queue"])]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "kind"],
                condition=models.Q(status__in=["queued", "running"]),
                name="one_active_job_per_kind",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"

    @property
    def is_active(self) -> bool:
        return self.status in self.ACTIVE

    @property
    def percent(self) -> int:
        return min(100, round(100 * self.done / self.total)) if self.total else 0

    @property
    def seconds(self) -> float | None:
        """Wall seconds from the first start to the end, or to now."""
        if self.started_at is None:
            return None
        return ((self.finished_at or timezone.now()) - self.started_at).total_seconds()


class JobEvent(models.Model):
    class Level(models.TextChoices):
        INFO = "info", "Info"
        WARNING = "warning", "Warning"
        ERROR = "error", "Error"
        METRIC = "metric", "Metric"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    level = models.CharField(max_length=10, choices=Level, default=Level.INFO)
    text = models.TextField(blank=True)
    data = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["job", "level", "id"])]

    def __str__(self) -> str:
        return f"{self.level}: {self.text[:60]}"


class WorkerBeat(models.Model):
    """The sign of life of one supervising process: a queue's worker or the reconciler."""

    name = models.CharField(max_length=120, unique=True, help_text="queue@host, or reconcile@host")
    queue = models.CharField(max_length=20)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField()
    restarts = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

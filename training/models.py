"""Training runs and the archives that are built from them."""

from django.db import models

from projects.models import Job, Project


class Run(models.Model):
    class Method(models.TextChoices):
        LORA = "lora", "LoRA"
        QLORA = "qlora", "QLoRA"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="runs")
    job = models.OneToOneField(
        Job, on_delete=models.SET_NULL, null=True, blank=True, related_name="run"
    )
    method = models.CharField(max_length=10, choices=Method, default=Method.LORA)
    config = models.JSONField(default=dict, help_text="The engine's settings as they were used.")
    dataset_hash = models.CharField(max_length=64, blank=True)
    dataset_stats = models.JSONField(default=dict, blank=True)
    estimate_bytes = models.BigIntegerField(null=True, blank=True)
    peak_bytes = models.BigIntegerField(null=True, blank=True, help_text="Measured.")
    metrics = models.JSONField(default=dict, blank=True)
    live = models.JSONField(
        default=dict, blank=True, help_text="The newest numbers and a thinned curve, while it runs."
    )
    samples = models.JSONField(default=list, blank=True, help_text="Answers before and after.")
    events_offset = models.BigIntegerField(
        default=0, help_text="How many bytes of events.jsonl are already in the database."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"run {self.pk}"


class Export(models.Model):
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="exports")
    file_name = models.CharField(max_length=200, blank=True, help_text="In the exports folder.")
    sha256 = models.CharField(max_length=64, blank=True)
    size_bytes = models.BigIntegerField(default=0)
    contents = models.JSONField(default=list, blank=True, help_text="Name and size of each file.")
    verification = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"export {self.pk}"

    @property
    def is_ready(self) -> bool:
        return bool(self.sha256)

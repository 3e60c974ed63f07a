"""Chunks of documents, the ledger of requests to the language model, and training examples."""

from django.db import models

from projects.models import Job, Project, SourceFile


class Chunk(models.Model):
    file = models.ForeignKey(SourceFile, on_delete=models.CASCADE, related_name="chunks")
    index = models.PositiveIntegerField()
    text = models.TextField()
    token_count = models.PositiveIntegerField()
    start = models.PositiveIntegerField(help_text="Offset of the first character in the text.")
    end = models.PositiveIntegerField(help_text="Offset behind the last character.")
    first_page = models.PositiveIntegerField(default=1)
    last_page = models.PositiveIntegerField(default=1)
    section = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["file_id", "index"]
        constraints = [
            models.UniqueConstraint(fields=["file", "index"], name="one_chunk_per_place"),
        ]

    def __str__(self) -> str:
        return f"{self.file_id}/{self.index}"


class GenerationRequest(models.Model):
    """One call to the language model. Written before the call; the reply is kept before parsing."""

    class State(models.TextChoices):
        PLANNED = "planned", "Planned"
        SENT = "sent", "Sent"
        ANSWERED = "answered", "Answered, not yet parsed"
        DONE = "done", "Done"
        REJECTED = "rejected", "Nothing usable"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    OPEN = (State.PLANNED, State.SENT, State.ANSWERED)

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="requests")
    chunk = models.ForeignKey(
        Chunk, on_delete=models.SET_NULL, null=True, related_name="requests"
    )  # The ledger stays when a document is deleted or cut anew.
    slot = models.PositiveIntegerField(help_text="Which of the chunk's requests this is.")
    state = models.CharField(max_length=20, choices=State, default=State.PLANNED)
    strategy = models.CharField(max_length=20)
    prompt_version = models.CharField(max_length=16, help_text="Hash of the prompt's files.")
    params = models.JSONField(
        default=dict, blank=True, help_text="What the program chose: the sentence, its offsets."
    )
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    error_class = models.CharField(max_length=40, blank=True)
    error_text = models.TextField(blank=True)
    http_status = models.PositiveIntegerField(null=True, blank=True)
    finish_reason = models.CharField(max_length=30, blank=True)
    tokens_in = models.PositiveIntegerField(null=True, blank=True)
    tokens_out = models.PositiveIntegerField(null=True, blank=True)
    latency_seconds = models.FloatField(null=True, blank=True)
    raw_response = models.TextField(blank=True)
    rejected = models.JSONField(
        default=list, blank=True, help_text="Items of the reply that were refused, with reasons."
    )

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["job", "state"])]
        constraints = [
            models.UniqueConstraint(fields=["job", "chunk", "slot"], name="one_request_per_slot"),
        ]

    def __str__(self) -> str:
        return f"request {self.pk}: {self.state}"


class ReviewChange(models.Model):
    """One decision over several examples, kept so that it can be undone by one UPDATE."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="review_changes")
    review = models.CharField(max_length=10, help_text="What the examples were changed to.")
    count = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    undone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.count} examples: {self.review}"


class Example(models.Model):
    class Split(models.TextChoices):
        NONE = "", "Not split"
        PREVIEW = "preview", "Preview"
        TRAIN = "train", "Training"
        EVAL = "eval", "Evaluation"

    class Review(models.TextChoices):
        PENDING = "pending", "To look at"
        APPROVED = "approved", "Approved"
        REJECTED = "rejected", "Rejected"
        DELETED = "deleted", "In the bin"

    LEFT_OUT = (Review.REJECTED, Review.DELETED)

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="examples")
    chunk = models.ForeignKey(
        Chunk, on_delete=models.SET_NULL, null=True, blank=True, related_name="examples"
    )
    request = models.ForeignKey(
        GenerationRequest, on_delete=models.SET_NULL, null=True, blank=True, related_name="examples"
    )
    prompt = models.TextField()
    context = models.TextField(blank=True)
    completion = models.TextField()
    evidence = models.TextField(blank=True, help_text="The quote that proves the answer.")
    evidence_start = models.IntegerField(null=True, blank=True, help_text="Offset in the chunk.")
    evidence_end = models.IntegerField(null=True, blank=True)
    token_count = models.PositiveIntegerField(default=0)
    split = models.CharField(max_length=10, choices=Split, default=Split.NONE, blank=True)
    review = models.CharField(max_length=10, choices=Review, default=Review.PENDING)
    source_file = models.ForeignKey(
        SourceFile,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="imported_examples",
        help_text="The ready dataset that the example was imported from.",
    )
    source_line = models.PositiveIntegerField(null=True, blank=True)
    previous_review = models.CharField(
        max_length=10, blank=True, help_text="What `last_change` replaced; undo puts it back."
    )
    last_change = models.ForeignKey(
        "ReviewChange", on_delete=models.SET_NULL, null=True, blank=True, related_name="examples"
    )
    flags = models.JSONField(default=list, blank=True)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the normalised example.")
    original = models.JSONField(default=dict, blank=True, help_text="Values before an edit.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            # Covers the counts and the sums of tokens by side and state.
            models.Index(fields=["project", "split", "review", "token_count"]),
            models.Index(fields=["project", "token_count"]),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "fingerprint"],
                condition=~models.Q(split="preview"),
                name="one_example_per_fingerprint",
            ),
            models.UniqueConstraint(
                fields=["project", "fingerprint"],
                condition=models.Q(split="preview"),
                name="one_preview_per_fingerprint",
            ),
        ]

    def __str__(self) -> str:
        return self.prompt[:80]

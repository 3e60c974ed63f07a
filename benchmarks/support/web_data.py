"""Fills a project with as many examples as a large one has, fast: for benchmarks of the pages."""

from datasets.models import Chunk, Example
from projects.models import Project, SourceFile

FILES = 3
BATCH = 2_000
SENTENCE = "The flow has fallen below 1.6 litres per minute, so the heater of furnace {n} stops. "
FLAGS = ([], [], [], ["no_question_mark"], [], [], ["repaired"], [], [], [])
REVIEWS = ("pending", "approved", "approved", "pending", "rejected", "approved", "deleted")


def fill(project: Project, examples: int = 100_000, chunks: int = 5_000) -> None:
    """Add three read documents with `chunks` passages and `examples` examples from them.

    Texts, marks, states and lengths differ from row to row, and are the same in every run. The
    chunks take sides as a whole, as a split does it.
    """
    passages = _chunks(project, chunks)
    rows = (_example(project, passages[n * chunks // examples], n) for n in range(examples))
    batch = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            Example.objects.bulk_create(batch)
            batch = []
    Example.objects.bulk_create(batch)


def _chunks(project: Project, count: int) -> list[Chunk]:
    files = SourceFile.objects.bulk_create(
        SourceFile(
            project=project,
            original_name=f"manual-{n + 1}.pdf",
            sha256=f"{project.pk:032x}{n:032x}",
            size_bytes=1_000_000,
            state=SourceFile.State.EXTRACTED,
            report={"pages": count // FILES, "characters": 1_700 * count // FILES},
        )
        for n in range(FILES)
    )
    text = SENTENCE.format(n=7) * 20
    return Chunk.objects.bulk_create(
        [
            Chunk(
                file=files[n * FILES // count],
                index=n,
                text=text,
                token_count=400,
                start=n * len(text),
                end=(n + 1) * len(text),
                first_page=n // 2 + 1,
                last_page=n // 2 + 1,
                section=f"Section {n // 20}",
            )
            for n in range(count)
        ],
        batch_size=BATCH,
    )


def _example(project: Project, chunk: Chunk, n: int) -> Example:
    """Return the nth example: every hundredth without a quote, one chunk in ten for evaluation."""
    is_placed = n % 100 != 0
    return Example(
        project=project,
        chunk=chunk,
        prompt=f"What happens to furnace {n} when the flow falls below {n % 97} litres?",
        completion=f"Its heater stops after {n % 211} seconds. " * (1 + n * 7919 % 9),
        evidence=SENTENCE.format(n=n),
        evidence_start=0 if is_placed else None,
        evidence_end=83 if is_placed else None,
        token_count=30 + n * 7919 % 9 * 11 + n % 13,
        split="eval" if chunk.index % 10 == 3 else "train",
        review=REVIEWS[n * 31 % 7],
        flags=FLAGS[n % 10],
        fingerprint=f"{n:064x}",
    )

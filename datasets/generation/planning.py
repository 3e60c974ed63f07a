"""Which requests a job makes. All rows are written before the first call, in one transaction."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest

from django.db import transaction

from datasets.generation.answered import answered_keys, key_of
from datasets.generation.strategies import Strategy, model_of, prompt_version
from datasets.models import Chunk, Example, GenerationRequest
from projects.models import Job, Project

PREVIEW_CHUNKS = 5
BATCH = 500


def plan_generation(*, job: Job, strategy: Strategy, reporter) -> dict:
    """Plan requests for all chunks, files taking turns, but what was answered before.

    Returns {"chunks", "chunks_without", "answered_before"}; the last is kept in the job's params,
    so that a later attempt of the job knows it too.
    """
    return _plan(job, strategy, _interleaved(_chunk_ids(job.project)), None, reporter)


def plan_preview(*, job: Job, strategy: Strategy, examples: int, reporter) -> dict:
    """Plan a few chunks with about twice the requests that `examples` need, and drop old examples.

    The surplus is cancelled as soon as there are enough.
    """
    with transaction.atomic():
        Example.objects.filter(project=job.project, split=Example.Split.PREVIEW).delete()
    ids = representative(_chunk_ids(job.project), PREVIEW_CHUNKS)
    return _plan(job, strategy, ids, examples, reporter)


def representative(by_file: dict[int, list[int]], count: int) -> list[int]:
    """Return up to `count` chunk ids, spread over the files and over the places in each."""
    files = [ids for ids in by_file.values() if ids]
    if len(files) > count:
        files = [files[int((i + 0.5) * len(files) / count)] for i in range(count)]
    quotas = [0] * len(files)
    while sum(quotas) < count and any(q < len(f) for q, f in zip(quotas, files, strict=True)):
        for index, ids in enumerate(files):
            if quotas[index] < len(ids) and sum(quotas) < count:
                quotas[index] += 1
    picked = [
        [ids[int((i + 0.5) * len(ids) / quota)] for i in range(quota)]
        for ids, quota in zip(files, quotas, strict=True)
    ]
    return [pk for turn in zip_longest(*picked) for pk in turn if pk is not None]


def _chunk_ids(project: Project) -> dict[int, list[int]]:
    """Return the chunks' ids in order, by file."""
    by_file: dict[int, list[int]] = {}
    chunks = Chunk.objects.filter(file__project=project).order_by("file_id", "index")
    for file_id, pk in chunks.values_list("file_id", "pk"):
        by_file.setdefault(file_id, []).append(pk)
    return by_file


def _interleaved(by_file: dict[int, list[int]]) -> list[int]:
    return [pk for turn in zip_longest(*by_file.values()) for pk in turn if pk is not None]


def _plan(
    job: Job, strategy: Strategy, chunk_ids: list[int], examples: int | None, reporter
) -> dict:
    """Write the job's requests; `examples` is what a preview wants in all."""
    rows: list[GenerationRequest] = []
    used: set[str] = set()
    without = 0
    project = job.project
    count = _count_per_chunk(project, strategy, len(chunk_ids), examples)
    for chunk in _in_order(chunk_ids):
        slots = strategy.plan(chunk, count=count, used=used)
        without += not slots
        rows += [
            _row(job, project, chunk, slot, params, strategy) for slot, params in enumerate(slots)
        ]
        reporter(0, 0, f"Planning requests: {len(rows)}")
    if examples is not None:
        # Slot by slot, so that the first examples already come from different places.
        rows.sort(key=lambda row: row.slot)
        rows += _reserve(rows, strategy)
        before = 0
    else:
        rows, before = _without_answered(job, rows)
    job.params = job.params | ({"answered_before": before} if before else {})
    with transaction.atomic():
        GenerationRequest.objects.bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)
        Job.objects.filter(pk=job.pk).update(total=len(rows), params=job.params)
    return {"chunks": len(chunk_ids), "chunks_without": without, "answered_before": before}


def drafts(
    *, project: Project, strategy: Strategy, chunks: list[Chunk], examples: int | None
) -> list[GenerationRequest]:
    """Return, unsaved, the requests that a job would make about `chunks`, without any reserve.

    `examples` is what a preview wants in all; None plans them as the full generation does.
    """
    used: set[str] = set()
    count = _count_per_chunk(project, strategy, len(chunks), examples)
    return [
        _row(None, project, chunk, slot, params, strategy)
        for chunk in chunks
        for slot, params in enumerate(strategy.plan(chunk, count=count, used=used))
    ]


def _without_answered(
    job: Job, rows: list[GenerationRequest]
) -> tuple[list[GenerationRequest], int]:
    """Return the rows that no earlier generation got answered, and how many it did."""
    answered, model = answered_keys(job), model_of(job.project)
    new = [row for row in rows if key_of(row, model) not in answered]
    return new, len(rows) - len(new)


def _count_per_chunk(project: Project, strategy: Strategy, chunks: int, examples: int | None):
    """Return how many examples to ask of a chunk."""
    if examples is not None:
        wanted = -(-examples // max(1, chunks))
        return wanted if strategy.name == Project.Strategy.JSON else 2 * wanted
    value = project.generation.get("examples_per_chunk")
    is_number = isinstance(value, int) and 1 <= value <= 50
    return value if is_number else strategy.examples_per_chunk


def _reserve(rows: list[GenerationRequest], strategy: Strategy) -> list[GenerationRequest]:
    """Return a second request for each chunk, used when the first ones give too little."""
    if strategy.name != Project.Strategy.JSON:
        return []
    return [
        _row(row.job, row.job.project, row.chunk, 1, row.params | {"part": "second half"}, strategy)
        for row in rows
    ]


def _in_order(chunk_ids: list[int]) -> Iterator[Chunk]:
    for batch in _batches(chunk_ids):
        found = Chunk.objects.in_bulk(batch)
        yield from (found[pk] for pk in batch if pk in found)


def _batches(ids: list[int]) -> Iterable[list[int]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))


def _row(
    job: Job | None, project: Project, chunk: Chunk, slot: int, params: dict, strategy: Strategy
) -> GenerationRequest:
    return GenerationRequest(
        job=job,
        chunk=chunk,
        slot=slot,
        strategy=strategy.name,
        prompt_version=prompt_version(strategy.name, project.task_type, project),
        params=params | {"task_type": project.task_type},
    )

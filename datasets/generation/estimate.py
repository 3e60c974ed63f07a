"""What a job will ask, before it asks: the passages, a real prompt, and estimated amounts.

Everything comes from the strategies' own code over the passages that a preview asks about; what
concerns all passages is carried over from those few.
"""

from dataclasses import dataclass

from django.db.models import Count, Q

from datasets.generation import planning
from datasets.generation.store import token_counter
from datasets.generation.strategies import Strategy, strategy_for
from datasets.models import Chunk, GenerationRequest
from projects.models import Project

EXAMPLES = 10


@dataclass(frozen=True)
class Estimate:
    """`most` is the number of requests when many replies give nothing; tokens are sent and got."""

    passages: int
    requests: int
    most: int
    tokens_in: int
    tokens_out: int

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True)
class Asked:
    """`prompt` has the arguments of the chat about `chunk`; None when no passage states a fact."""

    preview: Estimate
    full: Estimate
    prompt: dict | None
    chunk: Chunk | None
    counter: str
    is_exact: bool


def what_is_asked(project: Project) -> Asked | None:
    """Return what the preview and the full generation will ask; None without passages.

    Two queries, however many passages there are.
    """
    lengths = _lengths(project)
    chunks = _representative(lengths)
    if not chunks:
        return None
    strategy, counter = strategy_for(project), token_counter(project)
    preview = planning.drafts(project=project, strategy=strategy, chunks=chunks, examples=EXAMPLES)
    full = planning.drafts(project=project, strategy=strategy, chunks=chunks, examples=None)
    first = full[0] if full else None
    return Asked(
        preview=_of_preview(
            preview, _tokens(preview, strategy, project, counter), strategy, chunks
        ),
        full=_of_all(
            full, _tokens(full, strategy, project, counter), strategy, chunks, sum(lengths.values())
        ),
        prompt=strategy.question(first, project) if first else None,
        chunk=first.chunk if first else None,
        counter=counter.name,
        is_exact=counter.is_exact,
    )


def _lengths(project: Project) -> dict[int, int]:
    """Return the number of passages of each file, in the order in which a job takes them."""
    rows = Chunk.objects.filter(file__project=project).order_by("file_id").values_list("file_id")
    return dict(rows.annotate(Count("pk")))


def _representative(lengths: dict[int, int]) -> list[Chunk]:
    """Return the passages that a preview asks about. A file's passages are counted without gaps."""
    numbers, behind = {}, 0
    for file_id, length in lengths.items():
        numbers[file_id] = range(behind, behind + length)
        behind += length
    picked = planning.representative(numbers, planning.PREVIEW_CHUNKS)
    places = [
        (file_id, number - found.start)
        for number in picked
        for file_id, found in numbers.items()
        if number in found
    ]
    if not places:
        return []
    wanted = Q(*(Q(file_id=file_id, index=index) for file_id, index in places), _connector=Q.OR)
    found = {(c.file_id, c.index): c for c in Chunk.objects.filter(wanted).select_related("file")}
    return [found[place] for place in places if place in found]


def _tokens(rows: list[GenerationRequest], strategy: Strategy, project: Project, counter) -> int:
    """Return the tokens of the requests' prompts, as the project's counter counts them."""
    texts = [
        turn["content"] for row in rows for turn in strategy.question(row, project)["messages"]
    ]
    return sum(counter.count_many(texts))


def _out(rows: list[GenerationRequest], strategy: Strategy) -> int:
    return sum(row.params.get("count", 1) for row in rows) * strategy.tokens_per_example


def _of_preview(
    rows: list[GenerationRequest], tokens: int, strategy: Strategy, chunks: list[Chunk]
) -> Estimate:
    """A preview stops at its examples; with JSON each passage has one request in reserve."""
    one_each = strategy.name == Project.Strategy.JSON
    requests = len(rows) if one_each else min(EXAMPLES, len(rows))
    share = requests / max(1, len(rows))
    return Estimate(
        passages=len(chunks),
        requests=requests,
        most=2 * len(rows) if one_each else len(rows),
        tokens_in=round(tokens * share),
        tokens_out=round(_out(rows, strategy) * share),
    )


def _of_all(
    rows: list[GenerationRequest], tokens: int, strategy: Strategy, chunks: list[Chunk], total: int
) -> Estimate:
    share = total / len(chunks)
    requests = round(len(rows) * share)
    return Estimate(
        passages=total,
        requests=requests,
        most=requests,
        tokens_in=round(tokens * share),
        tokens_out=round(_out(rows, strategy) * share),
    )

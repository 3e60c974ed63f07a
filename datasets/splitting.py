"""Training and evaluation sides of a dataset: about 90/10, and no chunk is on both.

Chunks overlap, so the same sentence can stand in two: chunks that share an answer, a quote, or a
quoted stretch of their document go to the same side together.
"""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from django.db import transaction

from datasets.models import Example
from projects.models import Project

EVAL_SHARE = 0.1
DEFAULT_SEED = 17
# Shorter answers ("Yes", "42") are equal by chance and would tie everything together.
MIN_SHARED_CHARACTERS = 20
BATCH = 500


@dataclass(frozen=True)
class Piece:
    """What the split knows of one example. `place` is its quote in the document, if known.

    `fixed` is the side that an example keeps because its chunk is gone: nobody knows any more what
    it overlapped.
    """

    key: int
    group: str
    completion: str = ""
    evidence: str = ""
    document: Hashable = None
    place: tuple[int, int] | None = None
    counts: bool = True
    prompt: str = ""
    request: int | None = None
    fixed: str = ""


def split_examples(project: Project, *, seed: int = DEFAULT_SEED) -> dict[str, int]:
    """Put every example except the preview's on a side; return the counts of both.

    The same examples and seed give the same split. Rejected examples get a side too, but only the
    others count towards the share.
    """
    pieces = [_piece(row) for row in _rows(project)]
    evaluation = assign(pieces, seed=seed)
    with transaction.atomic():
        for split in (Example.Split.TRAIN, Example.Split.EVAL):
            is_eval = split == Example.Split.EVAL
            keys = [piece.key for piece in pieces if (piece.key in evaluation) == is_eval]
            for start in range(0, len(keys), BATCH):
                batch = Example.objects.filter(pk__in=keys[start : start + BATCH])
                batch.exclude(split=split).update(split=split)
    counted = [piece.key in evaluation for piece in pieces if piece.counts]
    return {"train": counted.count(False), "eval": counted.count(True)}


def move_examples(project: Project, keys: set[int], *, split: str) -> int:
    """Put these examples on a side, with all that must be on one side with them.

    Returns how many were moved. The next `split_examples` decides anew.
    """
    groups = _joined([_piece(row) for row in _rows(project)]).values()
    wanted = [[piece.key for piece in group] for group in groups]
    moving = [key for group in wanted if not keys.isdisjoint(group) for key in group]
    moved = 0
    with transaction.atomic():
        for start in range(0, len(moving), BATCH):
            batch = Example.objects.filter(pk__in=moving[start : start + BATCH])
            moved += batch.exclude(split=split).update(split=split)
    return moved


def assign(pieces: list[Piece], *, seed: int = DEFAULT_SEED, share: float = EVAL_SHARE) -> set[int]:
    """Return the keys of the pieces that go to evaluation.

    Groups are taken in the order of a hash while that brings the share nearer; with two groups or
    more there is always one.
    """
    groups = _joined(pieces)
    sizes = {name: sum(piece.counts for piece in group) for name, group in groups.items()}
    sides = {name: _fixed_side(group) for name, group in groups.items()}
    chosen = [name for name in groups if sides[name] == Example.Split.EVAL]
    free = (name for name in groups if sizes[name] and not sides[name])
    order = sorted(free, key=lambda name: _hash(seed, name))
    if sum(map(bool, sizes.values())) < 2:
        order = []
    target, taken = share * sum(sizes.values()), sum(sizes[name] for name in chosen)
    for name in order:
        if abs(taken + sizes[name] - target) < abs(taken - target):
            chosen.append(name)
            taken += sizes[name]
    if order and not chosen:
        chosen = [min(order, key=lambda name: sizes[name])]
    return {piece.key for name in chosen for piece in groups[name]}


def _fixed_side(group: list[Piece]) -> str:
    """Return the side that a group must keep, or "". Training wins: it may have been learned."""
    sides = {piece.fixed for piece in group}
    return next((side for side in (Example.Split.TRAIN, Example.Split.EVAL) if side in sides), "")


def _joined(pieces: list[Piece]) -> dict[str, list[Piece]]:
    """Return the pieces by joined group, named after the smallest of its groups' names."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for first, second in _ties(pieces):
        low, high = sorted((find(first), find(second)))
        parent[high] = low
    groups = defaultdict(list)
    for piece in pieces:
        groups[find(piece.group)].append(piece)
    return groups


def _ties(pieces: list[Piece]) -> Iterable[tuple[str, str]]:
    """Yield pairs of groups that must stay together."""
    seen: dict[Hashable, str] = {}
    for piece in pieces:
        if piece.request is not None:
            yield seen.setdefault(("request", piece.request), piece.group), piece.group
        for text in (piece.completion, piece.evidence, piece.prompt):
            shared = " ".join(text.casefold().split())
            if len(shared) >= MIN_SHARED_CHARACTERS:
                yield seen.setdefault(shared, piece.group), piece.group
    placed = [piece for piece in pieces if piece.place is not None]
    placed.sort(key=lambda piece: (str(piece.document), piece.place))
    end, last = 0, None
    for piece in placed:
        if last is not None and piece.document == last.document and piece.place[0] < end:
            yield last.group, piece.group
            end = max(end, piece.place[1])
        else:
            end = piece.place[1]
        last = piece


def _hash(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def _rows(project: Project):
    examples = Example.objects.filter(project=project).exclude(split=Example.Split.PREVIEW)
    return examples.order_by("pk").values(
        "pk",
        "prompt",
        "context",
        "completion",
        "evidence",
        "request_id",
        "split",
        "evidence_start",
        "evidence_end",
        "review",
        "fingerprint",
        "chunk__index",
        "chunk__start",
        "chunk__file__sha256",
    )


def _piece(row: dict) -> Piece:
    """An example without a chunk (imported, or its document deleted) is a group of its own."""
    document, place = row["chunk__file__sha256"], None
    group = f"{document}:{row['chunk__index']}" if document else row["fingerprint"]
    if document and row["evidence_start"] is not None:
        offset = row["chunk__start"]
        place = offset + row["evidence_start"], offset + row["evidence_end"]
    return Piece(
        key=row["pk"],
        group=group,
        completion=row["completion"],
        evidence=row["evidence"],
        document=document,
        place=place,
        counts=row["review"] not in Example.LEFT_OUT,
        prompt=f"{row['prompt']}\n{row['context']}",
        request=row["request_id"],
        fixed="" if document else row["split"],
    )

"""Reading what the statistics of a review show, in a constant number of queries."""

from collections import Counter, defaultdict

from django.db.models import Count, Q

from datasets import selectors, statistics
from datasets.models import Chunk, Example
from datasets.review_selectors import LENGTH
from projects.models import Project

NAMED = 12
SPLITS = (Example.Split.TRAIN, Example.Split.EVAL)


def statistics_of(project: Project) -> dict:
    """Return counts by state and side, lengths, coverage, leaks, and what was not taken."""
    reviews, splits = _counts(project)
    chunks = _by_chunk(project)
    kept = sum(row["n"] for row in chunks.values())
    # Imported examples have no passage that could prove them.
    with_passage = sum(row["n"] for pk, row in chunks.items() if pk)
    placed = sum(row["placed"] for pk, row in chunks.items() if pk)
    refused = selectors.refused(project)
    return {
        "reviews": [(label, reviews[key]) for key, label in Example.Review.choices],
        "total": sum(reviews.values()) - reviews[Example.Review.DELETED],
        "splits": splits,
        "kept": kept,
        "eval_percent": round(100 * splits["eval"] / kept) if kept else 0,
        "placed_percent": 100 * placed // with_passage if with_passage else None,
        "shared": sum(bool(row["train"] and row["eval"]) for pk, row in chunks.items() if pk),
        "refused": refused,
        "duplicates": dict(refused["reasons"]).get("duplicate", 0),
        "lengths": _lengths(project),
        "coverage": _coverage(project, chunks),
    }


def _counts(project: Project) -> tuple[Counter, Counter]:
    """Return examples by state, and by side without those left out."""
    reviews, splits = Counter(), Counter()
    examples = Example.objects.filter(project=project).exclude(split=Example.Split.PREVIEW)
    rows = examples.order_by().values_list("split", "review").annotate(Count("pk"))
    for split, review, count in rows:
        reviews[review] += count
        if review not in Example.LEFT_OUT:
            splits[split] += count
    return reviews, splits


def _kept(project: Project):
    examples = Example.objects.filter(project=project).exclude(split=Example.Split.PREVIEW)
    return examples.exclude(review__in=Example.LEFT_OUT).order_by()


def _by_chunk(project: Project) -> dict:
    rows = (
        _kept(project)
        .values("chunk")
        .annotate(
            n=Count("pk"),
            placed=Count("evidence_start"),
            train=Count("pk", filter=Q(split=Example.Split.TRAIN)),
            eval=Count("pk", filter=Q(split=Example.Split.EVAL)),
        )
    )
    return {row["chunk"]: row for row in rows}


def _lengths(project: Project) -> dict:
    counts = dict(_kept(project).values_list(LENGTH).annotate(Count("pk")))
    return {
        "bars": statistics.histogram(counts),
        "p95": statistics.percentile(counts, 95),
        "median": statistics.percentile(counts, 50),
        "longest": max(counts, default=0),
    }


def _coverage(project: Project, by_chunk: dict) -> dict:
    """Return a strip for each document, and the first passages that have no example."""
    documents, bare = defaultdict(list), []
    chunks = Chunk.objects.filter(file__project=project).order_by("file_id", "index")
    for pk, file, name in chunks.values_list("pk", "file_id", "file__original_name"):
        number = by_chunk[pk]["n"] if pk in by_chunk else 0
        documents[file, name].append(number)
        if not number:
            bare.append(pk)
    return {
        "strips": [
            {
                "name": name,
                "passages": len(numbers),
                "covered": sum(number > 0 for number in numbers),
                "cells": statistics.strip(numbers),
            }
            for (_, name), numbers in documents.items()
        ],
        "passages": sum(map(len, documents.values())),
        "bare": len(bare),
        "rest": len(bare) - NAMED,
        "named": _named(bare[:NAMED]),
    }


def _named(keys: list[int]) -> list[Chunk]:
    if not keys:
        return []
    chunks = Chunk.objects.filter(pk__in=keys).select_related("file")
    return list(chunks.defer("file__report"))

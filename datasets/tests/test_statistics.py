"""Histogram, percentile and coverage as numbers; and what the statistics read of a project."""

import pytest

from datasets import review_statistics
from datasets.models import Chunk, Example, GenerationRequest
from datasets.statistics import HEIGHT, WIDTH, histogram, percentile, strip
from projects import services
from projects.models import Job


def test_no_examples_make_no_picture():
    assert histogram({}) == []
    assert percentile({}, 95) == 0
    assert strip([]) == []


def test_the_bars_hold_every_example_and_fill_the_picture():
    counts = {length: length % 7 + 1 for length in range(20, 400)}
    bars = histogram(counts)
    assert sum(bar.count for bar in bars) == sum(counts.values())
    assert (bars[0].low, bars[-1].high) == (20, 399)
    assert all(a.high + 1 == b.low for a, b in zip(bars, bars[1:], strict=False))
    assert max(bar.height for bar in bars) == HEIGHT
    assert bars[-1].x + bars[-1].width <= WIDTH


def test_one_very_long_example_does_not_flatten_the_others():
    bars = histogram({**dict.fromkeys(range(30, 60), 10), 8_000: 1})
    assert len(bars) > 10
    assert bars[-1].high == 8_000


def test_a_single_length_is_one_bar():
    assert [(bar.low, bar.high, bar.count) for bar in histogram({31: 4})] == [(31, 31, 4)]


@pytest.mark.parametrize(("percent", "wanted"), [(50, 50), (95, 95), (100, 100), (1, 1)])
def test_the_percentile_is_the_value_that_so_many_do_not_exceed(percent, wanted):
    assert percentile(dict.fromkeys(range(1, 101), 1), percent) == wanted


def test_a_strip_has_a_cell_for_each_passage_and_says_how_many_have_examples():
    cells = strip([0, 1, 5])
    assert [cell.css for cell in cells] == ["c6", "c2", "c1"]
    assert [cell.covered for cell in cells] == [0, 1, 1]


def test_a_long_document_shares_cells_and_loses_no_passage():
    numbers = [n % 4 for n in range(1_001)]
    cells = strip(numbers, cells=120)
    assert len(cells) == 120
    assert sum(cell.passages for cell in cells) == 1_001
    assert sum(cell.examples for cell in cells) == sum(numbers)
    assert cells[-1].x + cells[-1].width <= WIDTH


@pytest.fixture
def chunks(project) -> list[Chunk]:
    file = services.add_file(project=project, name="handbook.pdf", pieces=[b"text"])
    return [
        Chunk.objects.create(
            file=file, index=n, text=f"Text {n}", token_count=2, start=n * 9, end=n * 9 + 6
        )
        for n in range(4)
    ]


def add(project, chunk, **fields) -> Example:
    number = Example.objects.count()
    values = {"prompt": "?", "completion": "!", "split": "train", "token_count": 10 + number}
    return Example.objects.create(
        project=project, chunk=chunk, fingerprint=f"{number:064x}", **(values | fields)
    )


def test_only_what_is_trained_counts_as_evidence_length_and_coverage(project, chunks):
    add(project, chunks[0], evidence_start=0, evidence_end=4)
    add(project, chunks[0], review="approved", split="eval")
    add(project, chunks[1], review="rejected", evidence_start=0, evidence_end=4)
    add(project, chunks[2], review="deleted")
    add(project, chunks[2], split="preview")
    add(project, None, evidence_start=None)
    found = review_statistics.statistics_of(project)
    assert (found["kept"], found["total"], found["placed_percent"]) == (3, 4, 50)
    assert found["splits"] == {"train": 2, "eval": 1}
    assert dict(found["reviews"])["In the bin"] == 1
    assert found["shared"] == 1
    assert sum(bar.count for bar in found["lengths"]["bars"]) == 3
    assert (found["coverage"]["bare"], found["coverage"]["passages"]) == (3, 4)
    assert [chunk.index for chunk in found["coverage"]["named"]] == [1, 2, 3]


def test_an_empty_project_has_no_share_of_evidence(project):
    found = review_statistics.statistics_of(project)
    assert (found["kept"], found["placed_percent"], found["shared"]) == (0, None, 0)


def test_duplicates_and_refused_replies_come_from_the_newest_generation(project, chunks):
    job = Job.objects.create(project=project, kind=Job.Kind.GENERATE, status="succeeded")
    rejected = [{"reason": "duplicate", "text": "?"}, {"reason": "too long", "text": "…"}]
    GenerationRequest.objects.create(job=job, chunk=chunks[0], slot=0, rejected=rejected)
    found = review_statistics.statistics_of(project)
    assert (found["duplicates"], found["refused"]["total"]) == (1, 2)

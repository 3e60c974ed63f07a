"""The two sides of a dataset: no chunk and no shared answer on both, near 90/10."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.models import Chunk, Example
from datasets.splitting import Piece, assign, split_examples
from projects.models import SourceFile

pieces_of_groups = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 40), st.booleans()), max_size=120
).map(
    lambda rows: [
        Piece(key, f"doc:{group}", completion=f"This is answer number {answer}.", counts=counts)
        for key, (group, answer, counts) in enumerate(rows)
    ]
)


@given(pieces_of_groups, st.integers(0, 5))
def test_no_chunk_and_no_answer_is_on_both_sides(pieces, seed):
    chosen = assign(pieces, seed=seed)
    for attribute in ("group", "completion"):
        sides = {}
        for piece in pieces:
            sides.setdefault(getattr(piece, attribute), set()).add(piece.key in chosen)
        assert all(len(side) == 1 for side in sides.values())


@given(pieces_of_groups, st.randoms())
def test_the_order_of_the_examples_does_not_matter(pieces, random):
    shuffled = list(pieces)
    random.shuffle(shuffled)
    assert assign(pieces) == assign(shuffled)


@given(st.lists(st.integers(1, 12), min_size=2, max_size=40), st.integers(0, 9))
def test_two_groups_are_enough_for_an_evaluation_and_training_keeps_most(sizes, seed):
    sized = enumerate(sizes)
    pieces = [Piece(1000 * g + n, f"doc:{g}") for g, size in sized for n in range(size)]
    chosen = assign(pieces, seed=seed)
    assert 0 < len(chosen) < len(pieces)
    assert len(chosen) <= max(min(sizes), 0.2 * len(pieces))


@pytest.mark.parametrize("seed", range(20))
def test_ten_equal_chunks_give_one_to_evaluation(seed):
    pieces = [Piece(10 * group + n, f"doc:{group}") for group in range(10) for n in range(8)]
    assert len(assign(pieces, seed=seed)) == 8


def test_the_seed_chooses_and_one_group_is_all_training():
    pieces = [Piece(10 * group + n, f"doc:{group}") for group in range(30) for n in range(5)]
    assert assign(pieces, seed=1) == assign(pieces, seed=1) != assign(pieces, seed=2)
    assert assign([piece for piece in pieces if piece.group == "doc:1"]) == set()


def test_quotes_that_overlap_in_the_document_stay_together():
    pieces = [
        Piece(0, "doc:0", document="doc", place=(0, 50)),
        Piece(1, "doc:1", document="doc", place=(40, 90)),
        Piece(2, "doc:2", document="doc", place=(90, 120)),
        Piece(3, "other:0", document="other", place=(10, 60)),
    ]
    for seed in range(30):
        chosen = assign(pieces, seed=seed)
        assert (0 in chosen) == (1 in chosen)


def test_short_answers_tie_nothing():
    pieces = [Piece(n, f"doc:{n}", completion="Yes.") for n in range(10)]
    assert len(assign(pieces)) == 1


@pytest.mark.django_db
def test_a_project_is_split_without_its_preview_and_again_the_same(project):
    file = SourceFile.objects.create(project=project, original_name="a", sha256="a", size_bytes=1)
    for index in range(10):
        chunk = Chunk.objects.create(
            file=file, index=index, text="x", token_count=1, start=100 * index, end=100 * index + 90
        )
        for number in range(4):
            review = "rejected" if number == 3 else "pending"
            make(project, chunk, f"{index}-{number}", review=review)
        make(project, chunk, f"preview {index}", split="preview")
    make(project, None, "imported")
    counts = split_examples(project)
    assert counts == {"train": 28, "eval": 3}
    assert Example.objects.filter(split="preview").count() == 10
    assert not Example.objects.filter(split="").exists()
    sides = set(Example.objects.exclude(split="preview").values_list("chunk", "split"))
    assert len(sides) == 11
    before = list(Example.objects.values_list("pk", "split").order_by("pk"))
    assert split_examples(project) == counts
    assert list(Example.objects.values_list("pk", "split").order_by("pk")) == before


@pytest.mark.django_db
def test_no_example_changes_sides_when_the_chunks_are_deleted(project):
    file = SourceFile.objects.create(project=project, original_name="a", sha256="a", size_bytes=1)
    for index in range(12):
        start = 100 * index
        chunk = Chunk.objects.create(
            file=file, index=index, text="x", token_count=1, start=start, end=start + 90
        )
        for number in range(3):
            make(project, chunk, f"{index}-{number}")
    split_examples(project)
    before = dict(Example.objects.values_list("pk", "split"))
    assert set(before.values()) == {"train", "eval"}
    Chunk.objects.filter(index__gt=1).delete()
    split_examples(project)
    gone = Example.objects.filter(chunk=None)
    assert {pk: before[pk] for pk in gone.values_list("pk", flat=True)} == dict(
        gone.values_list("pk", "split")
    )


@pytest.mark.parametrize("seed", range(10))
def test_equal_questions_and_one_request_stay_on_one_side(seed):
    same = "What does the pump of Bergen move?"
    pieces = [Piece(n, f"doc:{n}", prompt=same if n < 2 else "") for n in range(6)]
    pieces += [Piece(n, f"doc:{n}", request=1) for n in (6, 7)]
    chosen = assign(pieces, seed=seed)
    assert (0 in chosen) == (1 in chosen) and (6 in chosen) == (7 in chosen)


def make(project, chunk, text, **fields) -> Example:
    place = {"evidence_start": 0, "evidence_end": 5} if chunk else {}
    return Example.objects.create(
        project=project,
        chunk=chunk,
        prompt=f"What about {text}?",
        completion=f"There is a lot to say about {text}.",
        fingerprint=text,
        **place,
        **fields,
    )

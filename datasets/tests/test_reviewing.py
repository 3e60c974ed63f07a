"""Decisions over examples: one UPDATE, undone without touching what was decided since."""

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from datasets import editing, review_selectors, reviewing, splitting
from datasets.models import Chunk, Example, ReviewChange
from datasets.review_selectors import Filters
from projects import services

pytestmark = pytest.mark.django_db


def add(project, count: int = 1, **fields) -> list[Example]:
    start = Example.objects.count()
    return [
        Example.objects.create(
            project=project,
            fingerprint=f"{number:064x}",
            **({"prompt": f"Q{number}", "completion": f"A{number}", "split": "train"} | fields),
        )
        for number in range(start, start + count)
    ]


def everything(project):
    return Example.objects.filter(project=project)


def states(project) -> list[str]:
    return list(everything(project).order_by("pk").values_list("review", flat=True))


def test_a_decision_changes_all_by_one_update_and_is_undone_by_one(project):
    add(project, 30)
    add(project, 2, review="rejected")
    with CaptureQueriesContext(connection) as queries:
        change = reviewing.change_review(
            project=project, examples=everything(project), review="approved"
        )
    updates = [q for q in queries if q["sql"].startswith('UPDATE "datasets_example"')]
    assert (change.count, len(updates)) == (32, 1)
    assert set(states(project)) == {"approved"}
    assert reviewing.undo_change(change=change) == 32
    assert states(project) == ["pending"] * 30 + ["rejected"] * 2


def test_a_decision_leaves_those_alone_that_are_so_already(project):
    add(project, 2, review="approved")
    assert not reviewing.change_review(
        project=project, examples=everything(project), review="approved"
    )
    assert not ReviewChange.objects.exists()


def test_undo_leaves_what_was_decided_since(project):
    first, second = add(project, 2)
    early = reviewing.change_review(
        project=project, examples=everything(project), review="approved"
    )
    only = everything(project).filter(pk=first.pk)
    reviewing.change_review(project=project, examples=only, review="rejected")
    assert reviewing.undo_change(change=early) == 1
    assert states(project) == ["rejected", "pending"]


def test_a_second_undo_does_nothing(project):
    add(project, 1)
    change = reviewing.change_review(
        project=project, examples=everything(project), review="deleted"
    )
    assert reviewing.undo_change(change=change) == 1
    reviewing.change_review(project=project, examples=everything(project), review="approved")
    assert reviewing.undo_change(change=change) == 0
    assert states(project) == ["approved"]


def test_a_decision_never_reaches_another_project(project, stranger):
    other = services.create_project(owner=stranger, name="Other")
    add(other, 1)
    add(project, 1)
    reviewing.change_review(project=project, examples=Example.objects.all(), review="deleted")
    assert states(other) == ["pending"]


def test_only_what_is_in_the_bin_is_deleted_for_good(project):
    add(project, 2)
    add(project, 3, review="deleted")
    assert reviewing.delete_for_good(project=project, examples=everything(project)) == 3
    assert states(project) == ["pending", "pending"]


def test_the_last_change_is_forgotten_when_it_is_undone(project):
    add(project, 1)
    assert review_selectors.around(project)[1] is None
    change = reviewing.change_review(
        project=project, examples=everything(project), review="rejected"
    )
    shown = {"pk": change.pk, "review": "rejected", "count": 1}
    assert review_selectors.around(project)[1] == shown
    assert review_selectors.last_change(project) == shown
    reviewing.undo_change(change=change)
    assert review_selectors.around(project)[1] is None


@pytest.mark.parametrize("sort", review_selectors.SORTS)
@pytest.mark.parametrize("filters", [Filters(), Filters(review="approved"), Filters(q="Q")])
def test_the_pages_hold_every_example_once_and_in_order(sort, filters, project):
    for number in range(23):
        review = ("pending", "approved", "rejected", "deleted")[number % 4]
        add(project, 1, review=review, token_count=number * 7 % 5)
    add(project, 2, split="preview", review="approved")
    order = review_selectors.SORTS[sort]
    wanted = list(review_selectors.matching(project, filters).order_by(*order))
    assert wanted
    seen, number = [], 1
    while number:
        page = review_selectors.page_of_examples(project, filters, sort=sort, number=number, size=4)
        seen += page.rows
        number = page.next
    assert seen == wanted
    assert page.count == len(wanted)
    assert all(e.split != "preview" for e in seen)


def test_a_search_stops_counting_at_its_limit(project, monkeypatch):
    monkeypatch.setattr(review_selectors, "SCAN_LIMIT", 5)
    add(project, 8)
    page = review_selectors.page_of_examples(project, Filters(q="Q"), number=99, size=4)
    assert (page.is_capped, page.count, page.number, len(page.rows)) == (True, 5, 2, 1)


@pytest.mark.parametrize(
    ("flag", "wanted"),
    [("", 4), ("any", 3), ("none", 1), ("repaired", 2), ("no_evidence", 1), ("no", 0)],
)
def test_marks_are_found_by_their_whole_name(flag, wanted, project):
    for flags in ([], ["repaired"], ["no_evidence", "repaired"], ["evidence_not_found"]):
        add(project, 1, flags=flags)
    assert review_selectors.matching(project, Filters(flag=flag)).count() == wanted


def test_a_files_examples_are_those_of_its_passages_and_those_imported_from_it(project):
    made, imported = (
        services.add_file(project=project, name=f"{n}.txt", pieces=[n.encode()]) for n in "ab"
    )
    chunk = Chunk.objects.create(file=made, index=0, text="T", token_count=1, start=0, end=1)
    add(project, 2, chunk=chunk)
    add(project, 3, source_file=imported, source_line=7)
    assert review_selectors.matching(project, Filters(file=made.pk)).count() == 2
    assert review_selectors.matching(project, Filters(file=imported.pk)).count() == 3


def test_the_original_is_put_back_as_it_was(project):
    (example,) = add(project, 1, prompt="Who?", completion="Ada did.")
    edited = editing.edit_example(example=example, prompt="Who?", context="", completion="Ada.")
    assert edited.original["completion"] == "Ada did."
    restored = editing.restore_original(example=edited)
    assert (restored.completion, restored.original) == ("Ada did.", {})
    assert editing.restore_original(example=restored) == restored


def test_an_original_that_another_example_has_meanwhile_is_not_put_back(project):
    (example,) = add(project, 1, prompt="Who?", completion="Ada did.")
    edited = editing.edit_example(example=example, prompt="Who?", context="", completion="Ada.")
    (other,) = add(project, 1)
    editing.edit_example(example=other, prompt="Who?", context="", completion="Ada did.")
    with pytest.raises(ValidationError):
        editing.restore_original(example=edited)


def test_examples_move_to_a_side_with_all_of_their_passage(project):
    file = services.add_file(project=project, name="a.txt", pieces=[b"a"])
    chunks = [
        Chunk.objects.create(
            file=file, index=n, text="T", token_count=1, start=n * 9, end=n * 9 + 1
        )
        for n in range(2)
    ]
    one, two = add(project, 1, chunk=chunks[0]) + add(project, 1, chunk=chunks[0])
    (other,) = add(project, 1, chunk=chunks[1])
    assert splitting.move_examples(project, {one.pk}, split="eval") == 2
    two.refresh_from_db()
    other.refresh_from_db()
    assert (two.split, other.split) == ("eval", "train")

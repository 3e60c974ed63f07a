"""Deciding over examples, one or a hundred thousand, by one UPDATE that can be undone.

A change touches only what it changes, and undoing it only what nobody has changed since.
"""

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from datasets.models import Example, ReviewChange
from projects.models import Project

Review = Example.Review


def change_review(*, project: Project, examples: QuerySet, review: str) -> ReviewChange | None:
    """Give the examples this state; return the change, or None when all had it already."""
    others = examples.filter(project=project).exclude(review=review)
    with transaction.atomic():
        change = ReviewChange.objects.create(project=project, review=review)
        change.count = others.order_by().update(
            previous_review=F("review"), review=review, last_change=change
        )
        if not change.count:
            change.delete()
            return None
        change.save(update_fields=["count"])
    return change


def undo_change(*, change: ReviewChange) -> int:
    """Put back what the change replaced; return how many examples went back.

    A second call, and a second click at the same time, finds nothing to do.
    """
    with transaction.atomic():
        fresh = ReviewChange.objects.filter(pk=change.pk, undone_at=None)
        if not fresh.update(undone_at=timezone.now()):
            return 0
        untouched = Example.objects.filter(last_change=change)
        return untouched.update(review=F("previous_review"), previous_review="", last_change=None)


def delete_for_good(*, project: Project, examples: QuerySet) -> int:
    """Delete those of the examples that are in the bin; return how many. No undo."""
    binned = examples.filter(project=project, review=Review.DELETED)
    keys = binned.order_by().values("pk")
    count, _ = Example.objects.filter(pk__in=keys).delete()
    return count

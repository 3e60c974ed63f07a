"""Whose is it? Staff see everything. Strangers get the same 404 for what is not theirs as for what
does not exist."""

import pytest
from django.http import Http404

from projects import access, services
from projects.models import Job, SourceFile

pytestmark = pytest.mark.django_db


def test_people_see_their_own_projects(project, user, stranger):
    other = services.create_project(owner=stranger, name="Other")
    assert list(access.projects_of(user)) == [project]
    assert list(access.projects_of(stranger)) == [other]


def test_the_owner_gets_the_project(project, user):
    assert access.get_project(user, project.pk) == project


def test_a_strangers_project_and_one_that_does_not_exist_are_the_same_404(project, stranger):
    messages = []
    for pk in (project.pk, project.pk + 1000):
        with pytest.raises(Http404) as missing:
            access.get_project(stranger, pk)
        messages.append(str(missing.value))
    assert messages[0] == messages[1]


def test_staff_see_the_projects_of_everybody(project, admin_user):
    mine = services.create_project(owner=admin_user, name="Mine")
    assert set(access.projects_of(admin_user)) == {project, mine}
    assert access.get_project(admin_user, project.pk) == project


@pytest.mark.parametrize("model", [Job, SourceFile])
def test_what_belongs_to_a_project_is_found_through_its_owner(
    model, project, user, stranger, admin_user
):
    fields = {
        Job: {"kind": Job.Kind.DOCUMENTS},
        SourceFile: {"original_name": "a.txt", "sha256": "0" * 64, "size_bytes": 1},
    }
    found = model.objects.create(project=project, **fields[model])
    assert access.get_owned(model, user, pk=found.pk) == found
    assert access.get_owned(model, admin_user, pk=found.pk) == found
    with pytest.raises(Http404):
        access.get_owned(model, stranger, pk=found.pk)

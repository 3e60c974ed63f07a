"""Every address of the application, taken from the URL configuration: no view can be forgotten.

Each is visited as nobody, as a stranger, without a CSRF token and with the wrong method.
"""

from dataclasses import dataclass
from functools import cache

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse

from datasets.models import Chunk, Example, GenerationRequest, ReviewChange
from finetuneflow.lib import limits
from projects import services
from projects.models import Job
from training.models import Export, Run

pytestmark = pytest.mark.django_db

OPEN = {"health", "login", "welcome", "admin:login", "favicon"}
# What a member sees of the whole installation, without an owner.
SHARED = {"projects:list", "projects:workers", "account", "logout", "projects:samples"}
STAFF = {"status"}
HTMX = {"HX-Request": "true"}
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
OF_THE_ADMIN = {"object_id": 1, "id": 1, "content_type_id": 1, "app_label": "projects"}
# Limited as soon as they exist.
EXPECTED: set[str] = set()


@dataclass(frozen=True)
class Address:
    name: str
    arguments: tuple[str, ...]

    @property
    def is_admin(self) -> bool:
        return self.name.startswith("admin:")

    @property
    def has_owner(self) -> bool:
        return not self.is_admin and bool(self.arguments)


def _walk(patterns, namespaces=(), arguments=()):
    for pattern in patterns:
        taken = (*arguments, *pattern.pattern.regex.groupindex)
        if isinstance(pattern, URLResolver):
            inner = [*namespaces, pattern.namespace] if pattern.namespace else namespaces
            yield from _walk(pattern.url_patterns, inner, taken)
        elif pattern.name:
            yield Address(":".join([*namespaces, pattern.name]), taken)


@cache
def addresses() -> list[Address]:
    return sorted(set(_walk(get_resolver().url_patterns)), key=lambda address: address.name)


def unnamed(patterns) -> list[str]:
    """Return the patterns without a name, which the walk above cannot visit."""
    found = []
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            found += unnamed(pattern.url_patterns)
        elif not pattern.name:
            found.append(str(pattern.pattern))
    return found


@pytest.fixture
def ids(project) -> dict:
    """Return argument name -> id of something real that belongs to `project`."""
    file = services.add_file(project=project, name="a.txt", pieces=[b"Text of one file."])
    rows = [b'{"question": "Q?", "answer": "A"}']
    dataset = services.add_file(project=project, name="a.jsonl", pieces=rows, kind="dataset")
    chunk = Chunk.objects.create(file=file, index=0, text="Text", token_count=1, start=0, end=4)
    example = Example.objects.create(
        project=project, chunk=chunk, prompt="Which?", completion="This.", fingerprint="0" * 64
    )
    job = Job.objects.create(project=project, kind=Job.Kind.TRAIN, status=Job.Status.SUCCEEDED)
    run = Run.objects.create(project=project, job=job)
    export = Export.objects.create(run=run)
    request = GenerationRequest.objects.create(job=job, chunk=chunk, slot=0, raw_response="…")
    change = ReviewChange.objects.create(project=project, review="rejected")
    found = {
        "project": project,
        "file": file,
        "dataset": dataset,
        "chunk": chunk,
        "example": example,
    }
    found |= {"job": job, "run": run, "export": export, "request": request, "change": change}
    return {f"{name}_id": thing.pk for name, thing in found.items()} | {"index": 0}


def url(address: Address, ids: dict) -> str:
    """Return the address with real ids in it."""
    if address.is_admin:
        given = {name: OF_THE_ADMIN[name] for name in address.arguments}
        return reverse(address.name, kwargs=given)
    unknown = set(address.arguments) - set(ids)
    assert not unknown, (
        f"{address.name} takes {', '.join(unknown)}, which this test does not know: add the id of "
        "an object that belongs to `project` to the fixture `ids`."
    )
    return reverse(address.name, kwargs={name: ids[name] for name in address.arguments})


def every(test) -> list[Address]:
    return [address for address in addresses() if test(address)]


def send(client, method: str, address: str, **extra):
    return client.generic(method, address, **extra)


def statuses(client, found: list[Address], ids: dict, methods=METHODS) -> dict:
    return {
        (address.name, method): send(client, method, url(address, ids)).status_code
        for address in found
        for method in methods
    }


def test_there_are_addresses_of_every_part():
    parts = {address.name.partition(":")[0] for address in addresses()}
    assert {"projects", "datasets", "training", "admin", "account", "status"} <= parts
    assert len(every(lambda address: address.has_owner)) > 20


def test_every_address_has_a_name():
    # Django's admin has a catch-all, and the old form of the address of one object, per model.
    found = [name for name in unnamed(get_resolver().url_patterns) if "object_id" not in name]
    assert found == [r"(?P<url>.*)$"]


def test_nobody_gets_more_than_the_open_pages(ids):
    client = Client()
    for address in every(lambda address: address.name not in OPEN):
        for method in ("GET", "POST"):
            answer = send(client, method, url(address, ids))
            assert answer.status_code == 302, (address.name, method)
            assert answer.url.startswith(("/login/?next=", "/admin/login/?next=")), address.name
            answer = send(client, method, url(address, ids), headers=HTMX)
            leads = answer.headers.get("HX-Redirect", "")
            assert "/login/" in leads and answer.content == b"", (address.name, method)


def test_the_open_pages_are_these_and_no_other(ids):
    """With an account there is; the first visitor's page is then closed."""
    answers = {name: Client().get(reverse(name)).status_code for name in OPEN}
    expected = {"health": 200, "login": 200, "welcome": 404, "admin:login": 200, "favicon": 302}
    assert answers == expected


def test_what_is_somebody_elses_is_404_for_a_stranger_whatever_the_method(ids, stranger):
    client = Client()
    client.force_login(stranger)
    owned = every(lambda address: address.has_owner)
    found = statuses(client, owned, ids)
    assert set(found.values()) <= {404, 405}, found
    for address in owned:
        allowed = {found[address.name, method] for method in ("GET", "POST")}
        assert 404 in allowed, f"{address.name} says {allowed} to strangers"
        answer = client.get(url(address, ids), headers=HTMX)
        assert answer.status_code in (404, 405), address.name


def test_a_stranger_gets_the_same_for_what_does_not_exist(ids, stranger):
    client = Client()
    client.force_login(stranger)
    nothing = dict.fromkeys(ids, 10**9)
    owned = every(lambda address: address.has_owner)
    assert statuses(client, owned, ids) == statuses(client, owned, nothing)


def test_pages_of_the_staff_are_closed_to_members(ids, user):
    client = Client()
    client.force_login(user)
    for address in every(lambda address: address.name in STAFF):
        assert client.get(url(address, ids)).status_code in (403, 404)
    for address in every(lambda address: address.is_admin and address.name not in OPEN):
        answer = client.get(url(address, ids))
        assert answer.status_code in (302, 403, 404), address.name
        if answer.status_code == 302:
            assert "/login/" in answer.url or address.name == "admin:logout", address.name


def test_every_address_without_an_owner_is_known_to_this_test():
    known = OPEN | SHARED | STAFF
    free = every(lambda address: not address.is_admin and not address.has_owner)
    unknown = {address.name for address in free} - known
    assert not unknown, f"Whose are {unknown}? Add them to OPEN, SHARED or STAFF of this test."


def test_nothing_is_changed_without_a_csrf_token(ids, project, admin_user):
    client = Client(enforce_csrf_checks=True)
    for person in (project.owner, admin_user):
        client.force_login(person)
        for address in addresses():
            answer = client.post(url(address, ids))
            # A page without any form answers 405; nothing else than a refusal is right.
            assert answer.status_code in (403, 405), (address.name, answer.status_code)
    assert User.objects.count() == 2
    assert set(project.jobs.values_list("pk", flat=True)) == {ids["job_id"]}


def test_the_wrong_method_is_405_and_never_an_error(ids, project):
    client = Client()
    client.force_login(project.owner)
    ours = every(lambda address: not address.is_admin)
    found = statuses(client, ours, ids, ("PUT", "DELETE", "PATCH"))
    assert {key: status for key, status in found.items() if status != 405} == {}


def test_wrong_methods_at_the_admin_are_no_error_either(ids, admin_user):
    client = Client()
    client.force_login(admin_user)
    found = statuses(client, every(lambda address: address.is_admin), ids, ("PUT", "DELETE"))
    assert max(found.values()) < 500, found


def test_every_page_can_be_read_by_its_owner_and_by_staff(ids, project, admin_user):
    """What is 405 for GET takes POST alone; anything else would be a broken address."""
    for person in (project.owner, admin_user):
        client = Client()
        client.force_login(person)
        owned = every(lambda address: address.has_owner)
        found = statuses(client, owned, ids, ("GET",))
        assert set(found.values()) <= {200, 302, 404, 405}, found
        missing = {name for (name, _), status in found.items() if status == 404}
        assert missing <= {"training:download", "datasets:import_errors"}, missing


def test_the_limits_name_addresses_that_exist():
    known = {address.name for address in addresses()}
    assert set(limits.GROUP_OF) - known <= EXPECTED

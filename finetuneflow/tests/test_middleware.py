"""What every answer carries, how htmx meets the login, and who has to wait."""

from pathlib import Path

import pytest
from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client
from django.urls import include, path

from finetuneflow.lib import limits

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
HTMX = {"HX-Request": "true"}


@login_not_required
def public(request):
    return HttpResponse("public")


@login_not_required
def broken(request):
    raise RuntimeError("broken on purpose")


@login_not_required
def streamed(request):
    return StreamingHttpResponse(iter([b"a", b"b"]))


@login_not_required
def upload(request):
    return HttpResponse(f"{sum(file.size for file in request.FILES.values())} bytes")


def private(request):
    return HttpResponse("private")


urlpatterns = [
    path("public", public),
    path("upload", upload),
    path("broken", broken),
    path("streamed", streamed),
    path("private", private),
    path("", include("finetuneflow.urls")),
]


@pytest.fixture
def client():
    return Client(raise_request_exception=False, enforce_csrf_checks=True)


@pytest.fixture
def few_requests(settings):
    settings.RATE_LIMIT_PER_MINUTE = 3
    settings.LIMITS_PER_MINUTE = {"login": 2, "upload": 2, "preview": 1, "start": 1}
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still in the 20th second of a minute; `.now` can be moved."""

    class Clock:
        now = 60 * 1000.0 + 20

        def time(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(limits, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/public", 200),
        ("/streamed", 200),
        ("/health", 200),
        ("/private", 302),
        ("/no-such-page", 404),
        ("/broken", 500),
        ("/static/django_htmx/htmx-2.min.js", 200),
        ("/static/no-such-file.js", 404),
        ("/admin/login/", 200),
    ],
)
def test_every_answer_carries_the_strict_policy(address, status, client):
    response = client.get(address)
    assert response.status_code == status
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy


def test_refused_posts_and_wrong_hosts_carry_it_too(client):
    assert "Content-Security-Policy" in client.post("/public").headers
    response = client.get("/public", headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert "Content-Security-Policy" in response.headers


def test_answers_forbid_sniffing_framing_and_leaking_the_referrer(client):
    headers = client.get("/public").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"


def test_an_anonymous_browser_is_redirected_to_the_login(client):
    response = client.get("/private")
    assert (response.status_code, response.url) == (302, "/login/?next=/private")


def test_an_anonymous_htmx_request_is_told_to_load_the_login_page(client):
    response = client.get("/private", headers=HTMX)
    assert response.status_code == 200
    assert response.headers["HX-Redirect"] == "/login/?next=/private"
    assert response.content == b""


def test_after_the_login_htmx_users_are_back_on_the_page_they_saw(client):
    headers = HTMX | {"HX-Current-URL": "http://testserver/projects/1/?tab=jobs"}
    response = client.get("/private", headers=headers)
    assert response.headers["HX-Redirect"] == "/login/?next=/projects/1/%3Ftab%3Djobs"


def test_a_foreign_current_url_is_never_where_the_login_leads(client):
    headers = HTMX | {"HX-Current-URL": "http://evil.example/x"}
    response = client.get("/private", headers=headers)
    assert response.headers["HX-Redirect"] == "/login/?next=/private"


def test_a_person_who_is_logged_in_is_not_redirected(client, user):
    client.force_login(user)
    assert client.get("/private", headers=HTMX).content == b"private"


def test_beyond_the_limit_the_answer_is_429_until_the_minute_is_over(client, few_requests, clock):
    assert [client.get("/public").status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = client.get("/public")
    assert refused.headers["Retry-After"] == "40"
    assert b"40 seconds" in refused.content
    assert "Content-Security-Policy" in refused.headers
    clock.now += 40
    assert client.get("/public").status_code == 200


def test_anonymous_requests_to_private_pages_count(client, few_requests, clock):
    assert [client.get("/private").status_code for _ in range(4)] == [302, 302, 302, 429]


def test_clients_and_people_are_counted_apart(client, few_requests, clock, user):
    for _ in range(4):
        client.get("/public")
    assert client.get("/public").status_code == 429
    assert client.get("/public", REMOTE_ADDR="192.0.2.7").status_code == 200
    client.force_login(user)
    assert client.get("/public").status_code == 200


def test_health_is_never_limited_and_zero_means_no_limit(client, few_requests, settings):
    assert {client.get("/health").status_code for _ in range(6)} == {200}
    settings.RATE_LIMIT_PER_MINUTE = 0
    assert {client.get("/public").status_code for _ in range(6)} == {200}


def test_an_address_that_tries_many_names_is_slowed_at_every_door(
    few_requests, clock, settings, user
):
    settings.RATE_LIMIT_PER_MINUTE = 0
    client = Client()
    doors = ("/login/", "/admin/login/", "/login/")
    answers = [
        client.post(door, {"username": f"name-{door}", "password": "wrong"}) for door in doors
    ]
    assert [answer.status_code == 429 for answer in answers] == [False, False, True]
    assert "attempts to sign in" in answers[-1].content.decode()
    assert client.get("/login/").status_code == 200


def test_a_start_too_many_is_refused_with_a_page_and_counts_for_one_account(
    few_requests, clock, settings, project, stranger
):
    settings.RATE_LIMIT_PER_MINUTE = 0
    client, address = Client(), f"/projects/{project.pk}/data/read/"
    client.force_login(project.owner)
    assert client.post(address).status_code == 302
    refused = client.post(address)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "40")
    assert "Too many jobs were started within a minute" in refused.content.decode()
    assert "<h1>" in refused.content.decode()
    assert client.get(f"/projects/{project.pk}/data/").status_code == 200
    client.force_login(stranger)
    assert client.post(address).status_code == 404
    clock.now += 40
    client.force_login(project.owner)
    assert client.post(address).status_code == 302


def test_htmx_gets_the_sentence_alone(few_requests, clock, settings, project):
    settings.RATE_LIMIT_PER_MINUTE = 0
    client, address = Client(), f"/projects/{project.pk}/data/read/"
    client.force_login(project.owner)
    refused = [client.post(address, headers=HTMX) for _ in range(2)][1]
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "40")
    assert refused.headers["Content-Type"].startswith("text/plain")
    assert refused.content.decode().endswith("wait 40 seconds, then try again.")


def test_each_group_has_its_limit(settings):
    assert set(limits.GROUPS) == set(settings.LIMITS_PER_MINUTE) == set(limits.TOO_MANY)


class Untouchable:
    """A body that fails the test when anybody reads of it."""

    def read(self, *args):
        raise AssertionError("the body was read")

    readline = read


def send(client, size, **cookies):
    """POST with a Content-Length of `size` whose body must not be read."""
    client.cookies.load(cookies)
    announced = {"CONTENT_LENGTH": str(size), "wsgi.input": Untouchable()}
    return client.post("/upload", content_type="multipart/form-data; boundary=x", **announced)


def test_a_body_over_the_limit_is_refused_unread_with_a_page(settings):
    client = Client()
    settings.MAX_REQUEST_BYTES = 10 * 2**20
    response = send(client, 10 * 2**20 + 1, sessionid="anything")
    assert response.status_code == 413
    assert "more than 10 MB in one request" in response.content.decode()
    assert "<h1>" in response.content.decode()
    assert "Content-Security-Policy" in response.headers
    with pytest.raises(AssertionError, match="the body was read"):
        send(client, 10 * 2**20, sessionid="anything")


def test_without_a_session_cookie_no_files_are_taken_in(settings):
    client = Client()
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    assert send(client, limit + 1).status_code == 413
    assert send(client, limit + 1, csrftoken="x").status_code == 413
    with pytest.raises(AssertionError, match="the body was read"):
        send(client, limit)


def test_files_of_the_largest_size_fit_into_a_request(settings):
    assert settings.MAX_REQUEST_BYTES > 4 * settings.MAX_UPLOAD_BYTES


def test_a_large_file_is_received_in_the_data_folder(settings, monkeypatch):
    client, seen = Client(), []
    client.cookies.load({"sessionid": "anything"})

    class Watched(TemporaryUploadedFile):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            seen.append(Path(self.temporary_file_path()).parent)

    monkeypatch.setattr("django.core.files.uploadhandler.TemporaryUploadedFile", Watched)
    content = b"x" * (settings.FILE_UPLOAD_MAX_MEMORY_SIZE + 1)
    response = client.post("/upload", {"file": SimpleUploadedFile("a.txt", content)})
    assert response.content == f"{len(content)} bytes".encode()
    assert seen == [settings.DATA_DIR / "uploads"]
    assert list(seen[0].iterdir()) == []

"""One browser for all tests; every page is watched for errors while it is open."""

import os
from pathlib import Path

import pytest

CHROMIUM = Path(os.environ.get("FTF_CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=15_000)
    assert CHROMIUM.exists(), f"{CHROMIUM} is missing: install Chromium, or set FTF_CHROMIUM."
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


class Watch:
    """Collects what must not happen on a page: errors, failed answers, foreign requests."""

    def __init__(self, page, base_url: str, expected: tuple[int, ...] = ()) -> None:
        self.problems: list[str] = []
        self.base_url = base_url
        self.expected = expected
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("response", self._response)
        page.on("request", self._request)

    def _console(self, message) -> None:
        is_expected = any(f"status of {status}" in message.text for status in self.expected)
        if message.type in ("error", "warning") and not is_expected:
            self.problems.append(f"console: {message.text}")

    def _response(self, response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.problems.append(f"{response.status}: {response.url}")

    def _request(self, request) -> None:
        if not request.url.startswith((self.base_url, "data:")):
            self.problems.append(f"foreign request: {request.url}")


@pytest.fixture
def open_page(browser, live_server, transactional_db):
    """Open a page with the given look, signed in as `user`; any problem fails the test.

    `expected` names the statuses of answers that are none.
    """
    contexts, watches = [], []

    def open_(user=None, *, width=1280, theme="light", script=True, expected=()):
        context = browser.new_context(
            base_url=live_server.url,
            viewport={"width": width, "height": 800},
            color_scheme=theme,
            java_script_enabled=script,
            reduced_motion="reduce",
        )
        contexts.append(context)
        if user is not None:
            context.add_cookies([_session_cookie(user, live_server.url)])
        page = context.new_page()
        page.set_default_timeout(15_000)
        watches.append(Watch(page, live_server.url, expected))
        return page

    open_.watches = watches
    yield open_
    for context in contexts:
        context.close()
    assert [problem for watch in watches for problem in watch.problems] == []


def _session_cookie(user, url: str) -> dict:
    from django.conf import settings
    from django.test import Client

    client = Client()
    client.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    return {"name": name, "value": client.cookies[name].value, "url": url}

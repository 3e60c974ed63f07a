"""One view, two answers: a whole page for browsers, its fragment for htmx."""

import pytest
from django.test import RequestFactory
from django_htmx.middleware import HtmxDetails

from finetuneflow.lib import htmx

TEMPLATES = {
    "page.html": "<html>{% include 'part.html' %}</html>",
    "part.html": "<p id='part'>{{ word }}</p>",
    "partials/messages_oob.html": "<div hx-swap-oob='true'>{% for m in messages %}{{ m }}"
    "{% endfor %}</div>",
}
PAGE, PART = "<html><p id='part'>&lt;b&gt;</p></html>", "<p id='part'>&lt;b&gt;</p>"


@pytest.fixture(autouse=True)
def small_templates(settings):
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", TEMPLATES)]},
        }
    ]


def request_of(**headers):
    request = RequestFactory().get(
        "/", headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    request.htmx = HtmxDetails(request)
    return request


WHOLE_PAGES = [
    {},
    {"HX_Request": "true", "HX_Boosted": "true"},
    {"HX_Request": "true", "HX_History_Restore_Request": "true"},
]


@pytest.mark.parametrize("headers", WHOLE_PAGES)
def test_a_browser_a_boosted_link_and_the_history_get_the_whole_page(headers):
    response = htmx.render_page(request_of(**headers), "page.html", "part.html", {"word": "<b>"})
    assert response.content.decode() == PAGE
    assert response.headers["Vary"] == "HX-Request"


def test_an_htmx_request_gets_the_fragment_and_the_messages_out_of_band():
    request = request_of(HX_Request="true")
    context = {"word": "<b>", "messages": ["Saved."]}
    response = htmx.render_page(request, "page.html", "part.html", context, status=422)
    assert response.content.decode() == PART + "<div hx-swap-oob='true'>Saved.</div>"
    assert response.status_code == 422
    assert response.headers["Vary"] == "HX-Request"


@pytest.mark.parametrize("headers", WHOLE_PAGES)
def test_a_redirect_is_an_ordinary_one_for_browsers(headers):
    response = htmx.redirect_to(request_of(**headers), "login")
    assert (response.status_code, response.url) == (302, "/login/")


def test_a_redirect_is_a_header_that_htmx_follows():
    response = htmx.redirect_to(request_of(HX_Request="true"), "login")
    assert (response.status_code, response.headers["HX-Redirect"]) == (200, "/login/")

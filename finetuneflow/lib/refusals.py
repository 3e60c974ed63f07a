"""Answers that refuse a request before its view: a page for people, a sentence for htmx.

They read no session and no database, so they can be given at any point of a request.
"""

from django.conf import settings
from django.http import HttpResponse
from django.template.loader import render_to_string


def refuse(request, status: int, text: str, **headers: str) -> HttpResponse:
    """Answer with `text`: inside the error page of `status`, or alone where htmx shows it."""
    kind = "text/plain; charset=utf-8"
    if request.headers.get("HX-Request") != "true":
        kind, text = "text/html; charset=utf-8", render_to_string(f"{status}.html", {"text": text})
    return HttpResponse(text, status=status, content_type=kind, headers=headers)


def too_many(request, text: str, seconds: int) -> HttpResponse:
    return refuse(request, 429, text, **{"Retry-After": str(seconds)})


def locked_out(request, response, credentials) -> HttpResponse:
    """Answer to a login after too many wrong passwords; django-axes calls it."""
    minutes = settings.LOGIN_PAUSE_MINUTES
    text = (
        f"The password was wrong {settings.LOGIN_FAILURES} times, so this name cannot sign in from "
        f"here for {minutes} {'minute' if minutes == 1 else 'minutes'}. Wait, then try again; "
        "somebody who is signed in as administrator can lift the pause in the admin, under "
        "Access attempts."
    )
    return too_many(request, text, minutes * 60)

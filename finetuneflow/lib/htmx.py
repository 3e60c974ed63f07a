"""Answering a request with a page or, for htmx, with the fragment that the page includes."""

from django.http import HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from django_htmx.http import HttpResponseClientRedirect


def is_fragment_request(request) -> bool:
    """True when htmx asks for a piece of a page, not for a whole one (boosted, history)."""
    htmx = request.htmx
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def render_page(request, page: str, partial: str, context: dict, status: int = 200) -> HttpResponse:
    """Render `partial` for htmx requests and `page` (which includes it) otherwise."""
    is_fragment = is_fragment_request(request)
    response = render(request, partial if is_fragment else page, context, status=status)
    if is_fragment:
        response.write(render_to_string("partials/messages_oob.html", context, request))
    patch_vary_headers(response, ["HX-Request"])
    return response


def redirect_to(request, to, *args, **kwargs) -> HttpResponse:
    """Redirect the browser, through HX-Redirect when htmx asked."""
    if is_fragment_request(request):
        return HttpResponseClientRedirect(resolve_url(to, *args, **kwargs))
    return redirect(to, *args, **kwargs)

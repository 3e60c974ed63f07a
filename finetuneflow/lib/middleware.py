"""Security headers, limits of requests, and logins that htmx can follow."""

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponse, HttpResponseRedirect
from django.middleware.gzip import GZipMiddleware
from django.shortcuts import resolve_url
from django_htmx.http import HttpResponseClientRedirect

from finetuneflow.lib import limits, refusals
from finetuneflow.lib.storage import shown_size

COMPRESSED = {"text/html", "text/css", "text/javascript", "image/svg+xml", "application/json"}
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)


class ContentSecurityPolicyMiddleware:
    """Adds the policy to every response: nothing inline, nothing from elsewhere."""

    def __init__(self, get_response) -> None:
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return response


class CompressMiddleware(GZipMiddleware):
    """Compresses pages, styles and scripts; files to download keep their bytes and their length."""

    def process_response(self, request, response):
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        if kind not in COMPRESSED or response.headers.get("Content-Disposition"):
            return response
        return super().process_response(request, response)


class RequestSizeMiddleware:
    """Answers 413 to a body that is too large before anything reads or stores a part of it.

    Sessions are not known this early: who sends no session cookie gets the limit of a form
    without files. A body without a Content-Length is none (Django reads nothing of it).
    """

    def __init__(self, get_response) -> None:
        self.get_response = get_response

    def __call__(self, request):
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if settings.SESSION_COOKIE_NAME in request.COOKIES:
            limit = settings.MAX_REQUEST_BYTES
        if _content_length(request) <= limit:
            return self.get_response(request)
        text = (
            f"This is more than {shown_size(limit)} in one request, the limit here. "
            "Nothing was stored. Go back and send fewer files at once."
        )
        return refusals.refuse(request, 413, text)


def _content_length(request) -> int:
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0  # As Django takes it.


class HtmxLoginRedirectMiddleware:
    """Turns a redirect to the login page into HX-Redirect, so it does not land in a fragment.

    After the login the person is back on the page they saw, not on the fragment's address.
    """

    def __init__(self, get_response) -> None:
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        is_redirect = isinstance(response, HttpResponseRedirect)
        if request.htmx and is_redirect and not request.user.is_authenticated:
            return HttpResponseClientRedirect(_login_url(request, response.url))
        return response


def _login_url(request, url: str) -> str:
    login, page = resolve_url(settings.LOGIN_URL), request.htmx.current_url_abs_path
    if page and url.startswith(f"{login}?"):
        return redirect_to_login(page, login).url
    return url


class RateLimitMiddleware:
    """Limits requests per minute and person, and more strictly those that cost more (`limits`)."""

    def __init__(self, get_response) -> None:
        self.get_response = get_response

    def __call__(self, request):
        if request.path == "/health":
            return self.get_response(request)
        refused = _refusal(request, "all", settings.RATE_LIMIT_PER_MINUTE)
        return refused or self.get_response(request)

    def process_view(self, request, view, arguments, keywords):
        group = limits.GROUP_OF.get(request.resolver_match.view_name)
        if group is None or request.method != "POST":
            return None
        return _refusal(request, group, limits.limit_of(group))


def _refusal(request, group: str, limit: int) -> HttpResponse | None:
    """Count the request; return the answer to one too many. A person is an account or a client."""
    is_known = request.user.is_authenticated
    who = request.user.pk if is_known else request.META.get("REMOTE_ADDR", "")
    seconds = limits.seconds_to_wait(group, who, limit)
    if seconds is None:
        return None
    return refusals.too_many(request, limits.sentence(group, seconds), seconds)

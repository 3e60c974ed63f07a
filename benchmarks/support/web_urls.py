"""The application's addresses and `/bare/`: a page of one line behind the same middleware."""

from django.http import HttpResponse
from django.urls import include, path


def bare(request) -> HttpResponse:
    """Session and user are read, as on every page; nothing else is done."""
    return HttpResponse(f"<!DOCTYPE html><title>Bare</title><p>{request.user.get_username()}</p>")


urlpatterns = [path("bare/", bare), path("", include("finetuneflow.urls"))]

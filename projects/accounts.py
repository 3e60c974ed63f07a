"""The first account. Everything needs a login, so a new installation needs somebody."""

import secrets

from django.contrib.auth import get_user_model

from finetuneflow.lib import env


def ensure_admin() -> tuple[str, str | None]:
    """Create the first administrator when there is none; return (name, new password or None).

    DJANGO_SUPERUSER_USERNAME and DJANGO_SUPERUSER_PASSWORD are honoured; without a password one
    is generated, and the caller shows it this once.
    """
    users = get_user_model().objects
    existing = users.filter(is_superuser=True).order_by("pk").first()
    if existing is not None:
        return existing.get_username(), None
    name = env.text("DJANGO_SUPERUSER_USERNAME", "admin")
    given = env.secret("DJANGO_SUPERUSER_PASSWORD")
    password = given or secrets.token_urlsafe(12)
    users.create_superuser(name, email=env.text("DJANGO_SUPERUSER_EMAIL"), password=password)
    return name, None if given else password

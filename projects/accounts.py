"""The first account. Everything needs a login, so a new installation needs somebody.

It is new until somebody could log in. Until then the first visitor may become the administrator,
unless the environment names one: then `manage.py setup` has made the account.
"""

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Q

from finetuneflow.lib import env

_WAITING = Q(password__startswith=UNUSABLE_PASSWORD_PREFIX, last_login=None)


class AlreadySetUp(Exception):
    """Somebody else was faster: the first administrator is there."""


def is_new() -> bool:
    """True while nobody could ever log in; an owner that only waits for a visitor is nobody."""
    return not get_user_model().objects.exclude(_WAITING).exists()


def is_open_to_first_visitor() -> bool:
    return is_new() and not env.secret("DJANGO_SUPERUSER_PASSWORD")


def waiting_owner():
    """Return the administrator without a password whom the first visitor becomes, or None."""
    return get_user_model().objects.filter(_WAITING, is_superuser=True).order_by("pk").first()


def first_admin():
    return get_user_model().objects.filter(is_superuser=True).order_by("pk").first()


@transaction.atomic
def become_first_admin(*, username: str, password: str):
    """Make the first administrator; raises `AlreadySetUp` for everybody but one.

    Work that was started before (the demo's project) is theirs from now on.
    """
    _wait_for_each_other()
    if not is_open_to_first_visitor():
        raise AlreadySetUp
    return _save_admin(waiting_owner(), username=username, password=password)


@transaction.atomic
def ensure_given_admin():
    """Return the first administrator, made of DJANGO_SUPERUSER_* when there is none; or None."""
    _wait_for_each_other()
    existing, password = first_admin(), env.secret("DJANGO_SUPERUSER_PASSWORD")
    if not password or (existing is not None and existing != waiting_owner()):
        return existing
    return _save_admin(
        existing,
        username=env.text("DJANGO_SUPERUSER_USERNAME", "admin"),
        password=password,
        email=env.text("DJANGO_SUPERUSER_EMAIL"),
    )


def ensure_owner():
    """Return somebody whom a project can belong to before anybody has set a password."""
    return ensure_given_admin() or get_user_model().objects.create_superuser("admin")


def _wait_for_each_other() -> None:
    """Lock a row that every installation has: of two simultaneous calls one waits here."""
    ContentType.objects.select_for_update().get(app_label="auth", model="user")


def _save_admin(user, *, username: str, password: str, email: str = ""):
    user = user or get_user_model()()
    user.username, user.email = username, email
    user.is_staff = user.is_superuser = user.is_active = True
    user.set_password(password)
    user.save()
    return user

"""Accounts and the state of the installation: the pages that belong to no project."""

from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_safe

from finetuneflow import status as installation
from finetuneflow.forms import FirstAdminForm, PasswordForm
from projects import accounts
from projects.web import posted

BACKEND = "django.contrib.auth.backends.ModelBackend"
PASSWORDS = ("password1", "password2", "old_password", "new_password1", "new_password2")


class Login(auth.LoginView):
    """Sign in. A new installation has nobody who could: it leads to the first visitor's page."""

    template_name = "login.html"
    http_method_names = ["get", "post", "head", "options"]

    def get(self, request, *args, **kwargs):
        if accounts.is_open_to_first_visitor():
            return redirect("welcome")
        return super().get(request, *args, **kwargs)

    def form_invalid(self, form):
        response = super().form_invalid(form)
        response.status_code = 422
        return response


@require_safe
@login_not_required
def favicon(request):
    """Where browsers look on pages that name no icon: the admin's, plain texts."""
    return redirect(static("img/logo.svg"))


@sensitive_post_parameters(*PASSWORDS)
@never_cache
@require_http_methods(["GET", "POST"])
@login_not_required
def welcome(request):
    """Make the first visitor the administrator. Nothing is here once there is somebody."""
    if not accounts.is_open_to_first_visitor():
        raise Http404
    form = FirstAdminForm(
        posted(request), instance=accounts.waiting_owner(), initial={"username": "admin"}
    )
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            user = accounts.become_first_admin(
                username=values["username"], password=values["password1"]
            )
        except accounts.AlreadySetUp:
            messages.error(request, "Somebody else has just set the administrator's password.")
            return redirect("login")
        login(request, user, backend=BACKEND)
        messages.success(request, "This installation is yours. Begin with a first project.")
        return redirect("projects:list")
    return render(
        request, "accounts/welcome.html", {"form": form}, status=422 if form.errors else 200
    )


@sensitive_post_parameters(*PASSWORDS)
@never_cache
@require_http_methods(["GET", "POST"])
def account(request):
    form = PasswordForm(request.user, posted(request))
    if request.method == "POST" and form.is_valid():
        update_session_auth_hash(request, form.save())
        messages.success(request, "The password is changed. Other browsers are signed out.")
        return redirect("account")
    return render(
        request, "accounts/account.html", {"form": form}, status=422 if form.errors else 200
    )


@require_GET
def status(request):
    if not request.user.is_staff:
        raise PermissionDenied
    return render(request, "status.html", installation.report())

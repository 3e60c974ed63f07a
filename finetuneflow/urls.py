"""All addresses of the application."""

from axes.models import AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path

from finetuneflow import views
from finetuneflow.health import health

admin.site.site_header = admin.site.site_title = "FineTuneFlow"
admin.site.index_title = "Administration"
# These two are never written; deleting an access attempt lifts the pause of a login.
admin.site.unregister([AccessLog, AccessFailureLog])

urlpatterns = [
    path("health", health, name="health"),
    path("favicon.ico", views.favicon, name="favicon"),
    path("welcome/", views.welcome, name="welcome"),
    path("login/", views.Login.as_view(), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("account/", views.account, name="account"),
    path("status/", views.status, name="status"),
    path("admin/", admin.site.urls),
    path("", include("projects.urls")),
    path("", include("datasets.urls")),
    path("", include("training.urls")),
]

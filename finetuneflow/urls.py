"""All addresses of the application."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path

from finetuneflow.health import health

admin.site.site_header = admin.site.site_title = "FineTuneFlow"
admin.site.index_title = "Administration"

urlpatterns = [
    path("health", health, name="health"),
    path("login/", auth.LoginView.as_view(template_name="login.html"), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("", include("projects.urls")),
    path("", include("datasets.urls")),
    path("", include("training.urls")),
]

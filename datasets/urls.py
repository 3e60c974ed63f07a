from django.urls import path

from datasets import preview_views, views

app_name = "datasets"
urlpatterns = [
    path("projects/<int:project_id>/data/", views.data, name="data"),
    path("projects/<int:project_id>/data/read/", views.read_documents, name="read"),
    path("files/<int:file_id>/delete/", views.delete_file, name="delete_file"),
    path("projects/<int:project_id>/preview/", preview_views.preview, name="preview"),
    path("projects/<int:project_id>/preview/models/", preview_views.models, name="models"),
    path("replies/<int:request_id>/", preview_views.reply, name="reply"),
    path("projects/<int:project_id>/review/", views.review, name="review"),
    path("projects/<int:project_id>/generate/", preview_views.generate, name="generate"),
]

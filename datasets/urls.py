from django.urls import path

from datasets import views

app_name = "datasets"
urlpatterns = [
    path("projects/<int:project_id>/data/", views.data, name="data"),
    path("projects/<int:project_id>/data/read/", views.read_documents, name="read"),
    path("files/<int:file_id>/delete/", views.delete_file, name="delete_file"),
    path("projects/<int:project_id>/preview/", views.preview, name="preview"),
    path("projects/<int:project_id>/review/", views.review, name="review"),
    path("projects/<int:project_id>/generate/", views.generate, name="generate"),
]

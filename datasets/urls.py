from django.urls import path

from datasets import data_views, views

app_name = "datasets"
urlpatterns = [
    path("projects/<int:project_id>/data/", data_views.data, name="data"),
    path("projects/<int:project_id>/data/read/", data_views.read_documents, name="read"),
    path("projects/<int:project_id>/data/samples/", data_views.add_samples, name="add_samples"),
    path("files/<int:file_id>/delete/", data_views.delete_file, name="delete_file"),
    path("files/<int:file_id>/encoding/", data_views.choose_encoding, name="encoding"),
    path("files/<int:file_id>/text/", data_views.text, name="text"),
    path("projects/<int:project_id>/preview/", views.preview, name="preview"),
    path("projects/<int:project_id>/review/", views.review, name="review"),
    path("projects/<int:project_id>/generate/", views.generate, name="generate"),
]

from django.urls import path

from datasets import data_views, import_views, preview_views, review_views

app_name = "datasets"
urlpatterns = [
    path("projects/<int:project_id>/data/", data_views.data, name="data"),
    path("projects/<int:project_id>/data/read/", data_views.read_documents, name="read"),
    path("projects/<int:project_id>/data/samples/", data_views.add_samples, name="add_samples"),
    path("files/<int:file_id>/delete/", data_views.delete_file, name="delete_file"),
    path("files/<int:file_id>/encoding/", data_views.choose_encoding, name="encoding"),
    path("files/<int:file_id>/text/", data_views.text, name="text"),
    path(
        "projects/<int:project_id>/data/import/", import_views.import_dataset, name="import_dataset"
    ),
    path("datasets/<int:dataset_id>/", import_views.dataset, name="dataset"),
    path("datasets/<int:dataset_id>/errors/", import_views.import_errors, name="import_errors"),
    path("datasets/<int:dataset_id>/delete/", import_views.delete_dataset, name="delete_dataset"),
    path("projects/<int:project_id>/preview/", preview_views.preview, name="preview"),
    path("projects/<int:project_id>/preview/models/", preview_views.models, name="models"),
    path("replies/<int:request_id>/", preview_views.reply, name="reply"),
    path("projects/<int:project_id>/review/", review_views.review, name="review"),
    path(
        "projects/<int:project_id>/review/statistics/", review_views.statistics, name="statistics"
    ),
    path("projects/<int:project_id>/review/change/", review_views.change, name="change"),
    path("changes/<int:change_id>/undo/", review_views.undo_change, name="undo_change"),
    path("examples/<int:example_id>/", review_views.example, name="example"),
    path("examples/<int:example_id>/review/", review_views.decide, name="decide"),
    path("examples/<int:example_id>/edit/", review_views.edit, name="edit"),
    path("examples/<int:example_id>/restore/", review_views.restore, name="restore"),
    path("projects/<int:project_id>/generate/", preview_views.generate, name="generate"),
]

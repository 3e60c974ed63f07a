from django.urls import path

from training import views

app_name = "training"
urlpatterns = [
    path("projects/<int:project_id>/model/", views.model, name="model"),
    path("projects/<int:project_id>/hardware/", views.hardware, name="hardware"),
    path("projects/<int:project_id>/train/", views.train, name="train"),
    path("projects/<int:project_id>/export/", views.export, name="export"),
    path("runs/<int:run_id>/", views.run, name="run"),
    path("runs/<int:run_id>/numbers/", views.run_numbers, name="run_numbers"),
    path("runs/<int:run_id>/export/", views.build_export, name="build_export"),
    path("exports/<int:export_id>/verify/", views.verify, name="verify"),
    path("exports/<int:export_id>/download/", views.download, name="download"),
]

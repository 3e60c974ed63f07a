from django.urls import path

from training import export_views, hardware_views, model_views, train_views

app_name = "training"
urlpatterns = [
    path("projects/<int:project_id>/model/", model_views.model, name="model"),
    path("projects/<int:project_id>/model/search/", model_views.model_search, name="model_search"),
    path("projects/<int:project_id>/hardware/", hardware_views.hardware, name="hardware"),
    path("projects/<int:project_id>/train/", train_views.train, name="train"),
    path("projects/<int:project_id>/export/", export_views.export, name="export"),
    path("runs/<int:run_id>/", train_views.run, name="run"),
    path("runs/<int:run_id>/live/", train_views.run_live, name="run_live"),
    path("runs/<int:run_id>/curve/", train_views.run_curve, name="run_curve"),
    path("runs/<int:run_id>/numbers/", train_views.run_numbers, name="run_numbers"),
    path("jobs/<int:job_id>/finish/", train_views.finish, name="finish"),
    path("runs/<int:run_id>/export/", export_views.build_export, name="build_export"),
    path("runs/<int:run_id>/report/", export_views.report, name="report"),
    path("exports/<int:export_id>/delete/", export_views.delete_export, name="delete_export"),
    path("exports/<int:export_id>/verify/", export_views.verify, name="verify"),
    path("exports/<int:export_id>/download/", export_views.download, name="download"),
]

from django.urls import path

from projects import job_views, views

app_name = "projects"
urlpatterns = [
    path("", views.project_list, name="list"),
    path("workers/", job_views.workers, name="workers"),
    path("projects/samples/", views.samples, name="samples"),
    path("projects/<int:project_id>/", views.project_detail, name="detail"),
    path("projects/<int:project_id>/rename/", views.project_rename, name="rename"),
    path("projects/<int:project_id>/duplicate/", views.project_duplicate, name="duplicate"),
    path("projects/<int:project_id>/archive/", views.project_archive, name="archive"),
    path("projects/<int:project_id>/delete/", views.project_delete, name="delete"),
    path("projects/<int:project_id>/task/", views.task, name="task"),
    path("projects/<int:project_id>/rail/", job_views.rail, name="rail"),
    path("jobs/<int:job_id>/", job_views.job, name="job"),
    path("jobs/<int:job_id>/rail/", job_views.rail_job, name="rail_job"),
    path("jobs/<int:job_id>/cancel/", job_views.job_cancel, name="job_cancel"),
    path("jobs/<int:job_id>/resume/", job_views.job_resume, name="job_resume"),
    path("jobs/<int:job_id>/log/", job_views.job_log, name="job_log"),
]

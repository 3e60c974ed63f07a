from django.urls import path

from projects import views

app_name = "projects"
urlpatterns = [
    path("", views.project_list, name="list"),
    path("workers/", views.workers, name="workers"),
    path("projects/<int:project_id>/", views.project_detail, name="detail"),
    path("projects/<int:project_id>/delete/", views.project_delete, name="delete"),
    path("projects/<int:project_id>/task/", views.task, name="task"),
    path("projects/<int:project_id>/rail/", views.rail, name="rail"),
    path("jobs/<int:job_id>/", views.job, name="job"),
    path("jobs/<int:job_id>/rail/", views.rail_job, name="rail_job"),
    path("jobs/<int:job_id>/cancel/", views.job_cancel, name="job_cancel"),
    path("jobs/<int:job_id>/resume/", views.job_resume, name="job_resume"),
    path("jobs/<int:job_id>/log/", views.job_log, name="job_log"),
]

"""Doors of the queue: claim the job, call one service, report. Nothing else."""

from datasets import documents as documents_service
from datasets import importing
from datasets.generation import service as generation
from projects import jobs


def documents(job_id: int) -> None:
    with jobs.running(job_id) as job:
        if job is not None:
            job.outcome = documents_service.read_documents(job=job, reporter=jobs.Reporter(job))


def preview(job_id: int) -> None:
    with jobs.running(job_id) as job:
        if job is not None:
            job.outcome = generation.run_preview(job=job, reporter=jobs.Reporter(job))


def generate(job_id: int) -> None:
    with jobs.running(job_id) as job:
        if job is not None:
            job.outcome = generation.run_generation(job=job, reporter=jobs.Reporter(job))


def import_dataset(job_id: int) -> None:
    with jobs.running(job_id) as job:
        if job is not None:
            job.outcome = importing.import_dataset(job=job, reporter=jobs.Reporter(job))

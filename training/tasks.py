"""Doors of the queue: claim the job, call one service, report. Nothing else."""

from projects import jobs
from training import exporting, runner


def train(job_id: int) -> None:
    with jobs.running(job_id) as job:
        if job is not None:
            job.outcome = runner.run_training(job=job, reporter=jobs.Reporter(job))


def export(job_id: int) -> None:
    with jobs.running(job_id) as job:
        if job is not None:
            job.outcome = exporting.build_export(job=job, reporter=jobs.Reporter(job))


def verify(job_id: int) -> None:
    with jobs.running(job_id) as job:
        if job is not None:
            job.outcome = exporting.verify_export(job=job, reporter=jobs.Reporter(job))

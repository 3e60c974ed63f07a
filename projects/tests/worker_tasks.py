"""Tasks for tests that start real workers. They say what they did in files of a folder."""

import os
import time
from pathlib import Path

from projects import jobs


def touch(job_id: int) -> None:
    """Leave one file for each time that the body really ran."""
    with jobs.running(job_id) as job:
        if job is not None:
            folder = Path(job.params["folder"])
            (folder / f"ran-{job.attempt}-{os.getpid()}-{time.monotonic_ns()}").touch()


def wait_for_file(job_id: int) -> None:
    """Work, with progress, until the file `go` appears."""
    with jobs.running(job_id) as job:
        if job is not None:
            folder, reporter = Path(job.params["folder"]), jobs.Reporter(job, every_seconds=0.2)
            (folder / f"started-{job.attempt}").touch()
            while not (folder / "go").exists():
                reporter(1, 2, "Waiting.")
                time.sleep(0.05)
            (folder / f"ran-{job.attempt}-{os.getpid()}").touch()

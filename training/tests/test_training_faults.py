"""kill -9 of a real engine in the middle of a real training: it goes on from its checkpoint."""

import os
import signal

import psutil
import pytest

from datasets.models import Example
from finetuneflow.lib.processes import wait_until
from projects.models import Job, JobEvent
from projects.tests.processes_helper import manage
from training import services

pytestmark = [pytest.mark.model, pytest.mark.processes, pytest.mark.django_db(transaction=True)]


def add_examples(project, count: int) -> None:
    for number in range(count):
        Example.objects.create(
            project=project,
            prompt=f"Who keeps lighthouse {number}?",
            completion=f"Lighthouse {number} is kept by Keeper {chr(65 + number)}.",
            split="eval" if number % 6 == 0 else "train",
            fingerprint=f"{number:064d}",
        )


def engine_of(job: Job) -> psutil.Process:
    """Return the engine below the process that runs the job."""
    worker = psutil.Process(int(Job.objects.get(pk=job.pk).worker.rsplit(":", 1)[1]))
    (engine,) = [p for p in worker.children() if "training/engine" in " ".join(p.cmdline())]
    return engine


def test_an_engine_killed_in_the_middle_goes_on_from_its_checkpoint(
    project, process_env, model_dir
):
    add_examples(project, 18)
    job = services.start_training(
        project=project, epochs=4, micro_batch=2, eval_prompts=2, max_new_tokens=8
    )
    events = JobEvent.objects.filter(job=job)
    with manage("worker", "--queue", "gpu", env=process_env):
        saved = events.filter(text__startswith="Saved checkpoint")
        assert wait_until(lambda: saved.exists(), seconds=180), list(events.values_list("text"))
        os.kill(engine_of(job).pid, signal.SIGKILL)
        done = Job.objects.filter(pk=job.pk).exclude(status__in=Job.ACTIVE)
        assert wait_until(lambda: done.exists(), seconds=300)
    job.refresh_from_db()
    assert (job.status, job.attempt) == (Job.Status.SUCCEEDED, 2), job.error_text
    resumed = [event.data.get("resumed_from") for event in events.filter(data__phase="train")]
    assert resumed[0] in (None, 0)
    assert resumed[1] > 0
    run = job.run
    steps = [point["step"] for point in run.metrics["history"] if "loss" in point]
    assert steps == list(range(1, run.metrics["train"]["steps"] + 1)), "the curve has no seam"
    assert (services.run_folder(run) / "adapter" / "adapter_model.safetensors").is_file()
    assert events.filter(text="Measuring the base model.").count() == 1, "measured once only"

"""The bundled model as the generator: through a real worker, killed, cancelled, and refused."""

import os
import signal

import psutil
import pytest

from datasets import services
from datasets.generation import generator, local_server, service
from datasets.models import Example
from datasets.tests.test_generation import run
from datasets.tests.test_generation_faults import add_chunks
from finetuneflow.lib.processes import is_alive, wait_until
from projects import jobs
from projects.models import Job
from projects.supervisor import AlreadyRunning, only_one
from projects.tests.processes_helper import manage


@pytest.fixture
def bundled(project, settings, tmp_path):
    """A project of the bundled model on a machine without a key; its models folder is empty."""
    settings.LLM_BASE_URL, settings.LLM_API_KEY = "https://ollama.com/v1", ""
    settings.MODELS_DIR = tmp_path / "models"
    settings.DATA_DIR = tmp_path
    project.generation = {"provider": "bundled"}
    project.save()
    add_chunks(project, 2)
    return project


def servers() -> list[psutil.Process]:
    """Return the living model servers that this test's processes started, not those of others."""
    found = []
    for process in psutil.process_iter():
        try:
            is_ours = process.environ().get("FTF_DATA_DIR") == os.environ["FTF_DATA_DIR"]
            if is_ours and "serve" in process.cmdline() and is_alive(process.pid):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.django_db
def test_a_missing_model_fails_before_anything_is_planned(bundled):
    job = run(services.start_preview(project=bundled), None, service.run_preview)
    assert (job.status, job.error_code) == (Job.Status.FAILED, "bundled_missing")
    assert "make model" in job.error_text
    assert not job.requests.exists()


@pytest.mark.django_db
def test_a_worker_without_the_training_stack_says_so(bundled, monkeypatch):
    (local_server.folder()).mkdir(parents=True)
    (local_server.folder() / "model.safetensors").touch()
    monkeypatch.setattr(local_server.sys, "executable", "/nowhere/python")
    job = run(services.start_preview(project=bundled), None, service.run_preview)
    assert (job.status, job.error_code) == (Job.Status.FAILED, "bundled_stack")
    assert "training stack" in job.error_text


@pytest.mark.django_db
def test_the_gpu_worker_runs_the_bundled_model_where_only_it_has_the_stack(bundled, monkeypatch):
    assert generator.queue_of(bundled) == "default"
    monkeypatch.setattr(local_server.sys, "executable", "/nowhere/python")
    assert services.start_generation(project=bundled).queue == "gpu"
    bundled.generation = {"provider": "server"}
    assert services.start_preview(project=bundled).queue == "default"


@pytest.mark.django_db
def test_without_a_key_the_sentence_says_where_to_put_it(bundled):
    bundled.generation = {"provider": "server"}
    bundled.save()
    job = run(services.start_preview(project=bundled), None, service.run_preview)
    assert (job.status, job.error_code) == (Job.Status.FAILED, "llm_no_key")
    assert "OLLAMA_API_KEY" in job.error_text and ".env" in job.error_text


@pytest.mark.django_db
def test_a_job_waits_for_its_turn_and_can_be_cancelled_meanwhile(bundled):
    local_server.folder().mkdir(parents=True)
    (local_server.folder() / "model.safetensors").touch()
    job = services.start_preview(project=bundled)
    with only_one("bundled-model"), jobs.running(job.pk) as running:
        reporter = jobs.Reporter(running, every_seconds=0)
        seen = []

        def on_wait(text: str) -> None:
            seen.append(text)
            jobs.request_cancel(running)
            reporter(0, 0, text)

        with pytest.raises(jobs.JobCancelled), local_server.serving(on_wait):
            pass
    assert seen == ["Waiting: another job uses the bundled model."]
    assert servers() == []


@pytest.mark.django_db
def test_the_bundled_model_is_asked_one_sentence_at_a_time_whatever_the_project_says(bundled):
    bundled.strategy = "json"
    assert service.strategy_for(bundled).name == "answer_first"
    assert generator.model_of(bundled) == str(local_server.folder())
    assert generator.concurrency_of(bundled) == 8
    bundled.generation = {"provider": "server"}
    assert service.strategy_for(bundled).name == "json"


@pytest.mark.django_db
def test_the_provider_follows_the_key_where_the_project_does_not_say(bundled, settings):
    bundled.generation = {}
    assert generator.provider_of(bundled) == "server"
    local_server.folder().mkdir(parents=True)
    (local_server.folder() / "model.safetensors").touch()
    assert generator.provider_of(bundled) == "bundled"
    settings.LLM_API_KEY = "a key"
    assert generator.provider_of(bundled) == "server"
    settings.LLM_API_KEY, settings.LLM_BASE_URL = "", "http://127.0.0.1:11434/v1"
    assert generator.provider_of(bundled) == "server"


@pytest.mark.model
@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_a_preview_without_a_key_through_a_real_worker_that_is_killed_once(
    project, process_env, model_dir, settings
):
    settings.MODELS_DIR = model_dir.parent
    add_chunks(project, 6)
    job = services.start_preview(project=project)
    rows = Job.objects.filter(pk=job.pk)
    with manage("worker", "--queue", "default", env=process_env):
        assert wait_until(lambda: job.requests.filter(state="done").exists(), seconds=180)
        (server,) = servers()
        os.kill(int(rows.get().worker.rsplit(":", 1)[1]), signal.SIGKILL)
        assert wait_until(lambda: not is_alive(server.pid), seconds=10)
        assert wait_until(
            lambda: not rows.filter(status__in=Job.ACTIVE + Job.WAITING).exists(), seconds=240
        )
        assert wait_until(lambda: servers() == [], seconds=10)
    job.refresh_from_db()
    assert (job.status, job.attempt) == (Job.Status.SUCCEEDED, 2), job.error_text
    assert Example.objects.filter(project=project, split="preview").count() == 10
    assert set(job.requests.values_list("strategy", flat=True)) == {"answer_first"}


@pytest.mark.model
def test_the_server_ends_with_its_block_and_two_never_run_at_once(model_dir, settings, tmp_path):
    settings.MODELS_DIR, settings.DATA_DIR = model_dir.parent, tmp_path
    with pytest.raises(jobs.JobCancelled), local_server.serving() as url:
        assert len(servers()) == 1 and url.startswith("http://127.0.0.1:")
        with pytest.raises(AlreadyRunning), only_one("bundled-model"):
            pass
        raise jobs.JobCancelled
    assert servers() == []
    with only_one("bundled-model"):
        pass

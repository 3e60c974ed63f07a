"""Pages of hardware, runs and exports: page, fragment, invalid, stranger, anonymous."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from finetuneflow.lib import storage
from projects.models import Job, JobEvent, Project
from training import hardware
from training.models import Export, Run
from training.services import exports_folder

HTMX = {"HX-Request": "true"}
PAGES = ("training:model", "training:hardware", "training:train", "training:export")
STEP_ONE = {"step": 1, "epoch": 0.1, "loss": 1.5}


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A probe starts a child that imports torch; what it finds is tested where it is written."""
    gpu = hardware.Gpu(name="RTX 4090", total_bytes=24 * 2**30, free_bytes=20 * 2**30)
    found = hardware.Hardware(gpus=(gpu,), cpu_count=16, errors=("The driver is old.",))
    monkeypatch.setattr(hardware, "probe", lambda refresh=False: found)


@pytest.fixture
def ada(client, user):
    client.force_login(user)
    return client


@pytest.fixture
def dataset(project):
    for number, split in enumerate(["train"] * 9 + ["eval"]):
        project.examples.create(
            prompt="?", completion="!", split=split, fingerprint=str(number), review="pending"
        )


@pytest.fixture
def run(project, dataset):
    job = Job.objects.create(
        project=project, kind=Job.Kind.TRAIN, queue="gpu", status="running", done=1, total=10
    )
    JobEvent.objects.create(job=job, level="metric", data=STEP_ONE)
    return Run.objects.create(project=project, job=job)


@pytest.fixture
def export(run):
    Job.objects.update(status="succeeded")
    export = Export.objects.create(run=run, file_name="7.zip", sha256="f" * 64, size_bytes=8)
    storage.write_bytes(exports_folder(run.project) / "7.zip", b"the zip!")
    return export


def finish(run: Run) -> None:
    Job.objects.filter(pk=run.job_id).update(status="succeeded")
    run.metrics = {
        "baseline": {"eval_loss": 1.8234, "perplexity": 6.19},
        "final": {"eval_loss": 0.7412, "perplexity": 2.1},
        "train": {"tokens_per_second": 3410.4},
        "history": [{"step": 0, "eval_loss": 1.8234}, STEP_ONE, {"step": 1, "eval_loss": 0.7412}],
    }
    run.samples = [{"prompt": "What?", "reference": "That", "before": "<b>no</b>", "after": "That"}]
    run.peak_bytes = 5 * 2**30
    run.save()


def address(name: str, item) -> str:
    return reverse(f"training:{name}", args=[item.pk])


@pytest.mark.parametrize("name", PAGES)
def test_a_page_belongs_to_the_owner_and_comes_whole_or_as_a_fragment(
    name, client, user, stranger, project
):
    url = reverse(name, args=[project.pk])
    assert client.get(url).url.startswith(reverse("login"))
    client.force_login(stranger)
    assert client.get(url).status_code == 404
    client.force_login(user)
    assert "<html" in client.get(url).content.decode()
    assert "<html" not in client.get(url, headers=HTMX).content.decode()


@pytest.mark.parametrize("name", ["run", "run_numbers"])
def test_a_run_belongs_to_the_owner_of_its_project(name, client, user, stranger, run):
    assert client.get(address(name, run)).url.startswith(reverse("login"))
    client.force_login(stranger)
    assert client.get(address(name, run)).status_code == 404
    client.force_login(user)
    assert client.get(address(name, run)).status_code == 200
    assert "<html" not in client.get(address(name, run), headers=HTMX).content.decode()


def test_a_stranger_starts_and_saves_nothing(client, stranger, project, dataset, export):
    client.force_login(stranger)
    jobs = Job.objects.count()
    for url in (
        address("model", project),
        address("train", project),
        address("build_export", export.run),
        address("verify", export),
    ):
        assert (
            client.post(url, {"base_model": "x", "method": "lora", "epochs": 1}).status_code == 404
        )
    assert Job.objects.count() == jobs


def test_a_run_names_the_model_that_it_trained(ada, run):
    Run.objects.update(config={"base_model_id": "owner/then"})
    Project.objects.update(base_model="owner/now")
    page = ada.get(address("run", run)).content.decode()
    assert "on owner/then." in page


def test_the_hardware_page_shows_cards_and_what_could_not_be_found_out(ada, project):
    page = ada.get(address("hardware", project)).content.decode()
    assert "RTX 4090" in page
    assert "The driver is old." in page
    assert "not installed here" in page


def test_starting_a_training_opens_its_run(ada, project, dataset):
    response = ada.post(address("train", project), {"method": "qlora", "epochs": "2.5"})
    run = Run.objects.get()
    assert response.url == address("run", run)
    assert run.method == "qlora"
    assert run.job.params["overrides"] == {"epochs": 2.5}


def test_starting_twice_leads_to_the_run_that_trains(ada, run):
    values = {"method": "lora", "epochs": 3}
    response = ada.post(address("train", run.project), values, follow=True)
    assert response.redirect_chain[-1][0] == address("run", run)
    assert "already under way" in response.content.decode()
    assert Run.objects.count() == 1


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"epochs": "x"}, {"epochs": "nan"}, {"method": "full"}]
)
def test_a_wrong_training_is_422_and_queues_nothing(wrong, ada, project, dataset):
    response = ada.post(address("train", project), {"method": "lora", "epochs": 3} | wrong)
    assert response.status_code == 422
    assert not Job.objects.exists()


def test_rejected_examples_are_not_counted_for_training(ada, project, dataset):
    project.examples.filter(fingerprint="0").update(review="rejected")
    assert ada.get(address("train", project)).context["counts"] == {"train": 8, "eval": 1}


def test_a_training_run_asks_again_until_it_is_over(ada, run):
    text = ada.get(address("run", run), headers=HTMX).content.decode()
    assert "every 5s" in text
    assert "1.500" in text
    finish(run)
    for name in ("run", "run_numbers"):
        assert "every" not in ada.get(address(name, run), headers=HTMX).content.decode()


def test_a_finished_run_shows_curve_numbers_and_answers(ada, run):
    finish(run)
    page = ada.get(address("run", run)).content.decode()
    for text in ("curve-eval", "0.7412", "1.8234", "3410", "5.0\xa0GB", "&lt;b&gt;no&lt;/b&gt;"):
        assert text in page
    assert "Build the archive" in page


def test_a_step_measured_twice_after_a_restart_counts_once(ada, run):
    for data in ({"step": 1, "loss": 1.4}, {"step": 1, "eval_loss": 1.2}, {"phase": "x"}):
        JobEvent.objects.create(job=run.job, level="metric", data=data)
    rows = ada.get(address("run_numbers", run)).context["state"]["rows"]
    assert rows == [STEP_ONE | {"loss": 1.4, "eval_loss": 1.2}]


def test_a_run_whose_job_is_gone_can_still_be_read(ada, run):
    finish(run)
    run.job.delete()
    assert "0.7412" in ada.get(address("run", run)).content.decode()


@pytest.mark.parametrize("name", ["train"])
def test_a_page_takes_as_many_queries_for_twenty_runs_as_for_two(name, ada, project, dataset):
    counts = []
    for upto in (2, 20):
        while Run.objects.count() < upto:
            job = Job.objects.create(project=project, kind="train", status="succeeded")
            Run.objects.create(project=project, job=job)
        with CaptureQueriesContext(connection) as queries:
            ada.get(address(name, project))
        counts.append(len(queries))
    assert counts[0] == counts[1]

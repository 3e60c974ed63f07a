"""Pages of hardware, runs and exports: page, fragment, invalid, stranger, anonymous."""

import pytest
from django.urls import reverse

from finetuneflow.lib import storage
from projects.models import Job
from training import hardware
from training.models import Export, Run
from training.services import exports_folder
from training.tests.test_vram import LLAMA_2_70B, MISTRAL_7B

HTMX = {"HX-Request": "true"}
PAGES = ("training:model", "training:hardware", "training:train", "training:export")


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
    return Run.objects.create(project=project, job=job)


@pytest.fixture
def export(run):
    Job.objects.update(status="succeeded")
    export = Export.objects.create(run=run, file_name="7.zip", sha256="f" * 64, size_bytes=8)
    storage.write_bytes(exports_folder(run.project) / "7.zip", b"the zip!")
    return export


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


def test_the_hardware_page_shows_cards_and_what_could_not_be_found_out(
    ada, project, settings, tmp_path
):
    settings.MODELS_DIR = tmp_path
    page = ada.get(address("hardware", project)).content.decode()
    assert "RTX 4090" in page
    assert "The driver is old." in page
    assert "not installed here" in page
    assert "No recommendation yet." in page


def test_the_hardware_page_recommends_and_draws_the_memory(
    ada, project, monkeypatch, django_assert_max_num_queries
):
    card = hardware.Gpu(name="RTX 4090", total_bytes=24 * 2**30, free_bytes=23 * 2**30)
    monkeypatch.setattr(
        hardware, "probe", lambda refresh=False: hardware.Hardware(gpus=(card,), bitsandbytes="0.5")
    )
    project.base_model = "mistralai/Mistral-7B-v0.3"
    project.model_info = MISTRAL_7B.to_json()
    project.save()
    project.runs.create(peak_bytes=5 * 10**9)
    with django_assert_max_num_queries(10):
        page = ada.get(address("hardware", project)).content.decode()
    for text in ("LoRA fits.", " at once", "Base model 13.5", "measured 4.7", "RTX 4090"):
        assert text in page, text
    project.model_info = LLAMA_2_70B.to_json()
    project.save()
    page = ada.get(address("hardware", project)).content.decode()
    assert "Not on this machine." in page
    assert "Choose another model" in page


def test_a_training_begins_with_what_is_recommended(ada, project, dataset, monkeypatch):
    card = hardware.Gpu(name="RTX 4090", total_bytes=24 * 2**30, free_bytes=10 * 2**30)
    found = hardware.Hardware(gpus=(card,), bitsandbytes="0.50.2")
    monkeypatch.setattr(hardware, "probe", lambda refresh=False: found)
    project.base_model = "mistralai/Mistral-7B-v0.3"
    project.model_info = MISTRAL_7B.to_json()
    project.save()
    form = ada.get(address("train", project)).context["form"]
    assert form["method"].value() == "qlora"

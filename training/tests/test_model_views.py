"""The model's page and its suggestions, against a Hub on a port."""

import json

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from projects.models import Project
from training import hub_remote, model_selectors
from training.tests.hub_server import COMMIT, HubServer
from training.tests.test_hub import CONFIG, TENSORS, write_model

HTMX = {"HX-Request": "true"}
NAME = "owner/other-model"
REMOTE = {name: ("BF16", shape) for name, shape in TENSORS.items()}
CARD = {"license": "mit", "language": ["en", "de", "xx-odd"]}


@pytest.fixture(autouse=True)
def models(settings, tmp_path):
    settings.MODELS_DIR = tmp_path / "models"
    settings.MODELS_DIR.mkdir()
    cache.clear()
    return settings.MODELS_DIR


@pytest.fixture
def remote(settings):
    settings.HF_TOKEN = ""
    with HubServer() as server:
        settings.HF_ENDPOINT = server.url
        yield server


@pytest.fixture
def ada(client, user):
    client.force_login(user)
    return client


@pytest.fixture
def url(project):
    return reverse("training:model", args=[project.pk])


@pytest.fixture
def search(project):
    return reverse("training:model_search", args=[project.pk])


def text_of(response) -> str:
    return " ".join(response.content.decode().split())


def test_the_suggestions_belong_to_the_owner(client, stranger, project, search):
    assert client.get(search).url.startswith(reverse("login"))
    client.force_login(stranger)
    assert client.get(search, {"base_model": "x"}).status_code == 404
    assert client.post(search).status_code in (404, 405)


def test_a_model_of_the_models_folder_is_described(ada, project, url, models):
    (models / "tiny").mkdir()
    ada.post(url, {"base_model": "tiny"})
    project.refresh_from_db()
    assert project.base_model == "tiny"
    assert "not in the models folder" in text_of(ada.get(url))
    (models / "tiny" / "config.json").write_text(json.dumps({"architectures": ["Nothing"]}))
    (models / "tiny" / "model.safetensors").write_bytes(b"broken")
    page = text_of(ada.get(url))
    assert '<option value="tiny">' in page
    assert 'class="notice error"' in page and "damaged" in page


def test_a_local_model_is_kept_with_its_facts_and_asks_no_hub(ada, project, url, models, remote):
    folder = write_model(models / "tiny")
    readme = "---\nlicense: apache-2.0\nlanguage: [en, fr]\n---\n# Tiny\n"
    (folder / "README.md").write_text(readme)
    ada.post(url, {"base_model": "tiny"})
    project.refresh_from_db()
    assert (project.base_model, project.base_revision) == ("tiny", "")
    assert project.model_info["layers"] == 2
    page = text_of(ada.get(url))
    for text in ("on this machine", "apache-2.0", "English, French", "208", "chosen"):
        assert text in page, text
    assert remote.asked == []


def test_a_model_of_the_hub_is_kept_with_its_facts_and_its_commit(ada, project, url, remote):
    remote.add(NAME, config=CONFIG, tensors=REMOTE, card=CARD, gated=False)
    ada.post(url, {"base_model": NAME, "base_revision": "main"})
    project.refresh_from_db()
    assert f"/api/models/{NAME}/revision/main?blobs=true" in remote.asked
    assert (project.base_model, project.base_revision) == (NAME, COMMIT)
    assert project.model_info["parameters"] == 208
    asked = len(remote.asked)
    page = text_of(ada.get(url))
    for text in ("208", COMMIT, "fetched when training starts", "English, German, xx-odd", "mit"):
        assert text in page, text
    assert f'href="{remote.url}/{NAME}"' in page
    assert len(remote.asked) == asked  # The page itself asks nobody.


def test_a_model_that_a_training_fetched_says_so(ada, project, url, remote, monkeypatch):
    remote.add(NAME, config=CONFIG, tensors=REMOTE)
    ada.post(url, {"base_model": NAME})
    monkeypatch.setattr(hub_remote, "is_fetched", lambda name, revision: revision == COMMIT)
    assert "fetched already" in text_of(ada.get(url))


@pytest.mark.parametrize("tail", ["", "/tree/v1", "/blob/v1/README.md", "/"])
def test_the_address_of_a_models_page_can_be_pasted(tail, ada, project, url, remote):
    remote.add(NAME, config=CONFIG, tensors=REMOTE, revisions=("v1",))
    for host in ("https://huggingface.co", remote.url):
        Project.objects.update(base_model="", base_revision="", model_info={})
        ada.post(url, {"base_model": f" {host}/{NAME}{tail}", "base_revision": ""})
        project.refresh_from_db()
        assert project.base_model == NAME
    assert any("/revision/v1" in path for path in remote.asked) == ("v1" in tail)


def test_a_revision_belongs_to_its_model(ada, project, url, remote):
    remote.add(NAME, config=CONFIG, tensors=REMOTE)
    Project.objects.update(base_model="owner/former", base_revision="cd" * 20)
    ada.post(url, {"base_model": NAME, "base_revision": "cd" * 20})
    project.refresh_from_db()
    assert (project.base_model, project.base_revision) == (NAME, COMMIT)
    assert remote.asked[0] == f"/api/models/{NAME}?blobs=true"


def refused(ada, url, project, name=NAME, **headers) -> str:
    before = project.base_model
    response = ada.post(url, {"base_model": name}, **headers)
    project.refresh_from_db()
    assert response.status_code == 422
    assert project.base_model == before
    return text_of(response)


def test_a_gated_model_leads_to_its_page_and_to_a_token(ada, project, url, remote):
    remote.add(NAME, config=CONFIG, tensors=REMOTE, gated="manual")
    for headers in ({}, {"headers": HTMX}):
        page = refused(ada, url, project, **headers)
        assert f'<a href="{remote.url}/{NAME}" target="_blank" rel="noopener noreferrer">' in page
        assert f'<a href="{remote.url}/settings/tokens"' in page
        assert "HF_TOKEN" in page and ".env" in page
        assert 'aria-invalid="true"' in page and 'id="id_base_model_error"' in page


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (None, "There is no model owner/other-model"),
        ({"files": {"config.json": CONFIG, "pytorch_model.bin": b"x"}}, "No weights that can be"),
        ({"config": CONFIG | {"architectures": ["BertModel"]}}, "Not a model that writes text"),
        (
            {"config": CONFIG | {"auto_map": {"AutoModelForCausalLM": "x"}, "model_type": "own"}},
            "program code",
        ),
        ({"config": b"{"}, "unreadable config.json"),
    ],
)
def test_a_model_that_cannot_be_used_is_422_with_the_reason(facts, said, ada, project, url, remote):
    if facts is not None:
        remote.add(NAME, **({"tensors": REMOTE} if "config" in facts else {}) | facts)
    assert said in refused(ada, url, project)


@pytest.mark.parametrize("kind", ["adapter", "quantised"])
def test_what_was_made_from_another_model_offers_that_one(kind, ada, project, url, remote):
    if kind == "adapter":
        config = {"base_model_name_or_path": "owner/base"}
        remote.add(NAME, files={"adapter_config.json": config})
    else:
        config = CONFIG | {"quantization_config": {"quant_method": "gptq"}}
        remote.add(NAME, config=config, tensors=REMOTE, card={"base_model": "owner/base"})
    page = refused(ada, url, project)
    assert '<input type="hidden" name="base_model" value="owner/base">' in page
    assert "Use owner/base" in page


def test_what_a_repository_says_is_escaped(ada, project, url, remote):
    card = {"license": "<script>alert(1)</script>", "language": ["<b>"]}
    remote.add(NAME, config=CONFIG, tensors=REMOTE, card=card)
    ada.post(url, {"base_model": NAME})
    page = text_of(ada.get(url))
    assert "<script>alert" not in page and "<b>," not in page
    assert "&lt;script&gt;" in page and "&lt;b&gt;" in page
    odd = CONFIG | {"architectures": ["<img src=x>"]}
    remote.add("owner/odd", config=odd, tensors=REMOTE)
    page = text_of(ada.post(url, {"base_model": "owner/odd"}))
    assert "&lt;img src=x&gt;" in page and "<img src=x>" not in page


@pytest.mark.parametrize("script", ["429", "500", "html"])
def test_a_hub_that_says_nothing_leaves_the_model_unchecked(script, ada, project, url, remote):
    remote.add(NAME, config=CONFIG, tensors=REMOTE)
    remote.script = script
    page = text_of(ada.post(url, {"base_model": NAME}, follow=True))
    assert "Saved without a check." in page and "Not checked yet." in page
    project.refresh_from_db()
    assert (project.base_model, project.model_info) == (NAME, {})
    remote.script = ""
    ada.post(url, {"base_model": NAME, "base_revision": ""})  # What "Check now" sends.
    project.refresh_from_db()
    assert project.model_info["layers"] == 2


def test_a_hub_that_cannot_be_reached_is_said_so(ada, project, url, settings, unused_tcp_port):
    settings.HF_ENDPOINT = f"http://127.0.0.1:{unused_tcp_port}"
    page = text_of(ada.post(url, {"base_model": NAME}, follow=True))
    assert f"Saved without a check. The Hub cannot be reached for {NAME}." in page


def test_a_missing_model_without_an_owner_is_never_promised_from_the_hub(ada, project, url):
    page = text_of(ada.get(url))
    assert "make model" in page and "fetched" not in page
    Project.objects.update(base_model="tiny")
    page = text_of(ada.get(url))
    assert "no id on Hugging Face" in page and "fetched" not in page


def test_nothing_chosen_teaches_what_to_do(ada, project, url):
    Project.objects.update(base_model="")
    assert "Nothing chosen yet" in text_of(ada.get(url))


def test_saving_the_model_leaves_what_another_page_saved(ada, project, url, remote, monkeypatch):
    """The other page saves while the Hub is asked."""
    remote.add(NAME, config=CONFIG, tensors=REMOTE)
    resolve = hub_remote.resolve

    def slowly(model_id, revision):
        Project.objects.update(name="New name", chunk_size=256)
        return resolve(model_id, revision)

    monkeypatch.setattr(hub_remote, "resolve", slowly)
    ada.post(url, {"base_model": NAME})
    project.refresh_from_db()
    assert (project.base_model, project.name, project.chunk_size) == (NAME, "New name", 256)


def test_another_model_forgets_what_was_known_about_the_former(ada, project, url, remote):
    remote.script = "500"
    project.model_info = {"layers": 30}
    project.save()
    ada.post(url, {"base_model": project.base_model})
    project.refresh_from_db()
    assert project.model_info == {"layers": 30}
    ada.post(url, {"base_model": NAME})
    project.refresh_from_db()
    assert project.model_info == {}


@pytest.mark.parametrize(
    "name",
    ["", "../secrets", "/etc/passwd", "a/b/c", "x y", "-rf", "https://example.org/a/b", "http://["],
)
def test_a_wrong_model_name_is_422_and_changes_nothing(name, ada, project, url):
    assert "<html" not in refused(ada, url, project, name, headers=HTMX)


def test_suggestions_are_local_models_first_and_then_the_hubs(ada, search, models, remote):
    write_model(models / "tiny", id="someone/tiny")
    remote.add("someone/tiny", config=CONFIG, tensors=REMOTE)  # The same model, already here.
    remote.add("else/tiny-two", config=CONFIG, tensors=REMOTE, gated="auto")
    response = ada.get(search, {"base_model": "tiny"}, headers=HTMX)
    assert [item.id for item in response.context["found"]] == ["tiny", "else/tiny-two"]
    page = text_of(response)
    assert "<html" not in page and page.count('role="option"') == 2
    assert "on this machine" in page and "gated" in page


def test_without_the_hub_the_suggestions_are_the_local_ones(ada, search, models, remote):
    write_model(models / "tiny")
    remote.script = "500"
    page = text_of(ada.get(search, {"base_model": "tin"}, headers=HTMX))
    assert 'data-value="tiny"' in page and "The Hub cannot be reached." in page
    page = text_of(ada.get(search, {"base_model": "nothing"}, headers=HTMX))
    assert "role=" not in page


def test_without_javascript_a_search_is_a_page_with_a_button_each(ada, search, remote):
    remote.add("else/tiny-two", config=CONFIG, tensors=REMOTE)
    page = text_of(ada.get(search, {"base_model": "tiny"}))
    assert "Models that fit “tiny”" in page and 'aria-label="Use else/tiny-two"' in page
    assert "Nothing fits" in text_of(ada.get(search, {"base_model": "<nothing>"}))


@pytest.mark.parametrize("name", ["url", "search"])
def test_the_pages_ask_the_database_a_few_times_only(name, request, ada, models, remote):
    for number in range(5):
        write_model(models / f"tiny{number}")
    address = request.getfixturevalue(name)
    headers = HTMX if name == "search" else {}
    ada.get(address, headers=headers)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        ada.get(address, {"base_model": "tiny"}, headers=headers)
    assert len(queries) <= (3 if name == "search" else 6)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0"),
        (999, "999"),
        (208, "208"),
        (134_515_008, "135 million"),
        (999_885_952, "1 billion"),
        (1_235_814_400, "1.24 billion"),
        (8_030_261_248, "8.03 billion"),
        (46_702_792_704, "46.7 billion"),
        (999_499_999, "999 million"),
    ],
)
def test_counts_are_said_as_people_say_them(number, words):
    assert model_selectors.in_words(number) == words


def test_languages_are_named_and_a_long_list_is_cut():
    assert model_selectors.language_names(["en", "pt-br", "zh", "klingon"]) == (
        "English, Brazilian Portuguese, Chinese, klingon"
    )
    assert model_selectors.language_names(["en"] * 15).endswith("and 3 more")

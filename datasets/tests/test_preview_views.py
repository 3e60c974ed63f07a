"""The Preview step: what will be asked, settings, examples as cards, what was not taken."""

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets import services
from datasets.generation import estimate, local_server, planning
from datasets.generation.strategies import strategy_for
from datasets.models import Chunk, Example, GenerationRequest
from finetuneflow.lib.tests.llm_server import KEY, MODEL, LLMServer
from projects.models import Job, SourceFile
from projects.templatetags.show import rounded_number

HTMX = {"HX-Request": "true"}
State = GenerationRequest.State
TEXT = (
    "The opening words lead up to it. The mill of Corby grinds 350 kilos of flour each week. "
    "Its wheel was built by Helen Amory. The closing words follow."
)
QUOTE = "The mill of Corby grinds 350 kilos of flour each week."


@pytest.fixture(autouse=True)
def configured(settings):
    """A server with a key, so that nothing depends on the machine's bundled model."""
    settings.LLM_BASE_URL, settings.LLM_API_KEY = "https://llm.example/v1", "sk-secret-key-of-ours"
    settings.LLM_MODEL, settings.LLM_MODEL_IS_SET = "gpt-oss:20b", False
    cache.clear()


@pytest.fixture
def without_key(settings, tmp_path):
    settings.LLM_BASE_URL, settings.LLM_API_KEY = "https://ollama.com/v1", ""
    settings.MODELS_DIR = tmp_path


@pytest.fixture
def ada(client, user):
    client.force_login(user)
    return client


@pytest.fixture
def url(project) -> str:
    return reverse("datasets:preview", args=[project.pk])


def add_chunks(project, count: int, *, name: str = "mill.pdf") -> list[Chunk]:
    file = SourceFile.objects.create(
        project=project, original_name=name, sha256=name, size_bytes=1, state="extracted"
    )
    before = Chunk.objects.count()
    return Chunk.objects.bulk_create(
        Chunk(
            file=file,
            index=index,
            text=TEXT.replace("350", str(350 + before + index)),
            token_count=40,
            start=0,
            end=len(TEXT),
            first_page=index + 1,
            last_page=index + 1,
        )
        for index in range(count)
    )


@pytest.fixture
def chunk(project):
    return add_chunks(project, 1)[0]


def add_example(chunk, number: int = 0, **fields) -> Example:
    start = chunk.text.index("The mill")
    defaults = {
        "prompt": f"What does mill {number} grind?",
        "completion": "350 kilos.",
        "evidence": QUOTE,
        "evidence_start": start,
        "evidence_end": start + len(QUOTE),
        "split": "preview",
        "fingerprint": f"{number:064x}",
    }
    return Example.objects.create(project=chunk.file.project, chunk=chunk, **(defaults | fields))


def add_preview(project, **fields) -> Job:
    params = {"settings": services.generation_settings(project)}
    defaults = {"status": "succeeded", "func": "x.y", "params": params}
    return Job.objects.create(project=project, kind=Job.Kind.PREVIEW, **(defaults | fields))


def add_request(job, chunk, slot: int = 0, **fields) -> GenerationRequest:
    defaults = {"strategy": "json", "prompt_version": "1", "state": State.DONE}
    return GenerationRequest.objects.create(job=job, chunk=chunk, slot=slot, **(defaults | fields))


def test_the_page_belongs_to_the_owner_and_comes_whole_or_as_a_fragment(
    client, user, stranger, url, chunk
):
    assert client.get(url).url.startswith(reverse("login"))
    client.force_login(stranger)
    assert client.get(url).status_code == 404
    assert client.get(url, headers=HTMX).status_code == 404
    client.force_login(user)
    assert "<html" in client.get(url).content.decode()
    fragment = client.get(url, headers=HTMX).content.decode()
    assert fragment.lstrip().startswith('<div id="preview"')


@pytest.mark.parametrize("name", ["datasets:preview", "datasets:generate"])
def test_a_stranger_starts_nothing_and_changes_nothing(name, client, stranger, project, chunk):
    client.force_login(stranger)
    response = client.post(reverse(name, args=[project.pk]), {"language": "French"})
    project.refresh_from_db()
    assert response.status_code == 404
    assert project.language == "" and not Job.objects.exists()


def test_replies_and_names_of_models_are_for_the_owner(client, user, stranger, project, chunk):
    request = add_request(add_preview(project), chunk, raw_response="<b>raw</b>")
    addresses = (
        reverse("datasets:reply", args=[request.pk]),
        reverse("datasets:models", args=[project.pk]),
    )
    for address in addresses:
        assert client.get(address).status_code == 302
    client.force_login(stranger)
    for address in addresses:
        assert client.get(address).status_code == 404
    client.force_login(user)
    answer = client.get(addresses[0])
    assert answer.content == b"<b>raw</b>"
    assert answer["Content-Type"].startswith("text/plain")


def test_without_passages_the_page_says_what_comes_first(ada, url):
    page = ada.get(url).content.decode()
    assert "Nothing to ask about yet" in page
    assert 'id="settings"' not in page


def test_what_will_be_asked_is_what_is_sent(ada, url, project):
    project.instruction, project.language = "For <apprentices>.", "Danish"
    project.save()
    add_chunks(project, 12)
    asked = estimate.what_is_asked(project)
    page = ada.get(url).content.decode()
    assert "Write in Danish" in page
    assert "For &lt;apprentices&gt;." in page
    assert "llm.example" in page and "gpt-oss:20b" in page
    assert "sk-secret" not in page
    job = Job.objects.create(project=project, kind=Job.Kind.GENERATE, func="x.y")
    strategy = strategy_for(project)
    planning.plan_generation(job=job, strategy=strategy, reporter=lambda *progress: None)
    row = job.requests.get(chunk=asked.chunk)
    assert strategy.question(row, project) == asked.prompt
    assert asked.full.requests == job.requests.count() == 12


@pytest.mark.parametrize("strategy", ["json", "answer_first"])
def test_the_preview_asks_about_the_passages_that_were_announced(strategy, project):
    for number in range(3):
        add_chunks(project, 4 + number, name=f"{number}.pdf")
    project.strategy = strategy
    project.save()
    asked = estimate.what_is_asked(project).preview
    job = Job.objects.create(project=project, kind=Job.Kind.PREVIEW, func="x.y")
    chosen = strategy_for(project)
    planning.plan_preview(job=job, strategy=chosen, examples=10, reporter=lambda *progress: None)
    announced = {chunk.pk for chunk in estimate._representative(estimate._lengths(project))}
    assert set(job.requests.values_list("chunk", flat=True)) == announced
    assert asked.passages == len(announced) == 5
    assert asked.most == job.requests.count()
    assert 0 < asked.requests <= asked.most


def test_settings_are_saved_and_a_preview_starts(ada, url, project, chunk):
    sent = {
        "provider": "server",
        "model": "qwen3:8b",
        "temperature": "0.7",
        "examples_per_chunk": "3",
        "strategy": "json",
        "language": " French ",
        "instruction": "For apprentices.",
    }
    response = ada.post(url, sent)
    project.refresh_from_db()
    assert response.url == url
    assert project.generation == {"model": "qwen3:8b", "temperature": 0.7, "examples_per_chunk": 3}
    assert (project.strategy, project.language) == ("json", "French")
    assert project.instruction == "For apprentices."
    job = Job.objects.get()
    assert job.kind == Job.Kind.PREVIEW
    assert job.params["settings"]["model"] == "qwen3:8b"


def test_empty_fields_mean_the_default_and_missing_ones_change_nothing(ada, url, project, chunk):
    project.generation = {"model": "qwen3:8b", "temperature": 0.7, "other": 1}
    project.language = "French"
    project.save()
    ada.post(url, {"model": "", "temperature": ""})
    project.refresh_from_db()
    assert project.generation == {"other": 1}
    assert project.language == "French"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", "3"),
        ("temperature", "nan"),
        ("examples_per_chunk", "0"),
        ("model", "two words"),
        ("strategy", "magic"),
        ("provider", "nobody"),
        ("instruction", "x" * 1001),
    ],
)
def test_invalid_settings_are_422_and_start_nothing(field, value, ada, url, project, chunk):
    response = ada.post(url, {field: value})
    assert response.status_code == 422
    assert "errorlist" in response.content.decode()
    project.refresh_from_db()
    assert project.generation == {} and not Job.objects.exists()


def test_the_bundled_model_cannot_be_chosen_where_it_is_missing(ada, url, chunk, without_key):
    response = ada.post(url, {"provider": "bundled"})
    assert response.status_code == 422
    assert "make model" in response.content.decode()


def test_without_a_key_the_bundled_model_is_the_default_and_is_not_kept(
    ada, url, project, chunk, without_key
):
    page = ada.get(url).content.decode()
    assert "so a preview would fail" in page
    folder = local_server.folder()
    folder.mkdir()
    (folder / "model.safetensors").touch()
    page = ada.get(url).content.decode()
    assert "the small bundled model on this machine writes the examples" in page
    assert "Instruction and language have no place there" in page
    ada.post(url, {"provider": "bundled"})
    project.refresh_from_db()
    assert "provider" not in project.generation
    assert Job.objects.get().params["settings"]["provider"] == "bundled"


def test_the_model_of_the_environment_wins_and_cannot_be_changed(
    ada, url, project, chunk, settings
):
    settings.LLM_MODEL, settings.LLM_MODEL_IS_SET = "/models/given-by-environment", True
    page = ada.get(url).content.decode()
    assert "FTF_LLM_MODEL is set in the environment" in page
    assert "given-by-environment" in page
    ada.post(url, {"model": "another"})
    project.refresh_from_db()
    assert project.generation == {}


@pytest.mark.parametrize("kind", ["preview", "generate"])
def test_starting_twice_shows_the_job_that_runs(kind, ada, project, chunk):
    address = reverse(f"datasets:{kind}", args=[project.pk])
    ada.post(address)
    response = ada.post(address, follow=True)
    job = Job.objects.get()
    assert job.kind == kind
    assert "already under way" in response.content.decode()


def test_using_the_settings_starts_the_generation_and_leads_to_review(ada, url, project, chunk):
    add_example(chunk)
    page = ada.get(url).content.decode()
    address = reverse("datasets:generate", args=[project.pk])
    assert f'action="{address}"' in page and "Use these settings" in page
    response = ada.post(address)
    assert response.url == reverse("datasets:review", args=[project.pk])
    assert Job.objects.get().kind == Job.Kind.GENERATE
    assert "The full generation is under way" in ada.get(url).content.decode()


def test_a_card_has_its_source_with_the_evidence_marked(ada, url, project, chunk):
    add_example(chunk, completion="350 <kilos>.", flags=["evidence_not_found"])
    page = ada.get(url).content.decode()
    assert f"<mark>{QUOTE}</mark>" in page
    assert "mill.pdf, page 1" in page
    assert "350 &lt;kilos&gt;." in page
    assert "evidence not found" in page


@pytest.mark.parametrize(("start", "end"), [(None, None), (-1, 5), (9, 4), (0, 100_000)])
def test_a_place_that_cannot_be_is_not_marked(start, end, ada, url, chunk):
    add_example(chunk, evidence_start=start, evidence_end=end)
    page = ada.get(url).content.decode()
    assert "<mark>" not in page
    assert "Quoted, but not found in the passage" in page


def test_examples_outlive_their_passage(ada, url, project, chunk):
    add_example(chunk)
    add_chunks(project, 1, name="other.pdf")
    chunk.file.delete()
    assert "Its passage is gone" in ada.get(url).content.decode()


def test_more_than_ten_cards_are_paginated_and_the_datasets_own_are_not_shown(ada, url, chunk):
    for number in range(12):
        add_example(chunk, number)
    add_example(chunk, 99, split="train", prompt="Of the dataset?")
    first, second = (ada.get(url, {"page": number}).context["page"] for number in (1, 2))
    assert (len(first), len(second)) == (10, 2)
    assert "Of the dataset?" not in ada.get(url, {"page": 2}).content.decode()


def test_what_was_not_taken_is_counted_by_reason_and_shown_as_it_came(ada, url, project, chunk):
    job = add_preview(project)
    item = {"reason": "too_short", "text": "Why?"}
    rejected = {"state": State.REJECTED, "rejected": [item]}
    long = add_request(job, chunk, 0, raw_response="<i>" + "x" * 5000, **rejected)
    add_request(job, chunk, 1, raw_response="Why?", rejected=[item, "rubbish"])
    add_request(job, chunk, 2, state=State.FAILED, error_class="timeout", error_text="No answer.")
    add_request(job, chunk, 3, state=State.CANCELLED)
    add_example(chunk)
    page = " ".join(ada.get(url).content.decode().split())
    assert "<b>2</b> × too short" in page and "<b>1</b> × timeout" in page
    assert "&lt;i&gt;xxx" in page and "x" * 2001 not in page
    assert reverse("datasets:reply", args=[long.pk]) in page
    assert (
        "4 requests planned: 1 gave examples, 1 gave nothing usable, 1 failed, 1 not needed."
        in page
    )


def test_only_the_newest_preview_is_shown_but_one_that_runs_comes_first(ada, url, project, chunk):
    older = add_preview(project, status="failed", error_text="No key for anybody.")
    newest = add_preview(project)
    assert f'id="job-{newest.pk}"' in ada.get(url).content.decode()
    Job.objects.filter(pk=older.pk).update(status="running")
    page = ada.get(url).content.decode()
    assert f'id="job-{older.pk}"' in page
    assert 'id="settings"' not in page


def test_a_failed_preview_says_why_and_offers_settings_and_one_primary_button(
    ada, url, project, chunk
):
    add_preview(project, status="failed", error_text="No key is configured.")
    page = ada.get(url).content.decode()
    assert "No key is configured." in page
    assert "Make a preview" in page
    assert page.count('class="primary"') == 1


def test_changed_settings_are_pointed_out(ada, url, project, chunk):
    add_preview(project)
    add_example(chunk)
    assert "were changed since" not in ada.get(url).content.decode()
    project.instruction = "Speak plainly."
    project.save()
    assert "were changed since" in ada.get(url).content.decode()


@pytest.mark.parametrize("status", ["succeeded", "queued", "failed"])
def test_the_page_takes_at_most_ten_queries_however_much_there_is(status, ada, url, project, chunk):
    job = add_preview(project, status=status)
    counts = []
    for start, count in ((0, 3), (3, 40)):
        for number in range(start, start + count):
            add_request(job, chunk, number, rejected=[{"reason": "too_short"}])
            add_example(chunk, number)
        add_chunks(project, count, name=f"{count}.pdf")
        with CaptureQueriesContext(connection) as queries:
            ada.get(url)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 10


def test_the_servers_models_are_suggested_and_asked_for_once(ada, project, settings):
    address = reverse("datasets:models", args=[project.pk])
    with LLMServer(key=KEY) as server:
        settings.LLM_BASE_URL, settings.LLM_API_KEY = server.url, KEY
        assert f'<option value="{MODEL}">' in ada.get(address).content.decode()
    assert f'<option value="{MODEL}">' in ada.get(address).content.decode()


def test_a_server_that_is_away_suggests_nothing(ada, project, settings, unused_tcp_port):
    settings.LLM_BASE_URL = f"http://127.0.0.1:{unused_tcp_port}/v1"
    response = ada.get(reverse("datasets:models", args=[project.pk]))
    assert response.status_code == 200
    assert b"<option" not in response.content


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7, "7"), (94, "94"), (872, "870"), (11_793, "12,000"), (1_260_000, "1.3 million")],
)
def test_an_estimate_is_shown_without_false_precision(value, text):
    assert rounded_number(value) == text

"""The generation jobs against a real, scriptable language model server on a port."""

import json
import logging
import time

import pytest

from datasets.generation import service
from datasets.generation.ledger import ledger
from datasets.generation.parse import ParsedReply
from datasets.generation.store import fingerprint
from datasets.generation.strategies import JsonStrategy, model_of
from datasets.models import Chunk, Example, GenerationRequest
from finetuneflow.lib.llm import ChatClient
from finetuneflow.lib.logs import StructuredFormatter
from finetuneflow.lib.tests.llm_server import KEY, MODEL, LLMServer
from projects import jobs
from projects.models import Job, SourceFile

State = GenerationRequest.State
pytestmark = pytest.mark.django_db

PLACES = ["Bergen", "Odense", "Rouen", "Turku", "Malmö", "Ghent", "Porto", "Leeds", "Basel", "Lyon"]


def sentence(number: int, marker: str = "") -> str:
    """Return a factual sentence that no other number shares a fact with."""
    place, mark = PLACES[number % 10], f" {marker}" if marker else ""
    return f"The{mark} pump KP-{number} of {place} moves {number + 40} litres in each minute."


@pytest.fixture
def server():
    with LLMServer() as server:
        yield server


@pytest.fixture
def client(server):
    """Replaces the fixture of pytest-django: here a client of the language model."""
    with ChatClient(server.url, KEY, MODEL, backoff_seconds=0.01, timeout_seconds=5) as client:
        yield client


@pytest.fixture
def make_project(project, settings, server, tmp_path):
    """Return a function that fills the project with chunks of given texts, by file."""
    settings.PROJECTS_DIR = tmp_path
    settings.LLM_BASE_URL, settings.LLM_API_KEY, settings.LLM_MODEL = server.url, KEY, MODEL
    settings.LLM_CONCURRENCY, settings.LLM_MODEL_IS_SET = 3, False

    def make(*files: list[str], **fields):
        for number, texts in enumerate(files):
            file = SourceFile.objects.create(
                project=project, original_name=f"{number}.txt", sha256=f"{number:064}", size_bytes=1
            )
            place = 0
            for index, text in enumerate(texts):
                Chunk.objects.create(
                    file=file, index=index, text=text, token_count=50, start=place, end=place + 1
                )
                place += len(text)
        for name, value in fields.items():
            setattr(project, name, value)
        project.save()
        return project

    return make


def new_job(project, kind=Job.Kind.GENERATE, **params) -> Job:
    return jobs.enqueue(project=project, kind=kind, func="datasets.tasks.generate", params=params)


def run(job: Job, client=None, service_function=service.run_generation) -> Job:
    """Deliver the job as the queue does and return its row afterwards."""
    with jobs.running(job.pk) as running:
        if running is not None:
            reporter = jobs.Reporter(running, every_seconds=0)
            running.outcome = service_function(job=running, reporter=reporter, client=client)
    job.refresh_from_db()
    assert_balanced(job)
    return job


def assert_balanced(job: Job) -> dict:
    numbers = ledger(job)
    ends = ("done", "rejected", "failed", "cancelled", "open")
    assert numbers["planned"] == sum(numbers[name] for name in ends)
    return numbers


def chunk_of(*numbers: int, marker: str = "") -> str:
    return " ".join(sentence(number, marker) for number in numbers)


def answer_first(make_project, *files, **fields):
    return make_project(*files, strategy="answer_first", **fields)


def test_answer_first_turns_sentences_into_examples_with_exact_evidence(make_project, client):
    project = answer_first(make_project, [chunk_of(1, 2), f"Cut off. {chunk_of(3, 4)}"])
    job = run(new_job(project), client)
    assert job.status == Job.Status.SUCCEEDED, job.error_text
    assert job.result["ledger"] == ledger(job)
    assert job.result["examples"] == 4 and job.done == job.total == 4
    assert job.result["tokens_in"] > 0 and job.result["requests_per_minute"] > 0
    for example in Example.objects.filter(project=project).select_related("chunk"):
        quote = example.chunk.text[example.evidence_start : example.evidence_end]
        assert quote == example.evidence == example.completion
        assert example.prompt.endswith("?") and example.token_count > 0


def test_json_gives_several_examples_per_request_with_located_evidence(
    make_project, client, server
):
    project = make_project([chunk_of(1, 2, 3)], strategy="json")
    job = run(new_job(project), client)
    assert job.status == Job.Status.SUCCEEDED, job.error_text
    assert len(server.chats) == 1
    examples = Example.objects.filter(project=project)
    assert examples.count() == 3
    assert all(e.chunk.text[e.evidence_start : e.evidence_end] == e.evidence for e in examples)


def test_the_instruction_task_asks_for_instructions(make_project, client):
    project = answer_first(make_project, [chunk_of(1, 2)], task_type="instruction")
    run(new_job(project), client)
    prompts = Example.objects.filter(project=project).values_list("prompt", flat=True)
    assert prompts and all(prompt.startswith("Explain") for prompt in prompts)


def test_the_strategy_is_chosen_by_the_model(make_project, settings):
    project = make_project([chunk_of(1)])
    assert service.strategy_for(project).name == "json"
    settings.LLM_MODEL = "/data/models/SmolLM2-135M-Instruct"
    assert service.strategy_for(project).name == "answer_first"
    project.strategy = "json"
    assert service.strategy_for(project).name == "json"


def test_the_model_of_the_environment_wins_over_the_projects_own(make_project, settings):
    project = make_project([chunk_of(1)], generation={"model": "/models/SmolLM2-135M-Instruct"})
    settings.LLM_MODEL_IS_SET = False
    assert model_of(project) == "/models/SmolLM2-135M-Instruct"
    assert service.strategy_for(project).name == "answer_first"
    settings.LLM_MODEL_IS_SET = True
    assert model_of(project) == MODEL
    assert service.strategy_for(project).name == "json"
    project.generation, settings.LLM_MODEL_IS_SET = {}, False
    assert model_of(project) == MODEL


def test_the_dataset_lies_on_disk_with_a_manifest(make_project, client, tmp_path):
    project = answer_first(make_project, [chunk_of(n, n + 10) for n in range(10)], [chunk_of(50)])
    job = run(new_job(project), client)
    folder = tmp_path / str(project.pk) / "datasets"
    lines = [json.loads(line) for line in (folder / "train.jsonl").open()]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["counts"]["train"] == len(lines) == job.result["split"]["train"]
    assert job.result["split"]["eval"] == sum(1 for _ in (folder / "eval.jsonl").open()) > 0
    assert manifest["files"].keys() == {"train.jsonl", "eval.jsonl"}
    assert manifest["prompt_versions"] == [GenerationRequest.objects.first().prompt_version]


def test_garbage_is_rejected_with_reasons_after_one_second_try(make_project, client, server):
    texts = [chunk_of(1, marker="[[garbage]]"), chunk_of(2, 3)]
    job = run(new_job(make_project(texts, strategy="json")), client)
    assert job.status == Job.Status.SUCCEEDED
    assert job.result["ledger"] | {"done": 1, "rejected": 1} == job.result["ledger"]
    assert sum(job.result["reasons"].values()) >= 1
    bad = GenerationRequest.objects.get(job=job, state=State.REJECTED)
    assert bad.attempts == 2 and bad.raw_response and bad.error_class
    assert max(server.answers.values()) == 1


def test_a_reply_that_is_good_on_the_second_try_is_kept(make_project, client):
    project = make_project([chunk_of(1, 2, marker="[[empty:1]]")], strategy="json")
    with LLMServer() as other:
        # The second try has other messages, so the marker's count starts anew there.
        other.marker = lambda text, digest: "" if other.chats else "garbage"
        job = run(new_job(project), ChatClient(other.url, KEY, MODEL))
    assert job.result["examples"] == 2
    assert GenerationRequest.objects.get(job=job).params["first_error"] == "truncated"


def test_a_truncated_reply_keeps_only_whole_items(make_project, client):
    project = make_project([chunk_of(*range(1, 6), marker="[[truncated]]")], strategy="json")
    job = run(new_job(project), client)
    kept = set(Example.objects.filter(project=project).values_list("completion", flat=True))
    assert kept and kept < {sentence(n, "[[truncated]]") for n in range(1, 6)}
    assert job.result["reasons"]["cut off in the middle"] >= 1


def test_nothing_usable_at_all_is_a_failure_with_the_reason(make_project, client):
    project = answer_first(make_project, [chunk_of(1, 2, marker="[[refusal]]")])
    job = run(new_job(project), client)
    assert (job.status, job.error_code) == (Job.Status.FAILED, "no_examples")
    assert "the model refused" in job.error_text


def test_a_project_without_text_says_so(make_project, client):
    job = run(new_job(make_project()), client)
    assert (job.status, job.error_code) == (Job.Status.FAILED, "no_chunks")
    project = answer_first(make_project, ["- one\n- two"])
    job = run(new_job(project), client)
    assert (job.status, job.error_code) == (Job.Status.FAILED, "no_sentences")


def test_a_wrong_key_stops_the_job_before_the_first_request(make_project, client, server):
    server.key = "another"
    job = run(new_job(answer_first(make_project, [chunk_of(1, 2)])), client)
    assert (job.status, job.error_code) == (Job.Status.FAILED, "llm_bad_key")
    assert "OLLAMA_API_KEY" in job.error_text
    assert ledger(job)["open"] == 2 and not server.chats


def test_a_key_that_is_withdrawn_in_the_middle_stops_at_once(make_project, client, server):
    texts = [chunk_of(1), chunk_of(2, marker="[[401]]"), *(chunk_of(n) for n in range(3, 30))]
    job = run(new_job(answer_first(make_project, *[[text] for text in texts])), client)
    assert (job.status, job.error_code) == (Job.Status.FAILED, "llm_bad_key")
    assert len(server.chats) < 10
    assert ledger(job)["failed"] == 1 and ledger(job)["open"] > 15


def test_an_unknown_model_stops_the_job(make_project, server):
    with ChatClient(server.url, KEY, "no-such-model") as client:
        job = run(new_job(answer_first(make_project, [chunk_of(1)])), client)
    assert (job.status, job.error_code) == (Job.Status.FAILED, "llm_unknown_model")
    assert "no-such-model" in job.error_text


def test_a_server_that_is_down_stops_the_job_and_leaves_the_rest_open(make_project, server):
    client = ChatClient(server.url, KEY, MODEL, backoff_seconds=0.01)
    server.stop()
    job = run(new_job(answer_first(make_project, [chunk_of(*range(1, 9))])), client)
    assert (job.status, job.error_code) == (Job.Status.FAILED, "llm_unreachable")
    assert "OPENAI_BASE_URL" in job.error_text
    assert ledger(job)["open"] == 8


def test_a_server_that_dies_in_the_middle_costs_few_requests(make_project, client):
    texts = [[chunk_of(n)] for n in range(3)] + [
        [chunk_of(n, marker="[[reset]]")] for n in range(3, 40)
    ]
    job = run(new_job(answer_first(make_project, *texts)), client)
    assert (job.status, job.error_code) == (Job.Status.FAILED, "llm_unreachable")
    numbers = ledger(job)
    assert numbers["done"] == 3 and 5 <= numbers["failed"] <= 8 and numbers["open"] > 25


def test_an_overloaded_server_is_asked_again(make_project, client, server):
    project = answer_first(make_project, [chunk_of(1, 2, marker="[[503:2]]")])
    job = run(new_job(project), client)
    assert job.status == Job.Status.SUCCEEDED and job.result["examples"] == 2
    assert [chat["outcome"] for chat in server.chats].count("503") == 4


def test_failed_requests_are_counted_and_the_job_says_so(make_project, client):
    texts = [chunk_of(1, 2), chunk_of(3, marker="[[500]]"), chunk_of(4, 5)]
    job = run(new_job(answer_first(make_project, *[[text] for text in texts])), client)
    assert job.status == Job.Status.COMPLETED_WITH_ERRORS
    assert job.result["errors"] == {"server": 1} and "1 failed" in job.message
    failed = GenerationRequest.objects.get(job=job, state=State.FAILED)
    assert failed.http_status == 500 and failed.error_text


def test_a_usage_limit_pauses_and_a_resume_asks_only_the_rest(make_project, client, server):
    texts = [[chunk_of(1)], [chunk_of(2, marker="[[429-usage:1]]")], [chunk_of(3)], [chunk_of(4)]]
    job = run(new_job(answer_first(make_project, *texts)), client)
    assert (job.status, job.error_code) == (Job.Status.PAUSED, "llm_usage_limit")
    assert ledger(job)["failed"] == 0 and ledger(job)["open"] >= 1
    jobs.resume(job)
    again = ChatClient(server.url, KEY, MODEL)
    job = run(job, again)
    assert job.status == Job.Status.SUCCEEDED and job.result["examples"] == 4
    assert max(server.answers.values()) == 1


def test_a_resume_goes_on_as_planned_although_the_project_was_changed(make_project, client, server):
    texts = [[chunk_of(1)], [chunk_of(2, marker="[[429-usage:1]]")], [chunk_of(3)], [chunk_of(4)]]
    project = answer_first(make_project, *texts)
    job = run(new_job(project), client)
    assert job.status == Job.Status.PAUSED
    versions = set(GenerationRequest.objects.values_list("prompt_version", flat=True))
    type(project).objects.update(strategy="json", task_type="instruction")
    assert jobs.resume(job)
    job = run(Job.objects.get(pk=job.pk), ChatClient(server.url, KEY, MODEL))
    assert job.status == Job.Status.SUCCEEDED, job.error_text
    assert job.result["examples"] == 4
    assert all(example.prompt.endswith("?") for example in Example.objects.all())
    rows = GenerationRequest.objects.all()
    assert {(row.strategy, row.params["model"]) for row in rows} == {("answer_first", MODEL)}
    assert {row.prompt_version for row in rows} == versions and len(versions) == 1


def test_a_resume_asks_again_when_every_request_had_failed(make_project, client, server):
    server.marker = lambda text, digest: "500" if "Sentence:" in text else ""
    job = run(new_job(answer_first(make_project, [chunk_of(1, 2, 3)])), client)
    assert job.status == Job.Status.FAILED and ledger(job)["failed"] == 3
    server.marker = lambda text, digest: ""
    assert jobs.resume(job)
    job = run(job, ChatClient(server.url, KEY, MODEL))
    assert job.status == Job.Status.SUCCEEDED, job.error_text
    assert ledger(job)["done"] == 3 and job.result["examples"] == 3


def test_cancelling_closes_what_is_open_and_keeps_what_was_answered(make_project, client, server):
    server.latency_seconds = 0.05
    project = answer_first(make_project, [chunk_of(*range(1, 9)), chunk_of(*range(11, 19))])
    job = new_job(project)
    with jobs.running(job.pk) as running:
        reporter = CancelAfter(running, requests=3)
        running.outcome = service.run_generation(job=running, reporter=reporter, client=client)
    job.refresh_from_db()
    numbers = assert_balanced(job)
    assert job.status == Job.Status.CANCELLED
    assert numbers["open"] == 0 and numbers["cancelled"] > 5
    assert numbers["done"] == len(server.answers) == Example.objects.count()


def test_examples_of_a_cancelled_generation_are_split_and_written(
    make_project, client, server, tmp_path
):
    server.latency_seconds = 0.02
    project = answer_first(make_project, [chunk_of(n, n + 10) for n in range(10)])
    job = new_job(project)
    with jobs.running(job.pk) as running:
        reporter = CancelAfter(running, requests=10)
        running.outcome = service.run_generation(job=running, reporter=reporter, client=client)
    job.refresh_from_db()
    assert job.status == Job.Status.CANCELLED
    splits = list(Example.objects.values_list("split", flat=True))
    assert set(splits) == {"train", "eval"} and 10 <= len(splits) < 20
    folder = tmp_path / str(project.pk) / "datasets"
    assert json.loads((folder / "manifest.json").read_text())["counts"]["train"] == splits.count(
        "train"
    )


def test_examples_of_a_paused_generation_are_split(make_project, client):
    texts = [[chunk_of(1)], [chunk_of(2)], [chunk_of(3)], [chunk_of(4, marker="[[429-usage]]")]]
    job = run(new_job(answer_first(make_project, *texts)), client)
    assert job.status == Job.Status.PAUSED
    assert Example.objects.exists() and not Example.objects.filter(split="").exists()


class CancelAfter(jobs.Reporter):
    """A reporter that meets a person's cancel after some requests."""

    def __init__(self, job, requests: int) -> None:
        super().__init__(job, every_seconds=0)
        self.requests = requests

    def __call__(self, done, total=None, message=None) -> None:
        if done >= self.requests:
            jobs.request_cancel(self.job)
        super().__call__(done, total, message)


def test_a_resume_parses_answered_rows_and_asks_sent_ones_again(make_project, client, server):
    project = answer_first(make_project, [chunk_of(1, 2, 3, 4)])
    job = new_job(project)
    with jobs.running(job.pk) as running:
        reporter, strategy = jobs.Reporter(running), service.strategy_for(project)
        service.planning.plan_generation(job=running, strategy=strategy, reporter=reporter)
        first, second, third, _ = GenerationRequest.objects.filter(job=job)
        reply = "What does the pump KP-1 of Odense move?"
        _set(first, state=State.ANSWERED, raw_response=reply, finish_reason="stop", attempts=1)
        _set(second, state=State.SENT, attempts=1)
        _set(third, state=State.REJECTED, attempts=1)
        raise jobs.JobInterrupted("interrupted", "Killed.")
    job.refresh_from_db()
    assert job.status == Job.Status.QUEUED  # Interrupted jobs go back to the queue by themselves.
    job = run(job, client)
    assert job.status == Job.Status.SUCCEEDED, job.error_text
    assert len(server.chats) == 2
    assert Example.objects.filter(request=first).values_list("prompt", flat=True)[0] == reply
    second.refresh_from_db()
    assert (second.state, second.attempts) == (State.DONE, 2)


def _set(request, **values) -> None:
    GenerationRequest.objects.filter(pk=request.pk).update(**values)


def test_a_second_delivery_of_the_same_job_does_nothing(make_project, client, server):
    job = run(new_job(answer_first(make_project, [chunk_of(1, 2)])), client)
    asked = len(server.chats)
    run(job, client)
    assert len(server.chats) == asked and Example.objects.count() == 2


def test_a_reply_that_another_process_stored_first_is_dropped(
    make_project, client, server, monkeypatch
):
    monkeypatch.setattr("datasets.generation.asking.POLL_SECONDS", 0.02)
    server.latency_seconds = 0.2
    job = new_job(answer_first(make_project, [chunk_of(1)]))

    class Usurped(jobs.Reporter):
        def __call__(self, *args) -> None:
            sent = GenerationRequest.objects.filter(job=job, state=State.SENT)
            sent.update(state=State.REJECTED, raw_response="theirs")

    with jobs.running(job.pk) as running, pytest.raises(jobs.JobFailed):
        service.run_generation(job=running, reporter=Usurped(running), client=client)
    assert GenerationRequest.objects.get(job=job).raw_response == "theirs"


def test_duplicates_are_dropped_counted_and_listed(make_project, client):
    same = chunk_of(1, 2)
    job = run(new_job(make_project([same], [same], strategy="json")), client)
    assert job.result["examples"] == 2 and job.result["duplicates"] == 2
    second = GenerationRequest.objects.get(job=job, state=State.REJECTED)
    assert [item["reason"] for item in second.rejected] == ["duplicate", "duplicate"]


def test_the_same_sentence_in_overlapping_chunks_is_asked_once(make_project, client, server):
    texts = [chunk_of(1, 2), f"Behind it. {chunk_of(2, 3)}"]
    run(new_job(answer_first(make_project, texts)), client)
    assert len(server.chats) == 3


def test_a_preview_gives_ten_examples_from_several_places_and_stops(make_project, client, server):
    files = [[chunk_of(*range(n * 8, n * 8 + 8)) for n in range(f * 4, f * 4 + 4)] for f in (0, 1)]
    project = answer_first(make_project, *files)
    job = run(new_job(project, Job.Kind.PREVIEW, examples=10), client, service.run_preview)
    assert job.status == Job.Status.SUCCEEDED and job.result["examples"] == 10
    assert len(server.chats) == 10
    numbers = ledger(job)
    assert numbers["open"] == 0 and numbers["cancelled"] == numbers["planned"] - 10 > 0
    examples = Example.objects.filter(project=project, split="preview")
    assert 3 <= examples.values("chunk").distinct().count() <= 5
    assert examples.values("chunk__file").distinct().count() == 2


def test_a_new_preview_replaces_the_old_one_and_leaves_the_dataset(make_project, client, server):
    project = answer_first(make_project, [chunk_of(1, 2, 3)])
    run(new_job(project), client)
    for _ in range(2):
        again = ChatClient(server.url, KEY, MODEL)
        job = run(new_job(project, Job.Kind.PREVIEW, examples=2), again, service.run_preview)
        assert Example.objects.filter(split="preview").count() == 2, job.error_text
    assert Example.objects.exclude(split="preview").count() == 3


def test_a_json_preview_keeps_no_more_than_asked_for(make_project, client, server):
    project = make_project([chunk_of(*range(n * 6, n * 6 + 6)) for n in range(6)], strategy="json")
    job = run(new_job(project, Job.Kind.PREVIEW, examples=10), client, service.run_preview)
    assert job.result["examples"] == 10
    assert len(server.chats) == 5
    assert ledger(job)["cancelled"] == 5  # The second requests on each chunk were not needed.


def test_a_preview_that_comes_out_short_says_so(make_project, client):
    project = answer_first(make_project, [chunk_of(1, 2)])
    job = run(new_job(project, Job.Kind.PREVIEW, examples=10), client, service.run_preview)
    assert job.message.startswith("Fewer than the 10 examples asked for")


def test_requests_run_at_the_same_time_up_to_the_setting(make_project, client, server, settings):
    server.latency_seconds, settings.LLM_CONCURRENCY = 0.3, 4
    run(new_job(answer_first(make_project, [chunk_of(*range(1, 9))])), client)
    assert server.most_at_once == 4


def test_what_a_call_logs_carries_the_job_id(make_project, client, monkeypatch):
    lines, chat = [], client.chat

    def logging_chat(*args, **kwargs):
        record = logging.LogRecord("llm", logging.WARNING, "", 0, "slow", None, None)
        lines.append(StructuredFormatter().format(record))
        return chat(*args, **kwargs)

    monkeypatch.setattr(client, "chat", logging_chat)
    job = run(new_job(answer_first(make_project, [chunk_of(1, 2)])), client)
    assert len(lines) >= 2 and all(line.endswith(f"job={job.pk}") for line in lines)


def test_a_stalled_server_does_not_hold_up_a_cancel(make_project, server, monkeypatch):
    monkeypatch.setattr("datasets.generation.asking.DRAIN_SECONDS", 0.2)
    job = new_job(answer_first(make_project, [chunk_of(1, 2, marker="[[stall]]")]))
    started = time.monotonic()
    with jobs.running(job.pk) as running, ChatClient(server.url, KEY, MODEL) as client:
        reporter = CancelAfter(running, requests=0)
        running.outcome = service.run_generation(job=running, reporter=reporter, client=client)
    job.refresh_from_db()
    assert job.status == Job.Status.CANCELLED
    assert time.monotonic() - started < 5
    assert ledger(job)["cancelled"] == ledger(job)["planned"]


def test_the_raw_reply_is_stored_before_it_is_read(make_project, client, monkeypatch):
    class Died(BaseException):
        pass

    def die(*args, **kwargs):
        raise Died

    job = new_job(answer_first(make_project, [chunk_of(1)]))
    monkeypatch.setattr("datasets.generation.store.settle", die)
    with pytest.raises(Died), jobs.running(job.pk) as running:
        reporter = jobs.Reporter(running)
        service.run_generation(job=running, reporter=reporter, client=client)
    row = GenerationRequest.objects.get(job=job)
    assert row.state == State.ANSWERED and "KP-1" in row.raw_response
    assert row.latency_seconds > 0 and row.tokens_out > 0


def test_the_fingerprint_sees_through_case_and_blanks_only():
    one = fingerprint("Who  built it?", "", "Ada")
    assert one == fingerprint("who built it? ", "", "ADA")
    assert one != fingerprint("Who built it?", "Ada", "")


def generate_again(project, server) -> Job:
    return run(new_job(project), ChatClient(server.url, KEY, MODEL, backoff_seconds=0.01))


@pytest.mark.parametrize("strategy", ["answer_first", "json"])
def test_a_second_generation_asks_nothing_and_writes_the_dataset(
    make_project, client, server, tmp_path, strategy
):
    project = make_project([chunk_of(1, 2)], [chunk_of(3)], strategy=strategy)
    planned = ledger(run(new_job(project), client))["planned"]
    asked = len(server.chats)
    manifest = tmp_path / str(project.pk) / "datasets" / "manifest.json"
    manifest.unlink()
    job = generate_again(project, server)
    assert job.status == Job.Status.SUCCEEDED, job.error_text
    expected = f"Nothing new to ask: {planned} of {planned} requests were answered before."
    assert job.message == expected
    assert job.result["answered_before"] == planned and job.result["ledger"]["planned"] == 0
    assert len(server.chats) == asked and Example.objects.count() == 3
    assert manifest.exists() and job.result["split"]["train"] > 0


def test_a_second_generation_asks_what_had_failed_and_what_is_new(make_project, client, server):
    texts = [chunk_of(1, 2), chunk_of(3, marker="[[500]]"), chunk_of(4, marker="[[refusal]]")]
    project = answer_first(make_project, *[[text] for text in texts])
    run(new_job(project), client)
    text, file = f"Cut off. {chunk_of(5)}", SourceFile.objects.first()
    Chunk.objects.create(file=file, index=1, text=text, token_count=9, start=9, end=10)
    server.marker = lambda text, digest: ""
    job = generate_again(project, server)
    asked = GenerationRequest.objects.filter(job=job).values_list("params__sentence", flat=True)
    assert sorted(asked) == sorted([sentence(3, "[[500]]"), sentence(5)])
    assert job.result["answered_before"] == 3 and job.result["examples"] == 2
    assert job.message.endswith("3 more requests were answered before.")


def test_a_sentence_whose_example_was_deleted_is_asked_again(make_project, client, server):
    project = answer_first(make_project, [chunk_of(1, 2)])
    run(new_job(project), client)
    Example.objects.first().delete()
    job = generate_again(project, server)
    assert (job.result["answered_before"], job.result["examples"]) == (1, 1)


@pytest.mark.parametrize("change", ["task", "model", "prompt", "refused only"])
def test_other_words_or_another_model_ask_everything_again(
    make_project, client, server, settings, monkeypatch, change
):
    marker = "[[refusal]]" if change == "refused only" else ""
    project = answer_first(make_project, [chunk_of(1, 2, marker=marker)])
    run(new_job(project), client)
    server.marker = lambda text, digest: ""
    if change == "task":
        project.task_type = "instruction"
        project.save()
    if change == "model":
        settings.LLM_MODEL = "other"
    if change == "prompt":
        monkeypatch.setattr("datasets.generation.prompting.version", lambda *args: "edited")
    job = generate_again(project, server)
    assert ledger(job)["planned"] == 2 and job.result["answered_before"] == 0


@pytest.mark.parametrize(("strategy", "asked"), [("json", 1), ("answer_first", 0)])
@pytest.mark.parametrize("wish", ["language", "instruction"])
def test_another_language_or_instruction_asks_again_where_the_prompt_has_it(
    make_project, client, server, strategy, asked, wish
):
    project = make_project([chunk_of(1, 2)], strategy=strategy)
    run(new_job(project), client)
    setattr(project, wish, "Danish")
    project.save()
    assert ledger(generate_again(project, server))["planned"] == asked
    assert ledger(generate_again(project, server))["planned"] == 0
    versions = GenerationRequest.objects.values_list("prompt_version", flat=True)
    assert len(set(versions)) == 1 + asked


def test_a_resume_still_knows_what_was_answered_before(make_project, client, server, settings):
    settings.LLM_CONCURRENCY = 1
    project = answer_first(make_project, [chunk_of(1, 2)], [chunk_of(3, marker="[[429-usage:2]]")])
    job = run(new_job(project), client)
    assert job.status == Job.Status.PAUSED
    jobs.request_cancel(job)
    second = generate_again(project, server)
    assert second.status == Job.Status.PAUSED
    assert jobs.resume(second)
    second = run(second, ChatClient(server.url, KEY, MODEL))
    assert second.status == Job.Status.SUCCEEDED
    assert second.result["answered_before"] == 2 and ledger(second)["done"] == 1


def test_a_fault_in_reading_one_reply_costs_that_request_only(
    make_project, client, monkeypatch, caplog
):
    make = make_project([chunk_of(1, 2)], [chunk_of(3, 4)], strategy="json")
    read, seen = JsonStrategy.read, []

    def read_or_fail(self, request, project):
        seen.append(request.pk)
        if len(seen) == 1:
            raise ZeroDivisionError("a fault")
        return read(self, request, project)

    monkeypatch.setattr(JsonStrategy, "read", read_or_fail)
    job = run(new_job(make), client)
    assert job.status == Job.Status.SUCCEEDED, job.error_text
    row = GenerationRequest.objects.get(error_class="internal")
    assert (row.state, row.pk) == (State.REJECTED, seen[0])
    assert "ZeroDivisionError" in caplog.text and job.result["examples"] == 2


def test_the_tokens_of_both_tries_of_a_request_count(make_project, client, monkeypatch):
    make = make_project([chunk_of(1, 2)], strategy="json")
    read, sums = JsonStrategy.read, []

    def unreadable_at_first(self, request, project):
        sums.append(GenerationRequest.objects.values_list("tokens_in", flat=True).get())
        if len(sums) == 1:
            return ParsedReply(error_class="unparsable")
        return read(self, request, project)

    monkeypatch.setattr(JsonStrategy, "read", unreadable_at_first)
    job = run(new_job(make), client)
    assert job.result["tokens_in"] == sums[1] > sums[0] > 0
    assert len(sums) == 2


def test_a_reply_with_a_nul_in_its_keys_is_stored(make_project, client, monkeypatch):
    make = make_project([chunk_of(1, 2)], [chunk_of(3, 4)], strategy="json")
    text = '{"question\\u0000":"a","question\\u0000":"b"}'
    read, seen = JsonStrategy.read, []

    def poisoned(self, request, project):
        seen.append(request.pk)
        if len(seen) == 1:
            request.raw_response = text
        return read(self, request, project)

    monkeypatch.setattr(JsonStrategy, "read", poisoned)
    run(new_job(make), client)
    rejected = GenerationRequest.objects.get(pk=seen[0]).rejected
    assert rejected[0]["reason"] == "the key question is there twice with different values"


@pytest.mark.parametrize("files", [1, 2])
def test_a_dataset_of_one_passage_says_that_nothing_is_left_for_evaluation(
    make_project, client, files
):
    passages = [[chunk_of(1, 2)], [chunk_of(3, 4)]][:files]
    job = run(new_job(make_project(*passages, strategy="json")), client)
    assert ("no_evaluation" in job.result) == (files == 1)
    assert ("nothing is left for evaluation" in job.message) == (files == 1)

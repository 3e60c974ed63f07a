"""The two generation jobs: the preview, and the full dataset with its split and its files."""

import logging
import time
from contextlib import contextmanager

from datasets import exporting, splitting
from datasets.generation import generator, planning
from datasets.generation.asking import Asking, reopen_failed
from datasets.generation.ledger import ledger, summary
from datasets.generation.local_server import NotPossible
from datasets.generation.strategies import strategy_for
from datasets.models import Chunk, Example, GenerationRequest
from finetuneflow.lib import llm
from finetuneflow.lib.llm_errors import LLMError
from projects import jobs
from projects.models import Job

__all__ = ["ledger", "run_generation", "run_preview"]

logger = logging.getLogger(__name__)
State = GenerationRequest.State
DEFAULT_PREVIEW_EXAMPLES = 10
NO_EVALUATION = (
    "All examples come from one passage: nothing is left for evaluation. "
    "Add another document or use smaller passages."
)


def run_preview(
    *, job: Job, reporter: jobs.Reporter, client: llm.ChatClient | None = None
) -> jobs.Outcome:
    """Get `params["examples"]` examples from a few representative chunks, replacing older ones."""
    examples = int(job.params.get("examples") or DEFAULT_PREVIEW_EXAMPLES)
    strategy = strategy_for(job.project)

    def plan() -> dict:
        return planning.plan_preview(
            job=job, strategy=strategy, examples=examples, reporter=reporter
        )

    notes = _ask(job, reporter, client, plan, Example.Split.PREVIEW, target=examples)
    _cancel_open(job, "enough_examples", "There were enough examples without it.")
    outcome = _outcome(job, notes, reporter)
    if outcome.result["examples"] < examples:
        outcome.message = f"Fewer than the {examples} examples asked for: {outcome.message}"
    return outcome


def run_generation(
    *, job: Job, reporter: jobs.Reporter, client: llm.ChatClient | None = None
) -> jobs.Outcome:
    """Ask about all chunks, split the examples and write the dataset's files.

    What was answered becomes the dataset also when the job is cancelled, paused or fails.
    """
    strategy = strategy_for(job.project)

    def plan() -> dict:
        return planning.plan_generation(job=job, strategy=strategy, reporter=reporter)

    try:
        notes = _ask(job, reporter, client, plan, Example.Split.NONE)
        outcome = _outcome(job, notes, reporter)
    except (jobs.JobCancelled, jobs.JobFailed):
        if _examples(job).exists():
            _write_unfinished(job)
        raise
    outcome.result |= _write_dataset(job)
    if outcome.result["split"]["train"] and not outcome.result["split"]["eval"]:
        outcome.message += f" {NO_EVALUATION}"
        outcome.result["no_evaluation"] = NO_EVALUATION
    return outcome


def _examples(job: Job):
    return Example.objects.filter(project=job.project).exclude(split=Example.Split.PREVIEW)


def _write_dataset(job: Job) -> dict:
    """Put the project's examples on their sides and write the files; returns both counts."""
    split = splitting.split_examples(job.project)
    return {"split": split, "files": exporting.write_dataset(job.project, job=job)}


def _write_unfinished(job: Job) -> None:
    """Write what there is; a full disk must not hide why the job ended."""
    try:
        _write_dataset(job)
    except OSError:
        logger.exception("the examples of an unfinished generation could not be written")


def _ask(job, reporter, client, plan, split: str, target=None) -> dict:
    """Plan once, check the server, work off what is open; returns notes for the result."""
    if client is None:
        _check_generator(job)
    notes = _plan_once(job, plan)
    reopen_failed(job)
    open_rows = GenerationRequest.objects.filter(job=job, state__in=GenerationRequest.OPEN)
    if not open_rows.exists():
        return notes
    with _connected(job, client, reporter) as client:
        started = time.monotonic()
        asking = Asking(
            job=job,
            client=client,
            reporter=reporter,
            split=split,
            target=target,
            concurrency=generator.concurrency_of(job.project),
        )
        try:
            asking.run()
        except jobs.JobCancelled:
            _cancel_open(job, "cancelled", "The job was cancelled.")
            raise
        finally:
            minutes = (time.monotonic() - started) / 60
            notes["requests_per_minute"] = round(asking.answered / max(minutes, 1e-6), 1)
            reporter.log("Requests: " + _sentence(ledger(job)), data={"ledger": ledger(job)})
    return notes


def _plan_once(job: Job, plan) -> dict:
    """Write the plan unless an earlier attempt of the job did; raises when there is nothing."""
    notes = {} if GenerationRequest.objects.filter(job=job).exists() else plan()
    notes = {"answered_before": job.params.get("answered_before", 0)} | notes
    if notes["answered_before"] or GenerationRequest.objects.filter(job=job).exists():
        return notes
    if not Chunk.objects.filter(file__project=job.project).exists():
        text = "There is no text to ask about. Add documents and let them be read first."
        raise jobs.JobFailed("no_chunks", text)
    text = "No sentence in the documents states a fact to ask about. Add documents with whole text."
    raise jobs.JobFailed("no_sentences", text)


def _check_generator(job: Job) -> None:
    """Fail before anything is planned, so that another try plans for the generator of then."""
    try:
        generator.check(job.project)
    except generator.NoKey as error:
        raise jobs.JobFailed("llm_no_key", str(error)) from error
    except NotPossible as error:
        raise jobs.JobFailed(error.code, str(error)) from error


@contextmanager
def _connected(job: Job, client: llm.ChatClient | None, reporter: jobs.Reporter):
    """Yield a client whose address, key and model were proved by one cheap request."""
    with _client(job, client, reporter) as client:
        try:
            client.check()
        except LLMError as error:
            raise _as_job_error(error) from error
        yield client


@contextmanager
def _client(job: Job, client: llm.ChatClient | None, reporter: jobs.Reporter):
    """Yield the given client, or one of the project's generator."""
    if client is not None:
        with client:
            yield client
        return

    def on_wait(text: str) -> None:
        reporter(job.done, job.total, text)

    try:
        with generator.client_for(job.project, on_wait=on_wait) as client:
            yield client
    except LLMError as error:
        raise _as_job_error(error) from error
    except NotPossible as error:
        raise jobs.JobFailed(error.code, str(error)) from error


def _as_job_error(error: LLMError) -> jobs.JobFailed:
    kind = jobs.JobPaused if error.code == "usage_limit" else jobs.JobFailed
    return kind(f"llm_{error.code}", str(error))


def _cancel_open(job: Job, error_class: str, text: str) -> None:
    GenerationRequest.objects.filter(job=job, state__in=GenerationRequest.OPEN).update(
        state=State.CANCELLED, error_class=error_class, error_text=text
    )


def _outcome(job: Job, notes: dict, reporter: jobs.Reporter) -> jobs.Outcome:
    """Return how the job ended; raises `JobFailed` when no example came out."""
    result = summary(job) | notes
    numbers = result["ledger"]
    if not (result["examples"] or result["duplicates"] or result["answered_before"]):
        raise jobs.JobFailed("no_examples", _nothing_text(result))
    message = _message(result)
    status = Job.Status.COMPLETED_WITH_ERRORS if numbers["failed"] else Job.Status.SUCCEEDED
    reporter(numbers["planned"] - numbers["open"], numbers["planned"], message)
    return jobs.Outcome(message=message, status=status, result=result)


def _message(result: dict) -> str:
    numbers, before = result["ledger"], result["answered_before"]
    if not numbers["planned"]:
        return f"Nothing new to ask: {before} of {before} requests were answered before."
    message = f"{result['examples']} examples. {_sentence(numbers)}"
    if result["duplicates"]:
        message += f" {result['duplicates']} examples were there already."
    if before:
        message += f" {before} more requests were answered before."
    return message


def _sentence(numbers: dict) -> str:
    """Return the ledger in words; ends that nobody met are left out."""
    words = {
        "done": "gave examples",
        "rejected": "gave nothing usable",
        "failed": "failed",
        "cancelled": "were not needed",
        "open": "are open",
    }
    parts = [f"{numbers[name]} {text}" for name, text in words.items() if numbers[name]]
    return f"Of {numbers['planned']} requests {', '.join(parts)}." if parts else "No requests."


def _nothing_text(result: dict) -> str:
    causes = {**result["reasons"], **result["errors"]}
    cause = max(causes, key=causes.get) if causes else "unknown"
    return (
        f"No usable example came out of {result['ledger']['planned']} requests "
        f"(most often: {cause}). Try another model, or look at the refused replies."
    )

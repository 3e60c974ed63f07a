"""Working off a job's requests: threads call the model, this thread alone touches the database.

A row is `sent` before its call and `answered`, with the raw reply, before anything is parsed. So a
process may die at any moment: answered rows are never asked again, sent ones are.
"""

import contextvars
import logging
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from django.db import DatabaseError
from django.db.models import F, Value
from django.db.models.functions import Coalesce

from datasets.generation import store, texts
from datasets.generation.ledger import ledger
from datasets.generation.strategies import (
    SECOND_TRY,
    STRATEGIES,
    prompt_version,
    task_type_of,
)
from datasets.models import GenerationRequest
from finetuneflow.lib import clean
from finetuneflow.lib.llm import ChatClient
from finetuneflow.lib.llm_errors import LLMError
from finetuneflow.lib.llm_wire import ChatReply
from projects import jobs
from projects.models import Job

logger = logging.getLogger(__name__)

State = GenerationRequest.State
FATAL = {"bad_key", "plan", "unknown_model"}
# Failures that say something about the server, not about the one request.
SERVER_FAILURES = {"unreachable", "timeout", "busy", "server", "bad_reply", "bad_request"}
MAX_FAILURES_IN_A_ROW = 5
DRAIN_SECONDS = 10
POLL_SECONDS = 0.5


def reopen_failed(job: Job) -> None:
    """Move failed -> planned where the server was at fault: a new attempt asks it again."""
    GenerationRequest.objects.filter(
        job=job, state=State.FAILED, error_class__in=FATAL | SERVER_FAILURES
    ).update(state=State.PLANNED, error_class="", error_text="", http_status=None)


class Asking:
    """One attempt of a job to get its open requests answered.

    `target` is how many examples are enough (a preview), None for all requests. Each row is asked
    and read as it was planned, whatever the project's strategy and task are by now.
    """

    def __init__(
        self,
        *,
        job: Job,
        client: ChatClient,
        reporter: jobs.Reporter,
        split: str,
        target: int | None = None,
        concurrency: int = 4,
    ) -> None:
        self.job, self.project = job, job.project
        self.client, self.reporter = client, reporter
        self.split, self.target, self.concurrency = split, target, concurrency
        self.counter = store.token_counter(job.project)
        self._close_orphans()
        numbers = ledger(job)
        self.planned, self.closed = numbers["planned"], numbers["planned"] - numbers["open"]
        self.kept = store.Example.objects.filter(request__job=job).count()
        self.answered = 0
        self._waiting: deque[int] = deque()
        self._flying: dict[Future, GenerationRequest] = {}
        self._failures_in_a_row = 0

    def run(self) -> None:
        """Ask until nothing is open or there is enough.

        Raises `jobs.JobFailed` when going on is pointless, `jobs.JobPaused` at a usage limit, and
        what the reporter raises. Requests that nobody asked stay open then.
        """
        rows = self._rows()
        for request in rows.filter(state=State.ANSWERED).select_related("chunk"):
            self._settle(request)
        rows.filter(state=State.SENT).update(state=State.PLANNED)
        self._waiting.extend(rows.filter(state=State.PLANNED).values_list("pk", flat=True))
        executor = ThreadPoolExecutor(self.concurrency, thread_name_prefix="llm")
        try:
            self._ask_all(executor)
        except (jobs.JobFailed, jobs.JobCancelled):
            self._drain()
            raise
        finally:
            self.client.stop()
            executor.shutdown(wait=False, cancel_futures=True)

    def _rows(self):
        return GenerationRequest.objects.filter(job=self.job)

    def _close_orphans(self) -> None:
        """Close open requests whose passage was deleted, or cut anew, since they were planned."""
        self._rows().filter(chunk=None, state__in=GenerationRequest.OPEN).update(
            state=State.CANCELLED,
            error_class="passage_gone",
            error_text="The passage was deleted or cut anew before this request was answered.",
        )

    def _ask_all(self, executor: ThreadPoolExecutor) -> None:
        while True:
            while self._waiting and self._has_room():
                self._send(self._waiting.popleft(), executor)
            if not self._flying:
                return
            finished, _ = wait(self._flying, POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in finished:
                self._receive(self._flying.pop(future), future)
            self._report()

    def _has_room(self) -> bool:
        """True when one more request may be under way; a target is not overshot."""
        if len(self._flying) >= self.concurrency:
            return False
        expected = sum(request.params.get("count", 1) for request in self._flying.values())
        return self.target is None or self.kept + expected < self.target

    def _report(self) -> None:
        text = f"{self.closed} of {self.planned} requests, {self.kept} examples"
        self.reporter(self.closed, self.planned, text)

    def _send(self, pk: int, executor: ThreadPoolExecutor) -> None:
        """Mark the row as sent, to which model and in which words; hand the call to a thread."""
        request = self._rows().select_related("chunk").get(pk=pk)
        request.params["model"] = self.client.model
        request.prompt_version = prompt_version(
            request.strategy, task_type_of(request, self.project), self.project
        )
        won = self._rows().filter(pk=pk, state=State.PLANNED)
        if not won.update(
            state=State.SENT,
            attempts=F("attempts") + 1,
            params=request.params,
            prompt_version=request.prompt_version,
        ):
            return
        question = STRATEGIES[request.strategy].question(request, self.project)
        # A copy for each call: it carries the job's id to the lines that the thread logs.
        call = contextvars.copy_context().run
        self._flying[executor.submit(call, self.client.chat, **question)] = request

    def _receive(self, request: GenerationRequest, future: Future) -> None:
        try:
            reply = future.result()
        except LLMError as error:
            self._fail(request, error)
            return
        self._failures_in_a_row = 0
        self._keep(request, reply)

    def _keep(self, request: GenerationRequest, reply: ChatReply) -> None:
        """Store the reply as it came, then read it."""
        raw = reply.text
        if not raw.strip() and reply.reasoning:
            raw = f"<think>{reply.reasoning}</think>"
        request.raw_response = texts.clean(raw)
        request.finish_reason = clean.text(reply.finish_reason, 30)
        stored = (
            self._rows()
            .filter(pk=request.pk, state=State.SENT)
            .update(
                state=State.ANSWERED,
                raw_response=request.raw_response,
                finish_reason=request.finish_reason,
                tokens_in=_added(request, "tokens_in", reply.prompt_tokens),
                tokens_out=_added(request, "tokens_out", reply.completion_tokens),
                latency_seconds=reply.latency_seconds,
                http_status=200,
            )
        )
        self.answered += 1
        if stored:
            self._settle(request)

    def _settle(self, request: GenerationRequest) -> None:
        """Read one reply; a fault of ours in reading it costs this request, not the job."""
        try:
            self._read(request)
        except (DatabaseError, jobs.JobFailed, jobs.JobCancelled, jobs.LeaseLost):
            raise
        except Exception as error:
            logger.exception("the reply to request %s could not be read", request.pk)
            self._rows().filter(pk=request.pk, state=State.ANSWERED).update(
                state=State.REJECTED,
                error_class="internal",
                error_text=clean.text(f"{type(error).__name__}: {error}", 1000),
            )
            self.closed += 1

    def _read(self, request: GenerationRequest) -> None:
        parsed = STRATEGIES[request.strategy].read(request, self.project)
        if parsed.error_class in SECOND_TRY and self._plan_again(request, parsed.error_class):
            return
        room = None if self.target is None else max(0, self.target - self.kept)
        self.kept += store.settle(
            request,
            parsed,
            project=self.project,
            counter=self.counter,
            split=self.split,
            room=room,
        )
        self.closed += 1

    def _plan_again(self, request: GenerationRequest, error_class: str) -> bool:
        """Move answered -> planned once: the model is told what was wrong with its reply."""
        if "first_error" in request.params:
            return False
        first = {"first_error": error_class, "first_reply": request.raw_response[:4000]}
        won = self._rows().filter(pk=request.pk, state=State.ANSWERED)
        if won.update(state=State.PLANNED, params=request.params | first):
            self._waiting.append(request.pk)
        return True

    def _fail(self, request: GenerationRequest, error: LLMError) -> None:
        """Record the failure; raise when it concerns more than this request."""
        if error.code in ("usage_limit", "stopped"):
            self._take_back(request)
            if error.code == "usage_limit":
                raise jobs.JobPaused("llm_usage_limit", str(error)) from error
            return
        self._rows().filter(pk=request.pk, state=State.SENT).update(
            state=State.FAILED,
            error_class=error.code,
            error_text=clean.text(str(error), 1000),
            http_status=error.status,
        )
        self.closed += 1
        self.reporter.log(f"Request {request.pk}: {error}", level="warning")
        if error.code in SERVER_FAILURES:
            self._failures_in_a_row += 1
        if error.code in FATAL or self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            raise jobs.JobFailed(f"llm_{error.code}", str(error)) from error

    def _take_back(self, request: GenerationRequest) -> None:
        """Move sent -> planned: the request costs no attempt."""
        self._rows().filter(pk=request.pk, state=State.SENT).update(
            state=State.PLANNED, attempts=F("attempts") - 1
        )

    def _drain(self) -> None:
        """Keep the answers that are still on their way: they are paid for."""
        self.client.stop()
        finished, late = wait(self._flying, DRAIN_SECONDS)
        for future in finished:
            request = self._flying.pop(future)
            if future.cancelled() or future.exception() is not None:
                self._take_back(request)
            else:
                self._keep(request, future.result())
        for future in late:
            self._take_back(self._flying.pop(future))


def _added(request: GenerationRequest, field: str, tokens: int | None):
    """Return the tokens to store: a second try's are added to those of the first."""
    if "first_error" not in request.params or tokens is None:
        return tokens if "first_error" not in request.params else F(field)
    return Coalesce(F(field), Value(0)) + tokens

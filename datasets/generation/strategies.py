"""The two ways to get examples from a model, behind one interface.

`json`: several examples per request, for capable models. `answer_first`: the program picks a
factual sentence, the model writes only the question, and the sentence is the answer; for
small local models.
"""

import re
from typing import Protocol

from datasets.generation import prompting, questions, sentences
from datasets.generation.generator import is_bundled, model_of
from datasets.generation.parse import ExampleDraft, ParsedReply, parse_reply
from datasets.models import Chunk, GenerationRequest
from projects.models import Project

SMALL_MODELS = ("SmolLM2-135M-Instruct",)
SECOND_TRY = ("unparsable", "truncated", "empty")


class Strategy(Protocol):
    name: str
    examples_per_chunk: int
    temperature: float
    tokens_per_example: int

    def plan(self, chunk: Chunk, *, count: int, used: set[str]) -> list[dict]:
        """Return the params of the chunk's requests; `used` collects what was picked."""

    def question(self, request: GenerationRequest, project: Project) -> dict:
        """Return the keyword arguments of `ChatClient.chat` for the request."""

    def read(self, request: GenerationRequest, project: Project) -> ParsedReply:
        """Return what the stored reply holds."""


class JsonStrategy:
    """One request per chunk for several examples; an unreadable reply is asked for once more."""

    name = Project.Strategy.JSON
    examples_per_chunk = 5
    temperature = 0.3
    # Question, answer and quote with their JSON, roughly: used only to estimate.
    tokens_per_example = 120

    def plan(self, chunk: Chunk, *, count: int, used: set[str]) -> list[dict]:
        return [{"count": count}]

    def question(self, request: GenerationRequest, project: Project) -> dict:
        params = request.params
        messages = prompting.json_messages(
            task_type=task_type_of(request, project),
            text=request.chunk.text,
            count=params["count"],
            section=request.chunk.section,
            part=params.get("part", ""),
            instruction=project.instruction,
            language=project.language,
        )
        if "first_error" in params:
            messages = prompting.again_messages(
                messages, reply=params["first_reply"], reason=params["first_error"]
            )
        return {
            "messages": messages,
            "temperature": _temperature(project, self.temperature),
            "max_tokens": 600 + 300 * params["count"],
            "response_format": {"type": "json_object"},
        }

    def read(self, request: GenerationRequest, project: Project) -> ParsedReply:
        parsed = parse_reply(
            request.raw_response,
            task_type=task_type_of(request, project),
            finish_reason=request.finish_reason,
        )
        for draft in parsed.examples:
            if not draft.evidence:
                draft.flags.append("no_evidence")
            elif locate(draft.evidence, request.chunk.text) is None:
                draft.flags.append("evidence_not_found")
        return parsed


class AnswerFirstStrategy:
    """One request per sentence; the completion and the evidence are the sentence itself."""

    name = Project.Strategy.ANSWER_FIRST
    examples_per_chunk = 8
    temperature = 0.0
    tokens_per_example = 15

    def plan(self, chunk: Chunk, *, count: int, used: set[str]) -> list[dict]:
        picked = sentences.pick_sentences(
            chunk.text, count, is_continuation=chunk.index > 0, used=used
        )
        used.update(sentence.text.casefold() for sentence in picked)
        return [
            {"sentence": sentence.text, "start": sentence.start, "end": sentence.end}
            for sentence in picked
        ]

    def question(self, request: GenerationRequest, project: Project) -> dict:
        messages = prompting.sentence_messages(
            task_type=task_type_of(request, project), sentence=request.params["sentence"]
        )
        return {
            "messages": messages,
            "temperature": _temperature(project, self.temperature),
            "max_tokens": 64,
        }

    def read(self, request: GenerationRequest, project: Project) -> ParsedReply:
        parsed, params = ParsedReply(), request.params
        try:
            question = questions.read_question(
                request.raw_response,
                sentence=params["sentence"],
                task_type=task_type_of(request, project),
                finish_reason=request.finish_reason,
            )
        except questions.Refused as error:
            parsed.reject(request.raw_response, str(error))
            parsed.error_class = "no_valid_items"
            return parsed
        evidence = request.chunk.text[params["start"] : params["end"]]
        draft = ExampleDraft(question, completion=params["sentence"], evidence=evidence)
        parsed.examples.append(draft)
        return parsed


STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy for strategy in (JsonStrategy(), AnswerFirstStrategy())
}


def strategy_for(project: Project) -> Strategy:
    """Return the project's strategy; automatic means: the simple one for small known models.

    The bundled model can do only that one, whatever the project says.
    """
    if project.strategy in STRATEGIES and not is_bundled(project):
        return STRATEGIES[project.strategy]
    is_small = model_of(project).rstrip("/").rsplit("/", 1)[-1] in SMALL_MODELS
    return STRATEGIES[Project.Strategy.ANSWER_FIRST if is_small else Project.Strategy.JSON]


def task_type_of(request: GenerationRequest, project: Project) -> str:
    """Return what the request was planned for: the project may have been changed since."""
    return request.params.get("task_type") or project.task_type


def locate(quote: str, text: str) -> tuple[int, int] | None:
    """Return where `quote` stands in `text`, blanks and case aside; None when it does not."""
    start = text.find(quote)
    if start != -1:
        return start, start + len(quote)
    words = quote.split()
    if not 0 < len(words) <= 400:
        return None
    match = re.search(r"\s+".join(re.escape(word) for word in words), text, re.IGNORECASE)
    return match.span() if match else None


def prompt_version(strategy: str, task_type: str, project: Project) -> str:
    """Return the version of the words that the project's requests are asked in."""
    if strategy != Project.Strategy.JSON:
        return prompting.version(strategy, task_type)
    return prompting.version(strategy, task_type, project.instruction, project.language)


def _temperature(project: Project, default: float) -> float:
    value = project.generation.get("temperature", default)
    return float(value) if isinstance(value, int | float) and 0 <= value <= 2 else default

"""Judging the one question (or instruction) that a model wrote about a sentence. Pure code."""

import re

from datasets.generation import prompting, sentences, texts

MIN_WORDS, MAX_WORDS = 3, 40
# Which part of a question's content words its sentence must hold.
MIN_SHARED = 0.4

_PREFIX = re.compile(
    r"^(?:[*_#>\-\s\d.)]*(?:question|instruction|consigne|q|sentence|phrase)\s*+\d*+\s*+[:：]\s*+[*_]*+)+",
    re.IGNORECASE,
)
_QUOTES = "\"'“”«»‘’`*_ \t"


class Refused(ValueError):
    """The reply is no usable question; the text is the reason shown to the person."""


def read_question(
    reply: str, *, sentence: str, task_type: str, finish_reason: str | None = None
) -> str:
    """Return the question (or instruction) in a reply to one sentence; raises `Refused`."""
    visible = texts.without_reasoning(texts.clean(reply)).strip()
    if not visible:
        raise Refused("empty reply")
    if texts.is_refusal(visible):
        raise Refused("the model refused")
    line = _first_line(visible)
    is_whole = "\n" in visible or (finish_reason or "stop") not in ("length", "max_tokens")
    if task_type == "qa":
        line = _up_to_question_mark(line)
    elif not is_whole:
        raise Refused("cut off in the middle")
    _check_form(line)
    _check_topic(line, sentence, task_type)
    return line


def _first_line(text: str) -> str:
    """Return the first line that says something, without label and quotes."""
    for line in text.splitlines():
        line = _PREFIX.sub("", line).strip(_QUOTES)
        if line:
            return " ".join(line.split())
    raise Refused("empty reply")


def _up_to_question_mark(line: str) -> str:
    question, mark, _ = line.partition("?")
    if not mark:
        raise Refused("no question mark")
    return question + mark


def _check_form(line: str) -> None:
    count = len(sentences.words_of(line))
    if count < MIN_WORDS:
        raise Refused("too short")
    if count > MAX_WORDS:
        raise Refused("too long")


def _check_topic(line: str, sentence: str, task_type: str) -> None:
    """Refuse echoes of the examples and of the sentence, and questions about something else."""
    bare = _bare(line)
    same_start = bare.split()[:2] == _bare(sentence).split()[:2]
    if bare == _bare(sentence) or (task_type == "instruction" and same_start):
        raise Refused("repeats the sentence")
    asked, stated = sentences.content_words(line), sentences.content_words(sentence)
    shots = prompting.shots_for(task_type, sentence)
    for shot in shots:
        shown = sentences.content_words(f"{shot.sentence} {shot.question}")
        if bare == _bare(shot.question) or len((asked & shown) - stated) >= 2:
            raise Refused("repeats an example of the prompt")
    if len(asked & stated) < max(1, MIN_SHARED * len(asked)):
        raise Refused("about something else")


def _bare(text: str) -> str:
    return " ".join(word.casefold() for word in sentences.words_of(text))

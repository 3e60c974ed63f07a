"""Cleaning of what a model wrote: characters no database takes, reasoning, refusals. Pure code."""

import re
import unicodedata

SHOWN_CHARACTERS = 500

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u064b-\u065f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff"
)
# Sorting a long run of combining marks takes time squared; 30 is the limit of UAX #15.
_MARKS_TOO_MANY = re.compile(rf"([{_MARKS}]{{30}})[{_MARKS}]++")
_TAG = re.compile(r"<(?P<slash>/?)(?P<name>think|thinking|reasoning|thought)>\s*+", re.IGNORECASE)
_THINK_END = re.compile(r"^.*?</(?:think|thinking|reasoning|thought)>", re.DOTALL | re.IGNORECASE)
_THINK_OPEN = re.compile(r"<(?:think|thinking|reasoning|thought)>.*$", re.DOTALL | re.IGNORECASE)
_CHANNEL = re.compile(r"^.*<\|channel\|>final(?:<\|constrain\|>\w++)?<\|message\|>", re.DOTALL)
_RUN = re.compile(r"([\W_])\1{199}\1++")
_SPECIAL = re.compile(r"<\|[a-z_]{2,30}\|>|</?s>")
_REFUSAL = re.compile(
    r"^\W*(?:i'?m (?:very |really )?sorry|sorry\b|i (?:can(?:no|')?t|cannot|am unable|won't)"
    r"|i'm (?:unable|not able)|as an ai\b|unfortunately,? i|je (?:suis )?désolée?|désolée?\b"
    r"|je ne (?:peux|puis) pas|en tant qu(?:'|e )ia\b)",
    re.IGNORECASE,
)


def clean(text: str) -> str:
    """Return `text` in NFC without characters that a database or a file refuses."""
    text = _CONTROL.sub("", text.replace("\r\n", "\n"))
    return unicodedata.normalize("NFC", _MARKS_TOO_MANY.sub(r"\1", text))


def without_reasoning(text: str) -> str:
    """Return what follows or surrounds the model's thinking; an unfinished thought hides all."""
    text = _CHANNEL.sub("", text)
    text = _without_thoughts(text)
    text = _THINK_END.sub("", text)
    text = _THINK_OPEN.sub("", text)
    return _SPECIAL.sub("", text)


def _without_thoughts(text: str) -> str:
    """Return `text` without its closed thoughts, found in one walk over all tags."""
    tags = list(_TAG.finditer(text))
    last_end = {tag["name"].casefold(): tag.start() for tag in tags if tag["slash"]}
    kept, position, open_name = [], 0, ""
    for tag in tags:
        name = tag["name"].casefold()
        if open_name:
            if tag["slash"] and name == open_name:
                position, open_name = tag.end(), ""
        elif not tag["slash"] and last_end.get(name, -1) > tag.start():
            kept.append(text[position : tag.start()])
            open_name = name
    return "".join(kept) + text[position:]


def without_runs(text: str) -> str:
    """Return `text` with at most 200 equal marks or blanks in a row: a model that got stuck."""
    return _RUN.sub(lambda run: run[0][:200], text)


def is_refusal(text: str) -> bool:
    """True when a text as a whole declines to answer, in English or French."""
    return bool(_REFUSAL.match(text.replace("’", "'"))) and len(text) < 600


def shorten(text: str) -> str:
    text = text.strip()
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"

"""Cleaning of what a model wrote: characters no database takes, reasoning, refusals. Pure code."""

import re
import unicodedata

SHOWN_CHARACTERS = 500

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_THINK = re.compile(r"<(think|thinking|reasoning|thought)>.*?</\1>\s*", re.DOTALL | re.IGNORECASE)
_THINK_END = re.compile(r"^.*?</(?:think|thinking|reasoning|thought)>", re.DOTALL | re.IGNORECASE)
_THINK_OPEN = re.compile(r"<(?:think|thinking|reasoning|thought)>.*$", re.DOTALL | re.IGNORECASE)
_CHANNEL = re.compile(r"^.*<\|channel\|>final(?:<\|constrain\|>\w+)?<\|message\|>", re.DOTALL)
_SPECIAL = re.compile(r"<\|[a-z_]{2,30}\|>|</?s>")
_REFUSAL = re.compile(
    r"^\W*(?:i'?m (?:very |really )?sorry|sorry\b|i (?:can(?:no|')?t|cannot|am unable|won't)"
    r"|i'm (?:unable|not able)|as an ai\b|unfortunately,? i|je (?:suis )?désolée?|désolée?\b"
    r"|je ne (?:peux|puis) pas|en tant qu(?:'|e )ia\b)",
    re.IGNORECASE,
)


def clean(text: str) -> str:
    """Return `text` in NFC without characters that a database or a file refuses."""
    return unicodedata.normalize("NFC", _CONTROL.sub("", text.replace("\r\n", "\n")))


def without_reasoning(text: str) -> str:
    """Return what follows or surrounds the model's thinking; an unfinished thought hides all."""
    text = _CHANNEL.sub("", text)
    text = _THINK.sub("", text)
    text = _THINK_END.sub("", text)
    text = _THINK_OPEN.sub("", text)
    return _SPECIAL.sub("", text)


def is_refusal(text: str) -> bool:
    """True when a text as a whole declines to answer, in English or French."""
    return bool(_REFUSAL.match(text.replace("’", "'"))) and len(text) < 600


def shorten(text: str) -> str:
    text = text.strip()
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"

"""The messages that are sent to the model, made from the files in `prompts/`. Pure code.

Document text is untrusted: it stands between marks that it cannot contain, and the system prompt
says that it is data. A version is the hash of the files used: every request names its words.
"""

import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

import jinja2

from datasets.generation import sentences

FOLDER = Path(__file__).parent / "prompts"
# How the question begins, chosen by the program: left alone, a small model only asks "What is".
_CUES = {
    "en": {"when": "When", "who": "Who", "where": "Where", "how many": "How many", "what": "What"},
    "fr": {"when": "Quand", "who": "Qui", "where": "Où", "how many": "Combien de", "what": "Que"},
}
SENTENCE_LABELS = {"qa": "Question", "instruction": "Instruction"}

_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    autoescape=False,  # Prompts are plain text.
)


class Shot(NamedTuple):
    """One example in a prompt; `kind` is what `sentences.kind_of` says of its sentence."""

    kind: str
    sentence: str
    question: str


@functools.lru_cache(maxsize=256)
def version(strategy: str, task_type: str, instruction: str = "", language: str = "") -> str:
    """Return the first 12 characters of the SHA-256 over the strategy's prompt files.

    What a person adds to the prompt counts too: other words are another question.
    """
    names = [f"{strategy}_{task_type}.*", f"{strategy}_system.*", f"{strategy}_again.*"]
    digest = hashlib.sha256(repr(_CUES).encode() if strategy == "answer_first" else b"")
    for path in sorted(path for name in names for path in FOLDER.glob(name)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    if instruction or language:
        digest.update("\x1f".join((instruction, language)).encode("utf-8", "replace"))
    return digest.hexdigest()[:12]


def json_messages(
    *,
    task_type: str,
    text: str,
    count: int,
    section: str = "",
    part: str = "",
    instruction: str = "",
    language: str = "",
) -> list[dict]:
    """Return the turns that ask for `count` examples from `text` as one JSON object.

    `instruction` and `language` are a person's wishes; the rules stand above them.
    """
    mark = _mark(text)
    asked = _templates.get_template(f"json_{task_type}.j2").render(
        text=text, count=count, mark=mark, part=part, section=" ".join(section.split())[:120]
    )
    wish = instruction.strip()
    system = _templates.get_template("json_system.j2").render(
        instruction=wish, wish_mark=_mark(wish), language=" ".join(language.split())[:40]
    )
    return [_turn("system", system), _turn("user", asked)]


def _mark(text: str) -> str:
    """Return a word that the text does not contain: nobody can write their own hash into it."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def again_messages(messages: list[dict], *, reply: str, reason: str) -> list[dict]:
    """Return the turns that ask once more after an unusable `reply`."""
    again = _templates.get_template("json_again.j2").render(reason=reason)
    said = [_turn("assistant", reply)] if reply.strip() else []
    return [*messages, *said, _turn("user", again)]


def sentence_messages(*, task_type: str, sentence: str) -> list[dict]:
    """Return few-shot turns of the sentence's language and kind, then the sentence to ask about."""
    messages = []
    for shot in shots_for(task_type, sentence):
        messages += [_about(shot.sentence, task_type), _turn("assistant", shot.question)]
    return [*messages, _about(sentence, task_type)]


def shots_for(task_type: str, sentence: str) -> list[Shot]:
    """Return the examples that ask for the same kind of fact: small models imitate closely."""
    kind = sentences.kind_of(sentence)
    shots = few_shots(task_type, sentences.language_of(sentence))
    return [shot for shot in shots if shot.kind == kind]


@functools.cache
def few_shots(task_type: str, language: str) -> tuple[Shot, ...]:
    """Return the examples of a file: kind, sentence and question a line, blank lines between."""
    text = (FOLDER / f"answer_first_{task_type}.{language}.txt").read_text(encoding="utf-8")
    return tuple(Shot(*block.split("\n")) for block in text.strip().split("\n\n"))


def _about(sentence: str, task_type: str) -> dict:
    label = SENTENCE_LABELS[task_type]
    if task_type == "qa":
        label = f"{label} ({_cue(sentence)})"
    return _turn("user", f'Sentence: "{sentence}"\n{label}:')


def _cue(sentence: str) -> str:
    kind = sentences.kind_of(sentence)
    cue = _CUES[sentences.language_of(sentence)][kind]
    return f"{cue} {sentences.counted_noun(sentence)}" if kind == "how many" else cue


def _turn(role: str, content: str) -> dict:
    return {"role": role, "content": content.strip()}

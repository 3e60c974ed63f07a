"""The messages that are sent to the model, made from the files in `prompts/`. Pure code.

Document text is untrusted: it stands between marks that it cannot contain, and the system prompt
says that it is data. A version is the hash of the files used: every request names its words.
"""

import functools
import hashlib
from pathlib import Path

import jinja2

from datasets.generation import sentences

FOLDER = Path(__file__).parent / "prompts"
SENTENCE_LABELS = {"qa": "Question", "instruction": "Instruction"}

_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    autoescape=False,  # Prompts are plain text.
)


@functools.cache
def version(strategy: str, task_type: str) -> str:
    """Return the first 12 characters of the SHA-256 over the strategy's prompt files."""
    names = [f"{strategy}_{task_type}.*", f"{strategy}_system.*", f"{strategy}_again.*"]
    digest = hashlib.sha256()
    for path in sorted(path for name in names for path in FOLDER.glob(name)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def json_messages(
    *, task_type: str, text: str, count: int, section: str = "", part: str = ""
) -> list[dict]:
    """Return the turns that ask for `count` examples from `text` as one JSON object."""
    mark = hashlib.sha256(text.encode()).hexdigest()[:12]
    asked = _templates.get_template(f"json_{task_type}.j2").render(
        text=text, count=count, mark=mark, part=part, section=" ".join(section.split())[:120]
    )
    system = _templates.get_template("json_system.j2").render()
    return [_turn("system", system), _turn("user", asked)]


def again_messages(messages: list[dict], *, reply: str, reason: str) -> list[dict]:
    """Return the turns that ask once more after an unusable `reply`."""
    again = _templates.get_template("json_again.j2").render(reason=reason)
    said = [_turn("assistant", reply)] if reply.strip() else []
    return [*messages, *said, _turn("user", again)]


def sentence_messages(*, task_type: str, sentence: str) -> list[dict]:
    """Return few-shot turns in the sentence's language, then the sentence to ask about."""
    label = SENTENCE_LABELS[task_type]
    messages = []
    for shown, question in few_shots(task_type, sentences.language_of(sentence)):
        messages += [_turn("user", _about(shown, label)), _turn("assistant", question)]
    return [*messages, _turn("user", _about(sentence, label))]


@functools.cache
def few_shots(task_type: str, language: str) -> tuple[tuple[str, str], ...]:
    """Return (sentence, question) pairs of a file: two lines a pair, blank lines between."""
    text = (FOLDER / f"answer_first_{task_type}.{language}.txt").read_text(encoding="utf-8")
    pairs = [block.split("\n", 1) for block in text.strip().split("\n\n")]
    return tuple((shown.strip(), question.strip()) for shown, question in pairs)


def _about(sentence: str, label: str) -> str:
    return f'Sentence: "{sentence}"\n{label}:'


def _turn(role: str, content: str) -> dict:
    return {"role": role, "content": content.strip()}

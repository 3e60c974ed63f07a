"""What pages say about base models: the chosen one, those of this machine, and suggestions."""

import re
from dataclasses import dataclass, field

from django.conf import settings
from django.conf.locale import LANG_INFO

from finetuneflow.lib.storage import shown_size
from projects.models import Project
from training import hub, hub_errors, hub_remote, hub_search

MOST_LANGUAGES = 12
_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (10**3, "thousand"))


@dataclass(frozen=True)
class ModelFacts:
    """What is known about the project's base model without asking the network."""

    model_id: str
    is_local: bool
    info: dict = field(default_factory=dict)
    problem: str = ""
    is_bundled: bool = False
    is_fetched: bool = False

    @property
    def is_on_hub(self) -> bool:
        """True for a model that the engine fetches: only an id with its owner names one."""
        return not self.is_local and "/" in self.model_id

    @property
    def page(self) -> str:
        return hub_errors.page_of(self.model_id) if self.is_on_hub else ""

    @property
    def parameters(self) -> str:
        return in_words(self.info.get("parameters") or 0)

    @property
    def size(self) -> str:
        size = self.info.get("size_bytes")
        return shown_size(size) if size else ""

    @property
    def languages(self) -> str:
        return language_names(self.info.get("languages") or ())


@dataclass(frozen=True)
class Suggestion:
    """One line of the list under the field."""

    id: str
    is_local: bool
    note: str
    is_chosen: bool = False


def model_facts(project: Project) -> ModelFacts:
    name = project.base_model
    if hub.local_path(name) is not None:
        try:
            return ModelFacts(name, is_local=True, info=hub.resolve(name).to_json())
        except hub.HubError as error:
            return ModelFacts(name, is_local=True, problem=str(error))
    return ModelFacts(
        name,
        is_local=False,
        info=project.model_info if "/" in name else {},
        is_bundled=name == settings.DEFAULT_BASE_MODEL,
        is_fetched="/" in name and hub_remote.is_fetched(name, project.base_revision),
    )


def local_suggestions(chosen: str = "") -> list[Suggestion]:
    """Return the models of the models folder, the bundled one first."""
    names = sorted(hub.local_models(), key=lambda name: name != settings.DEFAULT_BASE_MODEL)
    return [
        Suggestion(name, True, _local_note(name), chosen in (name, hub.public_id(name)))
        for name in names
    ]


def suggestions(text: str) -> tuple[list[Suggestion], str]:
    """Return the models that fit `text`, those of this machine first, and what hinders the rest."""
    words = text.lower().split()
    local = [item for item in local_suggestions() if _fits(item.id, words)]
    hits, problem = hub_search.search(text)
    known = {hub.public_id(item.id) for item in local}
    remote = [Suggestion(hit.id, False, _hit_note(hit)) for hit in hits if hit.id not in known]
    return local + remote, problem


def _fits(name: str, words: list[str]) -> bool:
    names = f"{name} {hub.public_id(name)}".lower()
    return all(word in names for word in words)


def _local_note(name: str) -> str:
    try:
        info = hub.resolve(name)
    except hub.HubError as error:
        return str(error)
    parts = [f"{in_words(info.parameters)} parameters", shown_size(info.size_bytes), info.licence]
    return " · ".join(part for part in parts if part)


def _hit_note(hit: hub_search.Hit) -> str:
    size = f"{in_words(hit.parameters)} parameters" if hit.parameters else ""
    access = "gated: its owner asks for consent" if hit.gated else ""
    return " · ".join(part for part in (size, access) if part)


def in_words(number: int) -> str:
    """Return a count as people say it, three digits at most: "135 million", "1.24 billion"."""
    for index, (scale, name) in enumerate(_SCALES):
        if number < scale * 0.9995:
            continue
        digits = f"{number / scale:.3g}"
        if digits == "1e+03":  # Rounding reached the next scale.
            scale, name = _SCALES[index - 1]
            digits = "1"
        return f"{digits} {name}"
    return str(number)


def language_names(codes) -> str:
    """Return the languages in English; what is no known code is shown as it is."""
    names = [_language(str(code)) for code in codes]
    more = len(names) - MOST_LANGUAGES
    shown = ", ".join(names[:MOST_LANGUAGES])
    return f"{shown} and {more} more" if more > 0 else shown


def _language(code: str) -> str:
    info = LANG_INFO.get(code.lower()) or {}
    name = info.get("name") or (LANG_INFO.get("zh-hans", {}).get("name") if code == "zh" else "")
    return re.sub(r"^Simplified ", "", name) if name else code

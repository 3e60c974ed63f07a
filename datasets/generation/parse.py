"""From a model's reply to examples. Pure code that never raises and never loses an item silently.

Strict JSON first, then the values found in the text, then one repair per broken object, then prose
with labels. Whatever is refused is in `rejected` with its reason; a truncated item is never kept.
"""

from dataclasses import dataclass, field

from datasets.generation import candidates, items, prose, texts

MAX_REPLY_CHARACTERS = 200_000
MAX_ITEMS = 200
_TRUNCATED = {"length", "max_tokens"}


@dataclass
class ExampleDraft:
    """A proposed example. `evidence` is the model's quote, not yet looked up in the text."""

    prompt: str
    context: str = ""
    completion: str = ""
    evidence: str = ""
    flags: list[str] = field(default_factory=list)


@dataclass
class ParsedReply:
    """`rejected` holds {"text", "reason"}; `error_class` is "" as soon as one example is good.

    Otherwise it is one of: empty, refusal, truncated, unparsable, no_valid_items.
    """

    examples: list[ExampleDraft] = field(default_factory=list)
    rejected: list[dict] = field(default_factory=list)
    error_class: str = ""

    def reject(self, text: str, reason: str) -> None:
        """Note the refusal. Both texts are cleaned: a database takes no NUL, not even in JSON."""
        shown = texts.shorten(texts.clean(text))
        self.rejected.append({"text": shown, "reason": texts.shorten(texts.clean(reason))})


def parse_reply(text: str, *, task_type: str, finish_reason: str | None = None) -> ParsedReply:
    """Return the examples in a reply. `finish_reason` "length" marks the end as cut off."""
    parsed = ParsedReply()
    is_cut = (finish_reason or "").lower() in _TRUNCATED
    full = texts.clean(text if isinstance(text, str) else "")
    visible = texts.without_reasoning(texts.without_runs(full[:MAX_REPLY_CHARACTERS])).strip()
    if not visible:
        reason = "only reasoning, no answer" if full.strip() else "empty reply"
        parsed.reject(full, reason)
        parsed.error_class = "truncated" if is_cut else "empty"
        return parsed
    if len(full) > MAX_REPLY_CHARACTERS:
        parsed.reject(full[MAX_REPLY_CHARACTERS:], "reply too long, the rest was not read")
    _read(parsed, visible, task_type, is_cut)
    parsed.error_class = _error_class(parsed, visible)
    return parsed


def _read(parsed: ParsedReply, text: str, task_type: str, is_cut: bool) -> None:
    found = candidates.find(text, is_cut=is_cut)
    for broken, reason in found.broken:
        parsed.reject(broken, reason)
    raw_items = [(item, flags) for value, flags in found.values for item in items.find_items(value)]
    if not raw_items and not found.broken:
        raw_items = [(item, ["prose"]) for item in prose.find_pairs(text, is_cut=is_cut)]
    for item, flags in raw_items[:MAX_ITEMS]:
        _add(parsed, item, flags, task_type)
    if rest := raw_items[MAX_ITEMS:]:
        reason = f"more than {MAX_ITEMS} items in one reply"
        parsed.reject(f"{len(rest)} items, of which the first: {rest[0][0]}", reason)


def _add(parsed: ParsedReply, item, flags: list[str], task_type: str) -> None:
    """Validate one item; keep it as a draft or reject it with the reason."""
    try:
        fields = items.read_item(item)
        item_flags = items.check(fields, task_type=task_type)
    except items.Refused as error:
        parsed.reject(str(item), str(error))
        return
    parsed.examples.append(ExampleDraft(**fields, flags=[*flags, *item_flags]))


def _error_class(parsed: ParsedReply, text: str) -> str:
    if parsed.examples:
        return ""
    reasons = {rejected["reason"] for rejected in parsed.rejected}
    if candidates.TRUNCATED in reasons:
        return "truncated"
    if texts.is_refusal(text) or items.REFUSAL in reasons:
        if not parsed.rejected:
            parsed.reject(text, items.REFUSAL)
        return "refusal"
    if not parsed.rejected:
        parsed.reject(text, "no examples found in the reply")
        return "unparsable"
    is_broken = all(reason.startswith(candidates.BROKEN) for reason in reasons)
    return "unparsable" if is_broken else "no_valid_items"

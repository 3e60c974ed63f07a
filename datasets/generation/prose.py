"""Question and answer pairs in prose: what small models write instead of JSON. Pure code."""

import itertools
import re

# Possessive throughout: a reply of nothing but marks must not take time squared.
_LABEL = re.compile(
    r"^[ \t>#*_-]*+(?:\d{1,3}[.)]\s*+)?[*_]*+"
    r"(?P<label>question|instruction|consigne|q|answer|response|output|réponse|reponse|a|r"
    r"|evidence|quote|citation|context|input)"
    r"[ \t]*+\d{0,3}+[*_]*+\s*+[:：.)][*_]*+",
    re.IGNORECASE | re.MULTILINE,
)
_KINDS = {
    "question": "prompt", "instruction": "prompt", "consigne": "prompt", "q": "prompt",
    "answer": "completion", "response": "completion", "output": "completion", "a": "completion",
    "réponse": "completion", "reponse": "completion", "r": "completion",
    "evidence": "evidence", "quote": "evidence", "citation": "evidence",
    "context": "context", "input": "context",
}  # fmt: skip
_RULE = re.compile(r"\s*+(?:-{3,}+|\*{3,}+|#.*|\d{1,3}[.)])")
_BLANKS = " \t\n\r\f\v\u00a0\u2009\u202f\u3000"
_OPENING, _ENDING = _BLANKS + '*_`"“«', _BLANKS + '*_`"”»'


def find_pairs(text: str, *, is_cut: bool) -> list[dict]:
    """Return {"prompt", "completion", …} for each labelled pair, the last of a cut reply marked."""
    labels = list(_LABEL.finditer(text))
    pairs: list[dict] = []
    for label, following in itertools.zip_longest(labels, labels[1:]):
        kind = _KINDS[label["label"].casefold()]
        end = following.start() if following else len(text)
        value = _value(text[label.end() : end])
        if kind == "prompt":
            pairs.append({"prompt": value})
        elif pairs and following is None and is_cut:
            pairs[-1]["truncated"] = True
        elif pairs:
            pairs[-1].setdefault(kind, value)
    return pairs


def _value(text: str) -> str:
    """Return a label's text without list numbers, rules and marks around it."""
    before, line_end, last = text.rstrip().rpartition("\n")
    if not line_end or not _RULE.fullmatch(last):
        before += line_end + last
    return before.lstrip(_OPENING).rstrip(_ENDING)

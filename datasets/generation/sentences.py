"""Finding factual sentences in a chunk, with exact offsets. Pure code.

The sentence becomes the answer of an example, so what is picked must stand alone: no headings,
table rows, questions, or sentences whose subject is in the sentence before.
"""

import re
from dataclasses import dataclass, replace

MIN_WORDS, MAX_WORDS = 6, 40

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_BULLET = re.compile(r"\s*(?:[-–—•*▪◦·]|\d{1,3}[.)]|[a-z]\))\s+")
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s|$)")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'“«])(?:[A-Z]|[Mm]r|[Mm]rs|[Mm]s|[Dd]r|[Pp]rof|[Ss]t|[Nn]o|[Nn]r|[Nn]os|[Ff]ig|[Vv]ol"
    r"|[Cc]f|[Vv]s|[Ee]tc|[Aa]pprox|[Jj]r|[Ss]r|[Mm]me|[Mm]lle|[Mm]|[Ee]nv|[Pp]p?|[Aa]rt|[Cc]h|[Ii]nc"
    r"|[Ll]td|[Cc]o|e\.g|i\.e|p\.ex|[a-z]\.[a-z])\.$"
)
# Words that point to something outside the sentence when they come first.
_DEPENDENT_WORDS = """it its they their them this that these those he she his her we our us you your
    i my there here such both then also however therefore moreover thus so but and or otherwise
    instead afterwards il elle ils elles ce cela ça cet cette ces celui celle ceux celles on nous
    vous je tu son sa ses leur leurs notre votre y ainsi donc cependant toutefois puis ensuite mais
    et ou alors"""
_ENGLISH_STOP_WORDS = """the a an of to in is are was were be been and or for on with by at from
    that this it as has have had its their which who not but can will may must every each all into
    than what when where why how does did many much"""
_FRENCH_STOP_WORDS = """le la les un une des de du d l et est sont était ont été dans sur pour par
    avec au aux qui que ce se en à il elle ne pas plus ou où chaque tous toutes son sa ses leur quel
    quelle quels quelles quand comment combien pourquoi"""
_MONTHS = (
    r"january|february|march|april|(?-i:May)|june|july|august|september|october|november|december"
    r"|janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre|novembre|décembre"
)
_WEEKDAYS = (
    r"mondays?|tuesdays?|wednesdays?|thursdays?|fridays?|saturdays?|sundays?"
    r"|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche"
)
_NUMBERS = (
    r"two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
    r"|deux|trois|quatre|cinq|sept|huit|neuf|dix|onze|douze"
)
_PLACES = r"stands|lies|kept|located|situated|trouvent?|située?s?|vestiaire|rue|street|room"
_COUNTED = re.compile(
    rf"(?<![\w,.-])(?:\d[\d,.\s]*|(?:{_NUMBERS})\s)\s*(?P<noun>[a-zà-ÿ]{{3,}}s)\b", re.IGNORECASE
)
# In the order in which they decide; a sentence that fits none is asked for "what".
_KINDS = {
    "when": re.compile(
        rf"\b(?:in|since|en|depuis) (?:19|20)\d\d\b|\b(?:{_MONTHS}|{_WEEKDAYS})\b"
        r"|\b\d{1,2}(?::\d\d| h\b)",
        re.IGNORECASE,
    ),
    "who": re.compile(r"\b(?:by|par|is|est) (?:[A-ZÀ-Ý][\w'’.-]+ ?){2,}"),
    "how many": _COUNTED,
    "where": re.compile(rf"\b(?:{_PLACES})\b", re.IGNORECASE),
}
_DEPENDENT = frozenset(_DEPENDENT_WORDS.split())
_STOP_WORDS = {
    "en": frozenset(_ENGLISH_STOP_WORDS.split()),
    "fr": frozenset(_FRENCH_STOP_WORDS.split()),
}


@dataclass(frozen=True)
class Sentence:
    """`text` has its blanks collapsed; chunk[start:end] is the exact quote."""

    text: str
    start: int
    end: int
    score: float = 0.0


def words_of(text: str) -> list[str]:
    return _WORD.findall(text)


def language_of(text: str) -> str:
    """Return "fr" or "en", by stop words; "en" when nothing speaks for another language."""
    words = [word.casefold() for word in re.findall(r"[^\W\d_]+", text)]
    counts = {name: sum(w in stops for w in words) for name, stops in _STOP_WORDS.items()}
    return "fr" if counts["fr"] > counts["en"] else "en"


def content_words(text: str) -> set[str]:
    """Return the words that carry meaning, without plural s and cut to five letters."""
    stops = _STOP_WORDS["en"] | _STOP_WORDS["fr"]
    words = {word.casefold() for word in words_of(text)}
    parts = {part for word in words for part in re.split(r"['’-]", word)}
    return {part.rstrip("s")[:5] for part in parts if part not in stops and _has_meaning(part)}


def _has_meaning(word: str) -> bool:
    return len(word) > 3 or any(character.isdigit() for character in word)


def kind_of(sentence: str) -> str:
    """Return what a sentence is best asked: when, who, how many, where or what."""
    return next((kind for kind, pattern in _KINDS.items() if pattern.search(sentence)), "what")


def counted_noun(sentence: str) -> str:
    """Return the noun that a number stands before ("36 hours"), or nothing."""
    match = _COUNTED.search(sentence)
    return match["noun"] if match else ""


def split_sentences(text: str) -> list[Sentence]:
    """Return all sentences and fragments of `text` in order, blank lines and lists respected."""
    found = []
    for start, end in _blocks(text):
        for piece_start, piece_end in _pieces(text, start, end):
            found.append(_trimmed(text, piece_start, piece_end))
    return [sentence for sentence in found if sentence.text]


def pick_sentences(
    text: str, count: int, *, is_continuation: bool = False, used: frozenset | set = frozenset()
) -> list[Sentence]:
    """Return up to `count` factual sentences of `text`, the best by score, in text order.

    `used` holds sentences, in lower case, that are not to be picked again.

    With `is_continuation` the text starts inside another one, perhaps inside a sentence; its first
    sentence is left out, because the chunk before has it whole.
    """
    sentences = split_sentences(text)[1 if is_continuation else 0 :]
    scored = [replace(s, score=factuality(s.text)) for s in sentences if stands_alone(s.text)]
    unique = {sentence.text.casefold(): sentence for sentence in reversed(scored)}
    fresh = [sentence for key, sentence in unique.items() if key not in used]
    best = sorted(fresh, key=lambda s: (-s.score, s.start))[:count]
    return sorted(best, key=lambda s: s.start)


def stands_alone(sentence: str) -> bool:
    """True for a whole statement that is understood without its neighbours."""
    words = words_of(sentence)
    if not MIN_WORDS <= len(words) <= MAX_WORDS:
        return False
    first = re.split(r"['’-]", words[0])[0].casefold()
    starts_well = sentence[0].isupper() or sentence[0].isdigit() or sentence[0] in '"“«'
    ends_well = bool(re.search(r"[.!…][\"'”’»)\]]*$", sentence))
    is_row = "|" in sentence or "\t" in sentence
    letters = sum(c.isalpha() for c in sentence)
    is_prose = letters > 0.6 * len(sentence.replace(" ", "")) and not sentence.isupper()
    has_verb_case = sum(word[0].islower() for word in words) >= len(words) * 0.4
    return (
        starts_well
        and ends_well
        and not is_row
        and is_prose
        and has_verb_case
        and (first not in _DEPENDENT)
    )


def factuality(sentence: str) -> float:
    """Score how much a sentence states that one can be asked about: numbers and names."""
    words = words_of(sentence)
    numbers = sum(any(c.isdigit() for c in word) for word in words)
    names = sum(word[0].isupper() for word in words[1:])
    is_handy = 8 <= len(words) <= 28
    return min(numbers, 2) + 0.7 * min(names, 3) + (1.0 if is_handy else 0.0)


def _blocks(text: str):
    """Yield (start, end) of paragraphs: split at blank lines, headings, bullets and table rows."""
    lines = [(m.start(), m.end()) for m in re.finditer(r"[^\n\f]+", text)]
    longest = max((end - start for start, end in lines), default=0)
    block_start = previous_end = None
    for start, end in lines:
        line = text[start:end]
        is_row = "|" in line or "\t" in line.strip()
        is_break = previous_end is not None and (
            text.count("\n", previous_end, start) > 1 or "\f" in text[previous_end:start]
        )
        is_new = block_start is None or is_break or is_row or bool(_BULLET.match(line))
        if is_new and block_start is not None:
            yield block_start, previous_end
        if is_new:
            bullet = _BULLET.match(line)
            block_start = start + (bullet.end() if bullet else 0)
        previous_end = end
        if is_row or _is_heading(line, longest):
            yield block_start, end
            block_start = None
    if block_start is not None:
        yield block_start, previous_end


def _is_heading(line: str, longest: int) -> bool:
    """True for a short line without an end mark: a wrapped line is nearly as long as its peers."""
    stripped = line.strip()
    ends_open = stripped[-1:] not in '.!?,;:…”»"'
    return stripped.startswith("#") or (ends_open and len(stripped) < 0.55 * longest)


def _pieces(text: str, start: int, end: int):
    """Yield (start, end) of the sentences between two offsets; abbreviations do not end one."""
    piece_start = start
    for match in _END.finditer(text, start, end):
        before = text[piece_start : match.end()]
        after = text[match.end() : end].lstrip()[:1]
        if _ABBREVIATION.search(before) or (after and after.islower()):
            continue
        yield piece_start, match.end()
        piece_start = match.end()
    yield piece_start, end


def _trimmed(text: str, start: int, end: int) -> Sentence:
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    end = start + len(piece.strip())
    return Sentence(" ".join(text[start:end].split()), start, end)

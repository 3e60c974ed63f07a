"""The items of one large JSON array, one after the other. Pure code.

Python's parser wants the whole document; here it is given one item at a time from a window.
"""

import json
from collections.abc import Iterator
from typing import TextIO

WINDOW = 64 * 1024
NO_LIST = "it holds no list of rows. Put them into one array: [{…}, {…}]."
_decode = json.JSONDecoder().raw_decode
_BLANKS = " \t\r\n"
_ENDS = frozenset(_BLANKS + ",]}:")


class _Window:
    """A piece of the file around `position`; what lies before it is forgotten."""

    def __init__(self, file: TextIO, most: int) -> None:
        self._file, self._most = file, most
        self._text, self._position, self._lines = "", 0, 1
        self.total, self._at_end = 0, False

    def peek(self) -> str:
        """Return the next character that is no blank; "" at the end."""
        while True:
            text = self._text
            while self._position < len(text) and text[self._position] in _BLANKS:
                self._position += 1
            if self._position < len(text):
                return text[self._position]
            if not self._read(WINDOW):
                return ""

    def take(self, expected: str) -> str:
        """Step over the next character, which must be one of `expected`."""
        found = self.peek()
        if not found or found not in expected:
            wanted = " or ".join(f"“{character}”" for character in expected)
            raise ValueError(f"line {self.line}: {wanted} is missing here.")
        self._position += 1
        return found

    def value(self):
        """Return the value at the position."""
        self.peek()
        size = WINDOW
        while True:
            try:
                value, end = _decode(self._text, self._position)
                # A number may go on behind the window; nothing else can.
                if self._text[end : end + 1] in _ENDS or not self._grow(size):
                    self._position = end
                    return value
            except json.JSONDecodeError as error:
                line = self._lines + error.lineno - 1
                if not self._grow(size):
                    raise ValueError(self._sentence(line, error.msg)) from None
            except RecursionError:
                raise ValueError(f"line {self.line}: nested too deeply.") from None
            size *= 2

    def _grow(self, size: int) -> bool:
        return len(self._text) - self._position <= self._most and self._read(size)

    @property
    def line(self) -> int:
        return self._lines + self._text.count("\n", 0, self._position)

    def _sentence(self, line: int, problem: str) -> str:
        if self._at_end:
            return f"line {line}: {problem}."
        return f"line {line}: {problem}, or the item is longer than {self._most // 2**20} MB."

    def _read(self, size: int) -> bool:
        """Read more behind the window and forget what was used; False at the end."""
        more = self._file.read(size)
        self._lines = self.line
        self._text = self._text[self._position :] + more
        self._position = 0
        self.total += len(more)
        self._at_end = not more
        return bool(more)


def items_of_array(file: TextIO, most: int, limit: int) -> Iterator:
    """Yield the items of the array in `file`, or of the only array of its object.

    Raises ValueError with a sentence, also midway. An item has `most` characters; reading stops
    quietly after about `limit`.
    """
    window = _Window(file, most)
    if window.peek() == "[":
        yield from _items(window, limit)
    elif window.peek() == "{":
        yield from _items_in_object(window, limit)
    else:
        raise ValueError(NO_LIST)
    if window.total < limit and window.peek():
        raise ValueError(f"line {window.line}: something follows the end.")


def _items(window: _Window, limit: int) -> Iterator:
    window.take("[")
    if window.peek() == "]":
        window.take("]")
        return
    while window.total < limit + WINDOW:
        yield window.value()
        if window.take(",]") == "]":
            return


def _items_in_object(window: _Window, limit: int) -> Iterator:
    window.take("{")
    arrays, end = 0, window.peek() == "}"
    while not end and window.total < limit + WINDOW:
        if not isinstance(window.value(), str):
            raise ValueError(f"line {window.line}: a name in quotes is missing here.")
        window.take(":")
        if window.peek() != "[":
            window.value()
        elif (arrays := arrays + 1) > 1:
            raise ValueError(NO_LIST)
        else:
            yield from _items(window, limit)
        end = window.total >= limit + WINDOW or window.take(",}") == "}"
    if not arrays:
        raise ValueError(NO_LIST)

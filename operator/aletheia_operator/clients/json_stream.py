"""Reads JSON as it arrives: walks objects and arrays, parses small values whole. Memory holds one value at a time."""

import codecs
import json
from collections.abc import Iterator
from typing import Any

from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.json_cursor import JsonCursor
from aletheia_operator.text.nesting import is_too_deep

MAX_VALUE_CHARACTERS = 4 * 1024 * 1024
"""Largest value that is parsed in one call: parsing keeps all other threads waiting."""
MAX_ELEMENTS = 200_000
"""Most lists, objects and members in such a value: an element takes more time and memory than its few characters suggest."""
COUNTED_CHARACTERS = 64 * 1024
"""A shorter value cannot have too many elements."""
_OF_NUMBERS = "0123456789.eE+-"  # '' is in it, too: a number at the end of the text may be incomplete
_decode = json.JSONDecoder().raw_decode


def elements(text: str) -> int:
    """Return an upper limit of the number of lists, objects and members in JSON text."""
    return text.count(",") + text.count("[") + text.count("{")


class JsonStream(JsonCursor):
    """A cursor in JSON text. Callers must consume each value, by `value`, `members` or `items`, before advancing.

    All calls raise Unavailable if the text is cut, not JSON or nested too deep, and Rejected for a value over
    MAX_VALUE_CHARACTERS, or of more than about MAX_ELEMENTS.
    """

    def __init__(self, endpoint: Endpoint, chunks: Iterator[bytes]) -> None:
        super().__init__(endpoint, chunks)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.value_characters = 0
        """Length of the value that was parsed last."""

    def items(self) -> Iterator[None]:
        """Yield once at each element of an array. Consume it before the next."""
        return self._elements("[", "]")

    def value(self) -> Any:
        """Parse the next value whole."""
        self.kind()
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except RecursionError as e:
                raise self._endpoint.too_deep() from e
            except ValueError:
                value, end = None, -1
            goes_on = end < 0 or (isinstance(value, int | float) and self._text[end : end + 1] in _OF_NUMBERS)
            if goes_on and not isinstance(value, bool) and self._grow():
                continue
            if end < 0 or (goes_on and end < len(self._text)):
                raise self._cut()
            if is_too_deep(self._text[self._at : end], value):
                raise self._endpoint.too_deep()
            self.value_characters, self._at = end - self._at, end
            return value

    def _grow(self) -> bool:
        """Read twice as much text of a value, up to the limit; False at the end."""
        available = len(self._text) - self._at
        if available > MAX_VALUE_CHARACTERS:
            raise self.too_large(f"{MAX_VALUE_CHARACTERS} characters")
        if available > COUNTED_CHARACTERS and elements(self._text[self._at :]) > MAX_ELEMENTS:
            raise self.too_large(f"{MAX_ELEMENTS} elements")
        return self._more(min(max(1, available), MAX_VALUE_CHARACTERS - available + 1))

    def _read_on(self) -> bool:
        return self._more(1)

    def _more(self, characters: int) -> bool:
        """Read at least `characters` more characters; False at the end."""
        parts, size, ended = [self._text[self._at :]], 0, False
        while size < characters and not ended:
            chunk = next(self._chunks, None)
            ended = chunk is None
            try:
                parts.append(self._decoder.decode(chunk or b"", ended))
            except UnicodeDecodeError as e:
                raise self._cut() from e
            size += len(parts[-1])
        if size:
            self._text, self._at = "".join(parts), 0
        return size > 0

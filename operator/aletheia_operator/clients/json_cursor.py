"""A cursor in JSON text that arrives in pieces. Its subclasses read the text and parse values, each within its own bounds."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable

SPACE = re.compile(r"[ \t\r\n]*")


class JsonCursor(ABC):
    """Callers must consume each value before advancing. All calls raise Unavailable if the text is cut or not JSON."""

    def __init__(self, endpoint: Endpoint, chunks: Iterator[bytes]) -> None:
        self._endpoint = endpoint
        self._chunks = chunks
        self._text = ""
        self._at = 0

    @abstractmethod
    def value(self) -> Any:
        """Parse the next value whole."""

    @abstractmethod
    def _read_on(self) -> bool:
        """Read more text. Return False at the end."""

    def kind(self) -> str:
        """Return the first character of the next value; '' at the end."""
        while True:
            self._at = SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_on():
                return ""

    def members(self) -> Iterator[str]:
        """Yield the keys of an object. Consume the value of each before the next."""
        for _ in self._elements("{", "}"):
            key = self.value()
            if not isinstance(key, str):
                raise self._cut()
            self._expect(":")
            yield key

    def _elements(self, opening: str, closing: str) -> Iterator[None]:
        """Yield once at each element between two brackets. Consume it before the next."""
        self._expect(opening)
        first = True
        while self.kind() != closing:
            if not first:
                self._expect(",")
            first = False
            yield
        self._at += 1

    def _expect(self, character: str) -> None:
        if self.kind() != character:
            raise self._cut()
        self._at += 1

    def too_large(self, than: str) -> Rejected:
        """Return the error for a value that is too large. `than`: the limit, with its unit."""
        return Rejected(f"DataSource {self._endpoint.name}: a value is larger than {than}", GapReason.TOO_LARGE)

    def _cut(self) -> SourceError:
        return Unavailable(f"DataSource {self._endpoint.name}: the answer is not JSON, or was cut", GapReason.INVALID_RESPONSE)

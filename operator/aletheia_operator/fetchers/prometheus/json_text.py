"""Parses JSON while it arrives, with limited memory and limited time for each parse, whatever the size of the document.

Objects may have any order of keys and any white space. Elements of arrays (series and samples) are parsed many at a time: a
piece is cut where an element seems to end, or at a separator like the one before, and orjson parses it as an array. If it can,
the cut was right, because a prefix of an array that is itself an array ends between two elements. If not, elements are parsed
one by one. Event parsers, for example ijson with its C backend, took several times as long.
"""

import gc
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import orjson

from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.json_cursor import SPACE, JsonCursor
from aletheia_operator.text.nesting import is_too_deep

PIECE_BYTES = 512 * 1024
"""Most bytes of one parse, which holds the interpreter's lock; also the largest single value."""
BATCH_ITEMS = 1_000
LONGEST_SEPARATOR = 256
"""Most characters between two elements of an array, for the line ends and blanks of pretty-printed JSON."""
_VALUE = '{["-0123456789tfnNI'  # the characters that begin a JSON value, or NaN and Infinity
_SEPARATOR = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
_ENDS = {"{": "}", "[": "]"}
_scan = json.JSONDecoder(strict=False).raw_decode


class JsonText(JsonCursor):
    """A cursor in JSON text. Its characters are the bytes of the UTF-8 text, so it can be cut anywhere.

    Callers must consume each value, by `value`, `members` or `items`, before advancing. All calls raise Unavailable if the
    text is cut or not JSON, Rejected for a value larger than PIECE_BYTES, and what `chunks` raises, but return all complete
    values first. `computing` is entered for each parse.
    """

    def __init__(
        self, endpoint: Endpoint, chunks: Iterator[bytes], computing: Callable[[], AbstractContextManager[None]]
    ) -> None:
        super().__init__(endpoint, chunks)
        self._computing = computing
        self._ended = False
        self._fault: SourceError | None = None

    def second(self) -> str:
        """Return the second character of the next value, without white space between. It is not consumed."""
        wanted = 2
        while True:
            at = SPACE.match(self._text, self._at + 1).end()  # type: ignore[union-attr]
            if at < len(self._text):
                return self._text[at]
            wanted += at - self._at
            if wanted > PIECE_BYTES or not self._fill(wanted):
                raise self._cut()

    def end(self) -> None:
        """Raise unless the text ends here."""
        if self.kind():
            raise self._cut()

    def items(self) -> Iterator[list[Any] | None]:
        """Yield the elements of an array: lists of parsed elements, or None for an element that the caller must consume."""
        self._expect("[")
        first = together = True
        separator = ","
        while self.kind() != "]":
            if not first:
                self._fill(LONGEST_SEPARATOR)
                match = _SEPARATOR.match(self._text, self._at)
                separator = match[0] if match else separator
                self._expect(",")
                if not self.kind():
                    raise self._cut()
            first = False
            found = None
            if together:
                try:
                    found = self._together(separator)
                except ValueError:
                    together = False
            yield found
        self._at += 1

    def batches(self) -> Iterator[list[Any]]:
        """Yield the elements of an array of small elements, several at a time, all parsed."""
        singles: list[Any] = []
        for found in self.items():
            if found is None:
                singles.append(self.value())
            if singles and (found is not None or len(singles) == BATCH_ITEMS):
                yield singles
                singles = []
            if found is not None:
                yield found
        if singles:
            yield singles

    def value(self) -> Any:
        """Parse and return the next value."""
        if self.kind() not in _VALUE or not self.kind():
            raise self._cut()
        wanted = 4096
        while True:
            self._fill(wanted)
            end = self._end_of_value(wanted)
            if end is not None:
                break
            if wanted >= PIECE_BYTES:
                raise self.too_large(f"{PIECE_BYTES} bytes")
            if self._ended and len(self._text) - self._at <= wanted:
                raise self._cut()
            wanted = min(8 * wanted, PIECE_BYTES)
        with self._computing():
            value = self._loads(self._text[self._at : end])
        self._at = end
        return value

    def _end_of_value(self, wanted: int) -> int | None:
        """Return where the next value ends; None if that is not within the next `wanted` characters."""
        limit = self._at + wanted
        head = self._text[self._at : limit]
        try:
            with self._computing():
                value, length = _scan(head)
        except RecursionError as e:
            raise self._endpoint.too_deep() from e
        except ValueError:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        goes_on = is_number and length == len(head) and not (self._ended and limit >= len(self._text))
        return None if goes_on else self._at + length

    def _together(self, separator: str) -> list[Any] | None:
        """Parse the next elements, about a piece; None if no element ends in it. Raises ValueError for a wrong cut."""
        self._fill(PIECE_BYTES)
        begin = self._text[self._at]
        if begin not in _ENDS:
            return None
        limit = self._at + PIECE_BYTES
        rest = self._text.find(f"{_ENDS[begin]}]", self._at, limit)
        meeting = self._text.rfind(f"{_ENDS[begin]}{separator}{begin}", self._at, limit)
        if rest >= 0:
            try:
                return self._parsed_up_to(rest + 1)
            except ValueError:  # it was the end of something inside of an element
                if meeting < 0:
                    raise
        return None if meeting < 0 else self._parsed_up_to(meeting + 1)

    def _parsed_up_to(self, end: int) -> list[Any]:
        """Parse and consume the elements up to `end`. Raises ValueError if no element ends there."""
        try:
            with self._computing():
                found: list[Any] = _parse(f"[{self._text[self._at : end]}]")
        except RecursionError as e:
            raise ValueError from e
        self._at = end
        return found

    def _loads(self, text: str) -> Any:
        try:
            return _parse(text)
        except ValueError as e:
            raise self._cut() from e
        except RecursionError as e:
            raise self._endpoint.too_deep() from e

    def _read_on(self) -> bool:
        if self._fill(1):
            return True
        if self._fault is not None:
            raise self._fault
        return False

    def _fill(self, wanted: int) -> bool:
        """Read until `wanted` characters are available; False if the text ends before. An error of `chunks` ends the text."""
        size = len(self._text) - self._at
        if size >= wanted:
            return True
        parts = [self._text[self._at :]]
        while size < wanted and not self._ended:
            try:
                chunk = next(self._chunks, None)
            except SourceError as e:
                self._fault, chunk = e, None
            self._ended = chunk is None
            if chunk:
                parts.append(str(chunk, "latin-1"))
                size += len(chunk)
        self._text, self._at = "".join(parts), 0
        return size >= wanted

    def _cut(self) -> SourceError:
        return super()._cut() if self._fault is None else self._fault


def _parse(text: str) -> Any:
    """Parse JSON, also with half a surrogate pair or NaN, which only the standard parser accepts.

    Raises ValueError, and RecursionError if it is nested too deep.
    """
    content = text.encode("latin-1")
    try:
        with _collector_paused:
            value = orjson.loads(content)
    except orjson.JSONDecodeError:
        value = json.loads(content)
    if is_too_deep(content, value):
        raise RecursionError
    return value


class _PausedCollector:
    """Pauses the garbage collector for a parse.

    It would look several times at each of thousands of new lists, and take three times as long as the parse itself. Any number
    of threads may be in the context at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._was_enabled = False

    def __enter__(self) -> None:
        with self._lock:
            if self._threads == 0:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._threads += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._threads -= 1
            if self._threads == 0 and self._was_enabled:
                gc.enable()


_collector_paused = _PausedCollector()

"""Answers of the query API, read series by series: memory holds one series, whatever the size of the answer.

The body is cut where a series begins, and each piece is parsed by orjson. Event parsers (ijson) take five to ten times as
long as the server takes to answer. `{"metric":` cannot stand inside a string of valid JSON, whose quotes are escaped.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, Unavailable

MAX_SERIES_BYTES = 16 * 1024 * 1024
_BEGIN = re.compile(rb'\{\s{0,8}"metric"\s{0,8}:')
_LONGEST_BEGIN = 32


class SeriesStream:
    """Iterate once for the series: {"metric": {label: value}, "values": [[unix_seconds, "value"], ...]} and the like.

    Then `envelope` is the answer without its series. Iteration raises Unavailable where the body is cut or not the API's,
    and Rejected for a series larger than MAX_SERIES_BYTES.
    """

    def __init__(self, endpoint: Endpoint, chunks: Iterator[bytes]) -> None:
        self.envelope: dict[str, Any] = {}
        self._endpoint = endpoint
        self._chunks = chunks

    def __iter__(self) -> Iterator[dict[str, Any]]:
        pieces = self._pieces()
        head = next(pieces)
        last = None
        for piece in pieces:
            if last is not None:
                yield self._series(last.rstrip(b", \r\n\t"))
            last = piece
        tail = b""
        if last is not None:
            series, tail = self._last(last)
            yield series
        self._open(head + tail)
        data = self.envelope["data"]
        if data.get("resultType") == "scalar":
            yield {"metric": {}, "value": data["result"]}

    def _pieces(self) -> Iterator[bytes]:
        """What stands before the first series, then each series; the last one with all that follows."""
        buffer, searched = bytearray(), 0
        for chunk in self._chunks:
            buffer += chunk
            while match := _BEGIN.search(buffer, searched):
                yield bytes(buffer[: match.start()])
                del buffer[: match.start()]
                searched = 1
            if len(buffer) > MAX_SERIES_BYTES:
                message = (
                    f"DataSource {self._endpoint.name}: a series is larger than {MAX_SERIES_BYTES} bytes; use a longer step"
                )
                raise Rejected(message, GapReason.TOO_LARGE)
            searched = max(searched, len(buffer) - _LONGEST_BEGIN)
        yield bytes(buffer)

    def _series(self, piece: bytes) -> dict[str, Any]:
        try:
            series = _loads(piece)
        except (ValueError, RecursionError) as e:
            raise self._cut() from e
        if not isinstance(series, dict) or not isinstance(series.get("metric"), dict):
            raise self._endpoint.not_of("Prometheus' query API")
        return series

    def _last(self, piece: bytes) -> tuple[dict[str, Any], bytes]:
        """The last series, and what stands after it."""
        end = piece.rfind(b"]}]") + 2  # where it ends, unless a warning has these characters
        try:
            return self._series(piece[:end]), piece[end:]
        except Unavailable:
            pass  # another form, or cut: the slower parser finds out
        try:
            text = piece.decode()
            _, end = json.JSONDecoder().raw_decode(text)
        except (ValueError, RecursionError) as e:
            raise self._cut() from e
        return self._series(text[:end].encode()), text[end:].encode()

    def _open(self, envelope: bytes) -> None:
        try:
            self.envelope = _loads(envelope)
            ours = self.envelope["status"] == "success" and "result" in self.envelope["data"]
        except (ValueError, RecursionError) as e:
            raise self._cut() from e
        except (KeyError, TypeError) as e:
            raise self._endpoint.not_of("Prometheus' query API") from e
        if not ours:
            raise self._endpoint.not_of("Prometheus' query API")

    def _cut(self) -> Unavailable:
        return Unavailable(f"DataSource {self._endpoint.name}: the answer is not JSON, or was cut", GapReason.INVALID_RESPONSE)


def _loads(text: bytes) -> Any:
    """JSON, also with half a surrogate pair or NaN, which only the standard parser takes."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def warnings_of(envelope: dict[str, Any]) -> list[str]:
    """What the server says is wrong with its answer: `warnings`, and the partial answers of Thanos and VictoriaMetrics."""
    said = [str(warning) for warning in envelope.get("warnings") or []]
    if envelope.get("isPartial") or envelope.get("partial"):
        said.append("the response is partial: not every store of the server answered")
    return said


def infos_of(envelope: dict[str, Any]) -> list[str]:
    """What the server remarks on the query; nothing is missing for it."""
    return [str(info) for info in envelope.get("infos") or []]

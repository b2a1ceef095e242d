"""Reads an answer of GET /loki/api/v1/query_range as it arrives.

https://grafana.com/docs/loki/latest/reference/loki-http-api/: {"status": "success", "data": {"resultType": "streams", "result":
[{"stream": {label: value}, "values": [[nanoseconds, line, ...], ...]}, ...]}}.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError
from aletheia_operator.clients.json_stream import JsonStream
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.redact import Lines, Redactor, State
from aletheia_operator.redact.documents import redact_document
from aletheia_operator.text.encoding import dumps

MAX_LABELS_CHARACTERS = 4 * 1024 * 1024
"""Most characters of labels, of all streams of an answer together."""
MAX_MOMENT = 2**63
MAX_WARNINGS = 20


class Line(NamedTuple):
    """A log line. Sorts by time, then in the order of the answer."""

    moment: int
    """Nanoseconds since the Unix epoch."""
    stream: int
    position: int
    number: int
    """Number of its text in the page's `Spill`."""


@dataclass
class Page:
    """The lines of one answer. Their texts are in a `Spill`."""

    spill: Spill
    labels: list[dict[str, Any]] = field(default_factory=list)
    """Labels of each stream."""
    lines: list[Line] = field(default_factory=list)
    labels_characters: int = 0
    """Characters of the labels of all streams, which are in memory."""
    warnings: list[str] = field(default_factory=list)
    """Loki's warnings about its answer: lines may be missing."""
    _shown: dict[int, dict[str, Any]] = field(default_factory=dict)
    redaction: "StreamRedaction" = field(default_factory=lambda: StreamRedaction(Redactor()))
    broken: SourceError | None = None
    """Error with which the answer broke off. None: it is complete."""

    def digest(self, line: Line) -> bytes:
        """Return a digest of a line's labels and text: equal for lines that differ only in time."""
        labels = dumps(sorted(self.labels[line.stream].items()))
        return hashlib.blake2b(labels + b"\0" + self.spill.get(line.number), digest_size=16).digest()

    def shown_labels(self, stream: int) -> dict[str, Any]:
        """Return the labels of a stream without secrets."""
        if stream not in self._shown:
            self._shown[stream] = dict(self.labels[stream])
            redact_document(self._shown[stream], self.redaction.redactor)
        return self._shown[stream]

    def text(self, line: Line) -> str:
        return str(orjson.loads(self.spill.get(line.number)))


MAX_STATES = 10_000


@dataclass
class StreamRedaction:
    """Removes secrets from the lines and labels of an answer. A secret may go on in the next page of its stream."""

    redactor: Redactor
    _states: dict[bytes, State] = field(default_factory=dict)
    """State of each stream's lines, by its labels, if they ended within a secret."""

    def lines(self, labels: Mapping[str, Any]) -> Lines:
        """Return the filter for the next lines of a stream. `labels` empty: they are not known yet."""
        return self.redactor.lines(self._states.pop(dumps(labels, sort_keys=True), None))

    def end(self, labels: Mapping[str, Any], lines: Lines) -> None:
        """Remember where the lines of a stream ended."""
        if lines.state.is_open and len(self._states) < MAX_STATES:
            self._states[dumps(labels, sort_keys=True)] = lines.state


def error_text(body: Any) -> str:
    """Return the error text of a refusal in JSON, uncut. Loki itself refuses in plain text; proxies answer in JSON."""
    return str(body.get("message") or body.get("error") or "")


def read(stream: JsonStream, endpoint: Endpoint, page: Page, max_lines: int) -> None:
    """Read the lines of an answer into `page`. Raises SourceError if it has no log lines, or more than `max_lines`."""
    kind, found = None, False
    if stream.kind() != "{":
        raise endpoint.not_of("Loki")
    for key in stream.members():
        if key == "data" and stream.kind() == "{":
            kind, found = _read_data(stream, endpoint, page, max_lines)
        elif key == "warnings":
            warnings = stream.value()
            page.warnings += (
                [warning for warning in warnings if isinstance(warning, str)][:MAX_WARNINGS]
                if isinstance(warnings, list)
                else []
            )
        elif stream.value() != "success" and key == "status":
            raise endpoint.not_of("Loki: its status is not success")
    if kind is None or not found:
        raise endpoint.not_of("Loki")


def _read_data(stream: JsonStream, endpoint: Endpoint, page: Page, max_lines: int) -> tuple[Any, bool]:
    """Return the kind of the result (None if missing), and whether there is a list of streams."""
    kind, found = None, False
    for name in stream.members():
        if name == "resultType":
            kind = stream.value()
            if kind != "streams":
                raise Rejected("query: it computes a metric; a query for log lines is expected")
        elif name == "result" and stream.kind() == "[":
            found = True
            for _ in stream.items():
                _read_stream(stream, endpoint, page, max_lines)
        else:
            stream.value()
    return kind, found


def _read_stream(stream: JsonStream, endpoint: Endpoint, page: Page, max_lines: int) -> None:
    number = len(page.labels)
    if number > max_lines:
        raise endpoint.not_of("Loki: it has more streams than requested lines")
    page.labels.append({})
    lines = page.redaction.lines({})
    seen = set[str]()
    if stream.kind() != "{":
        raise endpoint.not_of("Loki")
    for key in stream.members():
        if key == "values" and stream.kind() == "[":
            seen.add(key)
            for position, _ in enumerate(stream.items()):
                try:
                    moment, line, *_more = stream.value()
                    page.lines.append(Line(_moment(moment), number, position, page.spill.put(dumps(_redacted(line, lines)))))
                except (TypeError, ValueError, OverflowError) as e:
                    raise endpoint.not_of("Loki") from e
                if len(page.lines) > max_lines:
                    raise endpoint.not_of("Loki: it has more lines than requested")
        elif key == "stream" and stream.kind() == "{":
            seen.add(key)
            page.labels[number] = stream.value()
            lines = page.redaction.lines(page.labels[number])
            page.labels_characters += stream.value_characters
            if page.labels_characters > MAX_LABELS_CHARACTERS:
                raise stream.too_large(f"{MAX_LABELS_CHARACTERS} characters of labels")
        else:
            stream.value()
    page.redaction.end(page.labels[number], lines)
    if seen != {"stream", "values"}:
        raise endpoint.not_of("Loki")


def _moment(value: Any) -> int:
    """Return a time in nanoseconds. Raises ValueError, TypeError or OverflowError if it is not one."""
    moment = int(value)
    if not 0 <= moment < MAX_MOMENT:
        raise ValueError
    return moment


def _redacted(line: Any, lines: Lines) -> str:
    if not isinstance(line, str):
        raise TypeError
    data = line.encode("utf-8", "surrogatepass")
    redacted = lines.feed(data)
    return line if redacted is data else redacted.decode("utf-8", "surrogatepass")

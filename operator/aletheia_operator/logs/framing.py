"""Splits log lines into time, stream and text, and joins lines that the runtime wrote in parts.

Three forms. The pods/log API: `TIME text`. The files of a CRI runtime: `TIME STREAM TAG text`, where the tag P marks a part of
a line (kubernetes/design-proposals-archive: node/kubelet-cri-logging.md). Docker's json-file, which cri-dockerd uses
instead: `{"log": "text\\n", "stream": "stdout", "time": "..."}`, where a part has no line feed at its end.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import orjson

from aletheia_operator.text.timestamps import format_nanoseconds, parse_nanoseconds

Form = Literal["api", "file"]
CANONICAL_LENGTH = len("2026-11-22T15:21:11.072842937Z")
SECOND_LENGTH = len("2026-11-22T15:21:11")
BEFORE_TEXT = {"api": frozenset({"Z "}), "file": frozenset({"Z stdout F ", "Z stderr F "})}
"""Text between a time with nine digits and the text of a whole line."""
TEXT_AT = {"api": CANONICAL_LENGTH + 1, "file": CANONICAL_LENGTH + len(" stdout F ")}
STREAM = slice(CANONICAL_LENGTH + 1, CANONICAL_LENGTH + len(" stdout"))
_STREAMS = frozenset({"stdout", "stderr"})
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z", re.ASCII)
_CRI = re.compile(r"(\S{20,35}) (stdout|stderr) ([FP](?::[!-~]*)?) ?")


class Line(NamedTuple):
    """One line. `key`: its time in UTC with nine digits. `raw`: its time as written.

    `exact`: its bytes; None if they are UTF-8. `was_long`: it was longer than the limit before it was redacted.
    """

    key: str
    raw: str
    text: str
    exact: bytes | None
    stream: str | None
    was_long: bool = False


@dataclass
class _Parts:
    """The parts of a line that have been read so far."""

    key: str
    raw: str
    size: int = 0
    texts: list[bytes] = field(default_factory=list)


@dataclass
class Framing:
    """Splits the lines of one run, and joins lines that the runtime wrote in parts."""

    form: Form
    max_line_bytes: int
    parts: dict[str | None, _Parts] = field(default_factory=dict)
    """Unfinished lines by stream: parts of stdout and stderr may alternate."""

    def read(self, text: str, exact: bytes | None) -> Line | Literal[False] | None:
        """Split a line. None: its next parts have not come yet. False: it has no known form, and so no time."""
        if self.form == "api":
            raw, _, rest = text.partition(" ")
            key = sort_key(raw)
            return False if key is None else Line(key, raw, rest, exact and exact[len(raw) + 1 :], None)
        if text[:1] == "{":
            return self._docker(text, exact)
        match = _CRI.match(text)
        key = sort_key(match[1]) if match else None
        if match is None or key is None:
            return False
        at = match.end()
        part = text[at:].encode() if exact is None else exact[at:]  # all before is ASCII
        return self._join(key, match[1], part, match[2], partial=match[3][0] == "P")

    def unfinished(self) -> Iterator[Line]:
        """Remove and yield the lines without their last part."""
        parts, self.parts = self.parts, {}
        for stream, partial in sorted(parts.items(), key=lambda item: item[1].key):
            yield Line(partial.key, partial.raw, *decode(b"".join(partial.texts)), stream)

    def _docker(self, text: str, exact: bytes | None) -> Line | Literal[False] | None:
        try:
            record = orjson.loads(text if exact is None else exact)
        except orjson.JSONDecodeError:
            return False
        log, time, stream = (record.get(name) for name in ("log", "time", "stream"))
        key = sort_key(time) if isinstance(log, str) and isinstance(time, str) else None
        if key is None:
            return False
        part = log.encode()
        stream = stream if stream in _STREAMS else None
        return self._join(key, time, part.removesuffix(b"\n"), stream, partial=part[-1:] != b"\n")

    def _join(self, key: str, raw: str, part: bytes, stream: str | None, *, partial: bool) -> Line | None:
        before = self.parts.get(stream)
        if before is None:
            if not partial:
                return Line(key, raw, *decode(part), stream)
            before = self.parts[stream] = _Parts(key, raw)
        if before.size <= self.max_line_bytes:
            before.texts.append(part)
            before.size += len(part)
        if partial:
            return None
        del self.parts[stream]
        return Line(before.key, before.raw, *decode(b"".join(before.texts)), stream)  # a part may end within a character


def sort_key(stamp: str) -> str | None:
    """Return a line's time as UTC text with nine digits, which sorts; None if `stamp` is not a time."""
    if _TIME.fullmatch(stamp):
        if parse_nanoseconds(f"{stamp[:SECOND_LENGTH]}Z".encode()) is None:
            return None
        return stamp if len(stamp) == CANONICAL_LENGTH else f"{stamp[:-1]:0<29}Z"
    moment = parse_nanoseconds(stamp.encode("ascii", "replace"))
    try:
        return None if moment is None else format_nanoseconds(moment)
    except OverflowError:  # in UTC it lies before the year 1, or after 9999
        return None


def decode(raw: bytes) -> tuple[str, bytes | None]:
    """Return bytes as text, and the bytes themselves if they are not UTF-8, else None."""
    try:
        return raw.decode(), None
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace"), raw


def decode_lines(block: bytes) -> tuple[list[str], dict[int, bytes]]:
    """Return the lines of a block as text, and the bytes of lines that are not UTF-8, by line number."""
    try:
        return block.decode().split("\n"), {}
    except UnicodeDecodeError:
        lines, broken = [], {}
        for number, raw in enumerate(block.split(b"\n")):
            line, exact = decode(raw)
            lines.append(line)
            if exact is not None:
                broken[number] = exact
        return lines, broken

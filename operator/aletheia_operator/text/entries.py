"""The entries of one run of one container, from the bytes that a node or the API server sent, as JSON.

Two forms of lines: that of the pods/log API, `TIMESTAMP text`, and that of the files on a node, `TIMESTAMP STREAM TAG text`
(CRI, kubernetes/design-proposals-archive: node/kubelet-cri-logging.md), whose partial lines are joined as the kubelet does.
"""

import base64
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import orjson

from aletheia_operator.text.forms import recognise
from aletheia_operator.text.levels import SERIOUS, LevelCount
from aletheia_operator.text.timestamps import format_nanoseconds, parse_nanoseconds
from aletheia_operator.text.traces import Heads

SEPARATOR = b",\n"  # between entries; an entry has no line end in it
KEY = slice(len(b'{"timestamp":"'), len(b'{"timestamp":"2026-11-22T15:21:11.072842937Z'))
"""Where an encoded entry has its timestamp, which sorts."""
CONTEXT_LINES = 5  # that are kept with an error, before it and after it
LEVEL_CODES = ("", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
CONTEXT = 8  # bit of a mark: near an error
BUCKETS = 4096
_CODE_OF = {level or None: code for code, level in enumerate(LEVEL_CODES)}
_dumps = orjson.dumps
_CANONICAL_LENGTH = len("2026-11-22T15:21:11.072842937Z")
_NONE_BROKEN: dict[int, bytes] = {}
_SECOND_LENGTH = len("2026-11-22T15:21:11")
SECONDS_LOOKED_BACK = 2  # lines may come a little late: a further look starts a second before the latest line


@dataclass(frozen=True, slots=True)
class Encoded:
    """Entries as JSON, `count` of them, with SEPARATOR between."""

    block: bytes
    count: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """Entries of a run in its order. `marks` has 16 bits for each: level code, CONTEXT, and from bit 4 on its bucket.

    Entries of the first n of BUCKETS buckets are an even sample of all, n/BUCKETS of them (the van der Corput sequence).
    """

    block: bytes
    marks: bytes


class Position(NamedTuple):
    """How far a run was read: its greatest timestamp (empty before the first line), and how many lines there were."""

    last: str
    lines: int


def _reversed_bits(number: int) -> int:
    return int(f"{number:012b}"[::-1], 2)


_BUCKET_OF = tuple(_reversed_bits(number) << 4 for number in range(BUCKETS))


@dataclass
class RunParser:
    """Parses one run of one container. Times are RFC 3339 UTC with nine digits; lines outside of start and end are left out."""

    container: str
    previous: bool
    start: str
    end: str
    form: Literal["api", "cri"]
    max_line_bytes: int
    count: LevelCount = field(default_factory=LevelCount)
    truncated_at: str | None = None
    """Timestamp of the first line that was cut."""
    words: str | None = None
    """What the node said in place of a log line."""
    first: str = ""
    """Timestamp of the first line, within the window or not."""
    position: Position = field(default_factory=lambda: Position("", 0))
    seen: dict[str, int] = field(default_factory=dict)
    """Lines of the last seconds, which a further look skips, by second."""
    skip: int = 0
    """Lines to come that were parsed before."""
    _last: str = ""
    _second: str = ""
    _of_second: int = 0  # lines of it that `seen` has not yet
    _ordinal: int = 0
    _after: int = 0  # lines that are still near the last error
    _heads: Heads = field(default_factory=Heads)
    _serious_head: bool = False
    _entries: list[bytes] = field(default_factory=list)
    _marks: "array[int]" = field(default_factory=lambda: array("H"))
    _parts: list[str] = field(default_factory=list)  # of a line that the node wrote in parts
    _parts_key: str = ""
    _parts_raw: str = ""
    _parts_size: int = 0

    def read_again(self) -> None:
        """The next lines begin with the first second in `seen`: skip those that were parsed."""
        self.skip = sum(self.seen.values())

    def feed(self, block: bytes, form: Literal["api", "cri"] | None = None) -> Parsed:
        """Parse whole lines; only the last of all may lack its end. A few entries stay behind until the next call, or `end`."""
        if form is not None:
            self.form = form
        try:
            lines, broken = block.decode().split("\n"), _NONE_BROKEN
        except UnicodeDecodeError:
            lines, broken = _decode_each(block)
        ended = lines[-1] == ""
        if ended:
            lines.pop()
        if self.form == "api":
            self._feed_api(lines, broken, ended)
        else:
            self._feed_cri(lines, broken)
        return self._take(CONTEXT_LINES)

    def end_run(self) -> Parsed:
        """What was held back."""
        if self._parts:  # the node is still writing this line
            self._add_line(self._parts_key, self._parts_raw, "".join(self._parts), None, False)
            self._parts = []
        return self._take(0)

    def _feed_api(self, lines: list[str], broken: dict[int, bytes], ended: bool) -> None:
        final = len(lines) - 1
        start, end = self.start, self.end
        for number, text in enumerate(lines):
            if text[29:31] == "Z " and text[19:20] == ".":
                key = text[:30]
                raw, line = key, text[31:]
            else:
                raw, _, line = text.partition(" ")
                sortable = sort_key(raw)
                if sortable is None:
                    self._say(text)
                    continue
                key = sortable
            if self.skip and key <= self._last:
                self.skip -= 1
                continue
            self.skip = 0  # where lines are left to skip, the node has put them aside meanwhile
            if key[:_SECOND_LENGTH] == self._second:
                self._of_second += 1
            else:
                self._begin_second(key)
            if key > self._last:
                self._last = key
            if start <= key <= end:
                wrong = broken.get(number) if broken else None
                self._add_line(key, raw, line, wrong and wrong[len(raw) + 1 :], ended or number < final)
        self._note_position()

    def _feed_cri(self, lines: list[str], broken: dict[int, bytes]) -> None:
        for number, text in enumerate(lines):
            raw, _, rest = text.partition(" ")
            key = raw if len(raw) == _CANONICAL_LENGTH and raw[-1] == "Z" else sort_key(raw)
            if key is None:
                continue
            partial = rest[7:8] == "P"
            line = rest[9:]
            wrong = broken.get(number) if broken else None
            if wrong is not None:
                line = wrong[len(raw) + 10 :].decode("utf-8", "surrogateescape")  # a character may be split between two parts
            if partial or self._parts:
                if not self._parts:
                    self._parts_key, self._parts_raw, self._parts_size = key, raw, 0
                if self._parts_size <= self.max_line_bytes:
                    self._parts.append(line)
                    self._parts_size += len(line)
                if partial:
                    continue
                key, raw, line = self._parts_key, self._parts_raw, "".join(self._parts)
                self._parts = []
                wrong = b"" if not line.isascii() else None
            if key[:_SECOND_LENGTH] == self._second:
                self._of_second += 1
            else:
                self._begin_second(key)
            if key > self._last:
                self._last = key
            if self.start <= key <= self.end:
                if wrong is not None:
                    exact = line.encode("utf-8", "surrogateescape")
                    line, wrong = _decode(exact)
                self._add_line(key, raw, line, wrong, True)
        self._note_position()

    def _begin_second(self, key: str) -> None:
        if not self.first:
            self.first = key
        self._note_position()
        self._second, self._of_second = key[:_SECOND_LENGTH], 1

    def _note_position(self) -> None:
        if self._of_second:
            self.seen[self._second] = self.seen.get(self._second, 0) + self._of_second
            while len(self.seen) > SECONDS_LOOKED_BACK:
                del self.seen[min(self.seen)]
            self.position = Position(self._last, self.position.lines + self._of_second)
            self._of_second = 0

    def _add_line(self, key: str, raw: str, line: str, exact: bytes | None, whole: bool) -> None:
        """`exact`: the bytes of a line that is not UTF-8."""
        truncated = len(line) * 4 > self.max_line_bytes and self._is_long(line, exact)
        if truncated:
            self.truncated_at = self.truncated_at or key
            cut = (line.encode() if exact is None else exact)[: self.max_line_bytes]
            line, exact = (cut.decode("utf-8", "ignore"), None) if exact is None else _decode(cut)
        level, message, fields, formed = recognise(line)
        entry: dict[str, Any] = {"timestamp": key, "container": self.container}
        if raw is not key and raw[-1:] != "Z":
            entry["timestamp_raw"] = raw
        if self.previous:
            entry["previous"] = True
        if truncated:
            entry["truncated"] = True
        if not whole:
            entry["partial"] = True
        if exact is not None:
            entry["line_base64"] = base64.b64encode(exact).decode()
        belongs = False
        if formed:
            self._heads.begin(key)
            self._serious_head = level in SERIOUS
        elif (head := self._heads.head_of(line, key)) is not None:
            entry["head"] = head
            belongs = self._serious_head
        if level is not None:
            entry["level"] = level
        if message is not None:
            entry["message"] = message
        if fields is not None:
            entry["fields"] = fields
        entry["line"] = line
        serious = level in SERIOUS
        if serious:
            self.count.add_message(line if message is None else message)
        self._add(entry, _CODE_OF[level], serious, belongs)

    def _add(self, entry: dict[str, Any], code: int, serious: bool, belongs: bool) -> None:
        mark = code | _BUCKET_OF[self._ordinal & (BUCKETS - 1)]
        self._ordinal += 1
        if serious:
            for near in range(max(0, len(self._marks) - CONTEXT_LINES), len(self._marks)):
                self._marks[near] |= CONTEXT
            self._after = CONTEXT_LINES
        elif self._after:
            self._after -= 1
            mark |= CONTEXT
        elif belongs:
            mark |= CONTEXT
        self._marks.append(mark)
        try:
            self._entries.append(_dumps(entry))
        except TypeError:  # fields nested too deeply; the line has them
            self._entries.append(_dumps({key: value for key, value in entry.items() if key != "fields"}))

    def _is_long(self, line: str, exact: bytes | None) -> bool:
        return len(line.encode() if exact is None else exact) > self.max_line_bytes

    def _say(self, words: str) -> None:
        """A line without a time is no log: the node says why it has none, under HTTP 200. Kept once."""
        if self.words is None:
            self.words = words
            self._add({"timestamp": None, "container": self.container, "line": words}, 0, False, False)

    def _take(self, held: int) -> Parsed:
        upto = max(0, len(self._entries) - held)
        for code, number in Counter(mark & 7 for mark in self._marks[:upto]).items():
            self.count.add(LEVEL_CODES[code] or None, number)
        parsed = Parsed(SEPARATOR.join(self._entries[:upto]), self._marks[:upto].tobytes())
        del self._entries[:upto], self._marks[:upto]
        return parsed


def sort_key(stamp: str) -> str | None:
    """A line's time as UTC text with nine digits, which sorts; None if it is not a time."""
    if len(stamp) == _CANONICAL_LENGTH and stamp[-1:] == "Z" and stamp[10:11] == "T" and stamp[19:20] == ".":
        return stamp
    moment = parse_nanoseconds(stamp.encode("ascii", "replace"))
    return None if moment is None else format_nanoseconds(moment)


def _decode_each(block: bytes) -> tuple[list[str], dict[int, bytes]]:
    """Lines as text, and the bytes of those that are not UTF-8 by their number."""
    lines, broken = [], {}
    for number, raw in enumerate(block.split(b"\n")):
        line, exact = _decode(raw)
        lines.append(line)
        if exact is not None:
            broken[number] = exact
    return lines, broken


def _decode(raw: bytes) -> tuple[str, bytes | None]:
    """As text, and the bytes where they are not UTF-8."""
    try:
        return raw.decode(), None
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace"), raw

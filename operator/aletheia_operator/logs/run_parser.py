"""The entries of one run of one container, from the bytes that a node or the API server sent, as JSON.

Two forms of lines: that of the pods/log API, `TIMESTAMP text`, and that of the files on a node, `TIMESTAMP STREAM TAG text`
(CRI, kubernetes/design-proposals-archive: node/kubelet-cri-logging.md), whose partial lines are joined as the kubelet does.
"""

import base64
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter, or_
from typing import Any, Literal, NamedTuple

import orjson

from aletheia_operator.logs.forms import LONGEST_SHAPE, MAX_PARSED, recognise, shape_of
from aletheia_operator.logs.levels import LevelCount
from aletheia_operator.logs.stack_traces import Heads
from aletheia_operator.text.batches import LEVEL_CODES, SEPARATOR, SERIOUS, SERIOUS_CODE
from aletheia_operator.text.timestamps import format_nanoseconds, parse_nanoseconds

_BETWEEN = SEPARATOR.decode()
CONTEXT_LINES = 5  # that are kept with an error, before it and after it
CONTEXT = 8  # bit of a mark: near an error
BUCKETS = 4096
_LOW_BYTE = 0 if sys.byteorder == "little" else array("H").itemsize - 1
_CODE_OF_MARK = bytes(mark & 7 for mark in range(256))
_CODE_OF = {level or None: code for code, level in enumerate(LEVEL_CODES)}
_dumps = orjson.dumps
_CANONICAL_LENGTH = len("2026-11-22T15:21:11.072842937Z")
_NONE_BROKEN: dict[int, bytes] = {}
_ESCAPED = bytes(range(10)) + bytes(range(11, 32)) + b'"\\'  # in JSON; no line has a line feed in it
_ALIKE = bytes.maketrans(b"123456789" + _ESCAPED, b"000000000" + bytes(len(_ESCAPED)))
_MOST_SHAPES = 1000  # of a run: a log has few, a hostile one any number
_BEFORE_TEXT = {"api": frozenset({"Z "}), "cri": frozenset({"Z stdout F ", "Z stderr F "})}
_TEXT_AT = {"api": _CANONICAL_LENGTH + 1, "cri": _CANONICAL_LENGTH + len(" stdout F ")}
_SECOND_LENGTH = len("2026-11-22T15:21:11")
SECONDS_LOOKED_BACK = 2  # lines may come a little late: a further look starts a second before the latest line


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


class _Known(NamedTuple):
    """How lines of a shape become entries: a template, and the parts of the line that go into it.

    The line's time is its first `stamp` characters and `zeros`: nodes leave zeros at the end out.
    """

    stamp: int
    zeros: str
    code: int
    template: str
    parts: Callable[[str], tuple[str, ...]]


def _reversed_bits(number: int) -> int:
    return int(f"{number:012b}"[::-1], 2)


_BUCKET_OF = array("H", (_reversed_bits(number) << 4 for number in range(BUCKETS)))


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
    _shapes: dict[str, _Known] = field(default_factory=dict)  # by the beginnings of lines, with all digits alike
    _entries: list[str] = field(default_factory=list)
    _marks: "array[int]" = field(default_factory=lambda: array("H"))
    _parts: list[bytes] = field(default_factory=list)  # of a line that the node wrote in parts
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
        unended = -1 if ended else len(lines) - 1
        self._feed(enumerate(lines) if broken else self._unknown(lines, block, unended), broken, unended)
        self._note_position()
        return self._take(CONTEXT_LINES)

    def end_run(self) -> Parsed:
        """What was held back."""
        if self._parts:  # the node is still writing this line
            self._add_line(self._parts_key, self._parts_raw, *_decode(b"".join(self._parts)), False)
            self._parts = []
        return self._take(0)

    def _feed(self, lines: Iterator[tuple[int, str]], broken: dict[int, bytes], unended: int) -> None:
        before_text, text_at = _BEFORE_TEXT[self.form], _TEXT_AT[self.form]
        read_odd = self._odd_api if self.form == "api" else self._odd_cri
        for number, text in lines:
            wrong: bytes | None = None
            if text[29:text_at] in before_text and text[19:20] == "." and not self._parts:
                key = raw = text[:30]
                line = text[text_at:]
                if number in broken:
                    wrong = broken[number][text_at:]
            elif (odd := read_odd(text, broken.get(number))) is not None:
                key, raw, line, wrong = odd
            else:
                continue
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
            if self.start <= key <= self.end:
                self._add_line(key, raw, line, wrong, number != unended or self.form == "cri")

    def _unknown(self, lines: list[str], block: bytes, unended: int) -> Iterator[tuple[int, str]]:
        """Take the lines whose shape is known, and give the others in between, in order: most logs have lines of few shapes.

        A known line that is in order, in the same second as the one before and within the window is the quickest case.
        """
        alike = block.translate(_ALIKE)
        longest = min(self.max_line_bytes // 4, MAX_PARSED)
        easy = b"\0" not in alike and len(max(lines, key=len, default="")) <= longest
        known_as, add_entry, add_mark = self._shapes.get, self._entries.append, self._marks.append
        last, limit, of_second = self._last, "", 0
        head, code, near = "", 0, self._after
        quick = not self.skip and not self._parts
        for number, (text, shape) in enumerate(zip(lines, alike.decode().split("\n"), strict=False)):
            message_at = text.find(": ", _SECOND_LENGTH, LONGEST_SHAPE) + 2
            known = known_as(shape[:message_at])
            if (
                known is None
                or not text[message_at : message_at + 1].isalpha()
                or not (easy or ("\0" not in shape and len(text) <= longest))
                or not quick
                or number == unended
            ):
                self._note(last, of_second, head, code)
                yield number, text
                last, limit, of_second = self._last, "", 0
                head, near = "", self._after
                quick = not self.skip and not self._parts
                if known is None and message_at > _SECOND_LENGTH:
                    self._learn(shape[:message_at], text)
                continue
            stamp, zeros, code, template, parts = known
            key = text[:stamp] + zeros if zeros else text[:stamp]
            if last <= key < limit:
                of_second += 1
                last = key
            else:
                if key[:_SECOND_LENGTH] == self._second:
                    of_second += 1
                else:
                    self._of_second += of_second
                    self._begin_second(key)
                    of_second = 0
                last = max(last, key)
                limit = min(self._second + "~", self.end) if last >= self.start else ""
                if not self.start <= key <= self.end:
                    continue
            head = key
            if code < SERIOUS_CODE and not near:
                add_entry(template % parts(text))
                add_mark(code)
            else:
                if code >= SERIOUS_CODE:
                    self.count.add_message(text[message_at:])
                self._add(template % parts(text), code, False)
                near = self._after
        self._note(last, of_second, head, code)

    def _note(self, last: str, of_second: int, head: str, code: int) -> None:
        """How far the lines of known shapes went."""
        self._last = last
        self._of_second += of_second
        if head:
            self._heads.begin(head, code >= SERIOUS_CODE)

    def _learn(self, beginning: str, text: str) -> None:
        """Know the lines that begin like this one, if that is enough to know them."""
        raw = text.partition(" ")[0]
        text_at = len(raw) + _TEXT_AT[self.form] - _CANONICAL_LENGTH
        if text[len(raw) - 1 : text_at] not in _BEFORE_TEXT[self.form] or len(self._shapes) >= _MOST_SHAPES:
            return
        key, shape = sort_key(raw), shape_of(text[text_at:])
        if key is None or shape is None or raw[_SECOND_LENGTH] != ".":
            return
        level, fields, message_at = shape
        zeros = key[len(raw) - 1 :] if len(raw) < len(key) else ""
        stamp = _CANONICAL_LENGTH - len(zeros)
        names = ",".join(f'"{name}":"%s"' for name, _ in fields)
        head = _dumps({"container": self.container} | ({"previous": True} if self.previous else {}) | {"level": level}).decode()
        template = f'{{"timestamp":"%s{zeros}",{head[1:-1].replace("%", "%%")},"message":"%s",'
        template += (f'"fields":{{{names}}},' if fields else "") + '"line":"%s"}'
        inner = (slice(text_at + part.start, text_at + part.stop) for _, part in fields)
        outer = slice(stamp), slice(text_at + message_at, None), *inner, slice(text_at, None)
        self._shapes[beginning] = _Known(stamp, zeros, _CODE_OF[level], template, itemgetter(*outer))

    def _odd_api(self, text: str, wrong: bytes | None) -> tuple[str, str, str, bytes | None] | None:
        """Time that sorts, time as it was written, text and, where it is not UTF-8, bytes of a line; None where it is none."""
        raw, _, line = text.partition(" ")
        key = sort_key(raw)
        if key is None:
            self._say(text)
            return None
        return key, raw, line, wrong and wrong[len(raw) + 1 :]

    def _odd_cri(self, text: str, wrong: bytes | None) -> tuple[str, str, str, bytes | None] | None:
        """As `_odd_api`, of the last part of a line that the node wrote in parts; None while there are more."""
        raw, _, rest = text.partition(" ")
        key = sort_key(raw)
        if key is None:
            return None
        partial = rest[7:8] == "P"
        part = rest[9:].encode() if wrong is None else wrong[len(raw) + 10 :]
        if not partial and not self._parts:
            return key, raw, *_decode(part)
        if not self._parts:
            self._parts_key, self._parts_raw, self._parts_size = key, raw, 0
        if self._parts_size <= self.max_line_bytes:
            self._parts.append(part)
            self._parts_size += len(part)
        if partial:
            return None
        whole = b"".join(self._parts)  # a character may be split between two parts
        self._parts = []
        return self._parts_key, self._parts_raw, *_decode(whole)

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
            self._heads.begin(key, level in SERIOUS)
        elif (head := self._heads.head_of(line, key, level)) is not None:
            entry["head"] = head
            belongs = self._heads.serious
            level = None  # its head's counts
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
        self._add(_encode(entry), _CODE_OF[level], belongs)

    def _add(self, entry: str, code: int, belongs: bool) -> None:
        mark = code
        if code >= SERIOUS_CODE:
            for near in range(max(0, len(self._marks) - CONTEXT_LINES), len(self._marks)):
                self._marks[near] |= CONTEXT
            self._after = CONTEXT_LINES
        elif self._after:
            self._after -= 1
            mark |= CONTEXT
        elif belongs:
            mark |= CONTEXT
        self._marks.append(mark)
        self._entries.append(entry)

    def _is_long(self, line: str, exact: bytes | None) -> bool:
        return len(line.encode() if exact is None else exact) > self.max_line_bytes

    def _say(self, words: str) -> None:
        """A line without a time is no log: the node says why it has none, under HTTP 200. Kept once."""
        if self.words is None:
            self.words = words
            self._add(_encode({"timestamp": None, "container": self.container, "line": words}), 0, False)

    def _take(self, held: int) -> Parsed:
        upto = max(0, len(self._entries) - held)
        first = self._ordinal % BUCKETS
        buckets = _BUCKET_OF * ((first + upto) // BUCKETS + 1)
        marks = array("H", map(or_, self._marks, buckets[first : first + upto]))
        self._ordinal += upto
        for code, number in count_codes(marks.tobytes()).items():
            self.count.add(LEVEL_CODES[code] or None, number)
        parsed = Parsed(_BETWEEN.join(self._entries[:upto]).encode(), marks.tobytes())
        del self._entries[:upto], self._marks[:upto]
        return parsed


def codes_of(marks: bytes) -> bytes:
    """The level code of each mark."""
    return marks[_LOW_BYTE :: array("H").itemsize].translate(_CODE_OF_MARK)


def count_codes(marks: bytes) -> Counter[int]:
    """How many marks have each level code."""
    codes = codes_of(marks)
    return Counter({code: number for code in range(len(LEVEL_CODES)) if (number := codes.count(code))})


def sort_key(stamp: str) -> str | None:
    """A line's time as UTC text with nine digits, which sorts; None if it is not a time."""
    if stamp[-1:] == "Z" and stamp[10:11] == "T" and stamp[19:20] == ".":
        if len(stamp) == _CANONICAL_LENGTH:
            return stamp
        if len(stamp) < _CANONICAL_LENGTH and stamp[20:-1].isdecimal():
            return f"{stamp[:-1]:0<29}Z"
    moment = parse_nanoseconds(stamp.encode("ascii", "replace"))
    return None if moment is None else format_nanoseconds(moment)


def _encode(entry: dict[str, Any]) -> str:
    try:
        return _dumps(entry).decode()
    except TypeError:  # fields nested too deeply; the line has them
        return _dumps({key: value for key, value in entry.items() if key != "fields"}).decode()


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

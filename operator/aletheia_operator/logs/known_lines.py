"""Makes entries of lines with known shapes, many at once. Most logs have lines of few shapes, in order of time."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import cast

from aletheia_operator.logs.entry_writer import EntryWriter
from aletheia_operator.logs.forms import MAX_PARSED
from aletheia_operator.logs.framing import SECOND_LENGTH, Framing
from aletheia_operator.logs.known_shapes import KnownShape, KnownShapes, Warnings
from aletheia_operator.logs.marks import ALIKE_BITS, MARK
from aletheia_operator.logs.position import ReadProgress
from aletheia_operator.logs.run_settings import RunSettings
from aletheia_operator.text.batches import LEVEL_CODES, SERIOUS_CODE, SERIOUS_CODES, numbers_of, table_of
from aletheia_operator.text.timestamps import parse_nanoseconds

_WARNING = LEVEL_CODES.index("WARN")
_WARNINGS = table_of("WARN")
_UNKNOWN = len(LEVEL_CODES)
"""Stands for the level code of a line without a known shape."""


class _Block:
    """The lines of a block with their shapes (`shapes_of`), known shapes and level codes."""

    def __init__(self, lines: Sequence[str], shapes: Sequence[str], unended: int) -> None:
        self.lines, self.shapes = lines, shapes[: len(lines)]
        self.known: list[KnownShape | None] = []
        self.codes = b""
        self._unended = unended

    def look_up(self, shapes: KnownShapes, start: int) -> None:
        """Find the known shapes of the lines from `start` on."""
        self.known[start:] = shapes.of(self.shapes[start:])
        if self._unended >= start:
            self.known[self._unended] = None
        self.codes = bytes([_UNKNOWN if shape is None else shape.code for shape in self.known])

    def forget(self, numbers: Sequence[int]) -> None:
        """Treat these lines as lines without a known shape."""
        codes = bytearray(self.codes)
        for number in numbers:
            self.known[number], codes[number] = None, _UNKNOWN
        self.codes = bytes(codes)


class KnownLines:
    """The lines of known shapes of one run."""

    def __init__(self, settings: RunSettings, progress: ReadProgress, framing: Framing, writer: EntryWriter) -> None:
        self._settings, self._progress, self._framing, self._writer = settings, progress, framing, writer
        self._shapes = KnownShapes(min(settings.max_line_bytes // 4, MAX_PARSED))
        self._warnings = Warnings()

    def others(self, lines: Sequence[str], shapes: Sequence[str], unended: int) -> Iterator[tuple[int, str]]:
        """Add the lines of known shapes, and yield the others with their numbers, in order. Learns the shapes of these.

        `shapes`: of the lines (`shapes_of`). `unended`: number of the line that may be incomplete; -1 if none is.
        """
        block = _Block(lines, shapes, unended)
        block.look_up(self._shapes, 0)
        at = 0
        while at < len(lines):
            if block.known[at] is not None and not self._progress.skip and not self._framing.parts:
                stop = block.codes.find(_UNKNOWN, at)
                at = self._add(block, at, stop if stop >= 0 else len(lines))
                if at == len(lines):
                    return
            yield at, lines[at]
            if block.known[at] is None and not self._settings.plain and self._learn(shapes[at], lines[at]):
                block.look_up(self._shapes, at + 1)
            at += 1

    def _learn(self, shape: str, line: str) -> bool:
        return self._shapes.learn(shape, line, self._settings.form, self._writer.head)

    def _add(self, block: _Block, start: int, stop: int) -> int:
        """Add known lines. Returns the number of the first one that must be read by itself, or `stop`."""
        known = cast("list[KnownShape]", block.known[start:stop])
        rows = [shape.parts(line) for shape, line in zip(known, block.lines[start:stop], strict=True)]
        keys = [row[0] + shape.zeros for shape, row in zip(known, rows, strict=True)]
        in_order = keys == sorted(keys)
        if invalid := self._invalid_seconds(keys, in_order):
            block.forget([start + number for number, key in enumerate(keys) if key[:SECOND_LENGTH] in invalid])
            return self._add(block, start, block.codes.find(_UNKNOWN, start)) if block.known[start] is not None else start
        if in_order:
            return start + self._add_sorted(block, start, rows, keys)
        at = 0
        while at < len(keys):
            end = next((number for number in range(at + 1, len(keys)) if keys[number] < keys[number - 1]), len(keys))
            at += self._add_sorted(block, start + at, rows[at:end], keys[at:end])
            if at < end:
                break
        return start + at

    def _invalid_seconds(self, keys: list[str], in_order: bool) -> set[str]:
        """Return the seconds of these times that do not exist, for example on the 31st of February."""
        ends = {keys[0][:SECOND_LENGTH], keys[-1][:SECOND_LENGTH]}
        seconds = ends if in_order and len(ends) == 1 else {key[:SECOND_LENGTH] for key in keys}
        seconds.discard(self._progress.second)
        return {second for second in seconds if parse_nanoseconds(f"{second}Z".encode()) is None}

    def _add_sorted(self, block: _Block, start: int, rows: list[tuple[str, ...]], keys: list[str]) -> int:
        """Add known lines in order of time: their parts and times. Returns how many were added."""
        count = self._count(keys)
        low, high = bisect_left(keys, self._settings.start, 0, count), bisect_right(keys, self._settings.end, 0, count)
        if low < high:
            self._write(block, start + low, rows[low:high])
            code = block.codes[start + high - 1]
            serious = code >= SERIOUS_CODE
            message = rows[high - 1][1] if serious else ""
            self._writer.heads.begin(keys[high - 1], serious, warns=code == _WARNING, message=message)
        if count:
            self._progress.past = count - high + (0 if high else self._progress.past)
        return count

    def _count(self, keys: list[str]) -> int:
        """Count lines by second. Returns how many: in a further read, up to the first one of a second before the latest."""
        progress, at = self._progress, 0
        while at < len(keys):
            second = keys[at][:SECOND_LENGTH]
            if progress.partial and second < progress.second:
                break
            end = len(keys) if keys[-1].startswith(second) else bisect_right(keys, second + "~", at)
            progress.add_all(keys[at], keys[end - 1], end - at)
            at = end
        return at

    def _write(self, block: _Block, start: int, rows: list[tuple[str, ...]]) -> None:
        stop = start + len(rows)
        codes = block.codes[start:stop]
        marks = array(MARK, list(codes))
        errors = numbers_of(SERIOUS_CODES, codes)
        for number in errors:
            alike = self._writer.count.add_message(rows[number][1])
            marks[number] |= (alike if codes[number] == SERIOUS_CODE else 0) << ALIKE_BITS
        for number in numbers_of(_WARNINGS, codes):
            marks[number] |= self._warnings.number_of(block.shapes[start + number]) << ALIKE_BITS
        entries, join = [], "".join
        for shape, row in zip(cast("list[KnownShape]", block.known[start:stop]), rows, strict=True):
            pieces = shape.pieces
            pieces[1::2] = row
            entries.append(join(pieces))
        self._writer.out.add_all(entries, marks, errors)

"""Formats tables and paragraphs as lines of text with a given width. Pure. All evidence becomes terminal text here.

Control characters are escaped here (`text.display`), so that no view can forget it. Without a width (a pipe) nothing is
wrapped or cut. Colours are SGR sequences of the standard colours, which terminal themes keep readable.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

from aletheia_operator.text.display import log_line

GAP = 2
STACKED_INDENT = 4
LEAST_WRAPPED = 34
"""Columns that a wrapped column needs. With fewer its text goes below the others."""
LEAST_TEXT = 20
"""Columns that a paragraph needs behind what it begins with. With fewer its text begins on the next line."""
LEAST_SHRUNK = 12
MEASURED_ROWS = 1000
"""Rows that are measured before the first is printed."""
_SGR = {
    "head": "1",
    "dim": "2",
    "bad": "1;31",
    "error": "31",
    "warn": "33",
    "good": "32",
    "change": "36",
    "match": "1;7",
    **{f"pod{number}": code for number, code in enumerate(("36", "35", "34", "32", "96", "95", "94", "92"))},
}
POD_STYLES = 8


class Span(NamedTuple):
    """A text in one style; '': the terminal's default style."""

    text: str
    style: str = ""


Line = Sequence[Span]


class Column(NamedTuple):
    """`wraps`: its text may take several lines. `shrinks`: its middle may be cut on a narrow terminal."""

    title: str
    wraps: bool = False
    shrinks: bool = False
    right: bool = False


@dataclass(frozen=True)
class Table:
    """Rows are read once, and printed as they come."""

    columns: Sequence[Column]
    rows: Iterable[Sequence[Span]]


@dataclass(frozen=True)
class Paragraph:
    """A text that is wrapped. `hanging`: columns by which all lines but the first are indented further."""

    spans: Sequence[Span]
    indent: int = 0
    hanging: int = 0


Block = Table | Paragraph


def paragraph(words: str, style: str = "", indent: int = 0, hanging: int = 0) -> Paragraph:
    """Return a paragraph in one style."""
    return Paragraph((Span(words, style),), indent, hanging)


@dataclass(frozen=True)
class Page:
    """The output. `width`: columns of the terminal; None: no terminal."""

    width: int | None = None
    has_colours: bool = False

    def lines(self, blocks: Iterable[Block]) -> Iterator[str]:
        """Yield the blocks as lines of text, without their newlines."""
        for block in blocks:
            made = _table(block, self.width) if isinstance(block, Table) else _paragraph(block, self.width)
            for line in made:
                yield self.paint(line)

    def paint(self, line: Line) -> str:
        """Return a line as text."""
        if not self.has_colours:
            return "".join([log_line(span.text) for span in line]).rstrip(" ")
        return "".join([_painted(log_line(span.text), span.style) for span in line])


def _painted(shown: str, style: str) -> str:
    code = _SGR.get(style)
    return f"\x1b[{code}m{shown}\x1b[0m" if code and shown else shown


def width_of(shown: str) -> int:
    """Return how many columns a text takes."""
    if shown.isascii():
        return len(shown)
    from rich.cells import cell_len

    return cell_len(shown)


def shortened(shown: str, width: int) -> str:
    """Return a text of at most `width` columns, cut in its middle. A width below 3 cuts nothing."""
    if width_of(shown) <= width or width < 3:
        return shown
    head = (width - 1) // 2
    tail = width - 1 - head
    first, last = _cut(shown, head), _cut(shown[::-1], tail)[::-1]
    return f"{first}…{last}"


def _cut(shown: str, width: int) -> str:
    """Return the longest beginning of a text that fits into `width` columns."""
    if shown.isascii():
        return shown[:width]
    total = 0
    for at, char in enumerate(shown):
        total += width_of(char)
        if total > width:
            return shown[:at]
    return shown


def wrapped(shown: str, width: int, first: int | None = None) -> list[str]:
    """Break a text into lines of `width` columns, between words if possible. `first`: that of the first; None: `width`."""
    lines, now, columns, room = [], "", 0, width if first is None else first
    for word in shown.split(" "):
        size = width_of(word)
        if now and columns + 1 + size > room:
            lines.append(now)
            now, columns, room = "", 0, width
        now, columns = (f"{now} {word}", columns + 1 + size) if now else (word, size)
        while columns > room:
            part = _cut(now, room) or now[:1]
            lines.append(part)
            now, room = now[len(part) :], width
            columns = width_of(now)
    return [*lines, now] if now or not lines else lines


def _paragraph(block: Paragraph, width: int | None) -> Iterator[Line]:
    *before, last = block.spans
    words = log_line(last.text)
    if width is None:
        yield Span(" " * block.indent), *block.spans
        return
    hang = block.indent + block.hanging
    used = block.indent + sum(width_of(log_line(span.text)) for span in before)
    if before and width - used < LEAST_TEXT:
        yield Span(" " * block.indent), *before
        more = wrapped(words, max(LEAST_TEXT, width - hang))
    else:
        first, *more = wrapped(words, max(LEAST_TEXT, width - hang), max(LEAST_TEXT, width - used))
        yield Span(" " * block.indent), *before, Span(first, last.style)
    for line in more:
        yield Span(" " * hang), Span(line, last.style)


def _table(table: Table, width: int | None) -> Iterator[Line]:
    rows = iter(table.rows)
    first = [*islice(rows, MEASURED_ROWS)]
    if not first:
        return
    grid = _Grid(table.columns, first, width)
    if any(column.title for column in table.columns):
        yield grid.titles()
    for row in chain(first, rows):
        yield from grid.lines(row)


class _Grid:
    """The columns of a table with their sizes, which fit `width`. `first`: the rows that are measured."""

    def __init__(self, columns: Sequence[Column], first: Sequence[Sequence[Span]], width: int | None) -> None:
        self._columns, self._width = columns, width
        self._sizes = [
            max(width_of(column.title), *(width_of(log_line(row[number].text)) for row in first))
            for number, column in enumerate(columns)
        ]
        wraps = next((number for number, column in enumerate(columns) if column.wraps), None)
        self._wrapping = wraps if width is not None else None
        self._is_stacked = False
        """Whether the text of the wrapped column goes below the others."""
        if width is not None:
            self._fit(width)

    def titles(self) -> Line:
        titles = [Span(column.title, "head") for column in self._columns]
        return self._row(self._above(titles))

    def lines(self, row: Sequence[Span]) -> Iterator[Line]:
        """Yield the lines of a row."""
        if self._wrapping is None:
            yield self._row(dict(enumerate(row)))
            return
        words, style = log_line(row[self._wrapping].text), row[self._wrapping].style
        if self._is_stacked:
            yield self._row(self._above(row))
            for line in wrapped(words, max(20, (self._width or 80) - STACKED_INDENT)) if words else ():
                yield Span(" " * STACKED_INDENT), Span(line, style)
            return
        for number, line in enumerate(wrapped(words, self._sizes[self._wrapping])):
            cells = dict(enumerate(row)) if number == 0 else dict.fromkeys(range(len(row)), Span(""))
            yield self._row({**cells, self._wrapping: Span(line, style)})

    def _above(self, row: Sequence[Span]) -> dict[int, Span]:
        """Return the cells that stay on the row's own line."""
        return {number: cell for number, cell in enumerate(row) if not (self._is_stacked and number == self._wrapping)}

    def _fit(self, width: int) -> None:
        sizes, wrapping = self._sizes, self._wrapping
        others = sum(size for number, size in enumerate(sizes) if number != wrapping) + GAP * (len(sizes) - 1)
        if wrapping is not None:
            room = width - others
            if sizes[wrapping] > room and room < LEAST_WRAPPED:
                self._is_stacked, others = True, others - GAP
            else:
                sizes[wrapping] = min(sizes[wrapping], room)
        for number, column in enumerate(self._columns):
            if others > width and column.shrinks and number != wrapping:
                less = min(others - width, max(0, sizes[number] - LEAST_SHRUNK))
                sizes[number] -= less
                others -= less

    def _row(self, cells: Mapping[int, Span]) -> Line:
        line: list[Span] = []
        last = max(cells, default=0)
        for number, cell in cells.items():
            size, column = self._sizes[number], self._columns[number]
            shown = log_line(cell.text)
            if column.shrinks and self._width is not None:
                shown = shortened(shown, size)
            padding = " " * max(0, size - width_of(shown))
            before, after = (padding, "") if column.right else ("", padding)
            line += [Span(before), Span(shown, cell.style), Span("" if number == last else after + " " * GAP)]
        return line

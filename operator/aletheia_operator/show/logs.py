"""Formats lines of logs: time, level, pod, container, and the line itself. Streams."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any
from zlib import crc32

from aletheia_operator.show.layout import POD_STYLES, Line, Page, Span, shortened
from aletheia_operator.show.log_lines import LogLine
from aletheia_operator.show.times import Times
from aletheia_operator.text.encoding import dumps

_STYLES = {"FATAL": "bad", "ERROR": "error", "+": "error", "WARN": "warn", "DEBUG": "dim", "TRACE": "dim"}
_SHORT = {"FATAL": "F", "ERROR": "E", "WARN": "W", "INFO": "I", "DEBUG": "D", "TRACE": "T", "+": "|"}
LOOKED_AHEAD = 200
"""Groups that are read before the first is printed, to see whether there is one pod, container and run, or several."""
SEPARATOR = "--"


@dataclass
class LogView:
    """How lines are shown. `prefix`: whether each line names pod and container; None: only if there are several."""

    page: Page
    times: Times
    pattern: Any = None
    prefix: bool | None = None
    has_context: bool = False
    _names_pod: bool = True
    _names_container: bool = True

    def lines(self, groups: Iterable[list[LogLine]], pods: int) -> Iterator[str]:
        """Yield the lines as text. `pods`: how many pods may have lines."""
        groups = iter(groups)
        ahead = [*islice(groups, LOOKED_AHEAD)]
        seen = {(line.pod, line.container) for group in ahead for line in group}
        self._names_pod = self.prefix if self.prefix is not None else pods > 1 or len({pod for pod, _ in seen}) > 1
        self._names_container = self.prefix if self.prefix is not None else len(seen) > len({pod for pod, _ in seen})
        before: LogLine | None = None
        for group in chain(ahead, groups):
            if self.has_context and before is not None and not _follows(before, group[0]):
                yield self.page.paint((Span(SEPARATOR, "dim"),))
            for line in group:
                yield self.page.paint(self._line(line))
            before = group[-1]

    def _line(self, line: LogLine) -> Line:
        style = "dim" if line.is_context else _STYLES.get(line.level, "")
        shown = [Span(f"{self.times.fine(line.stamp)} ", "dim")]
        level = _SHORT.get(line.level, "-") if self.page.width is not None else f"{line.level or '-':<5}"
        shown.append(Span(f"{level} ", style))
        if place := self._place(line):
            shown.append(Span(f"{place} ", f"pod{crc32(line.pod.encode()) % POD_STYLES}"))
        return [*shown, *self._marked(line.text, style)]

    def _place(self, line: LogLine) -> str:
        pod = line.pod if self._names_pod else ""
        if self.page.width is not None:
            pod = shortened(pod, max(16, self.page.width // 4))
        container = line.container if self._names_container else ""
        run = f"#{line.run}" if line.run else ""
        return "/".join(part for part in (pod, container) if part) + run

    def _marked(self, text: str, style: str) -> Iterator[Span]:
        """Yield the text, with matches of the pattern in another style."""
        if self.pattern is None or not self.page.has_colours:
            yield Span(text, style)
            return
        at = 0
        for match in islice(self.pattern.finditer(text), 100):
            start, end = match.span()
            if end > start:
                yield Span(text[at:start], style)
                yield Span(text[start:end], "match")
                at = end
        yield Span(text[at:], style)


def _follows(before: LogLine, line: LogLine) -> bool:
    return (before.pod, before.number + 1) == (line.pod, line.number)


def last(groups: Iterable[list[LogLine]], number: int) -> Iterator[list[LogLine]]:
    """Yield the last `number` lines, each as a group."""
    kept: deque[LogLine] = deque(maxlen=number)
    for group in groups:
        kept.extend(group)
    for line in kept:
        yield [line]


def json_lines(groups: Iterable[list[LogLine]]) -> Iterator[bytes]:
    """Yield each line's entry as JSON, with the name of its pod added."""
    for group in groups:
        for line in group:
            if line.raw.startswith(b"{") and line.raw != b"{}":
                yield b'{"pod":%s,%s\n' % (dumps(line.pod), line.raw[1:])

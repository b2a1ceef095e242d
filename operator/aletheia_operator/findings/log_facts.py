"""Collects facts about logs: the last lines of each run of a container, templates of errors, and counts. Bounded."""

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime

from aletheia_operator.findings.finding import Link
from aletheia_operator.findings.telling import is_farewell, tells_why
from aletheia_operator.findings.templates import Templates

MAX_RUNS = 2_000
LAST_LINES = 16
LAST_ERRORS = 12
MAX_WORDS = 400  # characters of a line that are kept
TRACEBACK = "Traceback (most recent call last)"
_EMPTY_WORDS = ("goroutine ", "exit status ", "at ", "...", "Stack trace:")
_OF_KUBELET = "unable to retrieve container logs for "
"""Beginning of a kubelet's message in place of a log that no longer exists."""
_WELL = ("INFO", "DEBUG", "TRACE")
BURST_SECONDS = 5.0
NEAR_END = 60
"""Maximum number of lines after the line that states the cause, for example usage text after a wrong option."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a log. `level`, `stamp`: '' if it has none. `continues`: it belongs to an earlier line."""

    text: str
    level: str
    stamp: str
    link: Link
    continues: bool = False


@dataclass
class RunFacts:
    """One run of a container: its last lines, its last errors, and its last fatal error."""

    pod: str
    container: str
    run: int | None
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    errors: deque[Line] = field(default_factory=lambda: deque(maxlen=LAST_ERRORS))
    fatal: Line | None = None
    telling: Line | None = None
    """The last line without a level that contains words of `findings.words`."""
    cause: Line | None = None
    """The last `Caused by:` of a stack trace."""

    def last_words(self) -> Line | None:
        """Return the line that best explains the end of the run; None if the log is empty.

        The last fatal error or the last error, with the last cause of its stack trace; else the last line that contains
        words of `findings.words`; else the last line.
        """
        line = self._last_words()
        if line is None or line.level in _WELL or is_farewell(line.text):
            line = self._better_than(line) or line
        if (
            line is None
            or self.cause is None
            or line.level not in ("ERROR", "FATAL")
            or line.link.entry > self.cause.link.entry
        ):
            return line
        return self.cause

    @property
    def is_gone(self) -> bool:
        """Whether there is only a kubelet's message that the log is gone."""
        return any(line.text.startswith(_OF_KUBELET) for line in self.lines) and self.last_words() is None

    @property
    def says_why(self) -> bool:
        """Whether the last words may explain the end: their level is not that of normal operation."""
        line = self.last_words()
        return line is not None and line.level not in _WELL

    def _better_than(self, farewell: Line | None) -> Line | None:
        """Return the line that gives the reason if the last one, `farewell`, only reports the end; None if no line gives it.

        If `farewell` ends with a colon, the next line that gives a reason. Else the first error with a reason in the last
        burst, or else the last line of any level with a reason.
        """
        known = (line for line in (*self.lines, *self.errors, self.telling) if line is not None)
        lines = {line.link.entry: line for line in known if not line.text.startswith(_OF_KUBELET)}
        ordered = [lines[entry] for entry in sorted(lines)]
        if farewell is not None and farewell.text.rstrip().endswith(":"):
            after = (line for line in ordered if line.link.entry > farewell.link.entry and not line.level)
            if (first := next((line for line in after if tells_why(line.text)), None)) is not None:
                return first
        telling = [line for line in ordered if tells_why(line.text)]
        serious = [line for line in telling if line.level in ("ERROR", "FATAL")]
        if serious:
            return _first_of_burst(serious)
        return telling[-1] if telling else None

    def _last_words(self) -> Line | None:
        printed = [line for line in self.lines if line.text.strip() and not line.text.startswith(_OF_KUBELET)]
        own = [
            line for line in printed if not line.text.startswith((" ", "\t", "}")) and not line.text.startswith(_EMPTY_WORDS)
        ]
        if self.fatal is not None and not self.fatal.text.startswith(TRACEBACK):
            return self.fatal
        error = self.errors[-1] if self.errors else None
        if error is not None and TRACEBACK not in error.text:
            return error
        if error is not None and own and own[-1].link.entry > error.link.entry:
            return own[-1]  # the last line of a traceback names the exception
        if error is not None:
            return error
        last = own[-1] if own else printed[-1] if printed else None
        if last is not None and last.level in _WELL:  # the runtime may store lines of both streams in either order
            same_second = [line for line in own if line.level not in _WELL and line.stamp[:19] == last.stamp[:19]]
            last = same_second[-1] if same_second else last
        if self.telling is not None and last is not None and last.link.entry - self.telling.link.entry <= NEAR_END:
            return self.telling
        return last


def _first_of_burst(errors: list[Line]) -> Line:
    """Return the first error of the burst that ends with the last error: the others count as its consequences."""
    first = errors[-1]
    for line in reversed(errors):
        if not line.stamp or not first.stamp or _second(first.stamp) - _second(line.stamp) > BURST_SECONDS:
            break
        first = line
    return first


def _second(stamp: str) -> float:
    return datetime.fromisoformat(stamp[:19]).timestamp()


@dataclass
class LogFacts:
    """The logs of all pods."""

    runs: dict[tuple[str, str, int | None], RunFacts] = field(default_factory=dict)
    templates: Templates = field(default_factory=Templates)
    lines: int = 0
    levels: Counter[str] = field(default_factory=Counter)
    errors_of: Counter[str] = field(default_factory=Counter)
    """Errors and fatal errors by pod."""
    pods: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)
    """Names of services in labels of Loki's lines without a pod."""
    loki: list[tuple[Templates, int]] = field(default_factory=list)
    """Templates and number of lines, for each artifact from Loki."""
    left_out: int = 0

    def take_loki(self) -> None:
        """Count the lines from Loki, except those of pods with captured logs, which are counted already."""
        for templates, lines in self.loki:
            self.lines += lines
            for template in templates.by_shape.values():
                template.places = {place: found for place, found in template.places.items() if found.pod not in self.pods}
                template.count = sum(found.count for found in template.places.values())
            templates.by_shape = {key: template for key, template in templates.by_shape.items() if template.count}
            for template in templates.by_shape.values():
                if template.level:
                    self.levels[template.level] += template.count
            self.templates.merge(templates)
        self.loki.clear()

"""Facts about logs: the last words of each run of a container, templates of errors, and counts. Bounded."""

from collections import Counter, deque
from dataclasses import dataclass, field

from aletheia_operator.findings.finding import Link
from aletheia_operator.findings.templates import Templates

MAX_RUNS = 2_000
LAST_LINES = 6
LAST_ERRORS = 3
MAX_WORDS = 400  # characters of a line that are kept
TRACEBACK = "Traceback (most recent call last)"
_EMPTY_WORDS = ("goroutine ", "exit status ", "at ", "...", "Stack trace:")
_OF_KUBELET = "unable to retrieve container logs for "
"""What a kubelet answers in place of a log that is gone."""
_WELL = ("INFO", "DEBUG", "TRACE")
NEAR_END = 60
"""Lines after a line of words that tell, for example the usage that a program prints after a wrong option."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a log. `level` '': it has none. `stamp` '': it has no time. `continues`: it belongs to a line before it."""

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
    """The last line without a level that has words that tell."""
    cause: Line | None = None
    """The last `Caused by:` of a stack trace."""

    def last_words(self) -> Line | None:
        """Return the line that says best how the run ended; None if it said nothing.

        A fatal error or the last error, with the cause that its stack trace names last; else the last line with words that
        tell; else the last line.
        """
        line = self._last_words()
        if (
            line is None
            or self.cause is None
            or line.level not in ("ERROR", "FATAL")
            or line.link.entry > self.cause.link.entry
        ):
            return line
        return self.cause

    @property
    def says_why(self) -> bool:
        """Whether the last words are more than what the program says when all is well."""
        line = self.last_words()
        return line is not None and line.level not in _WELL

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
            return own[-1]  # the end of a traceback names the exception
        if error is not None:
            return error
        last = own[-1] if own else printed[-1] if printed else None
        if last is not None and last.level in _WELL:  # the runtime may store what both streams say in either order
            same_second = [line for line in own if line.level not in _WELL and line.stamp[:19] == last.stamp[:19]]
            last = same_second[-1] if same_second else last
        if self.telling is not None and last is not None and last.link.entry - self.telling.link.entry <= NEAR_END:
            return self.telling
        return last


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
    """Names in labels of Loki's lines that name no pod."""
    loki: list[tuple[Templates, int]] = field(default_factory=list)
    """Templates and number of lines of each answer of Loki."""
    left_out: int = 0

    def take_loki(self) -> None:
        """Count the lines of Loki, but those of pods whose logs were captured: they are counted already."""
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

    def of_run(self, pod: str, container: str, run: int | None) -> RunFacts | None:
        return self.runs.get((pod, container, run))

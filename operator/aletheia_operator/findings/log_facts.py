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

    def last_words(self) -> Line | None:
        """Return the line that says best how the run ended: a fatal error, else the last error, else the last line."""
        said = [line for line in self.lines if line.text.strip()]
        own = [line for line in said if not line.text.startswith((" ", "\t", "}")) and not line.text.startswith(_EMPTY_WORDS)]
        if self.fatal is not None and not self.fatal.text.startswith(TRACEBACK):
            return self.fatal
        error = self.errors[-1] if self.errors else None
        if error is not None and TRACEBACK not in error.text:
            return error
        if error is not None and own and own[-1].link.entry > error.link.entry:
            return own[-1]  # the end of a traceback names the exception
        return error or (own[-1] if own else said[-1] if said else None)


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
    left_out: int = 0

    def of_run(self, pod: str, container: str, run: int | None) -> RunFacts | None:
        return self.runs.get((pod, container, run))

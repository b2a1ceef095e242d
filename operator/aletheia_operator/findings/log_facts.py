"""Collects facts about logs: the last lines of each run of a container, templates of errors, and counts. Bounded."""

import re
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime

from aletheia_operator.findings.error_categories import CALLS, category_of
from aletheia_operator.findings.finding import Link
from aletheia_operator.findings.harmless_lines import closes_script, is_advice
from aletheia_operator.findings.reason_lines import (
    denies_error,
    gives_reason,
    heads_trace,
    is_bare_errno,
    is_exception,
    is_exit_notice,
    is_vague,
    names_failure,
)
from aletheia_operator.findings.templates import Templates

MAX_RUNS = 2_000
LAST_LINES = 16
LAST_ERRORS = 12
MAX_LINE = 400  # characters of a line that are kept
TRACEBACK = "Traceback (most recent call last)"
_EMPTY_WORDS = ("goroutine ", "exit status ", "at ", "...", "Stack trace:", "+ ", "++ ", "+++ ")
"""Beginnings of lines of stack traces, and of commands that a shell prints before it runs them."""
_OF_KUBELET = "unable to retrieve container logs for "
"""Beginning of a kubelet's message in place of a log that no longer exists."""
WELL = ("INFO", "DEBUG", "TRACE")
BURST_SECONDS = 5.0
NEAR_SECONDS = 180.0
DETAIL_LINES = 8
_DETAIL = re.compile(r"\s{0,8}\w{0,30}(?:detail|reason|cause)\w{0,8}[:=] ?\S", re.IGNORECASE)
"""Lines after an error that say why, up to DETAIL_LINES after it."""
OPENED = ("[", "{", "(")
"""Ends of lines after which a structure is printed over several lines."""
CLOSED = ("]", "}", ")")
OPENED_LINES = 14
_FRAME = re.compile(r"(?:\[\d{1,6}\] )?#\d{1,3} ")
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
    categorised: Line | None = None
    """The last line without a level that has a category of `findings.error_categories`."""
    cause: Line | None = None
    """The last `Caused by:` of a stack trace."""

    def see_fatal(self, line: Line) -> None:
        """Keep the first fatal error of the last burst with a reason: programs log their stack or their end after it."""
        before = self.fatal
        if before is None or is_exit_notice(before.text) or before.text.startswith(TRACEBACK) or not _in_burst(before, line):
            self.fatal = line

    def explaining_line(self) -> Line | None:
        """Return the line that best explains the end of the run; None if the log is empty.

        The first fatal error or the first error of the last burst, with the last cause of its stack trace; else the last line
        that has a category of `findings.error_categories`; else the last line.
        """
        line = self._explaining_line()
        if line is not None and line.level not in WELL and closes_script(line.text):
            line = self._reason_before_closing(line) or line
        if line is None or line.level in WELL or is_exit_notice(line.text) or heads_trace(line.text):
            line = self._reason_instead_of(line) or line
        elif line.level == "FATAL" and not gives_reason(line.text) and not category_of(line.text):
            line = self._error_before(line) or line
        elif category_of(line.text) == "timeout":
            line = self._reason_before(line) or line
        elif line.level == "ERROR" and is_vague(line.text):
            line = self._with_reason_after(line)
        if (
            line is None
            or self.cause is None
            or line.level not in ("ERROR", "FATAL")
            or line.link.entry > self.cause.link.entry
            or any(line.link.entry < later.link.entry < self.cause.link.entry for later in self.errors)
        ):
            return self._with_object(line)
        return self._with_object(self.cause)

    def _error_before(self, fatal: Line) -> Line | None:
        """Return the last error with a category in NEAR_SECONDS before a fatal error without a reason; None without one."""
        errors = (line for line in reversed(self.errors) if line.level == "ERROR" and line.link.entry < fatal.link.entry)
        near = (line for line in errors if _in_burst(line, fatal, NEAR_SECONDS))
        return next((line for line in near if category_of(line.text)), None)

    def _reason_before_closing(self, closing: Line) -> Line | None:
        """Return the last line with a reason in NEAR_SECONDS before the line by which a script ends; None without one."""
        known = (line for line in (*self.lines, *self.errors, self.categorised) if line is not None)
        before = {line.link.entry: line for line in known if line.link.entry < closing.link.entry and line.level not in WELL}
        near = [before[entry] for entry in sorted(before, reverse=True) if _in_burst(before[entry], closing, NEAR_SECONDS)]
        own = [line for line in near if not line.text.startswith((*_EMPTY_WORDS, _OF_KUBELET)) and not _is_code(line)]
        with_words = [line for line in own if not closes_script(line.text) and not is_advice(line.text)]
        reasons = [line for line in with_words if category_of(line.text) or gives_reason(line.text)]
        errors = (line for line in reasons if line.level != "WARN" and not denies_error(line.text))
        return next(errors, next(iter(reasons), None))

    def _reason_before(self, timeout: Line) -> Line | None:
        """Return the first error with another reason in NEAR_SECONDS before a timeout; None without one."""
        near = (line for line in self.errors if line.link.entry < timeout.link.entry and _in_burst(line, timeout, NEAR_SECONDS))
        return next((line for line in near if gives_reason(line.text) and category_of(line.text) not in CALLS), None)

    def _with_reason_after(self, error: Line) -> Line:
        """Return an error without a reason, with the last line without a level after it that has one."""
        found = self.categorised
        if found is None or not 0 < found.link.entry - error.link.entry <= LAST_LINES or category_of(found.text) in CALLS:
            return error
        return replace(error, text=f"{error.text}: {found.text.strip()}")

    def _with_object(self, line: Line | None) -> Line | None:
        """Return a line with one after it that says more: the next line, if it is announced, or a line of details."""
        if line is None:
            return None
        later = (known for known in self.lines if 0 < known.link.entry - line.link.entry <= DETAIL_LINES)
        if (detail := next((known for known in later if _DETAIL.match(known.text)), None)) is not None:
            return replace(line, text=f"{line.text}: {detail.text.strip()}")
        if line.text.rstrip().endswith(OPENED):
            return replace(line, text=" ".join(part.text.strip() for part in (line, *self._after(line, OPENED_LINES))))
        after = next(iter(self._after(line, 1)), None)
        if (
            after is None
            or after.text.strip().startswith("at ")
            or not (is_bare_errno(line.text) or line.text.rstrip().endswith(":") or _adds_reason(line, after))
        ):
            return line
        return replace(line, text=f"{line.text.rstrip().rstrip(':')}: {after.text.strip()}")

    def _after(self, line: Line, most: int) -> list[Line]:
        """Return the known lines directly after a line, at most `most`."""
        known = {later.link.entry: later for later in (*self.lines, *self.errors)}
        found: list[Line] = []
        while len(found) < most and (later := known.get(line.link.entry + len(found) + 1)) is not None:
            found.append(later)
            if later.text.startswith(CLOSED):
                break
        return found

    @property
    def is_gone(self) -> bool:
        """Whether there is only a kubelet's message that the log is gone."""
        return any(line.text.startswith(_OF_KUBELET) for line in self.lines) and self.explaining_line() is None

    @property
    def explains_end(self) -> bool:
        """Whether a line may explain the end of the run: its level is not that of normal operation."""
        line = self.explaining_line()
        return line is not None and line.level not in WELL

    def _reason_instead_of(self, exit_notice: Line | None) -> Line | None:
        """Return the line that gives the reason if the last one, `exit_notice`, only reports the end; None without one.

        If `exit_notice` is empty or ends with a colon, the next line that gives a reason. Else the first error with a reason in
        the last burst, or else the last line of any level with a reason.
        """
        known = (line for line in (*self.lines, *self.errors, self.categorised) if line is not None)
        lines = {line.link.entry: line for line in known if not line.text.startswith(_OF_KUBELET)}
        before = lines.get(exit_notice.link.entry - 1) if exit_notice is not None and heads_trace(exit_notice.text) else None
        if before is not None:
            return before
        ordered = [lines[entry] for entry in sorted(lines)]
        if exit_notice is not None and (not exit_notice.text.strip() or exit_notice.text.rstrip().endswith(":")):
            after = (line for line in ordered if line.link.entry > exit_notice.link.entry and not line.level)
            if (first := next((line for line in after if gives_reason(line.text)), None)) is not None:
                return first
        with_reason = [line for line in ordered if gives_reason(line.text) and not _is_code(line)]
        serious = [line for line in with_reason if line.level in ("ERROR", "FATAL")]
        errors = [line for line in ordered if line.level in ("ERROR", "FATAL") and not is_exit_notice(line.text)]
        if serious or errors:
            return _first_of_burst(serious or errors)
        with_category = [line for line in with_reason if category_of(line.text)]
        if not with_category and (
            failures := [line for line in with_reason if line.level == "WARN" and names_failure(line.text)]
        ):
            return _first_of_burst(failures)
        return next(reversed(with_category or with_reason), None)

    def _explaining_line(self) -> Line | None:
        printed = [line for line in self.lines if line.text.strip() and not line.text.startswith(_OF_KUBELET)]
        own = [
            line
            for line in printed
            if not line.text.startswith((" ", "\t", "}", *_EMPTY_WORDS)) and not _FRAME.match(line.text)
        ]
        if self.fatal is not None and not self.fatal.text.startswith(TRACEBACK):
            return self.fatal
        error = self.errors[-1] if self.errors else None
        if error is not None and TRACEBACK not in error.text:
            return _first_of_burst([known for known in self.errors if gives_reason(known.text) or known is error])
        if error is not None and own and own[-1].link.entry > error.link.entry:
            return own[-1]  # the last line of a traceback names the exception
        if error is not None:
            return error
        own = [line for line in own if not is_advice(line.text)] or own
        last = own[-1] if own else printed[-1] if printed else None
        if last is not None and last.level in WELL:  # the runtime may store lines of both streams in either order
            same_second = [line for line in own if line.level not in WELL and line.stamp[:19] == last.stamp[:19]]
            last = next((line for line in same_second if names_failure(line.text)), same_second[-1] if same_second else last)
        if last is not None and not last.level and not gives_reason(last.text):
            beside = [line for line in own if not line.level and line.stamp[:19] == last.stamp[:19] and gives_reason(line.text)]
            last = beside[-1] if beside else last
        if self.categorised is not None and last is not None and last.link.entry - self.categorised.link.entry <= NEAR_END:
            return self.categorised
        return last


def _adds_reason(error: Line, after: Line) -> bool:
    """Return whether the line after an error without a category has one, and is no line of a stack trace."""
    if error.level != "ERROR" or after.level or category_of(error.text) or is_exception(error.text):
        return False
    return not after.text[:1].isspace() and category_of(after.text) not in ("", *CALLS)


def _is_code(line: Line) -> bool:
    """Return whether a line of a stack trace may quote source code: it is indented and no exception."""
    return line.continues and line.text[:1].isspace() and not is_exception(line.text)


def _first_of_burst(errors: list[Line]) -> Line:
    """Return the first error of the burst that ends with the last error: the others count as its consequences."""
    first = errors[-1]
    for line in reversed(errors):
        if not _in_burst(line, first):
            break
        first = line
    return first


def _in_burst(before: Line, after: Line, seconds: float = BURST_SECONDS) -> bool:
    """Return whether two errors are near enough in time to have one cause."""
    return bool(before.stamp and after.stamp) and _second(after.stamp) - _second(before.stamp) <= seconds


def _second(stamp: str) -> float:
    return datetime.fromisoformat(stamp[:19]).timestamp()


@dataclass
class LogFacts:
    """The logs of all pods."""

    runs: dict[tuple[str, str, int | None], RunFacts] = field(default_factory=dict)
    templates: Templates = field(default_factory=Templates)
    lines: int = 0
    levels: Counter[str] = field(default_factory=Counter)
    lines_of: Counter[str] = field(default_factory=Counter)
    """Lines by pod."""
    errors_of: Counter[str] = field(default_factory=Counter)
    """Errors and fatal errors by pod."""
    pods: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)
    """Names of services in labels of Loki's lines without a pod."""
    loki: list[tuple[Templates, int]] = field(default_factory=list)
    """Templates and number of lines, for each artifact from Loki."""
    left_out: int = 0

    def last_words(self, pods: Collection[str], container: str = "") -> Line | None:
        """Return the line that best explains what these pods did last: of one container, or of any; None without a log."""
        runs = (run for (pod, name, _), run in self.runs.items() if pod in pods and container in ("", name))
        lines = [line for run in runs if (line := run.explaining_line()) is not None]
        return max(lines, key=lambda line: line.stamp, default=None)

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

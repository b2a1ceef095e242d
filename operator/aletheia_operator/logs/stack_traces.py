"""Lines that belong to the line before them: stack traces of Java, Python, Go, Node.js, .NET, Rust, Ruby and PHP."""

import re
from dataclasses import dataclass

from aletheia_operator.text.timestamps import NANOSECONDS, parse_nanoseconds

FAR_NANOSECONDS = 10 * NANOSECONDS  # a trace is written at once: what comes later is something else
_MINUTE_LENGTH = len("2026-11-22T15:21")
_CONTINUES = re.compile(
    r"[ \t]+\S|Caused by: |Suppressed: |Stack trace:|stack backtrace:|#\d+ |\.\.\. \d+ more|--- End of |goroutine \d+ \["
    r"|created by |During handling of the above|The above exception was|Traceback \(most recent call last\)"
    r"|[A-Za-z_$][\w$]*(?:[.:\\/]+[\w$]+)*(?:Exception|Error|Throwable)(?::\s|$)|exit status \d+$"
)
_BEGINS = re.compile(
    r"Traceback \(most recent call last\)|Exception in thread |Unhandled exception|[\w$.]+(?:Exception|Error): "
)
_PYTHON_ERROR = re.compile(r"[A-Za-z_][\w.]*(?::|$)")


@dataclass
class Heads:
    """Finds the head of each line of one container's run, read in order."""

    head: str | None = None
    """Timestamp of the last line that may have continuations."""
    _before: str = ""
    _language: str = ""

    def begin(self, timestamp: str) -> None:
        """A line that has a head of its own."""
        self.head = self._before = timestamp
        self._language = ""

    def head_of(self, line: str, timestamp: str) -> str | None:
        """Timestamp of the line that this one, which has no head of its own, continues; None where it stands for itself."""
        if not line and not self._language:  # Go sets its traces off by an empty line
            return None
        if self.head is not None and self._continues(line) and _near(self._before, timestamp):
            self._before = timestamp
            return self.head
        self.head, self._language = None, ""
        if _BEGINS.match(line):
            self.head, self._before = timestamp, timestamp
            self._language = "python" if line.startswith("Traceback") else ""
        return None

    def _continues(self, line: str) -> bool:
        if _CONTINUES.match(line):
            if line.startswith("goroutine "):
                self._language = "go"
            elif line.startswith("Traceback"):
                self._language = "python"
            return True
        if self._language == "python" and _PYTHON_ERROR.match(line):
            self._language = ""
            return True
        return self._language == "go" or (not line and self._language == "python")


def _near(before: str, after: str) -> bool:
    if before[:_MINUTE_LENGTH] == after[:_MINUTE_LENGTH]:
        return True
    first, second = parse_nanoseconds(before.encode()), parse_nanoseconds(after.encode())
    return first is not None and second is not None and second - first <= FAR_NANOSECONDS

"""Lines that belong to the line before them: stack traces and reports of Java, Python, Go, Node.js, .NET, Rust, Ruby, PHP,
Elixir, Erlang and PostgreSQL.

To add a language: the beginnings of its lines in `_CONTINUES`. Lines of free text want a language in `_language_of`.
"""

import re
from dataclasses import dataclass

from aletheia_operator.text.batches import SERIOUS
from aletheia_operator.text.timestamps import NANOSECONDS, parse_nanoseconds

FAR_NANOSECONDS = 10 * NANOSECONDS  # a trace is written at once: what comes later is something else
_MINUTE_LENGTH = len("2026-11-22T15:21")
_LONGEST = 1024  # characters of a line that are looked at
_CONTINUES = re.compile(
    r"[ \t]++\S|Caused by: |Suppressed: |#\d{1,6} |\.\.\. \d{1,9} more|--- End of |Node\.js v\d|\}$"  # JVM, .NET, Node.js
    r"|Traceback \(most recent call last\)|During handling of the above|The above exception was|\[rank\d{1,6}\]: "  # Python
    r"|goroutine \d{1,20} \[|created by |runtime stack:|\[signal |exit status \d{1,3}$|\[recovered\]"  # Go
    r"|stack backtrace:|note: (?:run with|Some details)|thread panicked while "  # Rust
    r"|Stack trace:|PHP (?:Stack trace:| {1,4}\d{1,4}\. )|Next \S{1,100}(?:Exception|Error)\b"  # PHP
    r"|[^\s:]{1,300}:\d{1,9}:in [`']"  # Ruby
    r"|stack traceback:|CallStack \(from |\*\*\* Check failure stack trace"  # Lua, Haskell, glog
    r"|\*\* \S|(?:Last message|State|Function|Args|Ancestors|Initial Call|Start Call|Message Queue)\b[^:]{0,40}: "  # Erlang
    r"|[│╵] ?|[└┘]"  # boxes of Terraform and Julia
    r"|[A-Za-z_$][\w$]*+(?:[.:\\/]++[\w$]++)*+(?:(?<=Exception)|(?<=Error)|(?<=Throwable))(?::\s|$)"
)
_POSTGRESQL = re.compile(r"[^\n]{0,200}?(?:DETAIL|HINT|STATEMENT|CONTEXT|QUERY|LOCATION):  ")
_PYTHON_ERROR = re.compile(r"[A-Za-z_][\w.]*+(?::|$)")


@dataclass
class Heads:
    """Finds the head of each line of one container's run, read in order."""

    head: str | None = None
    """Timestamp of the last line that may have continuations."""
    serious: bool = False
    """Whether that line is an error."""
    _before: str = ""
    _language: str = ""
    _free_lines: int = 0  # that may still be the head's message, whatever they say

    def begin(self, timestamp: str, serious: bool) -> None:
        """A line that has a head of its own."""
        self.head = self._before = timestamp
        self.serious = serious
        self._language, self._free_lines = "", 0

    def head_of(self, line: str, timestamp: str, level: str | None = None) -> str | None:
        """Timestamp of the line that `line`, which has no head of its own, continues; None if it stands for itself.

        `level`: that of a crash's line, which continues an error, but nothing less.
        """
        if not line and not self._language:  # Go sets its traces off by an empty line
            return None
        joins = self.head is not None and (level is None or self.serious)
        if joins and self._continues(line) and _near(self._before, timestamp):
            self._before = timestamp
            return self.head
        self.head, self.serious, self._language, self._free_lines = None, False, "", 0
        if level is not None:
            self.begin(timestamp, level in SERIOUS)
            self._language = _language_of(line)
            self._free_lines = int(self._language == "rust" and line.endswith(":"))
        return None

    def _continues(self, line: str) -> bool:
        if self._free_lines and line:
            self._free_lines -= 1
            return True
        if _CONTINUES.match(line, 0, _LONGEST):
            self._language = _language_of(line) or self._language
            return True
        if self._language == "python" and _PYTHON_ERROR.match(line, 0, _LONGEST):
            self._language = ""
            return True
        if self._language == "go" or (not line and self._language in ("python", "rust")):
            return True
        if self._language == "jvm" and line[:1] == "#":
            return True
        return line.find(":  ", 0, _LONGEST) >= 0 and _POSTGRESQL.match(line, 0, _LONGEST) is not None


def _language_of(line: str) -> str:
    """Whose trace the line begins, for those with lines of free text; else ''."""
    if line.startswith(("goroutine ", "runtime stack:")):
        return "go"
    if line.startswith("Traceback"):
        return "python"
    if line.startswith("thread "):
        return "rust"
    return "jvm" if line.startswith("# ") else ""


def _near(before: str, after: str) -> bool:
    if before[:_MINUTE_LENGTH] == after[:_MINUTE_LENGTH]:
        return True
    first, second = parse_nanoseconds(before.encode()), parse_nanoseconds(after.encode())
    return first is not None and second is not None and second - first <= FAR_NANOSECONDS

"""Recognises lines that continue the line before: stack traces of Java, Python, Go, Node.js, .NET, Rust, Ruby, PHP, Elixir and
Erlang, and reports of PostgreSQL.

To add a language, add the beginnings of its lines to `_CONTINUES`. If its traces contain free text, add it to `_language_of`.
"""

import re
from dataclasses import dataclass

from aletheia_operator.text.batches import SERIOUS
from aletheia_operator.text.timestamps import NANOSECONDS, parse_nanoseconds

FAR_NANOSECONDS = 10 * NANOSECONDS  # lines of one trace are closer: a later line is something else
_MINUTE_LENGTH = len("2026-11-22T15:21")
_LONGEST = 1024  # characters of a line that are matched
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
    """Finds the head of each line of one run: the line that it continues. Lines must come in order."""

    head: str | None = None
    """Timestamp of the last line that may have continuations."""
    serious: bool = False
    """Whether that line is an error."""
    _before: str = ""
    _language: str = ""
    _free_lines: int = 0  # number of next lines that may be free text of the head's message

    def begin(self, timestamp: str, serious: bool) -> None:
        """Begin with a line that may have continuations. `serious`: it is an error."""
        self.head = self._before = timestamp
        self.serious = serious
        self._language, self._free_lines = "", 0

    def head_of(self, line: str, timestamp: str, level: str | None = None) -> str | None:
        """Return the timestamp of the line that `line` continues; None if it continues none.

        `level`: of a crash's line, which continues only errors; None for other lines.
        """
        if not line and not self._language:  # an empty line precedes Go's traces
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
    """Return the language of the trace that begins with this line, if its traces contain free text; else ''."""
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

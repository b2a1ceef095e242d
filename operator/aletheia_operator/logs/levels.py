"""Maps the words and numbers that log libraries use for severities to six levels, and counts levels."""

import re
from collections import Counter
from collections.abc import Iterator

from aletheia_operator.text.display import one_line

LEVELS = {
    "trace": "TRACE", "trc": "TRACE", "trce": "TRACE", "finest": "TRACE", "finer": "TRACE", "verbose": "TRACE", "vrb": "TRACE",
    "debug": "DEBUG", "dbg": "DEBUG", "dbug": "DEBUG", "fine": "DEBUG", "config": "DEBUG",
    **{f"debug{number}": "DEBUG" for number in range(1, 6)},  # PostgreSQL
    **{f"trace{number}": "TRACE" for number in range(1, 9)},  # Apache
    "info": "INFO", "information": "INFO", "informational": "INFO", "inf": "INFO", "notice": "INFO", "note": "INFO",
    "log": "INFO", "system": "INFO", "success": "INFO", "default": "INFO",
    "warning": "WARN", "warn": "WARN", "wrn": "WARN",
    "error": "ERROR", "err": "ERROR", "severe": "ERROR", "fail": "ERROR", "failure": "ERROR",
    "fatal": "FATAL", "critical": "FATAL", "crit": "FATAL", "crt": "FATAL", "cri": "FATAL", "panic": "FATAL", "dpanic": "FATAL",
    "emerg": "FATAL", "emergency": "FATAL", "alert": "FATAL", "ftl": "FATAL",
    # cut to three or four letters: zerolog, log15, logrus, charm, phuslu
    "trac": "TRACE", "debu": "DEBUG", "erro": "ERROR", "eror": "ERROR", "fata": "FATAL", "pani": "FATAL", "pnc": "FATAL",
    "noti": "INFO", "emer": "FATAL",
    "audit": "INFO", "shout": "FATAL", "fatal error": "FATAL",
}  # fmt: skip
"""Levels by word, in small letters."""
_KEYS_OF_LEVELS = (
    "level", "lvl", "severity", "sev", "log level", "log lvl", "log severity", "level name", "level str", "level string",
    "level text", "level label", "level value", "level no", "log level name", "severity name", "severity label",
    "severity text", "severity string", "severity number", "severity level", "error severity",
)  # fmt: skip


def _spellings(words: list[str]) -> Iterator[str]:
    """Yield the names of fields that libraries make of these words."""
    for between in ("", "_", "-", "."):
        joined = between.join(words)
        yield from (joined, joined.upper(), joined.capitalize(), between.join(map(str.capitalize, words)), f"@{joined}")
    yield words[0] + "".join(map(str.capitalize, words[1:]))


LEVEL_KEYS = frozenset(spelling for key in _KEYS_OF_LEVELS for spelling in _spellings(key.split())) | {"PRIORITY", "L", "@l"}
"""Keys of levels in JSON and logfmt, in the usual spellings."""
LETTERS = {
    "V": "TRACE", "T": "TRACE", "D": "DEBUG", "I": "INFO", "W": "WARN", "E": "ERROR", "F": "FATAL", "C": "FATAL", "A": "FATAL",
}  # fmt: skip
"""Levels by the letter that glog, klog, Android, MongoDB, Ruby and Tornado use."""
SYSLOG = ("FATAL", "FATAL", "FATAL", "ERROR", "WARN", "INFO", "INFO", "DEBUG")
"""Levels by syslog severity, 0 to 7 (RFC 5424, table 2)."""
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\b[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}\b|\d+")


def level_of_word(word: str) -> str | None:
    """Return the level (TRACE DEBUG INFO WARN ERROR FATAL) of a word; None for any other word."""
    return LEVELS.get(word.strip().lower())


class LevelCount:
    """Counts levels and error messages, and summarises them on one line."""

    MAX_MESSAGES = 1000  # distinct error messages kept, so that memory stays flat

    def __init__(self) -> None:
        self.lines = 0
        self.levels: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, level: str | None, lines: int = 1) -> None:
        """Count lines of a level."""
        self.lines += lines
        if level is not None:
            self.levels[level] += lines

    def add_message(self, message: str) -> None:
        """Count the message of an error."""
        message = message[:300]
        self._add_message(_NUMBERS.sub("0", message[:200]), message, 1)  # messages that differ only in numbers count as one

    def merge(self, other: "LevelCount") -> None:
        """Add the counts of `other`."""
        self.lines += other.lines
        self.levels += other.levels
        for form, times in other._errors.items():
            self._add_message(form, other._examples[form], times)

    def _add_message(self, form: str, example: str, times: int) -> None:
        if form in self._errors or len(self._errors) < self.MAX_MESSAGES:
            self._errors[form] += times
            self._examples.setdefault(form, example)

    def counts(self) -> str:
        """Summarise without text of the lines, for example: 200 logs (47 ERROR)."""
        serious = [f"{self.levels[level]} {level}" for level in ("FATAL", "ERROR", "WARN") if self.levels[level]]
        return f"{self.lines} logs" + (f" ({', '.join(serious)})" if serious else "")

    def summary(self) -> str:
        """Summarise, for example: 200 logs (47 ERROR), top error: 'connection refused' (38x)."""
        text = self.counts()
        if self._errors:
            form, times = self._errors.most_common(1)[0]
            text += f", top error: '{one_line(self._examples[form])}' ({times}x)"
        return text

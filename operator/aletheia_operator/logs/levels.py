"""Maps the words and numbers that log libraries use for severities to six levels, and counts levels."""

import re
from collections import Counter
from collections.abc import Iterator

from aletheia_operator.text.display import one_line
from aletheia_operator.text.sizes import counted

LEVELS = {
    "trace": "TRACE", "trc": "TRACE", "trce": "TRACE", "finest": "TRACE", "finer": "TRACE", "verbose": "TRACE", "vrb": "TRACE",
    "silly": "TRACE",  # winston
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
    "noti": "INFO", "emer": "FATAL", "debg": "DEBUG", "blat": "TRACE",
    "audit": "INFO", "shout": "FATAL", "fatal error": "FATAL", "notification": "INFO", "deprecation": "WARN",
    "mild_warning": "WARN", "severe_warning": "WARN", "mild_error": "ERROR", "severe_error": "ERROR", "fatal_error": "FATAL",
    "incident_error": "ERROR",
}  # fmt: skip
"""Levels by word, in small letters."""
_KEYS_OF_LEVELS = (
    "level", "lvl", "severity", "sev", "log level", "log lvl", "log severity", "level name", "level str", "level string",
    "level text", "level label", "level value", "level no", "log level name", "severity name", "severity label",
    "severity text", "severity string", "severity number", "severity level", "error severity", "syslog severity",
    "event severity", "event level", "msg level", "message level", "logger level", "level desc", "lv",
    "level display name",
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
_LONGEST_TEXT = 40
_LONGEST_FORM = 200  # characters of an error that are compared
_LETTERS_OF_WORDS = re.compile(r"[a-z]{1,40}")
_LEVEL_OF = frozenset({"level", "loglevel", "severity", "log", "lvl", "sev", "logging"})  # words before a level
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\b[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}\b|\d+")


def level_of_word(word: str) -> str | None:
    """Return the level (TRACE DEBUG INFO WARN ERROR FATAL) of a word; None for any other word."""
    word = word.strip().lower()
    return LEVELS.get(word) or ("DEBUG" if word[:7] == "level(-" else None)  # zap's levels below DEBUG


def level_of_text(text: str) -> str | None:
    """Return the level of a short text with one word of a level: LogLevel.ERROR, [ERROR], error (3); None for any other."""
    words = [
        word for word in _LETTERS_OF_WORDS.findall(text[:_LONGEST_TEXT].lower()) if len(word) > 1 and word not in _LEVEL_OF
    ]
    return LEVELS.get(words[0]) if len(words) == 1 and len(text) <= _LONGEST_TEXT else None


class LevelCount:
    """Counts levels and error messages, and summarises them on one line."""

    MAX_MESSAGES = 1000  # distinct error messages kept, so that memory stays flat

    def __init__(self) -> None:
        self.lines = 0
        self.levels: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._numbers: dict[str, int] = {}

    def add(self, level: str | None, lines: int = 1) -> None:
        """Count lines of a level."""
        self.lines += lines
        if level is not None:
            self.levels[level] += lines

    def add_message(self, message: str) -> int:
        """Count the message of an error. Messages that differ only in numbers count as one.

        Returns a number from 1 to MAX_MESSAGES that only such messages share; 0 if they are long, or too many.
        """
        form = _NUMBERS.sub("0", message[:_LONGEST_FORM])
        self._add_message(form, message[:300], 1)
        if len(message) > _LONGEST_FORM:
            return 0
        number = self._numbers.get(form)
        if number is None and len(self._numbers) < self.MAX_MESSAGES:
            number = self._numbers[form] = len(self._numbers) + 1
        return number or 0

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
        return counted(self.lines, "log") + (f" ({', '.join(serious)})" if serious else "")

    def summary(self) -> str:
        """Summarise, for example: 200 logs (47 ERROR), top error: 'connection refused' (38x)."""
        text = self.counts()
        if self._errors:
            form, times = self._errors.most_common(1)[0]
            text += f", top error: '{one_line(self._examples[form])}' ({times}x)"
        return text

"""The level and message of a log line, by its form: JSON, logfmt, klog, or a level word in the line's head.

A word like ERROR inside a message does not make the line an error: only a level's own place counts.
"""

import re
from collections import Counter
from typing import Any

import orjson

_NAMES = {
    "trace": "TRACE", "finest": "TRACE", "finer": "TRACE",
    "debug": "DEBUG", "dbg": "DEBUG", "fine": "DEBUG", "d": "DEBUG",
    "info": "INFO", "information": "INFO", "informational": "INFO", "inf": "INFO", "notice": "INFO", "i": "INFO",
    "warning": "WARN", "warn": "WARN", "wrn": "WARN", "w": "WARN",
    "error": "ERROR", "err": "ERROR", "severe": "ERROR", "e": "ERROR",
    "fatal": "FATAL", "critical": "FATAL", "crit": "FATAL", "panic": "FATAL", "emerg": "FATAL", "alert": "FATAL",
    "dpanic": "FATAL", "f": "FATAL",
}  # fmt: skip
_WORDS = "|".join(sorted((name for name in _NAMES if len(name) > 2), key=len, reverse=True))
_KLOG = re.compile(r"([IWEFD])\d{4} \d\d:\d\d:\d\d\.\d+ .*?\] ?(.*)", re.DOTALL)
_LOGFMT_LEVEL = re.compile(rf'(?:^|\s)(?:level|lvl|severity)="?({_WORDS})"?(?=\s|$)', re.IGNORECASE)
_LOGFMT_MESSAGE = re.compile(r'(?:^|\s)(?:msg|message)=(?:"((?:[^"\\]|\\.)*)"|(\S+))')
# what may stand before the level: dates, times, process ids, one bracketed or plain logger or thread name
_HEAD = re.compile(
    rf"""(?:[\[(<]?[\d][\d:.,/TZ+-]*[\])>]?\s+ | \[[^\[\]]{{1,64}}\]\s+ | [\w.$-]{{1,64}}:?\s+ | -\s+){{0,5}}?
    [\[(<|]?\s?(?:({_WORDS.upper()})|({_WORDS})(?=[\])>|:]))\s?[\])>|]?(?:[:\s|-]+|$)(.*)""",
    re.VERBOSE | re.DOTALL,
)
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\b[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}\b|\d+")
_MAX_PARSED = 64 * 1024  # longer lines are evidence, but not worth parsing


def recognise(line: str) -> tuple[str | None, str]:
    """The level (TRACE DEBUG INFO WARN ERROR FATAL; None if the line does not say) and the message of a line."""
    if len(line) > _MAX_PARSED:
        return None, line[:_MAX_PARSED]
    if line.startswith("{"):
        try:
            return _of_json(orjson.loads(line), line)
        except orjson.JSONDecodeError:
            pass
    if match := _KLOG.match(line):
        return _NAMES[match[1].lower()], match[2]
    if match := _LOGFMT_LEVEL.search(line):
        message = _LOGFMT_MESSAGE.search(line)
        return _NAMES[match[1].lower()], (message[1] or message[2] or "") if message else line
    if match := _HEAD.match(line):
        return _NAMES[(match[1] or match[2]).lower()], match[3]
    return None, line


def _of_json(fields: Any, line: str) -> tuple[str | None, str]:
    if not isinstance(fields, dict):
        return None, line
    level = next((fields[key] for key in ("level", "severity", "lvl", "levelname", "log.level", "@l") if key in fields), None)
    message = next(
        (fields[key] for key in ("message", "msg", "@m", "event", "error") if isinstance(fields.get(key), str)), line
    )
    if isinstance(level, int):  # bunyan and pino: 10 trace ... 60 fatal
        name = {1: "TRACE", 2: "DEBUG", 3: "INFO", 4: "WARN", 5: "ERROR", 6: "FATAL"}.get(level // 10)
        return name, message
    return _NAMES.get(str(level).lower()), message


class LevelCount:
    """Counts levels and error messages, and says them in one line."""

    MAX_MESSAGES = 1000  # distinct error messages kept, so that memory stays flat

    def __init__(self) -> None:
        self.lines = 0
        self.levels: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, line: str) -> str | None:
        """Count a line; its level."""
        level, message = recognise(line)
        self.lines += 1
        if level is None:
            return None
        self.levels[level] += 1
        if level in ("ERROR", "FATAL"):
            form = _NUMBERS.sub("0", message[:200])  # messages that differ in numbers alone are one
            if form in self._errors or len(self._errors) < self.MAX_MESSAGES:
                self._errors[form] += 1
                self._examples.setdefault(form, message[:300])
        return level

    def summary(self) -> str:
        """Such as: 200 logs (47 ERROR), top error: 'connection refused' (38x)."""
        serious = [f"{self.levels[level]} {level}" for level in ("FATAL", "ERROR", "WARN") if self.levels[level]]
        text = f"{self.lines} logs" + (f" ({', '.join(serious)})" if serious else "")
        if self._errors:
            form, times = self._errors.most_common(1)[0]
            text += f", top error: '{one_line(self._examples[form])}' ({times}x)"
        return text


def one_line(text: str, limit: int = 120) -> str:
    """Text made inert and short: no control characters (they could move a terminal's cursor), at most `limit` long."""
    inert = "".join(c if c.isprintable() else " " for c in text[: limit * 2])
    short = " ".join(inert.split())
    return short if len(short) <= limit else short[: limit - 1] + "…"

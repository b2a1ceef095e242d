"""Lines of key=value pairs: logfmt of logrus, slog, go-kit, log15, Heroku."""

import re

import orjson

from aletheia_operator.logs.forms.recognised import LONG_HEAD, MAX_PARSED, Fields, Recognised
from aletheia_operator.logs.levels import LETTERS, LEVEL_KEYS, SYSLOG, level_of_text, level_of_word

_FIRST_KEYS = ("level", "lvl", "severity", "loglevel", "log_level", "levelname", "log.level", "prio", "priority", "at")
_MESSAGE_KEYS = ("msg", "message", "event", "Msg", "MSG", "Message", "MESSAGE")
_TIME_KEYS = ("time", "ts", "t", "timestamp")
_PAIR = re.compile(
    r'([A-Za-z_@][\w.@/-]*+)=("(?:[^"\\]|\\.)*+"|\x27(?:[^\x27\\]|\\.)*+\x27(?=\s|$)'
    r'|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[\d.,]*+(?=\s|$)|[^\s"]*+)(?:\s++|$)'
)
_BEFORE = re.compile(  # a time, or a name in brackets
    r"(?:[A-Z][a-z]{2} (?=[ \d]\d \d\d:))?(?:\[?\d[\w:.,/+-]*+\]?\s++){1,3}+"
    r"(?:[a-z][\w-]{1,30}\[[\w.-]{1,40}\]: )?|\[[\w .:/-]{1,80}\]:?\s++|\[APP\]"
)
_OF_PINO = {"10": "TRACE", "20": "DEBUG", "30": "INFO", "40": "WARN", "50": "ERROR", "60": "FATAL"}
_LOGR = re.compile(r'(?:^|[\s\]])(?:"level"=(\d{1,3}) )?"msg"=("(?:[^"\\]|\\.)*+")')
_SENTENCE = re.compile(r"(?:is|are|was|were|means) ")
_STEP = re.compile(r"[+-]\d{1,3}$")  # slog's levels between the named levels


def read_logfmt(line: str) -> Recognised | None:
    """Return level, message and fields of a line that consists of pairs, or begins with the pair of its level."""
    if '"msg"="' in line:
        return _read_quoted_keys(line)
    at = before.end() if (before := _BEFORE.match(line, 0, LONG_HEAD)) else 0
    first = _PAIR.match(line, at, at + MAX_PARSED)
    if not first:
        return None
    if len(line) > MAX_PARSED:
        return _read_long(line, at)
    pairs, at = read_pairs(line, at)
    found = _level_key(pairs)
    if at < len(line) and not (found and first[1] in (found, *_TIME_KEYS)):  # a sentence with an equals sign
        return None
    if at < len(line) and (_SENTENCE.match(line, at) or first[1].isupper()):  # a sentence; a shell's setting
        return None
    if len(pairs) < 2 and (not found or found in ("at", "prio", "priority") or at == len(line)):
        return None
    if "alertname" in pairs:  # the labels of an alert
        return None
    message = next((pairs.pop(key) for key in _MESSAGE_KEYS if key in pairs), None)
    if message is not None and message[:1] == "'":  # else it may be a settings file
        message, pairs = _bare(message), {key: _bare(value) for key, value in pairs.items()}
    word = pairs[found][:40] if found else ""
    level = level_of_word(_STEP.sub("", word if message is None else word.rstrip(",;")))
    if level is None and message is not None and word:
        level = (LETTERS.get(word) if word in "DIWEF" else None) or level_of_text(word)
    if level is None and (found or "pri" in pairs) and message is not None:
        found = found or "pri"
        level = _level_of_number(found, pairs[found])
    if level and found:
        del pairs[found]
    return Recognised(level, message, pairs or None, True)


def _read_quoted_keys(line: str) -> Recognised | None:
    """Read the text form of Go's logr: it gives errors no level, but a field."""
    if (match := _LOGR.search(line, 0, LONG_HEAD)) is None:
        return None
    level = "INFO" if match[1] == "0" else "DEBUG" if match[1] else "ERROR" if '"error"=' in line else None
    return Recognised(level, unquote(match[2]), None, True)


def _level_key(pairs: Fields) -> str | None:
    """Return the key of the level: the first with the word of a level, else the first usual key, else None."""
    present = [key for key in _FIRST_KEYS if key in pairs]
    if len(present) > 1 and (key_with_level := next((key for key in present if level_of_word(pairs[key][:40])), None)):
        return key_with_level
    if present:
        return present[0]
    return next((key for key in pairs if key in LEVEL_KEYS and key != "L" and not ("_" in key and key.isupper())), None)


def _level_of_number(key: str, word: str) -> str | None:
    """Return the level of syslog's number, or of pino's."""
    if len(word) == 1 and word in "01234567":
        return SYSLOG[int(word)] if key in ("pri", "prio", "priority") else None
    return _OF_PINO.get(word) if key == "level" else None


def _read_long(line: str, at: int) -> Recognised | None:
    """Return only the level of a line that is too long to parse; None if its head has no level."""
    pairs, _ = read_pairs(line[:LONG_HEAD], at)
    level = next((level_of_word(_STEP.sub("", pairs[key][:40])) for key in _FIRST_KEYS if key in pairs), None)
    return Recognised(level, formed=True) if level else None


def _bare(value: str) -> str:
    """Return the value without the apostrophes that Python writes around strings."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == "'" else value


def read_pairs(line: str, at: int) -> tuple[Fields, int]:
    """Return the consecutive key=value pairs from `at` on, and where they end."""
    pairs: Fields = {}
    while match := _PAIR.match(line, at):
        key, value = match.groups()
        pairs[key] = unquote(value) if value[:1] == '"' else value
        at = match.end()
    return pairs, at


def unquote(text: str) -> str:
    """Return the text between two quotes, with JSON's escapes resolved."""
    if "\\" not in text:
        return text[1:-1]
    try:
        return str(orjson.loads(text))
    except orjson.JSONDecodeError:
        return text[1:-1]

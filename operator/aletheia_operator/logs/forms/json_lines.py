"""Lines that are a JSON object: zap, bunyan, pino, slog, Serilog, Elastic, OpenTelemetry, MongoDB, Monolog, GELF and others.

To add a library, add its level's key to `logs/levels.py`, its message's key to `_MESSAGE_KEYS`, and a scale to `_of_number` if
its levels are numbers.
"""

import json
import re
from typing import Any

import orjson

from aletheia_operator.logs.forms.recognised import MAX_PARSED, NOTHING, Fields, Recognised
from aletheia_operator.logs.levels import LETTERS, LEVEL_KEYS, LEVELS, SYSLOG, level_of_text, level_of_word

_FIRST_KEYS = ("level", "severity", "lvl", "level_name", "levelname", "log.level", "@l", "@level", "loglevel", "log_level")
"""Keys that take precedence, in this order, if a line has several."""
_MESSAGE_KEYS = (
    "msg", "message", "@m", "RenderedMessage", "@mt", "@message", "short_message", "MESSAGE", "Message", "MSG", "M", "body",
    "Body", "event", "text", "log", "error",
)  # fmt: skip
_OF_LOGBACK = {5000: "TRACE", 10000: "DEBUG", 20000: "INFO", 30000: "WARN", 40000: "ERROR", 50000: "FATAL"}
_STATUS_WORDS = frozenset({"info", "warn", "warning", "error", "critical", "debug", "emergency", "alert"})
_MESSAGES = frozenset(_MESSAGE_KEYS)
_DATADOG = frozenset({"service", "ddsource", "dd", "ddtags"})
# Elastic Common Schema, Loguru, OpenTelemetry, and others
_INNER = frozenset({
    "log", "record", "attributes", "meta", "metadata", "context", "header", "fields", "extra", "logger", "labels", "properties",
    "event", "data", "payload", "jsonPayload", "body", "@fields", "info", "entry", "details", "attrs", "ctx", "Properties",
    "log_info", "logEvent", "source", "LogEntry",
})  # fmt: skip
_WEAK_KEYS = frozenset({"priority", "prio", "Priority", "type", "log_type", "logType", "msgType", "messageType"})
"""Keys of levels, if the other fields are those of a log."""
_WEAK_WORDS = _STATUS_WORDS | {"err", "notice", "fatal", "trace", "information", "crit", "verbose", "emerg"}
_TIMES = frozenset({"time", "timestamp", "ts", "@timestamp", "date", "datetime", "t"})
_BETWEEN_WORDS = str.maketrans("", "", "_-.@")
_OF_A_LOG = frozenset({"msg", "message", "time", "timestamp", "ts", "pid", "v", "hostname", "@timestamp", "err"})
_SHOWS_A_LOG = _MESSAGES | _TIMES | _OF_A_LOG
_OPEN_TELEMETRY = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")  # severity numbers, four of each
_FROM_DEBUG = ("DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_FROM_TRACE = ("TRACE", "INFO", "WARN", "ERROR", "FATAL")  # Application Insights: 0 is verbose
_LAGER = {0: "DEBUG", 1: "INFO", 2: "ERROR", 3: "FATAL"}
_TENS = {1: "TRACE", 2: "DEBUG", 3: "INFO", 4: "WARN", 5: "ERROR", 6: "FATAL"}  # bunyan, pino
_PYTHON = {1: "DEBUG", 2: "INFO", 3: "WARN", 4: "ERROR", 5: "FATAL"}
_MONOLOG = {1: "DEBUG", 2: "INFO", 3: "WARN", 4: "ERROR", 5: "FATAL", 6: "FATAL"}
_FOUNDATIONDB = {5: "DEBUG", 10: "INFO", 20: "WARN", 30: "WARN", 40: "ERROR"}
_GOOGLE = {1: "DEBUG", 2: "INFO", 3: "INFO", 4: "WARN", 5: "ERROR", 6: "FATAL", 7: "FATAL", 8: "FATAL"}
_SGR = re.compile(r"\x1b\[[\d;]{0,20}m")
_LAST_WORD = re.compile(r"(?i:[_.-](?:message|msg|timestamp)|[a-z](?:Message|Msg|Timestamp))$")
_STEP = re.compile(r"[+-]\d{1,3}$")  # slog's levels between the named levels
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_json(line: str) -> Recognised:
    """Return level, message and fields of a line that is a JSON object; NOTHING for any other line."""
    fields = _parse(line)
    if fields is None:
        return NOTHING
    key, level = _level(fields)
    if level is not None and key:
        del fields[key]
    message = None
    for key in _MESSAGE_KEYS:
        if isinstance(fields.get(key), str):
            message = fields.pop(key)
            break
    if message is None or "record" in fields:
        message = _nested_message(fields, message)
    return Recognised(level, message, fields or None, True)


def _parse(line: str) -> Fields | None:
    if len(line) > MAX_PARSED:
        return None
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        fields = _parse_leniently(line)
    return fields if isinstance(fields, dict) else None


def _parse_leniently(line: str) -> Any:
    """Parse JSON as Python and JavaScript may write it: with NaN, Infinity, and lone surrogates, which become U+FFFD."""
    if line.rstrip()[-1:] != "}" or not ("NaN" in line or "Infinity" in line or "\\u" in line):
        return None
    try:
        fields = json.loads(line)
        return json.loads(_SURROGATE.sub("\ufffd", json.dumps(fields, ensure_ascii=False)))
    except (ValueError, RecursionError):
        return None


def _level(fields: Fields) -> tuple[str, str | None]:
    """Return the key of the level at the top ('' if it is nested), and the level."""
    if isinstance(record := fields.get("record"), dict) and isinstance(severity := record.get("error_severity"), str):
        return "", level_of_word(severity)  # PostgreSQL's, which CloudNativePG wraps in lines of its own level
    if not LEVEL_KEYS.isdisjoint(fields):
        number: tuple[str, str | None] = "", None  # a word takes precedence
        for key in _FIRST_KEYS:
            if key in fields and (level := _level_of(key, fields[key], fields)) is not None:
                if not isinstance(fields[key], int):
                    return key, level
                number = number if number[1] else (key, level)
        if number[1]:
            return number
        for key in fields:
            if key in LEVEL_KEYS and key not in _FIRST_KEYS and (level := _level_of(key, fields[key], fields)) is not None:
                return key, level
    return "", _nested_level(fields)


def _level_of(key: str, value: Any, fields: Fields) -> str | None:
    if isinstance(value, str):
        if len(fields) > 2 and key.lower().replace("_", "") == "loglevel" and not _shows_a_log(fields):
            return None  # a setting
        if level := LEVELS.get(value.lower()):
            return level
        if not value.isdecimal():
            return _of_text(value, fields)
        value = int(value) if len(value) < 4 else None
    if isinstance(value, int) and not isinstance(value, bool):
        return _of_number(key.lower().translate(_BETWEEN_WORDS), value, fields)
    if isinstance(value, dict):  # Loguru
        return level_of_word(str(value.get("name") or value.get("value") or ""))
    return None


def _shows_a_log(fields: Fields) -> bool:
    """Return whether a field has the message or the time of a line of a log: `log_message`, `server_timestamp`."""
    return not _SHOWS_A_LOG.isdisjoint(fields) or any(_LAST_WORD.search(key) for key in fields)


def _of_text(value: str, fields: Fields) -> str | None:
    text = _SGR.sub("", value[:100]).strip()
    if len(text) == 1:  # a grade, unless other fields are those of a log
        return LETTERS.get(text) if text in "DIWEF" and len(_OF_A_LOG.intersection(fields)) > 1 else None
    return level_of_word(text) or level_of_text(text)


def _of_number(key: str, number: int, fields: Fields) -> str | None:
    """Return the level of a number, on the scale of the library that the other fields show."""
    if key == "severitynumber":
        return _OPEN_TELEMETRY[(number - 1) // 4] if 1 <= number <= 24 else None
    if key == "severitylevel":
        return _FROM_TRACE[number] if 0 <= number < len(_FROM_TRACE) else None
    if key == "levelno":
        return _PYTHON.get(number // 10)
    if key == "loglevel" and "source" in fields and "data" in fields:  # Cloud Foundry's lager, which has no warnings
        return _LAGER.get(number)
    if "reqId" in fields and "app" in fields:  # Nextcloud
        return _FROM_DEBUG[number] if 0 <= number < len(_FROM_DEBUG) else None
    if key == "levelvalue":
        return _OF_LOGBACK.get(number)
    if 0 <= number <= 7:
        syslog = "short_message" in fields or "host" in fields or (key in ("priority", "severity") and _shows_a_log(fields))
        return SYSLOG[number] if syslog else None
    if key == "severity" and "Machine" in fields and "Type" in fields:
        return _FOUNDATIONDB.get(number)
    if key == "severity":
        return _GOOGLE.get(number // 100)
    if number >= 100:
        return _MONOLOG.get(number // 100) if "channel" in fields or "level_name" in fields else None
    return _TENS.get(number // 10) if not _OF_A_LOG.isdisjoint(fields) else None


def _nested_level(fields: Fields) -> str | None:
    whole = any(isinstance(fields[key], str) for key in _MESSAGES.intersection(fields))
    for name in filter(_INNER.__contains__, fields):
        inner = fields[name]
        if isinstance(inner, dict) and (whole or not _MESSAGES.isdisjoint(inner)) and (level := _level_of_inner(inner, fields)):
            return level
    if not _OF_A_LOG.isdisjoint(fields) and whole:
        for name in _WEAK_KEYS.intersection(fields):
            if isinstance(value := fields[name], str) and value.lower() in _WEAK_WORDS and not _TIMES.isdisjoint(fields):
                return level_of_word(value)
    if isinstance(batch := fields.get("resourceLogs"), list):
        return _level_of_batch(batch)
    if isinstance(short := fields.get("s"), str) and "c" in fields and "msg" in fields:  # MongoDB
        return LETTERS.get(short[:1]) if short[:1] in "DIWEF" else None
    if isinstance(priority := fields.get("priority"), str) and ("output" in fields or "rule" in fields):  # Falco
        return level_of_word(priority)
    if isinstance(tags := fields.get("tags"), list) and fields.get("type") == "log" and "message" in fields:  # Kibana 7
        return next((level for tag in tags[:4] if isinstance(tag, str) and (level := level_of_word(tag))), None)
    if "err_code" in fields and isinstance(label := fields.get("label"), str):  # MySQL
        return level_of_word(label)
    if isinstance(status := fields.get("status"), str) and status.lower() in _STATUS_WORDS and not _DATADOG.isdisjoint(fields):
        return level_of_word(status) if "message" in fields else None
    if "ts" in fields and "caller" in fields and "msg" in fields:  # Kubernetes: errors have no verbosity
        return "INFO" if "v" in fields else "ERROR" if "err" in fields else None
    return "INFO" if "@t" in fields and ("@mt" in fields or "@m" in fields) else None  # Serilog leaves Information out


def _nested_message(fields: Fields, message: str | None) -> str | None:
    """Remove and return a message in an object: of Rust's tracing, OpenTelemetry, PostgreSQL in CloudNativePG's lines.

    `message`: of the line. It is returned if there is no other, and takes precedence unless the line has PostgreSQL's record.
    """
    record = fields.get("record")
    if message is not None and not (isinstance(record, dict) and "error_severity" in record):
        return message
    for name in filter(_INNER.__contains__, fields):
        inner = fields[name]
        if isinstance(inner, dict):
            for key in (*_MESSAGE_KEYS, "stringValue"):
                if isinstance(inner.get(key), str):
                    message = str(inner.pop(key))
                    if not inner:
                        del fields[name]
                    return message
    return message


def _level_of_inner(inner: Fields, fields: Fields) -> str | None:
    for key, value in inner.items():
        if key in LEVEL_KEYS and (level := _level_of(key, value, fields if isinstance(value, int) else inner)):
            return level
    return None


def _level_of_batch(batch: list[Any]) -> str | None:
    """Return the level of the first record of an export of OpenTelemetry, in OTLP's JSON encoding."""
    record: Any = {"resourceLogs": batch}
    for name in ("resourceLogs", "scopeLogs", "logRecords"):
        inner = record.get(name) if isinstance(record, dict) else None
        record = inner[0] if isinstance(inner, list) and inner else None
    return _level(record)[1] if isinstance(record, dict) else None

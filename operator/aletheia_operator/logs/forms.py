"""What a log line says of itself, by its form: level, message, fields.

Forms, not systems: JSON, logfmt, klog, syslog, access logs, and lines with a level in their head, which is what log4j, logback,
Python, zap, nginx and most others write. A word like ERROR inside a message does not make the line an error: only a level's own
place counts, which is after nothing but times, numbers, names and brackets.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from aletheia_operator.logs.levels import LEVELS, SYSLOG, level_of_number, level_of_word

MAX_PARSED = 64 * 1024  # characters; longer lines are evidence, but not worth parsing
Fields = dict[str, Any]


class Recognised(NamedTuple):
    """What was recognised; `message` is None where it is the line itself."""

    level: str | None = None
    message: str | None = None
    fields: Fields | None = None
    formed: bool = False  # the line has a head of its own, so it continues no other


NOTHING = Recognised()
_new = tuple.__new__  # a named tuple in a third of the time, for the forms that most lines have
_SGR = re.compile(r"\x1b\[[\d;]*m")  # colours


def recognise(line: str) -> Recognised:
    """The level (TRACE DEBUG INFO WARN ERROR FATAL; None if the line does not say), message and fields of a line."""
    if not line or len(line) > MAX_PARSED:
        return NOTHING
    if "\x1b[" in line:
        line = _SGR.sub("", line)
    first = line[:1]
    if first == "{":
        return _json(line)
    for form in _BY_FIRST.get(first, ()):
        if found := form(line):
            return found
    return (_logfmt(line) if "=" in line else None) or _head(line) or NOTHING


# --- JSON

_LEVEL_KEYS = (
    "level", "severity", "lvl", "levelname", "log.level", "@l", "@level", "loglevel", "log_level", "logLevel", "LogLevel",
    "Level", "SeverityText", "severityText", "severity_text", "severity_number", "SeverityNumber", "severityNumber", "PRIORITY",
)  # fmt: skip
_MESSAGE_KEYS = (
    "msg", "message", "@m", "@mt", "@message", "short_message", "MESSAGE", "Message", "body", "Body", "event", "text", "log",
    "error",
)  # fmt: skip
_OPEN_TELEMETRY = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")  # severity numbers, four of each


def _json(line: str) -> Recognised:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        return NOTHING
    if not isinstance(fields, dict):
        return NOTHING
    key, level = next(((key, fields[key]) for key in _LEVEL_KEYS if key in fields), ("", None))
    name = _json_level(key, level, fields)
    if name is not None:
        fields.pop(key, None)
    message = None
    for key in _MESSAGE_KEYS:
        if isinstance(fields.get(key), str):
            message = fields.pop(key)
            break
    return Recognised(name, message, fields or None, True)


def _json_level(key: str, level: Any, fields: Fields) -> str | None:
    if isinstance(level, str):
        if level.isdecimal():
            level = int(level)
        else:
            return LEVELS.get(level.lower()) or level_of_word(_SGR.sub("", level).rpartition(".")[2])
    if isinstance(level, dict):  # Loguru
        return level_of_word(str(level.get("name") or level.get("value") or ""))
    if isinstance(level, int) and not isinstance(level, bool):
        if key.lower().replace("_", "") == "severitynumber":
            return _OPEN_TELEMETRY[(level - 1) // 4] if 1 <= level <= 24 else None
        if 0 <= level <= 7 and (key == "PRIORITY" or "short_message" in fields or "host" in fields or key == "severity"):
            return SYSLOG[level]
        return level_of_number(level)
    if key:
        return None
    if isinstance(log := fields.get("log"), dict):  # Elastic Common Schema, nested
        return level_of_word(str(log.get("level") or ""))
    if isinstance(record := fields.get("record"), dict):
        return _json_level("level", record.get("level"), {})
    if isinstance(short := fields.get("s"), str) and "c" in fields and "msg" in fields:  # MongoDB
        return LEVELS.get(short[:1].lower()) if short[:1] in "DIWEF" else None
    return "INFO" if "@t" in fields and ("@mt" in fields or "@m" in fields) else None  # Serilog leaves Information out


# --- logfmt

_PAIR = re.compile(r'([A-Za-z_@][\w.@/-]*)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?:\s+|$)')
_TIME_WORDS = re.compile(r"(?:\[?\d[\w:.,/+-]*\]?\s+){1,3}")


def _logfmt(line: str) -> Recognised | None:
    at = time.end() if (time := _TIME_WORDS.match(line)) else 0
    if not _PAIR.match(line, at):
        return None
    pairs, at = read_pairs(line, at)
    found = next((key for key in ("level", "lvl", "severity", "loglevel", "levelname", "log.level") if key in pairs), None)
    if at < len(line) and found != next(iter(pairs)):  # a sentence with an equals sign
        return None
    if len(pairs) < 2 and not found:
        return None
    level = level_of_word(pairs[found]) if found else None
    if found and level:
        del pairs[found]
    message = next((pairs.pop(key) for key in ("msg", "message", "event") if key in pairs), None)
    return Recognised(level, message, pairs or None, True)


def read_pairs(line: str, at: int = 0) -> tuple[Fields, int]:
    """The key=value pairs that follow each other from `at`, and where they end."""
    pairs: Fields = {}
    while match := _PAIR.match(line, at):
        key, value = match.groups()
        pairs[key] = _unquote(value) if value[:1] == '"' else value
        at = match.end()
    return pairs, at


def _unquote(text: str) -> str:
    if "\\" not in text:
        return text[1:-1]
    try:
        return str(orjson.loads(text))
    except orjson.JSONDecodeError:
        return text[1:-1]


# --- forms that their first character gives away

_KLOG = re.compile(r"([IWEFDC])(\d{4,8} \d\d:\d\d:\d\d\.\d+)\s+(\d+) ([^\s\]]+:\d+)(?:\]|(?= )) ?", re.DOTALL)
_KLOG_MESSAGE = re.compile(r'"((?:[^"\\]|\\.)*)" (?=[A-Za-z_])')
_RUBY = re.compile(r"([DIWEFAU]), \[([^\]]*)\]\s+\w+ -- ([^:]*): ", re.DOTALL)
_LETTER_TAG = re.compile(r"([VDIWEFA])(?:/([\w.$ -]+?)\s*(?:\(\s*(\d+)\))?: | \((\d+)\) ([\w.-]+): )")
_LETTER_BRACKET = re.compile(r"\[([DIWEC]) ([\d:. -]{8,24})(?: ([^\]]*))?\] ")
_LETTER_LEVELS = {"V": "TRACE", "D": "DEBUG", "I": "INFO", "W": "WARN", "E": "ERROR", "F": "FATAL", "C": "FATAL", "A": "FATAL"}


def _named(level: str | None, message: str | None, **fields: str | None) -> Recognised:
    return Recognised(level, message, {key: value for key, value in fields.items() if value} or None, True)


def _klog(line: str) -> Recognised | None:
    if not (match := _KLOG.match(line)):
        return None
    letter, time, pid, source = match.groups()
    message = line[match.end() :]
    fields: Fields = {"time": time, "pid": pid, "source": source}
    if quoted := _KLOG_MESSAGE.match(message):
        pairs, _ = read_pairs(message, quoted.end())
        if pairs:
            fields |= pairs
            message = _unquote(f'"{quoted[1]}"')
    return Recognised(_LETTER_LEVELS[letter], message, fields, True)


def _ruby(line: str) -> Recognised | None:
    if match := _RUBY.match(line):
        return _named(_LETTER_LEVELS.get(match[1]), line[match.end() :], time=match[2], program=match[3])
    return None


def _letter_tag(line: str) -> Recognised | None:
    if match := _LETTER_TAG.match(line):
        return _named(_LETTER_LEVELS[match[1]], line[match.end() :], logger=match[2] or match[5], pid=match[3], time=match[4])
    return None


def _letter_bracket(line: str) -> Recognised | None:
    if match := _LETTER_BRACKET.match(line):
        return _named(_LETTER_LEVELS[match[1]], line[match.end() :], time=match[2], logger=match[3])
    return None


_ANDROID = re.compile(r"((?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d\.\d+)\s+(\d+)\s+(\d+) ([VDIWEFA]) ([^:]*?)\s*: ?")
_REDIS = re.compile(r"(\d+):([XCSM]) (\d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d+) ([.\-*#]) ")
_REDIS_LEVELS = {".": "DEBUG", "-": "DEBUG", "*": "INFO", "#": "WARN"}
_MONGO = re.compile(r"(\d{4}-\d\d-\d\dT\S+) ([DIWEF])\d? ([A-Z]+)\s+\[([^\]]*)\] ")


def _android(line: str) -> Recognised | None:
    if match := _ANDROID.match(line):
        level = _LETTER_LEVELS[match[4]]
        return _named(level, line[match.end() :], time=match[1], pid=match[2], thread=match[3], logger=match[5])
    return None


def _redis(line: str) -> Recognised | None:
    if match := _REDIS.match(line):
        return _named(_REDIS_LEVELS[match[4]], line[match.end() :], time=match[3], pid=match[1])
    return None


def _mongo(line: str) -> Recognised | None:
    if match := _MONGO.match(line):
        return _named(_LETTER_LEVELS[match[2]], line[match.end() :], time=match[1], logger=match[3], thread=match[4])
    return None


_ACCESS = re.compile(
    r'(\S+) (\S+) (\S+) \[([^\]]+)\] "(?:([A-Z]+) (\S+)(?: (HTTP/[\d.]+))?|[^"]*)" (\d{3}) (\d+|-)(?: "([^"]*)" "([^"]*)")?'
)
_ACCESS_FIELDS = (
    "client",
    "identity",
    "user",
    "time",
    "method",
    "path",
    "protocol",
    "status",
    "bytes",
    "referer",
    "user_agent",
)
_ENVOY_ACCESS = re.compile(r'\[([^\]]+)\] "([A-Z]+) (\S+) (HTTP/[\d.]+)" (\d{1,3}) ')


def _access(line: str) -> Recognised | None:
    """Common and combined log format. An access log has no levels: a status is none."""
    if '] "' not in line or not (match := _ACCESS.match(line)):
        return None
    fields: Fields = {key: value for key, value in zip(_ACCESS_FIELDS, match.groups(), strict=True) if value and value != "-"}
    for key in ("status", "bytes"):
        if key in fields:
            fields[key] = int(fields[key])
    quote = line.index('] "') + 3
    return Recognised(None, line[quote : line.index('"', quote)], fields, True)


def _envoy_access(line: str) -> Recognised | None:
    if match := _ENVOY_ACCESS.match(line):
        time, method, path, protocol, status = match.groups()
        fields = {"time": time, "method": method, "path": path, "protocol": protocol, "status": int(status)}
        return Recognised(None, f"{method} {path} {protocol}", fields, True)
    return None


_RFC3164 = re.compile(
    r"(?:<(\d{1,3})>)?((?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s{1,2}\d{1,2} \d\d:\d\d:\d\d) (\S+)"
    r" ([^\s:\[]+)(?:\[(\d+)\])?: ?"
)
_RFC5424 = re.compile(r"<(\d{1,3})>1 (\S+) (\S+) (\S+) (\S+) (\S+) (-|(?:\[(?:[^\]\\]|\\.)*\])+) ?")
_KERNEL = re.compile(r"(?:<(\d{1,3})>)?(\[\s*\d+\.\d+\]) ?")


def _syslog(line: str) -> Recognised | None:
    if match := _RFC3164.match(line):
        priority, time, host, program, pid = match.groups()
        return _inner(priority, line[match.end() :], {"time": time, "host": host, "program": program, "pid": pid})
    if match := _RFC5424.match(line):
        priority, time, host, program, pid, kind, data = match.groups()
        fields = {"time": time, "host": host, "program": program, "pid": pid, "message_id": kind, "structured_data": data}
        return _inner(priority, line[match.end() :], {key: value for key, value in fields.items() if value != "-"})
    if line[:1] == "<" and (match := _KERNEL.match(line)):
        return _inner(match[1], line[match.end() :], {"time": match[2]})
    return None


def _inner(priority: str | None, message: str, fields: Fields) -> Recognised:
    """A line that another program's line carries: its own level is the better one."""
    inner = recognise(message) if message[:1] != "<" else NOTHING
    level = inner.level or (SYSLOG[int(priority) % 8] if priority else None)
    kept = {key: value for key, value in fields.items() if value}
    return Recognised(level, message if inner.message is None else inner.message, kept | (inner.fields or {}), True)


# --- a level in the line's head

_UPPER = (
    "TRACE|DEBUG[1-5]?|INFO|NOTICE|WARN(?:ING)?|ERROR|ERR|SEVERE|FATAL|CRITICAL|CRIT|INFORMATION|VERBOSE|SUCCESS|FINE(?:R|ST)?"
    "|FAILURE|PANIC|ALERT|EMERG(?:ENCY)?|TRC|DBG|VRB|INF|WRN|FTL|CRI|CRT|CONFIG"
)
_ANY = (
    "trace|trce|debug[1-5]?|dbug|info|information|informational|notice|note|warn|warning|error|err|severe|fail|fatal|critical|crit"
    "|panic|dpanic|alert|emerg|emergency|verbose|system|success|inf|wrn|dbg|trc|vrb|ftl"
)
_DELIMITED = (
    "trace|trce|debug|dbug|info|information|notice|warn|warning|error|err|severe|fail|fatal|critical|crit|panic|verbose"
)
_LEVEL = rf"""
    (?:
      [\[(<|]\s*(?:[\w.-]+[:.])?((?i:{_ANY})|[DIWEFTC])\s*[\])>|]
    | (?:[A-Za-z_][\w-]*\.)?({_UPPER})(?=[\s:\])>|,/\[;]|$)
    | ((?i:{_DELIMITED}))(?=:(?:\s|$)|:\w+[:.]|\t|\s*\||\s{{2,}}\S|\])
    | (LOG)(?=:\s|\s+\[)
    )"""
_TOKEN = r"""
    (?:
      [\[(<{]*\d[\w:.,/+-]*[\])>},:;|]*
    | (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}[,.]?(?=\s)
    | (?:UTC|GMT|Z|[A-Z]{2,4}T|[AP]M|[+-]\d\d:?\d\d)\]?(?=[\s|])
    | [|*:-]+(?=\s)
    | \[[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*\]:? | \([^()]*\) | \{[^{}]*\} | <[^<>]*>
    | [A-Za-z_](?=[\w.$@/\\:\#%-]*(?:[\d_.$@/\\\#-]|:\w))[\w.$@/\\:\#%()-]*(?:\[\d+\]:?)?[|,]?
    | main(?=\s)
    | [A-Za-z_]\w*(?=\s+[-|]\s|\|)
    | [A-Z]{3,}(?=\s\d{4})
    | [A-Z][A-Z_]+(?:\s+(?!LEVEL\s)[A-Z][A-Z_]+)+(?=\s)
    )""".replace("LEVEL", f"(?:{_UPPER})")
_HEAD = re.compile(rf"\s*((?>(?!{_LEVEL}){_TOKEN}[\s|]*){{0,16}}?){_LEVEL}[!\]]?", re.VERBOSE)
_LEVEL_GROUPS = (6, 7, 8, 9)  # of the level that ends the head; the ones before belong to the lookahead
# the most usual head, found in a third of the time: a date, a time, numbers, then a level in capitals
_USUAL = re.compile(rf"(\[?\d[\d:.,/TZ+-]*\d\]?Z?(?: \d[\d:.,/TZ+-]*\]?){{0,2}}) +(\[ ?)?({_UPPER})(?(2)\s*\]|(?=[\s:]))")
_CLOCK = re.compile(r"\d[:./-]\d|\d{4}")
_WEAK = frozenset({"FINE", "FINER", "FINEST", "CONFIG", "FAILURE", "PANIC", "ALERT", "SUCCESS", "VERBOSE", "CRI", "CRT"})
# after the level: a thread in brackets, a process id, a logger's dotted or delimited name
_ORIGIN = re.compile(
    r"(?:[\s:|>-]*(?:(\d+)\s+---\s+)?\[\s*([^\[\]]{1,100}?)\s*\])?[\s|>-]*"
    r"(?:([A-Za-z_][\w$-]*(?:(?:[.$/@]|::)[\w$<>-]+)+|[A-Za-z_][\w$]*(?=\s-\s|:\s|\s\|))(?::\d+|\(\d+\)|\[\d+\])?\s*(?:[:|-]|(?=\t))\s*)?"
    r"[\s:|-]*"
)
_TIME = re.compile(r"[\[(]?((?:[A-Z][a-z]{2},? )?(?:[A-Z][a-z]{2} )?\d[\dT:.,/+Zh-]*(?:[ :]\d+[:.][\d:.,]+)?)")


Parts = tuple[tuple[str, slice], ...]  # of a line, by the field's name
LONGEST_SHAPE = 256  # characters


class Shape(NamedTuple):
    """Of lines that are alike: their level, where their fields are, and where their message begins."""

    level: str
    parts: Parts
    message_at: int


def shape_of(line: str) -> Shape | None:
    """What holds of every line that begins like this one up to its first ": ", whatever the digits, and goes on with a letter.

    None where that is not enough to know a line. The patterns of the usual head take all digits alike, and look no further
    than that, where a letter follows.
    """
    end = line.find(": ", 0, LONGEST_SHAPE) + 2
    match = _USUAL.match(line)
    found = _usual_head(line)
    if match is None or found is None or not match[3].isalpha() or not line[end : end + 1].isalpha():
        return None
    time, origin = _TIME.match(match[1]), _ORIGIN.match(line, match.end())
    if found.level is None or origin is None or origin.end() != end:
        return None
    spans = {"time": time and time.span(1), "pid": origin.span(1), "thread": origin.span(2), "logger": origin.span(3)}
    return Shape(found.level, tuple((name, slice(*(spans[name] or ()))) for name in found.fields or ()), end)


def _usual_head(line: str) -> Recognised | None:
    match = _USUAL.match(line)
    if match is None:
        return None
    time, _, level = match.groups()
    if "-" not in time and ":" not in time and not _CLOCK.search(time):
        return None
    return _after(line, match.end(), level, time)


def _head(line: str) -> Recognised | None:
    match = _HEAD.match(line, 0, 512)
    if match is None:
        return None
    before = match[1]
    decorated, upper, delimited, log = match.group(*_LEVEL_GROUPS)
    word = decorated or upper or delimited or log
    if before and not decorated and not delimited and not _CLOCK.search(before) and " - " not in before and "|" not in before:
        return None
    if not before and (upper in _WEAK or (decorated and len(word) == 1)):
        return None
    return _after(line, match.end(), word, before)


def _after(line: str, at: int, word: str, before: str) -> Recognised:
    """What follows the level at `at`: where the line comes from, and the message."""
    origin = _ORIGIN.match(line, at)
    assert origin is not None  # every part of it may be absent
    pid, thread, logger = origin.groups()
    fields: Fields = {}
    if before and (time := _TIME.match(before)):
        fields["time"] = time[1]
    if pid:
        fields["pid"] = pid
    if thread:
        fields["thread"] = thread
    if logger:
        fields["logger"] = logger
    return _new(Recognised, (LEVELS[word.lower()], line[origin.end() :], fields or None, True))


_BY_FIRST: dict[str, tuple[Callable[[str], Recognised | None], ...]] = {
    **dict.fromkeys("JMSON<", (_syslog,)),
    **dict.fromkeys("IWECV", (_klog, _ruby, _letter_tag)),
    **dict.fromkeys("FDA", (_klog, _ruby, _letter_tag, _syslog)),
    **dict.fromkeys("0123456789", (_usual_head, _android, _redis, _mongo, _access)),
    "[": (_usual_head, _letter_bracket, _envoy_access),
}

"""Syslog (RFC 3164 and 5424), the kernel's ring buffer, and priorities at a line's beginning, which systemd reads."""

import re
from collections.abc import Callable

from aletheia_operator.logs.forms.recognised import LONG_HEAD, Fields, Recognised, named
from aletheia_operator.logs.levels import LETTERS, SYSLOG, level_of_word

Recogniser = Callable[[str], Recognised]

_RFC3164 = re.compile(
    r"(?:<(\d{1,3})>)?((?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s{1,2}\d{1,2} \d\d:\d\d:\d\d) "
    r"(?!\[)(\S{0,254}[^\s:]) ([^\s:\[]{1,128})(?:\[(\d{1,10})\])?(?:(?=\(\w{4,13}\): )|: ?)"
)
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(?:Z|[+-]\d\d:\d\d)) ([\w.-]{1,255}) ([\w./-]{1,128})\[(\d{1,10})\]: "
)
_RFC5424 = re.compile(
    r"<(\d{1,3})>1 (\S{1,64}) (\S{1,255}) (\S{1,128}) (\S{1,128}) (\S{1,128}) (-|(?:\[(?:[^\]\\]|\\.)*+\])++) ?"
)
_KERNEL = re.compile(r"(?:<(\d{1,3})>)?(\[\s{0,8}\d{1,12}\.\d{1,9}\]) ?")
_PRIORITY = re.compile(r"<([0-7])>(?=[^\s<])")
_FACILITIES = 24
_NAMES = frozenset({"system", "log", "audit", "config", "default", "success", "note", "fine", "fail"})
_TIMED = re.compile(
    r"<(\d{1,3})> ?(?=[*.]?[A-Z][a-z]{2} {1,2}\d{1,2} |\d{4}-\d\d-\d\d|\d{1,9}: |[a-z_]{2,20}=[\w\"]|[\w.-]{1,60} \d{4}-)"
)
_XORG = re.compile(r"(\[\s{0,8}\d{1,12}\.\d{1,9}\] )?\((EE|WW|II)\) ")


def read_syslog(line: str, recognise: Recogniser) -> Recognised | None:
    """Read a syslog line. The level of the program's own line, found by `recognise`, takes precedence over the priority."""
    if match := _RFC3164.match(line, 0, LONG_HEAD):
        priority, time, host, program, pid = match.groups()
        found = _wrap(priority, line[match.end() :], {"time": time, "host": host, "program": program, "pid": pid}, recognise)
        return found if found.level else found._replace(level=_level_of_name(program) or _level_of_name(host))
    if line[:1] != "<":
        return None
    if match := _RFC5424.match(line, 0, LONG_HEAD):
        priority, time, host, program, pid, kind, data = match.groups()
        fields = {"time": time, "host": host, "program": program, "pid": pid, "message_id": kind, "structured_data": data}
        fields = {key: value for key, value in fields.items() if value != "-"}
        return _wrap(priority, line[match.end() :], fields, recognise)
    if match := _KERNEL.match(line, 0, LONG_HEAD):
        return _wrap(match[1], line[match.end() :], {"time": match[2]}, recognise)
    if (match := _PRIORITY.match(line)) or ((match := _TIMED.match(line)) and int(match[1]) < len(SYSLOG) * _FACILITIES):
        return _wrap(match[1], line[match.end() :], {}, recognise)
    return None


def read_iso_syslog(line: str, recognise: Recogniser) -> Recognised | None:
    """Read rsyslog's form with an ISO 8601 time."""
    if line[10:11] == "T" and line.find("]: ", 22, LONG_HEAD) > 0 and (match := _ISO.match(line, 0, LONG_HEAD)):
        time, host, program, pid = match.groups()
        return _wrap(None, line[match.end() :], {"time": time, "host": host, "program": program, "pid": pid}, recognise)
    return None


def _level_of_name(name: str) -> str | None:
    """Return the level that a program without a host name writes where syslog has the host or the program."""
    word = name.strip("[](){}<>|*#:")
    return None if word in _NAMES else level_of_word(word)


def read_xorg(line: str) -> Recognised | None:
    """Read X.Org's levels in brackets."""
    if match := _XORG.match(line, 0, LONG_HEAD):
        return named(LETTERS[match[2][0]], line[match.end() :], time=match[1] and match[1].strip())
    return None


def _wrap(priority: str | None, message: str, fields: Fields, recognise: Recogniser) -> Recognised:
    inner = recognise(message)
    level = inner.level or (SYSLOG[int(priority) % 8] if priority else None)
    kept = {key: value for key, value in fields.items() if value}
    return Recognised(level, message if inner.message is None else inner.message, kept | (inner.fields or {}) or None, True)

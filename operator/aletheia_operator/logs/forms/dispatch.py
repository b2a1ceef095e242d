"""Tries forms in order: by a line's first character, then those that any line may have, the rare ones last."""

import re
from collections.abc import Callable

from aletheia_operator.logs.forms import access, anywhere, codes, commands, heads, layouts, letters, programs, syslog
from aletheia_operator.logs.forms.clocks import TIME
from aletheia_operator.logs.forms.crashes import read_crash
from aletheia_operator.logs.forms.json_lines import read_json
from aletheia_operator.logs.forms.logfmt import read_logfmt
from aletheia_operator.logs.forms.recognised import HEAD_LENGTH, MAX_PARSED, NOTHING, Recognised, named

Form = Callable[[str], Recognised | None]

_SGR = re.compile(r"\x1b\[[\d;]{0,20}m")  # colours
_SENTENCE = re.compile(  # two words that no head begins with
    r"(?![Ff]atal |success |(?:error|warning) in [./]|[A-Za-z][a-z]{1,12} (?:error|warning): "
    r"|[EWIDFVewidfv][a-z]{3,10} [\w./-]{1,100}:\d)"
    r"[A-Za-z][a-z]{1,30} [a-z]{2}"
)
_PLAIN_WORD = (
    r"(?!(?i:trace|trac|debug|dbg|info|notice|note|warning|warn|err|fatal|crit|severe|alert|emerg|panic|verbose|audit|fail|fine|system"
    r"|success|main|log|pid|cluster|fluent|at|wsrep)(?![a-z]{3}))[a-z]{2,20}"
)
_TIMED_SENTENCE = re.compile(  # the same behind a time
    r"[\[(]?+\d[\d:./-]++(?:[T ]\d[\d:.,]++)?+(?:Z| ?[+-]\d\d:?\d\d)?+[\])]?+:?+ "
    r"(?:\[(?![^\[\]]{0,36}(?i:info|warn|err|debug|crit|fatal|trace|notice))[^\[\]]{3,40}\] )?+"
    rf"(?:[A-Z](?=[a-z]))?{_PLAIN_WORD} (?:\d{{1,9}} )?{_PLAIN_WORD}(?:[ ,.]|$)"
)
_OPENS_TIME = frozenset("[0123456789")
_BEFORE_LETTER = re.compile(
    r"\[?(?:\d[\d./-]{3,9}[T ])?\d\d:\d\d:\d\d[\d.,]{0,12}Z?\]?\s{0,2}(?=[IWEDVF](?:\d{4,8} | \(\d|, \[|/[A-Z]))"
)  # another clock
_FTL = re.compile(r"\[\d{4}-\d\d-\d\d [\d:.]{8,12} \d{1,10}[MFT]?\d{0,10}\] FTL ")  # Pi-hole
_BEHIND_TIME = re.compile(r"(?:[\])]|:|\|){0,2}\s{1,8}(?:(?:->?|\|)\s{1,4})?(?=\S)")
_PROCESS = re.compile(r"([a-z][\w.-]{1,40})\[(\d{1,10})\]: (?=\S)")
_DAYS = frozenset({"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"})
_PROMPT = re.compile(r"[a-z]{2,8}> (?=(?:INFO|WARN|ERROR|DEBUG) {1,2}\S)")  # of the shell of NuttX
_SYMBOL = re.compile(r"(?:ℹ|[^\x00-\x7f\w]){1,3}\s{1,4}")  # before messages of command line tools
_BEFORE_JSON = re.compile(
    r"(?:\[?\d[\w:.,/+-]*+\]?[\s|]++|\[[\w .:/-]{1,80}\]:?\s++|[\w./-]{1,80}(?: {0,20}\||:)\s++|@cee:\s?){1,4}+(?=\{\")"
    r"|(?:\[?\d[\w:.,/+-]*+\]?\s++){1,2}+[a-z][a-z0-9-]{1,60} (?=\{\"(?:level|severity|ts|time|timestamp)\":)"
    r"|[a-z][a-z0-9]{1,30}(?:-[a-z0-9]{1,30}){1,6} (?=\{\"(?:level|severity|ts|time|timestamp)\":)"  # stern: a container
)
_ANY_TIME = "10:30:02 "
_OPENING = frozenset("[<(")
_INDENTED = frozenset("[*")  # characters that a line with a level may begin with after blanks
_COLUMNS_WITHIN = 60
_COMMENTS = frozenset({"//", "/*", "*/"})
_ROW_OF_A_LOG = re.compile(r"\|(?:\s{0,20}[A-Za-z]{3,11}\s{0,20}\|)?\s{0,20}\[?\d{1,4}[-/:.]\d")
_POD = re.compile(  # stern: names of a pod and a container
    r"[a-z][a-z0-9.-]{1,200}-[a-z0-9]{1,10} [a-z][a-z0-9-]{1,62} "
    r"(?=[IWEF]\d{4} |\{\"|\[?\d{4}[-/]|\d\d-\d\d \d\d:|\[?\d\d:\d\d:|time=|ts=|level=|\[?[A-Z]{4,7}\b)"
)


def recognise(line: str) -> Recognised:
    """Return level (TRACE DEBUG INFO WARN ERROR FATAL; None without one), message and fields of a line."""
    if not line:
        return NOTHING
    if "\x1b[" in line:
        line = _SGR.sub("", line)
    found = _try_table(_BY_FIRST, line)
    return _without_level(line) if found is NOTHING else found


def _without_level(line: str) -> Recognised:
    """Return the time, or the process, that a line without a level begins with, and the message behind it."""
    first = line[:1]
    at = 1 if first in "[(" else 4 if line[3:4] == " " and line[:3] in _DAYS else 0
    if (line[at : at + 1].isdigit() or at == 4) and (time := TIME.match(line, at, HEAD_LENGTH)):
        if (behind := _BEHIND_TIME.match(line, time.end(), HEAD_LENGTH)) and not (time[0].isdigit() and behind[0][0].isspace()):
            return Recognised(None, line[behind.end() :], {"time": line[at if at == 1 else 0 : time.end()]})
    elif first.isalpha() and line.find("]: ", 0, _COLUMNS_WITHIN) > 0 and (process := _PROCESS.match(line)):
        return Recognised(None, line[process.end() :], {"program": process[1], "pid": process[2]})
    return NOTHING


def _plain(line: str) -> Recognised:
    """Recognise a line that is part of another line, which has its time: by all forms but syslog."""
    found = _try_table(_OF_INNER, line)
    if found is not NOTHING:
        return found
    if not (line[:1] in _OPENING or "|LOG_" in line[:_COLUMNS_WITHIN]):
        return _without_level(line)
    timed = _try_table(_OF_INNER, f"{_ANY_TIME}{line[:MAX_PARSED]}")
    return named(timed.level, timed.message) if timed.level and timed.message else _without_level(line)


def _try_table(table: dict[str, tuple[Form, ...]], line: str) -> Recognised:
    first = line[:1]
    if first == "{" and (found := read_json(line)) is not NOTHING:
        if found.level is None and found.message and found.fields and "stream" in found.fields:  # Docker's file
            return found._replace(level=_plain(found.message.rstrip("\n")).level)
        return found
    for form in table.get(first, ()):
        if answer := form(line):
            return answer
    return _rest(line, first)


def _rest(line: str, first: str) -> Recognised:
    """Try the forms that may begin with any character."""
    if "=" in line and (found := read_logfmt(line)):
        return found
    if line[:4] == "Re: " or (first == "[" and _FTL.match(line)):  # the subject of a mail; the name of a program
        return NOTHING
    letter = first.isalpha()
    sentence = letter and _SENTENCE.match(line) is not None
    if not sentence and (found := heads.read_head(line)):
        return found
    if found := programs.read_program(line) or read_crash(line):
        return found
    if not sentence and (letter or first in commands.STARTS) and (found := commands.read_command(line, first)):
        return found
    timed = first in _OPENS_TIME
    if timed:
        if _TIMED_SENTENCE.match(line):
            return NOTHING
        if found := programs.read_named_level(line) or codes.read_timed_ibm(line):
            return found
        if (before := _BEFORE_LETTER.match(line)) and (found := _first_of(_KLOG, line[before.end() :])):
            return found
    if found := layouts.read_layout(line):
        return found
    if not first.isascii() and (symbol := _SYMBOL.match(line)):
        text = line[symbol.end() :]
        return heads.read_head(text) or commands.read_behind_symbol(text) or NOTHING
    if first == "^" and line[1:2].isdigit():  # colours of Quake's descendants
        return _rest(line[2:], line[2:3])
    if letter and line.find("> ", 2, 10) > 0 and (prompt := _PROMPT.match(line)):
        return heads.read_head(line[prompt.end() :]) or NOTHING
    if letter and (pod := _POD.match(line, 0, HEAD_LENGTH)):
        return _plain(line[pod.end() :])
    if '{"' in line[:HEAD_LENGTH] and line[-1:] == "}" and (before := _BEFORE_JSON.match(line, 0, HEAD_LENGTH)):
        found = read_json(line[before.end() :])
        return NOTHING if found.message is None and before[0].rstrip()[-1:] == ":" else found
    return ((timed or (":" in line and anywhere.may_have_time(line))) and anywhere.read_anywhere(line)) or NOTHING


def _syslog(line: str) -> Recognised | None:
    return syslog.read_syslog(line, _plain)


def _iso_syslog(line: str) -> Recognised | None:
    return syslog.read_iso_syslog(line, _plain)


def _indented(line: str) -> Recognised | None:
    """Recognise frames of Java, Node.js, .NET and Python, to save trying all forms, and causes of errors of Node.js."""
    text = line.lstrip(" \t")
    if text[:1] in _INDENTED and (found := commands.read_command(text, text[:1])):
        return found
    if text[:2] == '{"' and (inner := read_json(text)).level and inner.message is not None:
        return inner
    if text[:11] == "pw:browser ":  # Playwright's debug: the name of a stream
        return NOTHING
    return NOTHING if text[:3] == "at " or text[:2] in _COMMENTS or line[:8] == '  File "' or text[:7] == "[cause]" else None


def _slashed(line: str) -> Recognised | None:
    """Recognise comments in code, which have no level."""
    return NOTHING if line[:2] in _COMMENTS else None


def _row(line: str) -> Recognised | None:
    """Recognise rows of tables: they have no level, unless a time is in their first two cells."""
    return NOTHING if line.rstrip()[-1:] == "|" and line.count("|") > 2 and not _ROW_OF_A_LOG.match(line) else None


def _numbered(line: str) -> Recognised | None:
    """Recognise lines that begin with a digit, as a date or otherwise."""
    if found := heads.read_usual_head(line):
        return found
    if line[4:5] == "-":
        return letters.read_after_date(line) or programs.read_timed_program(line)
    if line[4:5] == "/" or line[2:3] in "-/":
        return letters.read_after_date(line)
    return _first_of(_UNDATED, line)


def _bracketed(line: str) -> Recognised | None:
    """Recognise lines that begin with a bracket, by the character behind it."""
    return _first_of(_BY_SECOND.get(line[1:2], ()), line) or (programs.read_php_fpm(line) if "PHP " in line else None)


def _first_of(forms: tuple[Form, ...], line: str) -> Recognised | None:
    for form in forms:
        if found := form(line):
            return found
    return None


_KLOG = (letters.read_klog, letters.read_ruby, letters.read_letter_tag, letters.read_letter_bracketed_date)
_UNDATED: tuple[Form, ...] = (letters.read_redis, programs.read_timed_program, access.read_access)
_BY_SECOND: dict[str, tuple[Form, ...]] = {
    **dict.fromkeys(
        "0123456789",
        (heads.read_usual_head, letters.read_after_bracketed_date, access.read_envoy_access, letters.read_counted),
    ),
    **dict.fromkeys("VDIWEFCr", (letters.read_letter_bracket,)),
    " ": (syslog.read_xorg, letters.read_passenger, letters.read_counted),
}
_OF_INNER: dict[str, tuple[Form, ...]] = {
    **dict.fromkeys("IWECVFDA", _KLOG),
    **dict.fromkeys("0123456789", (_numbered,)),
    "[": (_bracketed,),
    "(": (letters.read_after_bracketed_date, letters.read_letter_time, letters.read_sssd, syslog.read_xorg),
    "N": (programs.read_php_fpm, letters.read_letter_bracketed_date),
    "d": (letters.read_ceph,),
    **dict.fromkeys("%-", (codes.read_vms,)),
    " ": (_indented, anywhere.read_badge),
    "\t": (_indented,),
    "/": (_slashed,),
    "|": (_row,),
}
"""Forms by a line's first character. To add a form, add its function for as few characters as possible."""
_BY_FIRST: dict[str, tuple[Form, ...]] = _OF_INNER | {
    **dict.fromkeys("JMSO", (_syslog,)),
    **{letter: (*_OF_INNER[letter], _syslog) for letter in "FDAN"},
    **dict.fromkeys("0123456789", (_numbered, _iso_syslog)),
    "<": (letters.read_letter_time, programs.read_marked_up, _syslog),
}
"""The same for whole lines, which may also be syslog."""

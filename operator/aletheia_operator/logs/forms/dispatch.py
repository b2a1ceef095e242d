"""Tries forms in order: by a line's first character, then those that any line may have, the rare ones last."""

import re
from collections.abc import Callable

from aletheia_operator.logs.forms import access, anywhere, heads, layouts, letters, programs, syslog
from aletheia_operator.logs.forms.crashes import read_crash
from aletheia_operator.logs.forms.json_lines import read_json
from aletheia_operator.logs.forms.logfmt import read_logfmt
from aletheia_operator.logs.forms.recognised import HEAD_LENGTH, NOTHING, Recognised

Form = Callable[[str], Recognised | None]

_SGR = re.compile(r"\x1b\[[\d;]{0,20}m")  # colours
_SENTENCE = re.compile(r"(?![Ff]atal )[A-Za-z][a-z]{1,30} [a-z]{2}")  # two words that no head begins with
_PLAIN_WORD = (
    r"(?!(?i:trace|trac|debug|dbg|info|notice|note|warn|err|fatal|crit|severe|alert|emerg|panic|verbose|audit|fail|fine|system"
    r"|success|main|log|pid|cluster|fluent|at|wsrep)(?![a-z]{3}))[a-z]{2,20}"
)
_TIMED_SENTENCE = re.compile(  # the same behind a time
    r"[\[(]?+\d[\d:./-]++(?:[T ]\d[\d:.,]++)?+(?:Z| ?[+-]\d\d:?\d\d)?+[\])]?+:?+ (?:\[[^\[\]]{3,40}\] )?+"
    rf"(?:[A-Z](?=[a-z]))?{_PLAIN_WORD} (?:\d{{1,9}} )?{_PLAIN_WORD}(?:[ ,.]|$)"
)
_OPENS_TIME = frozenset("[0123456789")
_SYMBOL = re.compile(r"[^\x00-\x7f\w]{1,3}\s{1,4}")  # before messages of command line tools
_BEFORE_JSON = re.compile(r"(?:\[?\d[\w:.,/+-]*+\]?[\s|]++|\[[\w .:/-]{1,80}\]:?\s++|[\w./-]{1,80} {0,20}\|\s++){1,4}+(?=\{\")")


def recognise(line: str) -> Recognised:
    """Return level (TRACE DEBUG INFO WARN ERROR FATAL; None without one), message and fields of a line."""
    if not line:
        return NOTHING
    if "\x1b[" in line:
        line = _SGR.sub("", line)
    return _try_table(_BY_FIRST, line)


def _plain(line: str) -> Recognised:
    """Recognise a line that is part of another line: by all forms but syslog."""
    return _try_table(_OF_INNER, line)


def _try_table(table: dict[str, tuple[Form, ...]], line: str) -> Recognised:
    first = line[:1]
    if first == "{" and (found := read_json(line)) is not NOTHING:
        return found
    for form in table.get(first, ()):
        if answer := form(line):
            return answer
    return _rest(line, first)


def _rest(line: str, first: str) -> Recognised:
    """Try the forms that may begin with any character."""
    if "=" in line and (found := read_logfmt(line)):
        return found
    if not (first.isalpha() and _SENTENCE.match(line)) and (found := heads.read_head(line)):
        return found
    if found := programs.read_program(line) or read_crash(line):
        return found
    timed = first in _OPENS_TIME
    if timed:
        if _TIMED_SENTENCE.match(line):
            return NOTHING
        if found := programs.read_named_level(line):
            return found
    if found := layouts.read_layout(line):
        return found
    if not first.isascii() and (symbol := _SYMBOL.match(line)):
        return heads.read_head(line[symbol.end() :]) or NOTHING
    if '{"' in line[:HEAD_LENGTH] and line[-1:] == "}" and (before := _BEFORE_JSON.match(line, 0, HEAD_LENGTH)):
        return read_json(line[before.end() :])
    return ((timed or (":" in line and anywhere.may_have_time(line))) and anywhere.read_anywhere(line)) or NOTHING


def _syslog(line: str) -> Recognised | None:
    return syslog.read_syslog(line, _plain)


def _iso_syslog(line: str) -> Recognised | None:
    return syslog.read_iso_syslog(line, _plain)


def _indented(line: str) -> Recognised | None:
    """Recognise frames of Java, Node.js, .NET and Python, to save trying all forms."""
    return NOTHING if line.lstrip(" \t")[:3] == "at " or line[:8] == '  File "' else None


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
    **dict.fromkeys("0123456789", (heads.read_usual_head, letters.read_after_bracketed_date, access.read_envoy_access)),
    **dict.fromkeys("VDIWEFCr", (letters.read_letter_bracket,)),
    " ": (syslog.read_xorg, letters.read_passenger),
}
_OF_INNER: dict[str, tuple[Form, ...]] = {
    **dict.fromkeys("IWECVFDA", _KLOG),
    **dict.fromkeys("0123456789", (_numbered,)),
    "[": (_bracketed,),
    "(": (letters.read_after_bracketed_date, letters.read_letter_time, letters.read_sssd, syslog.read_xorg),
    "N": (programs.read_php_fpm, letters.read_letter_bracketed_date),
    "d": (letters.read_ceph,),
    " ": (_indented, anywhere.read_badge),
    "\t": (_indented,),
}
"""Forms by a line's first character. To add a form, add its function for as few characters as possible."""
_BY_FIRST: dict[str, tuple[Form, ...]] = _OF_INNER | {
    **dict.fromkeys("JMSO", (_syslog,)),
    **{letter: (*_OF_INNER[letter], _syslog) for letter in "FDAN"},
    **dict.fromkeys("0123456789", (_numbered, _iso_syslog)),
    "<": (letters.read_letter_time, programs.read_marked_up, _syslog),
}
"""The same for whole lines, which may also be syslog."""

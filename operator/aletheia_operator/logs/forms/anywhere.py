"""Levels at the usual places of layouts that no other form knows: in brackets, in columns, before a colon, behind a name.

A word is a level only if the line's head shows it: a time is near, no words of a sentence stand between, and the word is
delimited. To add a word, see `logs/levels.py` and the tables below; to add a rule, see `_is_level`.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from aletheia_operator.logs.forms.recognised import HEAD_LENGTH, Recognised, named
from aletheia_operator.logs.levels import LETTERS, LEVELS, SYSLOG

WINDOW = 240
"""Characters of a line that are searched for a level."""

LOCALIZED = {
    "SCHWERWIEGEND": "ERROR", "GRAVE": "ERROR", "FEHLER": "ERROR", "ERREUR": "ERROR", "ERRORE": "ERROR", "ERRO": "ERROR",
    "WARNUNG": "WARN", "AVERTISSEMENT": "WARN", "ATTENTION": "WARN", "ADVERTENCIA": "WARN", "AVVERTENZA": "WARN",
    "AVISO": "WARN", "HINWEIS": "INFO", "INFOS": "INFO", "INFORMACIÓN": "INFO", "INFORMAZIONI": "INFO", "INFORMAÇÕES": "INFO",
    "ОШИБКА": "ERROR", "ПРЕДУПРЕЖДЕНИЕ": "WARN", "ВАЖНО": "FATAL", "重大": "ERROR", "致命的": "FATAL", "エラー": "ERROR",
    "警告": "WARN", "情報": "INFO", "严重": "ERROR", "错误": "ERROR", "致命错误": "FATAL", "信息": "INFO", "심각": "ERROR",
    "경고": "WARN", "정보": "INFO",
}  # fmt: skip
"""Levels of java.util.logging and PostgreSQL in other languages. A colon follows."""
_SHORT = {
    "ntc": "INFO", "msg": "INFO", "alr": "FATAL", "emg": "FATAL", "nfo": "INFO", "dump": "TRACE", "war": "WARN", "deb": "DEBUG",
    "sev": "ERROR", "fat": "FATAL", "warni": "WARN", "sever": "ERROR", "log_err": "ERROR", "log_error": "ERROR",
    "log_warning": "WARN", "log_notice": "INFO", "log_info": "INFO", "log_debug": "DEBUG",
}  # fmt: skip
"""Words that are levels only at the places in this module."""
_OF_ESX = {"Em": "FATAL", "Al": "FATAL", "Cr": "FATAL", "Er": "ERROR", "Wa": "WARN", "No": "INFO", "In": "INFO", "Db": "DEBUG"}
_OTHERS = frozenset({"fatal error", "log", "note", "default", "audit", "shout", "system", "success", "config"})
"""Words that are levels only in other forms: here they are too common."""
_WORDS = {word: level for word, level in (LEVELS | _SHORT).items() if word not in _OTHERS}
_ONLY_IN_BRACKETS = frozenset({"msg", "fail", "failure", "dump", "alert"})


def _any_of(words: Iterable[str]) -> str:
    """Return a pattern for these words, grouped by their first letters: it fails sooner than a plain list."""
    by_first: defaultdict[str, list[str]] = defaultdict(list)
    for word in sorted(words, key=len, reverse=True):
        by_first[word[0]].append(word[1:])
    return "|".join(f"[{first}{first.lower()}](?:{'|'.join(rest)})" for first, rest in sorted(by_first.items()))


_SMALL = {word.upper(): word for word in _WORDS if word not in _SHORT}
_WORD = rf"(?:{_any_of([word.upper() for word in _WORDS] + [upper[0] + word[1:] for upper, word in _SMALL.items()])})"
_BEFORE, _BEHIND = r"[\s\[(<{|.,;:#\"]", r"(?![A-Za-z_'’]|\d(?!\d{0,8}\[))"
_CANDIDATE = re.compile(rf"{_BEFORE}(?:({_WORD}){_BEHIND}|[DEIWFV](?=[ )|]))")
_LARGE_CANDIDATE = re.compile(rf"{_BEFORE}(?=[A-Z])(?:({_WORD}){_BEHIND}|[DEIWFV](?=[ )|]))")
_LOCALIZED = re.compile(rf" ({'|'.join(LOCALIZED)}):  ")
_CISCO = re.compile(r"%[A-Z][A-Z0-9_-]{1,60}?-([0-7])-[A-Z0-9_]{2,60}:")
_ESX = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]{8,15}Z) (Em|Al|Cr|Er|Wa|No|In|Db)\(\d{1,3}\)(?:\[\+\])? ")
_CLOCK = r"\d{1,2}:\d\d(?::\d\d)?"
_DATE = (
    r"(?:\d{4}[-/.]\d\d[-/.]\d\d|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|(?:\d{1,2}[-/ ])?[A-Z][a-z]{2,8}[-/ ] ?\d{1,4}(?:, \d{4})?)"
)
_TIME = re.compile(
    rf"(?<!\d)(?:{_DATE}[T ,:_-]{{1,2}})?(?<!\d){_CLOCK}(?:(?<=\d\d:\d\d:\d\d)|(?<=\d:\d\d:\d\d)|(?= ?[AP]M))"
    r"(?:[.,:]\d{1,9})?(?: ?[AP]M\b)?(?:Z| ?[+-]\d\d:?\d\d(?!\d)| [A-Z]{3,4}(?= \d{4}))?(?: \d{4}(?=[\s\]]))?"
    r"|\d{8}[-_.T]\d{6}(?:\.\d{1,9})?|(?<!\d)1\d{9}(?:\d{3}|\.\d{1,9})?(?!\d)|\d{1,9}\.\d{3,6}(?=[\]s])"
)
_LEVEL_FIRST = re.compile(
    rf"[\[(<{{]?({_WORD}|[TVDIWEFC](?=[:|] ?[\[\d]| \d{{4}}-\d\d-\d\dT))[\])>}}]?"
    rf"[\s|,;:/#-]{{1,4}}[\[(<{{\"@]?(?:{_DATE}[T\s_,|-]{{1,2}})?{_CLOCK}"
)
_IN_BETWEEN = r"\]?(?:[\s|]{0,8}(?:\[[^\[\]]{1,60}\]|[A-Za-z]{0,8}-?\d{1,12}(?=[\s|\[]))){0,3}[\s|]{1,4}"
_LETTER = re.compile(
    rf"[\[(]?(?:{_DATE}[T @]{{1,2}})?\d{{1,2}}:\d\d:\d\d[.,]\d{{1,9}}\S{{0,7}}{_IN_BETWEEN}"
    r"(?:([DIWEFVT])(?=[\s|]{1,4}(?:[A-Z][\w.]|[\w.-]{1,60}[:\]]))|(?<=[\]|] )([DWEF])(?= [a-z]))"
    rf"|[\[(]?(?:{_DATE}[T ]{{1,2}})?{_CLOCK}:\d\d\S{{0,16}}{_IN_BETWEEN}\(([DIWEF])\) "
)
_NEAR_TIME = re.compile(rf"[^\n]{{0,24}}?(?:{_DATE}[T\s,]{{1,2}})?{_CLOCK}:\d\d")
_GROUPS = re.compile(r"\[[^\[\]]{0,120}\]|\([^()]{0,120}\)|<[^<>]{0,120}>|\{[^{}]{0,120}\}|\"[^\"]{0,120}\"")
_SENTENCE = re.compile(r"(?:^|[\s,;:])[A-Za-z][a-z']{1,30},? [a-z][a-z']{1,30}(?![\w./:=\[(-])")
_PLAIN_LAST = re.compile(r"(?:^|\s)(?:[A-Z]?[a-z]{1,30}|[A-Z]{1,30})$")
_PLACE_LAST = re.compile(r"(?:[\])>}]|:\d{1,9}:?|=\S{1,60}|[0-9a-f]{8,40}|(?:^|\s)\d{1,12})$")
_FOLLOWED = re.compile(rf" ?(?:=|->|→)| (?:and|or|is|was|are|level|levels)\b| ?[,|/] ?{_WORD}\b")
_LISTED = re.compile(rf"{_WORD} ?[,|/]$")
_FACILITY = re.compile(r"(?:^|\s)(?:kern|user|mail|daemon|auth|authpriv|syslog|lpr|news|cron|ftp|local[0-7])\.$")
_TOPICS = re.compile(r"^[\s\]]{1,4}[a-z]{2,20},(?:[a-z]{2,20},){0,4}$")
_IN_A_SENTENCE = re.compile(r"\b(?:at|on|in|since|until|till|from|by|before|after|of|for|the|to|was|is|and) [\d./ -]{0,12}$")
_KEYED = re.compile(rf"\b(?i:(?:log[_.]?)?level|severity)=[\"']?({_WORD})\b[\"']?")
_PAIR = re.compile(r"[,;]? ?[\w.]{1,40}=")
_UNKEYED = re.compile(r"(?:^|\s)[A-Za-z][^\s=]{0,60}(?=\s|$)")
_OPENS_TIME = frozenset("[0123456789")
_OPENING = "[(<{"
_ANY_TIME = re.compile(r"\d(?:\d?:\d\d|\d{7}[-_.T]\d{6}|\d{9})|%[A-Z]")
_ENDS_BRACKETS = re.compile(rf"\[[\w.-]{{1,60}}(?: ?:|\([^()\]]{{0,60}}\)|,) ?({_WORD}) ?\] ")
_NAMED_PROCESS = re.compile(r"[\w.-]{1,60}\[\w{1,20}\]:? |'[\w.:/-]{1,60}'")
_PROGRAM = re.compile(r"(?=[\w.-]{0,60}[#\[\d./])[\w.#/-]{1,60}(?:\[\d{1,10}\])?: ")
_DOTTED = re.compile(r"[\w$-]{1,40}(?:[./][\w$-]{1,40}){1,8}[\s:]")
_THREAD = re.compile(r" \[?[0-9A-F]{6,16}")
_NAME_AFTER_ZULU = re.compile(r" [a-z][\w-]{1,40}")
_XML = re.compile(
    r"<[A-Za-z][\w:.-]{0,40}(?: [\w:.-]{1,40}=\"[^\"<>]{0,200}\"){0,12}? "
    rf"(?:[Ll]evel|[Ss]everity|lvl)=\"({_WORD})\"[^<>]{{0,200}}"
    rf"|<record>[^\n]{{0,300}}?<level>({_WORD})</level>"
)
_TRACE_SOURCE = re.compile(r"([\w.]{1,80}) (Critical|Error|Warning|Information|Verbose): \d{1,9} : ")
_BADGE = re.compile(r" {1,3}(?:[A-Z]{2,8} {2,4})?(INFO|WARN|ERROR) {2}(?=[A-Z\"'\[][\w ]{2})")
_AFTER_LEVEL = " -|:;,#/\t]>)}*."
_DELIMITERS = " -|:;,#/[(<{\t]>)}*."


class _Place(NamedTuple):
    """A word that may be a level, and the text around it."""

    gap: str
    """Text between the time and the word, with each group in brackets replaced by `]`, without the blanks at its end."""
    before: str
    """The character before the word and its blanks."""
    blanks: int
    after: str
    """The text behind the word and its blanks."""
    blanks_after: int
    capitals: bool
    timed: bool
    """Whether a time stands before the word."""


def read_anywhere(line: str) -> Recognised | None:
    """Read a level at one of the usual places."""
    first = line[:1]
    if first == "<" and (match := _XML.match(line, 0, HEAD_LENGTH)):
        word = match[1] or match[2]
        return named(_WORDS.get(word.lower()), None) if "time" in match[0] or match[2] else None
    if first not in _OPENS_TIME and not _ANY_TIME.search(line, 0, WINDOW):
        return _read_trace_source(line)
    if not first.isdigit() and (match := _LEVEL_FIRST.match(line, 0, HEAD_LENGTH)):
        word = match[1]
        return named(_WORDS.get(word.lower()) or LETTERS[word], line[match.end(1) :].lstrip(_AFTER_LEVEL))
    head = line[:WINDOW]
    for match in (_CANDIDATE if _has_small_word(head) else _LARGE_CANDIDATE).finditer(head):
        if match[1] is None:
            if found := _read_letter(line):
                return found
            continue
        place = _place(line, match.start(1), match.end(1))
        if _is_level(place, match[1].lower()):
            time = _last_time(line[: match.start()])
            return named(_WORDS[match[1].lower()], line[match.end(1) :].lstrip(_AFTER_LEVEL), time=time)
    if first == "[" and (match := _ENDS_BRACKETS.match(line, 0, HEAD_LENGTH)):
        return named(_WORDS[match[1].lower()], line[match.end() :].lstrip())
    return _read_code(line)


def _has_small_word(head: str) -> bool:
    """Return whether the text may have a level in small letters. This is faster than a search for every word."""
    return (
        "err" in head
        or "warn" in head
        or "info" in head
        or "debug" in head
        or "trace" in head
        or "crit" in head
        or "fatal" in head
        or "notice" in head
        or "verbose" in head
        or "severe" in head
        or "emerg" in head
    )


def _read_letter(line: str) -> Recognised | None:
    """Read one letter behind a time, and behind brackets."""
    if match := _LETTER.match(line, 0, HEAD_LENGTH):
        letter = match[1] or match[2] or match[3]
        return named(LETTERS[letter], line[match.end() :].lstrip(_AFTER_LEVEL), time=_last_time(match[0]))
    return None


def _read_code(line: str) -> Recognised | None:
    """Read abbreviations behind a time, Cisco's numbers, and PostgreSQL's words in other languages."""
    if line[10:11] == "T" and (found := _ESX.match(line)):
        return named(_OF_ESX[found[2]], line[found.end() :], time=found[1])
    if "%" in line and (found := _CISCO.search(line, 0, WINDOW)):
        return named(SYSLOG[int(found[1])], line[found.end() :].lstrip())
    found = _LOCALIZED.search(line, 0, WINDOW) if ":  " in line else None
    if found and (place := _place(line, found.start(1), found.end(1))).timed and not _SENTENCE.search(place.gap):
        return named(LOCALIZED[found[1]], line[found.end() :])
    if ("evel=" in line or "everity=" in line or "EVERITY=" in line) and (found := _KEYED.search(line, 0, WINDOW)):
        place = _place(line, found.start(), found.end())
        if place.timed and not _UNKEYED.search(place.gap) and ("=" in place.gap or _PAIR.match(place.after)):
            return named(_WORDS[found[1].lower()], line[found.end() :].lstrip(), time=_last_time(line[: found.start()]))
    return None


def may_have_time(line: str) -> bool:
    """Return whether the line has digits around a colon, blanks around a colon, or Cisco's `%`."""
    at = line.find(":", 1, WINDOW)
    while at > 0:
        if (line[at - 1].isdigit() and line[at + 1 : at + 3].isdigit() and not line[at + 3 : at + 4].isdigit()) or line[
            at - 1 : at + 2
        ] == " : ":
            return True
        at = line.find(":", at + 1, WINDOW)
    return line[:1] == "%"


def read_badge(line: str) -> Recognised | None:
    """Read Laravel's and Nx' badges: blanks, a word in capitals, two blanks, a message."""
    if match := _BADGE.match(line, 0, HEAD_LENGTH):
        return named(_WORDS[match[1].lower()], line[match.end() :])
    return None


def _read_trace_source(line: str) -> Recognised | None:
    """Read .NET's TraceSource: a name, a level, a number."""
    if line.find(" : ", 0, 100) > 0 and (match := _TRACE_SOURCE.match(line, 0, HEAD_LENGTH)):
        return named(_WORDS[match[2].lower()], line[match.end() :], logger=match[1])
    return None


def _last_time(head: str) -> str | None:
    return next((time[0] for time in reversed(list(_TIME.finditer(head)))), None)


def _place(line: str, start: int, end: int) -> _Place:
    head, tail = line[:start], line[end : end + 80]
    at = 0
    for time in _TIME.finditer(head):
        if not at and _IN_A_SENTENCE.search(head, 0, time.start()):
            break
        at = time.end()
    left, right = head.rstrip(" "), tail.lstrip(" ")
    gap = left[at:]
    if not gap.isspace():
        gap = _GROUPS.sub("]", _GROUPS.sub("]", gap))
    return _Place(
        gap=gap.rstrip(),
        before=left[-1:],
        blanks=len(head) - len(left),
        after=right,
        blanks_after=len(tail) - len(right),
        capitals=line[start:end].isupper(),
        timed=at > 0,
    )


def _is_level(place: _Place, word: str) -> bool:
    """Return whether a word in this place is a level, and not a part of the message."""
    if place.timed and not place.capitals and _TOPICS.search(place.gap) and place.after[:2] != ", ":
        return True
    if (
        _SENTENCE.search(place.gap)
        or (place.gap[-1:] in ",|/" and _LISTED.search(place.gap))
        or _FOLLOWED.match(" " * place.blanks_after + place.after)
    ):
        return False
    if not place.timed and not _NEAR_TIME.match(place.after):
        return False
    if place.before == '"' and not place.blanks:
        return place.after[:3] == '","' and place.timed and place.gap[-1:] == "]"
    if _in_brackets(place):
        return place.before != "(" or place.capitals or place.after[1:2] == ":"
    if word in _ONLY_IN_BRACKETS:
        return False
    if _in_columns(place) or _FACILITY.search(place.gap):
        return True
    if not place.after:
        return False
    plain_before = place.blanks == 1 and _PLAIN_LAST.search(place.gap) is not None
    return _is_capital_level(place, plain_before) if place.capitals else _is_small_level(place, plain_before)


def _in_brackets(place: _Place) -> bool:
    before, after = place.before, place.after[:1]
    return (before in _OPENING and after in "])>},|:" and before != "") or (before in ":," and after in "])>" and after != "")


def _in_columns(place: _Place) -> bool:
    before, after = place.before, place.after[:1]
    return (before != "" and before in "|;#\t" and before == after and ": " not in place.gap) or (
        before == after
        and before in ("/", ",")
        and (not place.gap.rstrip(before + " ") or (before == "," and place.capitals and place.blanks == 1))
    )


def _is_capital_level(place: _Place, plain_before: bool) -> bool:
    after = place.after[0]
    if plain_before:
        if place.blanks_after == 1 and place.gap.strip().isalpha() and _PROGRAM.match(place.after):
            return True
        return (after == ":" and not place.blanks_after) or place.blanks_after > 1
    if place.blanks_after == 1 and after.islower():
        return (
            not place.gap.strip(_DELIMITERS)
            or place.blanks > 1
            or _PLACE_LAST.search(place.gap) is not None
            or _DOTTED.match(place.after) is not None
        )
    if place.before == "." and place.gap.endswith("]."):
        return True
    return (
        place.before != "="
        and (place.gap[-2:] != "->" or place.gap == " ->")
        and (after not in "/.-,|;" or place.blanks_after > 0)
    )


def _is_small_level(place: _Place, plain_before: bool) -> bool:
    after = place.after[0]
    bare = not place.gap.strip(_DELIMITERS)
    if after == ":" and place.after[1:2] in (" ", ""):
        return bare or not plain_before
    if (place.blanks < 2 and place.blanks_after > 1) or after == "\t":
        return bare or place.gap.strip(_DELIMITERS).isalpha()
    if after in "[@":
        return bare or place.gap.strip(_DELIMITERS).isalpha()
    if (bare or _THREAD.fullmatch(place.gap) or place.gap.strip().isalnum()) and _NAMED_PROCESS.match(place.after):
        return True
    return place.blanks_after == 1 and _NAME_AFTER_ZULU.fullmatch(place.gap) is not None and not after.islower()

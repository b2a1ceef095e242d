"""Levels at the usual places of layouts that no other form knows: in brackets, in columns, before a colon, behind a name.

A word is a level only if the line's head shows it: a time is near, no words of a sentence stand between, and the word is
delimited. To add a word, see `words` and the tables below; to add a rule, see `places`.
"""

import re

from aletheia_operator.logs.forms.clocks import DATE, TIME
from aletheia_operator.logs.forms.codes import read_network_code
from aletheia_operator.logs.forms.place import place_of
from aletheia_operator.logs.forms.places import SENTENCE, is_level
from aletheia_operator.logs.forms.recognised import HEAD_LENGTH, Recognised, named
from aletheia_operator.logs.forms.words import WORD, WORDS
from aletheia_operator.logs.levels import LETTERS, level_of_word

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
_OF_ESX = {"Em": "FATAL", "Al": "FATAL", "Cr": "FATAL", "Er": "ERROR", "Wa": "WARN", "No": "INFO", "In": "INFO", "Db": "DEBUG"}
_BEFORE, _BEHIND = (
    (r"(?:[\s\[(<{|.,;:#\"\])>}【]|/(?=[A-Za-z]{3,11}(?:: |[\])>]))|\*(?=(?:[A-Za-z]{3,11}|[A-Z])\*))"),
    r"(?![A-Za-z_'’]|\d(?!\d{0,8}\[))",
)
_CANDIDATE = re.compile(rf"{_BEFORE}(?:({WORD}){_BEHIND}|[DEIWFVT](?=[ )|\]>,\t/!*]))")
_LARGE_CANDIDATE = re.compile(rf"{_BEFORE}(?=[A-Z])(?:({WORD}){_BEHIND}|[DEIWFVT](?=[ )|\]>,\t/!*]))")
_LOCALIZED = re.compile(rf" ({'|'.join(LOCALIZED)}):  ")
TRANSLATED = {
    **{word.casefold(): level for word, level in LOCALIZED.items() if not word.isascii()},
    "crítico": "FATAL", "инфо": "INFO",
    "информация": "INFO", "отладка": "DEBUG", "критическая": "FATAL", "錯誤": "ERROR", "資訊": "INFO", "调试": "DEBUG",
    "오류": "ERROR", "注意": "WARN", "błąd": "ERROR", "ostrzeżenie": "WARN",
    "uyarı": "WARN", "varování": "WARN",
    "advertência": "WARN", "información": "INFO", "informação": "INFO", "информ": "INFO",
}  # fmt: skip
"""The same and more, in brackets or before a colon, behind a time."""
_OF_TRANSLATED = "|".join(sorted(TRANSLATED, key=len, reverse=True))
_TRANSLATED = re.compile(rf"(?i:[\[(<|] ?({_OF_TRANSLATED}) ?[\])>|]|(?<=[\s\]])({_OF_TRANSLATED})[:：])")
_ESX = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]{8,15}Z) (Em|Al|Cr|Er|Wa|No|In|Db)\(\d{1,3}\)(?:\[\+\])? ")
_CLOCK = r"\d{1,2}:\d\d(?::\d\d)?"
_LEVEL_FIRST = re.compile(
    rf"[\[(<{{]?({WORD}|[TVDIWEFC](?=[:|] ?[\[\d]| \d{{4}}-\d\d-\d\dT|[\])>}},!/]? ?[\[(]?(?:{DATE}|\d{{8}}"
    rf"|\d\d-\d\d)[T\s_]{{1,2}}{_CLOCK}:\d| \d\d:\d\d:\d\d\.\d{{3,9}} ))[\])>}}]?"
    rf"!?[\s|,;:/#-]{{1,4}}[\[(<{{\"@]?(?:(?:(?:{DATE}|\d{{8}}|\d\d-\d\d)[T\s_,|-]{{1,2}})?{_CLOCK}|\d{{8}}T\d{{6}}"
    rf"|1\d{{9}}[.\d]\d\d)"
)
_IN_BETWEEN = r"\]?(?:[\s|]{0,8}(?:\[[^\[\]]{1,60}\]|[A-Za-z]{0,8}-?\d{1,12}(?=[\s|\[]))){0,3}[\s|]{1,4}"
_LETTER = re.compile(
    rf"[\[(]?(?:{DATE}[T @]{{1,2}})?\d{{1,2}}:\d\d:\d\d[.,]\d{{1,9}}\S{{0,7}}{_IN_BETWEEN}"
    r"(?:([DIWEFVT])(?=[\s|]{1,4}(?:[A-Z][\w.]|[\w.-]{1,60}[:\]]))|(?<=[\]|] )([DWEF])(?= [a-z]))"
    rf"|[\[(]?(?:{DATE}[T ]{{1,2}})?{_CLOCK}:\d\d\S{{0,16}}{_IN_BETWEEN}\(([DIWEF])\) "
    rf"|(?:\[?{DATE}[T ]{{1,2}}){_CLOCK}(?:Z|[+-]\d\d:?\d\d)?\]? ([DIWEF]) (?!mail|book|commerce|think|am|was|saw|said|say"
    rf"|see|know|mean|guess|have|had|will|would|can|did|do|hope|want)(?=[a-z][\w./-]{{1,40}}: \S)"
    rf"|\[[A-Za-z][\w.-]{{0,20}} ([DIWEFC]) (?:{DATE}[T ])?{_CLOCK}[^\]\n]{{0,60}}"
)
_TIME_WITHIN = 32
_LETTER_BEHIND = re.compile(  # any time and, perhaps, a group in brackets or numbers before the letter
    r"[\]),]?\s{0,8}(?:\[[^\[\]]{1,60}\]\s{0,8}|\d{1,12}(?:[ /:]\d{1,12})?\s{1,8}){0,2}"
    r"(?:\| ?([TDIWEF]) ?\||([TDIWEF])\t|(?<=,)([TDIWEF]),|- ([TDIWEF]) - |\[([TDIWEF])\]:?|\(([TDIWEF])\)|<([TDIWEF])>:?"
    r"|\*([TDIWEF])\*|(?<=\])([TDIWEF]): {1,4}(?=\S)"
    r"|(?<=[\s\]])([TDIWEF])(?:/(?=[\w.-]{1,60}: )|! | \| | (?=[\w./-]{1,80}\.[a-z]{1,4}:\d)"
    r"| (?=[A-Za-z][\w-]{0,40}(?:\.\w{1,40}){1,8}:? )| (?=[a-z]\w{1,20}-[\w-]{1,40}: \S)| (?=[A-Z]\w{1,40}: )"
    r"| (?=\[[\w.:-]{1,60}\])))"
    r"|(?<=\d) ([TDIWEF])\] "
)
_NO_MESSAGE = (
    r"(?!(?i:e-?mails?|mails?|numbers?|books?|commerce|street|\d{1,9}(?:st|nd|rd|th)|is|am|was|think|saw|said|say|see|know|mean"
    r"|guess)\b)"
)
_LETTER_COLUMN = re.compile(  # a column of one letter directly behind a full time, or behind a component in capitals
    rf"(?:\d{{1,9}}\( {{0,4}}\d{{1,9}}\) )?[\[(]?(?:(?:{DATE}[T ])(?:{_CLOCK}):\d\d|1\d{{9}}(?=[ .]))(?:[.,]\d{{1,9}})?"
    rf"(?:Z|[+-]\d\d:?\d\d)?[\])]? {{1,4}}(?:[A-Z][A-Z\d_]{{1,11}} {{1,4}}([DEWFITV]) {{1,4}}{_NO_MESSAGE}(?=[^\s=|&+*])"
    rf"|([DEWFINTV]) {{1,4}}{_NO_MESSAGE}(?=[A-Z][a-z]|[A-Z]{{2}}|\w{{1,60}}(?:[_.:/(=\[-]|->)|[\[(<\"']"
    r"|\w{1,30} \w{1,30} ?: |\d{1,9} {1,3}\d{1,9} ))"
)
_NOTICE = {"N": "INFO"}
_BELOW_DEBUG = re.compile(r"\d\S{0,8}\s(?:LEVEL|Level)\(-\d{1,3}\)\s")  # zap
_KEYED = re.compile(rf"\b(?i:(?:log[_.]?)?level|severity)=[\"']?({WORD})\b[\"']?")
_COLUMN = re.compile(rf"([\t|;]) ?(?i:severity|(?:log ?)?level): ({WORD}) ?\1")  # a name and its value in a column
_PAIR = re.compile(r"[,;]? ?[\w.]{1,40}=")
_IN_PAIRS = re.compile(rf"[|,;] ?lvl=({WORD}) ?[|,;]")  # FIWARE
_ONE_NAME = re.compile(r"[\s\]|-]{0,6}(?:[\w.-]{1,60} ?[|:-]{0,2})?[\[(]?")
_UNKEYED = re.compile(r"(?:^|\s)[A-Za-z][^\s=]{0,60}(?=\s|$)")
_OPENS_TIME = frozenset("[0123456789")
_ANY_TIME = re.compile(r"\d(?:\d?:\d\d|\d{7}[-_.T]\d{6}|\d{9})|%[A-Z]")
_ENDS_BRACKETS = re.compile(rf"\[[\w.-]{{1,60}}(?: ?:|\([^()\]]{{0,60}}\)|,) ?({WORD}) ?\] ")
_XML = re.compile(
    r"<[A-Za-z][\w:.-]{0,40}(?: [\w:.-]{1,40}=\"[^\"<>]{0,200}\"){0,12}? "
    rf"(?:[Ll]evel|[Ss]everity|lvl)=\"({WORD})\"[^<>]{{0,200}}"
    rf"|<record>[^\n]{{0,300}}?<level>({WORD})</level>"
)
_TRACE_SOURCE = re.compile(r"([\w.]{1,80}) (Critical|Error|Warning|Information|Verbose): \d{1,9} : ")
_OF_SYMBOLS = {
    **dict.fromkeys("ℹⓘ✔✓√✅", "INFO"), **dict.fromkeys("⚠!", "WARN"), **dict.fromkeys("✖✗✘✕❌⛔🚨", "ERROR"), "🐛": "DEBUG"
}  # fmt: skip
"""Levels by a symbol in brackets."""
_SYMBOL = re.compile(r"[\[(]([^\w\s\[\](){}]|[ℹⓘ])\ufe0f?[\])] {1,4}(?=\S)")
_SYMBOL_WITHIN = 60
_BADGE = re.compile(
    r" {1,3}(?:[A-Z]{2,8} {2,4})?(INFO|WARN|ERROR|DEBUG|SUCCESS|LOG) {2}(?=[A-Z\"'\[][\w ]{2})"
    r"| (info|warn|error|success) {2}(?=\S)"  # Remix
    r"| {3,40}(DEBUG|INFO|WARNING|ERROR|CRITICAL) {2,5}(?=\S)"  # Rich, below a line of the same second
)
_CLOSING = {"[": "]", "<": ">", "(": ")"}
_REST_OF_TIME = re.compile(
    r"[.,:]?\d{0,9}(?: ?[AP]M)?(?:Z| ?[+-]\d\d:?\d\d| UTC)?(?: \d{4}(?=\]))?"
    r"\"?[\])>}]?(?: {1,4}[\[(]\d{1,10}[\])])?[\s|:,;]*(?:- )?"
)
_AFTER_LEVEL = " -|:;,#/\t]>)}*."


def read_anywhere(line: str) -> Recognised | None:
    """Read a level at one of the usual places."""
    first = line[:1]
    if first == "<" and (match := _XML.match(line, 0, HEAD_LENGTH)):
        word = match[1] or match[2]
        return named(WORDS.get(word.lower()), None) if "time" in match[0] or match[2] else None
    if first not in _OPENS_TIME and not _ANY_TIME.search(line, 0, WINDOW):
        return _read_trace_source(line)
    if not first.isdigit() and (match := _LEVEL_FIRST.match(line, 0, HEAD_LENGTH)):
        word = match[1]
        level, rest = WORDS.get(word.lower()) or LETTERS[word], _REST_OF_TIME.match(line, match.end(), HEAD_LENGTH)
        return named(level, line[(rest or match).end() :])
    if column := _LETTER_COLUMN.match(line, 0, HEAD_LENGTH):
        letter = column[1] or column[2]
        return named(_NOTICE.get(letter) or LETTERS[letter], line[column.end() :], time=_last_time(column[0]))
    head = line[:WINDOW]
    letters = False
    for match in (_CANDIDATE if _has_small_word(head) else _LARGE_CANDIDATE).finditer(head):
        if match[1] is None:
            if not letters and (found := _read_letter(line)):
                return found
            letters = True
            continue
        place = place_of(line, match.start(1), match.end(1))
        if is_level(place):
            time = _last_time(line[: match.start()])
            return named(WORDS[match[1].lower()], _message(line, match.end(1), place.before), time=time)
    if first == "[" and (match := _ENDS_BRACKETS.match(line, 0, HEAD_LENGTH)):
        return named(WORDS[match[1].lower()], line[match.end() :].lstrip())
    return _read_code(line)


def _message(line: str, at: int, before: str) -> str:
    """Return what follows a level that ends at `at`. If `before`, the character before it, is a bracket, it may hold more."""
    if (closing := _CLOSING.get(before)) and line[at : at + 1] != closing:
        end = line.find(closing, at, at + 80) + 1
        at = end or at
    return line[at:].lstrip(_AFTER_LEVEL)


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
        or "dbg" in head
        or "wrn" in head
        or "emerg" in head
    )


def _read_letter(line: str) -> Recognised | None:
    """Read one letter behind a time, and behind brackets."""
    if match := _LETTER.match(line, 0, HEAD_LENGTH):
        letter = match[1] or match[2] or match[3] or match[4] or match[5]
        return named(LETTERS[letter], line[match.end() :].lstrip(_AFTER_LEVEL), time=_last_time(match[0]))
    if (time := TIME.search(line, 0, _TIME_WITHIN)) and (match := _LETTER_BEHIND.match(line, time.end(), HEAD_LENGTH)):
        letter = next(filter(None, match.groups()))
        return named(LETTERS[letter], line[match.end() :].lstrip(_AFTER_LEVEL), time=time[0])
    return None


def _read_code(line: str) -> Recognised | None:
    """Read abbreviations behind a time, Cisco's numbers, and PostgreSQL's words in other languages."""
    if line[10:11] == "T" and (found := _ESX.match(line)):
        return named(_OF_ESX[found[2]], line[found.end() :], time=found[1])
    if code := read_network_code(line, WINDOW):
        return code
    if not line.isascii() and (found := _TRANSLATED.search(line, 0, WINDOW)):
        place = place_of(line, found.start(), found.end())
        if place.timed and not SENTENCE.search(place.gap):
            return named(TRANSLATED[(found[1] or found[2]).casefold()], line[found.end() :].lstrip())
    found = _LOCALIZED.search(line, 0, WINDOW) if ":  " in line else None
    if found and (place := place_of(line, found.start(1), found.end(1))).timed and not SENTENCE.search(place.gap):
        return named(LOCALIZED[found[1]], line[found.end() :])
    if ("LEVEL(-" in line or "Level(-" in line) and (found := _BELOW_DEBUG.search(line, 0, WINDOW)):
        return named("DEBUG", line[found.end() :])
    if "lvl=" in line and (found := _IN_PAIRS.search(line, 0, WINDOW)):
        return named(WORDS[found[1].lower()], line[found.end() :].lstrip(" |,;"))
    if ("everity: " in line or "evel: " in line) and (found := _COLUMN.search(line, 0, WINDOW)):
        return named(WORDS[found[2].lower()], line[found.end() :].lstrip())
    if ("evel=" in line or "everity=" in line or "EVERITY=" in line) and (found := _KEYED.search(line, 0, WINDOW)):
        place = place_of(line, found.start(), found.end())
        named_only = _ONE_NAME.fullmatch(place.gap) is not None and not (place.gap[-1:].isalpha() and place.after[:1].islower())
        if place.timed and (named_only or (not _UNKEYED.search(place.gap) and ("=" in place.gap or _PAIR.match(place.after)))):
            return named(WORDS[found[1].lower()], line[found.end() :].lstrip(), time=_last_time(line[: found.start()]))
    if (not line.isascii() or "[!]" in line) and (found := _SYMBOL.search(line, 0, _SYMBOL_WITHIN)):
        place = place_of(line, found.start(), found.end())
        if not _UNKEYED.search(place.gap) and (place.timed or not found.start()) and found[1] in _OF_SYMBOLS:
            return named(_OF_SYMBOLS[found[1]], line[found.end() :].lstrip())
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
        return named(level_of_word(match[1] or match[2] or match[3]), line[match.end() :])
    return None


def _read_trace_source(line: str) -> Recognised | None:
    """Read .NET's TraceSource: a name, a level, a number."""
    if line.find(" : ", 0, 100) > 0 and (match := _TRACE_SOURCE.match(line, 0, HEAD_LENGTH)):
        return named(WORDS[match[2].lower()], line[match.end() :], logger=match[1])
    return None


def _last_time(head: str) -> str | None:
    return next((time[0] for time in reversed(list(TIME.finditer(head)))), None)

"""Decides whether a word is the level of its line or a part of the message, by the text around it.

To add a rule for a layout, see `_is_capital_level` for words in capitals, `_is_small_level` for others.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from aletheia_operator.logs.forms.prose import TALK, is_compound
from aletheia_operator.logs.levels import LEVELS

_SHORT = {
    "ntc": "INFO", "msg": "INFO", "alr": "FATAL", "emg": "FATAL", "nfo": "INFO", "dump": "TRACE", "war": "WARN", "deb": "DEBUG",
    "sev": "ERROR", "fat": "FATAL", "warni": "WARN", "sever": "ERROR", "log_err": "ERROR", "log_error": "ERROR",
    "log_warning": "WARN", "log_notice": "INFO", "log_info": "INFO", "log_debug": "DEBUG", "log_warn": "WARN",
    "log_crit": "FATAL", "log_alert": "FATAL", "log_emerg": "FATAL", "errs": "ERROR", "log": "INFO", "exception": "ERROR",
    "wan": "WARN", "wng": "WARN", "wrng": "WARN", "advisory": "INFO", "infor": "INFO", "fatl": "FATAL",
    "major": "ERROR", "minor": "WARN", "maj": "ERROR", "event": "INFO",
}  # fmt: skip
"""Words that are levels only at the places in this module."""
_FOREIGN = {
    "fehler": "ERROR", "warnung": "WARN", "hinweis": "INFO", "schwerwiegend": "ERROR", "kritisch": "FATAL", "erreur": "ERROR",
    "avertissement": "WARN", "alerte": "WARN", "critique": "FATAL", "infos": "INFO", "errore": "ERROR", "avviso": "WARN",
    "avvertenza": "WARN", "advertencia": "WARN", "aviso": "WARN", "fout": "ERROR", "waarschuwing": "WARN", "hata": "ERROR",
    "chyba": "ERROR", "varning": "WARN", "grave": "ERROR",
}  # fmt: skip
"""Words of other languages, which are levels only in brackets or before a colon."""
_OTHERS = frozenset({"deprecation", "fatal error", "note", "default", "audit", "shout", "system", "success", "config"})
"""Words that are levels only in other forms: here they are too common."""
WORDS = {word: level for word, level in (LEVELS | _SHORT | _FOREIGN).items() if word not in _OTHERS}
_RESULTS = frozenset({"fail", "failure"})  # of tests, at the end of a line
_ONLY_IN_BRACKETS = frozenset({
    "notification", "log", "msg", "fail", "failure", "dump", "alert", "wan", "wng", "wrng", "advisory", "infor", "fatl", "maj",
    "event",
})  # fmt: skip
_OF_ALARMS = frozenset({"major", "minor"})
"""Severities of alarms, which are levels only before a colon or between two columns."""
_BEFORE_A_MESSAGE = frozenset(
    {"warn", "warning", "wrn", "info", "inf", "debug", "dbg", "trace", "notice", "verbose", "err", "crit"}
)
"""Small words that are levels directly behind a time, unless the next word makes them a noun."""
_NOUN = re.compile(
    r"(?:modes?|levels?|messages?|ids?|logs?|logging|files?|output|ports?|thresholds?|texts?|periods?|pages?|sections?|box(?:es)?"
    r"|signs?|events?|counts?|counters?|lines?|flags?|info|data|points?|contexts?|enabled|disabled|off|sent|about|from|for|on|of"
    r"|in|is|was|are|were|has|have|had|and|or|to|at|that|this|with|by|as|but|not|no|the|a|an|it|dialogs?|symbols?|builds?"
    r"|commands?|labels?|lights?|budgets?|rates?|systems?|services?|requests?|endpoints?|tables?|columns?|fields?|types?|codes?"
    r"|states?|status|letters?|issued|raised|shown|printed|emails?|mails?|board|desk|panels?|bar|tool|menu|banners?)(?![\w./:-])"
    r"|[\w-]{1,30} (?:is|are|was|were|has|have|had|will|would|can|could|should|must|may|might)\b"
)
_OF_TOOLS = frozenset({"debug", "trace"})
_TOOL = re.compile(r"(?:adapter|agent|collector|console|exporter|listener|probe|provider|server|session|shell|socket|span)s? ")


def _any_of(words: Iterable[str]) -> str:
    """Return a pattern for these words, grouped by their first letters: it fails sooner than a plain list."""
    by_first: defaultdict[str, list[str]] = defaultdict(list)
    for word in sorted(words, key=len, reverse=True):
        by_first[word[0]].append(word[1:])
    return "|".join(f"[{first}{first.lower()}](?:{'|'.join(rest)})" for first, rest in sorted(by_first.items()))


_CUT = frozenset({"notification", "debg", "blat", "trac", "debu", "fata", "pani", "emer", "noti"})  # in capitals only
_SMALL = {word.upper(): word for word in WORDS if word not in _SHORT and word not in _CUT}
WORD = rf"(?:{_any_of([word.upper() for word in WORDS] + [upper[0] + word[1:] for upper, word in _SMALL.items()])})"
_CLOCK = r"\d{1,2}:\d\d(?::\d\d)?"
DATE = (
    r"(?:\d{4}[-/.]\d\d[-/.]\d\d|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{4} [A-Z][a-z]{2} \d{1,2}"
    r"|(?:\d{1,2}[-/ ])?[A-Z][a-z]{2,8}[-/ ] ?\d{1,4}(?:, \d{4})?)"
)
TIME = re.compile(
    rf"(?=[\dA-Z])(?:(?<!\d)(?:{DATE}[T ,:_-]{{1,2}})?(?<!\d){_CLOCK}(?:(?<=\d\d:\d\d:\d\d)|(?<=\d:\d\d:\d\d)|(?= ?[AP]M))"
    r"(?:[.,:]\d{1,9})?(?: ?[AP]M\b)?"
    r"(?:Z| ?[+-]\d\d:?\d\d(?!\d)| [+-]\d\d(?= )| (?:UTC|GMT)\b(?: [+-]\d{4}\b)?| [A-Z]{3,4}(?= \d{4}))?(?: \d{4}(?=[\s\]]))?"
    r"|\d{8}[-_.T]\d{6}(?:\.\d{1,9})?Z?|(?<!\d)20\d{12}(?:\d{3}|\.\d{1,9})?(?!\d)|(?<!\d)1\d{9}(?:\d{3}|\.\d{1,9})?(?!\d)|\d{1,9}\.\d{3,6}(?=[\]s]))"
)
_NEAR_TIME = re.compile(rf"[^\n]{{0,24}}?(?:{DATE}[T\s,]{{1,2}})?{_CLOCK}:\d\d")
_GROUPS = re.compile(r"\[[^\[\]]{0,120}\]|\([^()]{0,120}\)|<[^<>]{0,120}>|\{[^{}]{0,120}\}|\"[^\"]{0,120}\"")
SENTENCE = re.compile(r"(?:^|[\s,;:])[A-Za-z][a-z']{1,30},? [a-z][a-z']{1,30}(?![\w./:=\[\](-])")
_PLAIN_LAST = re.compile(r"(?:^|\s)(?:[A-Z]?[a-z]{1,30}|[A-Z]{1,30})$")
_PLACE_LAST = re.compile(r"(?:[\])>}]:?(?: -)?|:\d{1,9}:?|=\S{1,60}|[0-9a-f]{8,40}|(?:^|\s)\d{1,12}(?:/\d{1,12})?)$")
_FOLLOWED = re.compile(rf" ?(?:=|->|→)| (?:and|or|is|was|are|level|levels)\b| ?[,|/] ?{WORD}\b")
_LISTED = re.compile(rf"{WORD} ?[,|/]$")
_FACILITY = re.compile(r"(?:^|\s)(?:kern|user|mail|daemon|auth|authpriv|syslog|lpr|news|cron|ftp|local[0-7])\.$")
_TOPICS = re.compile(r"^[\s\]]{1,4}[a-z]{2,20},(?:[a-z]{2,20},){0,4}$")
_IN_A_SENTENCE = re.compile(r"\b(?:at|on|in|since|until|till|from|by|before|after|of|for|the|to|was|is|and) [\d./ -]{0,12}$")
_NAMED_PROCESS = re.compile(r"[\w.-]{1,60}\[\w{1,20}\]:? |'[\w.:/-]{1,60}'")
_PROGRAM = re.compile(r"(?=[\w.-]{0,60}[#\[\d./])[\w.#/-]{1,60}(?:\[\d{1,10}\])?: ")
_DOTTED = re.compile(r"[\w$-]{1,40}(?:[./][\w$-]{1,40}){1,8}[\s:]")
_THREAD = re.compile(r" \[?[0-9A-F]{6,16}")
_NAME_AFTER_ZULU = re.compile(r" [a-z][\w-]{1,40}")
_WORD_CHARACTER = re.compile(r"[^\Wℹ]")
_LETTER = re.compile(r"[^\W\d]")
_ATTACHED = re.compile(
    r"-\d{1,2}\t|> |>$|::|\([\w.:@#-]{1,60}\):|\( {0,8}\d{1,9}\):|\*{1,2}:? (?!(?:is|was|are) )|/[\w.-]{1,60}: |;(?! )"
)
_ARROW = re.compile(r"(?:>{1,2}|=>|-{2,4}>?|[»›❯▶➜|]) ")
_NAME = re.compile(  # of a logger, with more than a plain word, before its delimiter or in camel case
    r"(?:(?:[a-z]\w{0,40}[._:-]{1,2}\w|[A-Za-z]{0,40}[a-z\d][A-Z]|[\w-]{1,40}(?:\.|::)\w)[\w.$/:-]{0,60}?|[A-Z]\w{1,40})(?::"
    r"| -) "
    r"|[a-z]\w{0,40}(?:\.\w{1,40}){0,8}\.[A-Z]\w{0,40} |\w{1,40}::\w[\w:]{0,60} "
)
_PROPER = re.compile(r"[A-Z][\w.]{1,40}(?:[\s:(\[,.]|$)|[\w./-]{1,80}\.[a-z]{1,4}:\d|\w{1,40}=\S")
_OPENER = re.compile(
    r"(?:Start|Stopp|Load|Connect|Initiali[sz]|Wait|Listen|Runn|Creat|Updat|Delet|Remov|Receiv|Send|Read|Writ|Open|Clos|Process"
    r"|Check|Execut|Register|Shutt|Sett|Add|Scan|Fetch|Download|Upload|Process|Retry|Finish|Complet|Generat|Pars|Us)(?:ing"
    r"|ed)\b"
    r"|(?:Cannot|Can't|Could|Couldn't|Unable|Failed|Exception|Not?|Invalid|Unknown|Missing|Found|Successfully|Application"
    r"|Now|HTTP|GET|POST|PUT)\b|[A-Za-z]{0,40}[a-z\d][A-Z]\w|[A-Z]\w{0,40}(?:[:.(]|\d)|\[|\w{1,40}=\S"
)
_FUNCTION_WORD = re.compile(
    r"(?i:the|an?|this|that|these|my|our|your|his|her|its|no|new|all|set|to|in|of|at|on|got|get|sent|found|any|some|one|not"
    r"|after"
    r"|before|with|for|from|by|is|was|are|and|or|but|into|as|if)"
)
_LOG_TEXT = re.compile(r"\[|[A-Z][a-z'’]{1,30} (?:[A-Za-z\d(\"'/]|$)")
_MODULE_LAST = re.compile(r"(?:[^\n]{0,100}\.[a-z]{1,4}:\d{1,9} [A-Z]{2,8})|[\s\]-]{0,6}\d[\d\s\]-]{0,40} [A-Z]{2,6}")
_SOURCE = re.compile(r"[\w./-]{1,80}\.[a-z]{1,4}:\d{1,9}[:\s]")
_PROTOCOL_LAST = re.compile(r"[\s\]:-]{0,8}[A-Z]{2,8}")  # IMAP Error
_COUNT_LAST = re.compile(r"(?:^|\s)\d{1,3}$")
_PLURAL = re.compile(r"[a-z]{2,20}s\b")
_CHAT_LAST = re.compile(r"<[a-z][\w-]{0,30}>\s?$")
_DASHED_LAST = re.compile(r" ?[\w]{1,40}(?:[._-][\w]{1,40}){1,8}\.?")
_MESSAGE_ID = re.compile(r"[A-Z][A-Z\d]{0,8}-[\dA-Z][\dA-Z-]{1,30} ")
_LOGGER_LAST = re.compile(r"[\s\]]{1,4}[a-z][\w-]{0,30}\.")
_PAIR = re.compile(r"[a-z]\w{0,30}=\S")
_DOTTED_NAME = re.compile(r"[a-z]\w{0,30}(?:\.\w{1,30}){1,8}[ (]")
_SPACES_OF_NAMES = re.compile(r"[\s\]]{0,4}[\w.-]{1,60}(?::[\w.-]{1,60}){0,4}:")  # of the package debug of Node.js
_IN_FILE = re.compile(r"in [./][^\s,]{1,200}, lines? \d")
_NUMBER = re.compile(r"\(\d{1,12}\) ")
_DOTTED_LAST = re.compile(r"(?:^|[\s\]])[\w$-]{1,60}(?:(?:\.|::)[\w$-]{1,60}){1,8}$")
_OPENS_NAME = re.compile(r"[\[(<][\w .#-]{1,60}/$")
_AFTER_NAME = re.compile(r"[\s\]]{0,4}[\w.-]{1,60}/")
_OF_SYSLOG = frozenset({"err", "notice", "warning", "info", "debug", "crit", "emerg"})
_HOST = re.compile(r" (?![a-z]{1,12}(?:ed|ing|s|nt|ot|ook|aw) )[a-z][a-z\d-]{3,60}")  # of SONiC, where syslog has a host
_SENDER = re.compile(r"[a-z][\w#.-]{2,60}: \S")
_DELIMITERS = " -|:;,#/[(<{\t]>)}*."
_OPENING = "[(<{【"


class Place(NamedTuple):
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
    small: bool
    timed: bool
    """Whether a time stands before the word."""


def place_of(line: str, start: int, end: int) -> Place:
    """Return the place of the word between `start` and `end`."""
    head, tail = line[:start], line[end : end + 80]
    at = 0
    for time in TIME.finditer(head):
        if not at and _IN_A_SENTENCE.search(head, 0, time.start()):
            break
        at = time.end()
    left, right = head.rstrip(" "), tail.lstrip(" ")
    gap = left[at:]
    if not gap.isspace():
        gap = _GROUPS.sub("]", _GROUPS.sub("]", gap)) if not _CHAT_LAST.search(gap) else gap
    return Place(
        gap=gap.rstrip(),
        before=left[-1:],
        blanks=len(head) - len(left),
        after=right,
        blanks_after=len(tail) - len(right),
        capitals=line[start:end].isupper(),
        small=line[start:end].islower(),
        timed=at > 0,
    )


def is_level(place: Place, word: str) -> bool:
    """Return whether a word in this place is a level, and not a part of the message."""
    if place.timed and not place.capitals and _TOPICS.search(place.gap) and place.after[:2] != ", ":
        return True
    if (early := _by_surroundings(place, word)) is not None:
        return early
    if place.before == '"' and not place.blanks:
        return place.after[:3] in ('","', '";"', '"\t"', '"|"') and place.timed and place.gap[-1:] == "]"
    if _in_brackets(place):
        if word in _RESULTS and place.after[1:] == "" and _WORD_CHARACTER.search(place.gap):
            return False
        return place.before != "(" or place.capitals or place.after[1:2] == ":"
    if word in _FOREIGN:
        return place.after[:1] == ":" and not _WORD_CHARACTER.search(place.gap)
    if place.capitals and word in _OF_SYSLOG and _HOST.fullmatch(place.gap) and _SENDER.match(place.after):
        return True
    if word == "msg" and _NAMED_PROCESS.match(place.after):
        return True
    if word in _OF_ALARMS and not _in_columns(place) and (place.blanks_after or place.after[:2] != ": "):
        return False
    if word in _ONLY_IN_BRACKETS or (place.capitals and place.blanks_after == 1 and is_compound(f" {place.after}", 0)):
        return False
    if (
        place.before == ":"
        and place.timed
        and not place.blanks
        and place.blanks_after
        and _SPACES_OF_NAMES.fullmatch(place.gap)
    ):
        return True
    if place.before == "/" and not place.blanks:
        return place.capitals and place.after[:2] == ": " and _AFTER_NAME.fullmatch(place.gap) is not None
    if _in_columns(place) or _FACILITY.search(place.gap):
        return True
    if not place.after:
        return False
    plain_before = place.blanks == 1 and _PLAIN_LAST.search(place.gap) is not None
    if place.capitals:
        return _is_capital_level(place, plain_before)
    if place.small and place.blanks_after == 1 and word in _BEFORE_A_MESSAGE and _is_behind_time(place):
        return _NOUN.match(place.after) is None and not (word in _OF_TOOLS and _TOOL.match(place.after))
    return _is_small_level(place, plain_before)


def _is_behind_time(place: Place) -> bool:
    """Return whether only blanks stand between a time and the word, and a word follows."""
    return place.timed and place.blanks == 1 and not place.gap and place.after[:1].isalpha()


def _by_surroundings(place: Place, word: str) -> bool | None:
    """Return what PostgreSQL's colon, a sentence, a list or a missing time show; None if they show nothing."""
    if place.timed and place.capitals and place.after[:3] == ":  " and place.after[3:4].strip():  # PostgreSQL and its like
        return word not in _OF_ALARMS
    if (
        SENTENCE.search(place.gap)
        or (place.gap[-1:] in ",|/" and _LISTED.search(place.gap))
        or (_FOLLOWED.match(" " * place.blanks_after + place.after) and (place.capitals or place.after[:3] != "=> "))
    ):
        return False
    if place.after[:1] == ":" and place.blanks_after and place.after[1:2].strip() and not place.blanks:
        return place.before == ":"  # `:FSAL :CRIT :Cannot`, but not `[ERROR :Closing Link`
    if not place.timed and not _NEAR_TIME.match(place.after):
        return False
    return None


def _in_brackets(place: Place) -> bool:
    before, after = place.before, place.after[:1]
    if before == "/":
        return after in ("]", ")", ">") and _OPENS_NAME.search(place.gap) is not None
    return (before in _OPENING and after in "])>},|:/】" and before != "") or (
        before in ":," and after in "])>" and after != ""
    )


def _in_columns(place: Place) -> bool:
    before, after = place.before, place.after[:1]
    return (before != "" and before in "|;#\t" and before == after and ": " not in place.gap) or (
        before == after
        and before in ("/", ",")
        and (not _LETTER.search(place.gap) or (before == "," and place.capitals and place.blanks == 1))
    )


def _is_capital_level(place: Place, plain_before: bool) -> bool:
    after = place.after[0]
    if _CHAT_LAST.search(place.gap) and TALK.search(place.after):
        return False
    if plain_before and not _MODULE_LAST.fullmatch(place.gap):
        name = place.gap.strip()
        if (
            place.blanks_after == 1
            and name.isalpha()
            and (
                _PROGRAM.match(place.after)
                or _DOTTED_NAME.match(place.after)
                or _MESSAGE_ID.match(place.after)
                or (not _FUNCTION_WORD.fullmatch(name) and _LOG_TEXT.match(place.after))
            )
        ):
            return True
        return (after == ":" and not place.blanks_after) or place.blanks_after > 1
    if place.before == "." and (place.gap.endswith("].") or _LOGGER_LAST.fullmatch(place.gap)):
        return True
    if place.blanks_after == 1 and after.islower():
        if _COUNT_LAST.search(place.gap) and _PLURAL.match(place.after):
            return False
        return (
            _MODULE_LAST.fullmatch(place.gap) is not None
            or not _WORD_CHARACTER.search(place.gap)
            or place.blanks > 1
            or _PLACE_LAST.search(place.gap) is not None
            or _DOTTED.match(place.after) is not None
        )
    if not place.blanks_after and after in "*/=":
        return _is_attached(place)
    return (
        place.before != "="
        and (place.gap[-2:] != "->" or place.gap == " ->")
        and (after not in ".-,|;" or place.blanks_after > 0)
    )


def _is_small_level(place: Place, plain_before: bool) -> bool:
    after = place.after[0]
    if _CHAT_LAST.search(place.gap):
        return False
    bare = not _WORD_CHARACTER.search(place.gap)
    if after == "：" or (bare and place.timed and after == ":" and not place.after[1:2].isascii()):
        return bare
    if after == ":" and place.after[1:2] in (" ", ""):
        return bare or not plain_before or _PROTOCOL_LAST.fullmatch(place.gap) is not None
    if after in "])>}" and place.before not in "(":
        return bare
    if (place.blanks_after > 1 and (place.blanks < 2 or not place.gap.isascii())) or after == "\t":
        return bare or place.gap.strip(_DELIMITERS).isalpha()
    if after in "[@":
        return bare or place.gap.strip(_DELIMITERS).isalpha() or _DASHED_LAST.fullmatch(place.gap) is not None
    if (bare or _THREAD.fullmatch(place.gap) or place.gap.strip().isalnum()) and _NAMED_PROCESS.match(place.after):
        return True
    if not place.blanks_after:
        return _is_attached(place)
    if _SOURCE.match(place.after) or (bare and _IN_FILE.match(place.after)):
        return True
    if bare and _PAIR.match(place.after):
        return True
    if plain_before or place.blanks_after > 1:
        return False
    if bare and (_ARROW.match(place.after) or (after == "(" and _NUMBER.match(place.after))):
        return True
    if not bare and not _PLACE_LAST.search(place.gap) and not _DOTTED_LAST.search(place.gap):
        return False
    if _NAME.match(place.after):
        return True
    if after.islower():
        return False
    return (_PROPER if place.small else _OPENER).match(place.after) is not None


def _is_attached(place: Place) -> bool:
    """Return whether a delimiter that follows the word directly shows that it is a level."""
    if place.before == "*" or place.after[0] == "*":
        return place.before == place.after[0] and _ATTACHED.match(place.after) is not None
    return not _WORD_CHARACTER.search(place.gap) and _ATTACHED.match(place.after) is not None

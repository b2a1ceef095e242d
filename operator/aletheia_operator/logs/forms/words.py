"""Words that are levels in any layout, if they stand at one of the places that `places` knows.

To add a word, add it to `logs/levels.py`; or to `_ONLY_HERE` if it is no level in other forms.
"""

from collections import defaultdict
from collections.abc import Iterable

from aletheia_operator.logs.levels import LEVELS

_ONLY_HERE = {
    "ntc": "INFO", "msg": "INFO", "alr": "FATAL", "emg": "FATAL", "nfo": "INFO", "dump": "TRACE", "war": "WARN", "deb": "DEBUG",
    "sev": "ERROR", "fat": "FATAL", "warni": "WARN", "sever": "ERROR", "log_err": "ERROR", "log_error": "ERROR",
    "log_warning": "WARN", "log_notice": "INFO", "log_info": "INFO", "log_debug": "DEBUG", "log_warn": "WARN",
    "log_crit": "FATAL", "log_alert": "FATAL", "log_emerg": "FATAL", "errs": "ERROR", "log": "INFO", "exception": "ERROR",
    "wan": "WARN", "wng": "WARN", "wrng": "WARN", "advisory": "INFO", "infor": "INFO", "fatl": "FATAL",
    "major": "ERROR", "minor": "WARN", "maj": "ERROR", "event": "INFO",
}  # fmt: skip
FOREIGN = {
    "fehler": "ERROR", "warnung": "WARN", "hinweis": "INFO", "schwerwiegend": "ERROR", "kritisch": "FATAL", "erreur": "ERROR",
    "avertissement": "WARN", "alerte": "WARN", "critique": "FATAL", "infos": "INFO", "errore": "ERROR", "avviso": "WARN",
    "avvertenza": "WARN", "advertencia": "WARN", "aviso": "WARN", "fout": "ERROR", "waarschuwing": "WARN", "hata": "ERROR",
    "chyba": "ERROR", "varning": "WARN", "grave": "ERROR",
}  # fmt: skip
"""Words of other languages, which are levels only in brackets or before a colon."""
_ONLY_IN_OTHER_FORMS = frozenset({
    "deprecation", "fatal error", "note", "default", "audit", "shout", "system", "success", "config",
})  # fmt: skip
WORDS = {word: level for word, level in (LEVELS | _ONLY_HERE | FOREIGN).items() if word not in _ONLY_IN_OTHER_FORMS}
"""Levels by word, in small letters."""

RESULTS = frozenset({"fail", "failure"})
"""Results of tests, if they end a line."""
ONLY_IN_BRACKETS = frozenset({
    "notification", "log", "msg", "fail", "failure", "dump", "alert", "wan", "wng", "wrng", "advisory", "infor", "fatl", "maj",
    "event",
})  # fmt: skip
OF_ALARMS = frozenset({"major", "minor"})
"""Severities of alarms, which are levels only before a colon or between two columns."""
BEFORE_A_MESSAGE = frozenset(
    {"warn", "warning", "wrn", "info", "inf", "debug", "dbg", "trace", "notice", "verbose", "err", "crit"}
)
"""Small words that are levels directly behind a time, unless the next word makes them a noun."""
OF_SYSLOG = frozenset({"err", "notice", "warning", "info", "debug", "crit", "emerg"})

_CUT = frozenset({"notification", "debg", "blat", "trac", "debu", "fata", "pani", "emer", "noti"})  # in capitals only


def _any_of(words: Iterable[str]) -> str:
    """Return a pattern for these words, grouped by their first letters: it fails sooner than a plain list."""
    by_first: defaultdict[str, list[str]] = defaultdict(list)
    for word in sorted(words, key=len, reverse=True):
        by_first[word[0]].append(word[1:])
    return "|".join(f"[{first}{first.lower()}](?:{'|'.join(rest)})" for first, rest in sorted(by_first.items()))


_IN_CAPITALS = [word.upper() for word in WORDS]
_IN_SMALL_LETTERS = [word[0].upper() + word[1:] for word in WORDS if word not in _ONLY_HERE and word not in _CUT]
WORD = rf"(?:{_any_of(_IN_CAPITALS + _IN_SMALL_LETTERS)})"
"""Matches such a word in capitals and, if it is not too common, in small letters or capitalised."""

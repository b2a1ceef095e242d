"""Decides whether a word is the level of its line or a part of the message, by the text around it.

`is_level` asks rules in order, and the first that answers counts: first those in this module, for any word, then those for
words in capitals (`places_of_capitals`) or for others (`places_of_small_words`). A rule returns True (a level), False (a part
of the message) or None (the next rule decides). tests/unit/test_places.py has a line for each rule.

To add a rule, write a function with a name that says what it answers, and put it before any rule that answers wrongly for its
lines.
"""

import re
from collections.abc import Callable

from aletheia_operator.logs.forms.clocks import NEAR_TIME
from aletheia_operator.logs.forms.place import Place
from aletheia_operator.logs.forms.places_of_capitals import RULES as FOR_CAPITALS
from aletheia_operator.logs.forms.places_of_small_words import RULES as FOR_SMALL_WORDS
from aletheia_operator.logs.forms.prose import is_compound
from aletheia_operator.logs.forms.words import FOREIGN, OF_ALARMS, OF_SYSLOG, ONLY_IN_BRACKETS, RESULTS, WORD

Rule = Callable[[Place], bool | None]

SENTENCE = re.compile(r"(?:^|[\s,;:])[A-Za-z][a-z']{1,30},? [a-z][a-z']{1,30}(?![\w./:=\[\](-])")
"""Two words of a sentence."""
_OPENING = "[(<{【"
_TOPICS = re.compile(r"^[\s\]]{1,4}[a-z]{2,20},(?:[a-z]{2,20},){0,4}$")
_LISTED = re.compile(rf"{WORD} ?[,|/]$")
_GOES_ON = re.compile(rf" ?(?:=|->|→)| (?:and|or|is|was|are|level|levels)\b| ?[,|/] ?{WORD}\b")
_HOST = re.compile(r" (?![a-z]{1,12}(?:ed|ing|s|nt|ot|ook|aw) )[a-z][a-z\d-]{3,60}")
_SENDER = re.compile(r"[a-z][\w#.-]{2,60}: \S")
_NAMESPACE = re.compile(r"[\s\]]{0,4}[\w.-]{1,60}(?::[\w.-]{1,60}){0,4}:")
_NAME_AND_SLASH = re.compile(r"[\s\]]{0,4}[\w.-]{1,60}/")
_BRACKET_AND_SLASH = re.compile(r"[\[(<][\w .#-]{1,60}/$")
_FACILITY = re.compile(r"(?:^|\s)(?:kern|user|mail|daemon|auth|authpriv|syslog|lpr|news|cron|ftp|local[0-7])\.$")
_LETTER = re.compile(r"[^\W\d]")


def is_level(place: Place) -> bool:
    """Return whether a word in this place is a level, and not a part of the message."""
    for rule in RULES_OF_CAPITALS if place.capitals else RULES_OF_SMALL_WORDS:
        answer = rule(place)
        if answer is not None:
            return answer
    return False


def _is_topic(place: Place) -> bool | None:
    """The last of RouterOS' topics is the level: `system,error login failure`."""
    return True if place.timed and not place.capitals and _TOPICS.search(place.gap) and place.after[:2] != ", " else None


def _precedes_colon_and_two_blanks(place: Place) -> bool | None:
    """PostgreSQL and its like write `ERROR:  relation …`."""
    two_blanks = place.after[:3] == ":  " and place.after[3:4].strip()
    return place.word not in OF_ALARMS if place.timed and place.capitals and two_blanks else None


def _is_in_sentence(place: Place) -> bool | None:
    """A word behind others in a sentence, in a list or before `=` or `is` is a part of the message."""
    if SENTENCE.search(place.gap) or (place.gap[-1:] in ",|/" and _LISTED.search(place.gap)):
        return False
    goes_on = _GOES_ON.match(" " * place.blanks_after + place.after) and (place.capitals or place.after[:3] != "=> ")
    return False if goes_on else None


def _precedes_colon_of_message(place: Place) -> bool | None:
    """A colon that begins the next word is of a column, `:FSAL :CRIT :Cannot`, or of the message: `[ERROR :Closing Link`."""
    colon = place.after[:1] == ":" and place.blanks_after and place.after[1:2].strip() and not place.blanks
    return place.before == ":" if colon else None


def _is_without_time(place: Place) -> bool | None:
    """Without a time close to it, a word is no level."""
    return None if place.timed or NEAR_TIME.match(place.after) else False


def _is_in_quotes(place: Place) -> bool | None:
    """A word in quotes is a level in a row of values: `"2026-05-11 10:30:02","ERROR","…"`."""
    if place.before != '"' or place.blanks:
        return None
    return place.after[:3] in ('","', '";"', '"\t"', '"|"') and place.timed and place.gap[-1:] == "]"


def _is_in_brackets(place: Place) -> bool | None:
    """A word in brackets is a level: `[ERROR]`, `<warn>`; in round ones in capitals, or before a colon: `(error):`."""
    if not _has_brackets(place):
        return None
    if place.word in RESULTS and place.after[1:] == "" and not place.bare:  # a test's result at the end of a line
        return False
    return place.before != "(" or place.capitals or place.after[1:2] == ":"


def _is_foreign(place: Place) -> bool | None:
    """A word of another language needs a colon: `Fehler: …`."""
    return place.after[:1] == ":" and place.bare if place.word in FOREIGN else None


def _follows_host(place: Place) -> bool | None:
    """SONiC's syslog has the level between the host and the sender: `switch-1 NOTICE orchagent: …`."""
    host = place.capitals and place.word in OF_SYSLOG and _HOST.fullmatch(place.gap)
    return True if host and _SENDER.match(place.after) else None


def _is_msg_of_process(place: Place) -> bool | None:
    """`msg worker[7]: …`."""
    return True if place.word == "msg" and place.precedes_process else None


def _is_common_word(place: Place) -> bool | None:
    """A severity of alarms needs a colon or columns, other common words brackets; WARNING SIGNS are no warning."""
    if place.word in OF_ALARMS and not _is_between_delimiters(place) and (place.blanks_after or place.after[:2] != ": "):
        return False
    if place.word in ONLY_IN_BRACKETS:
        return False
    plain = place.capitals and place.blanks_after == 1
    return False if plain and is_compound(f" {place.after}", 0, place.word.upper()) else None


def _ends_namespace(place: Place) -> bool | None:
    """The package debug of Node.js writes `app:worker:error Cannot connect`."""
    behind_colon = place.before == ":" and place.timed and not place.blanks and place.blanks_after
    return True if behind_colon and _NAMESPACE.fullmatch(place.gap) else None


def _follows_slash(place: Place) -> bool | None:
    """`worker/ERROR: …` in capitals; otherwise a part of a path."""
    if place.before != "/" or place.blanks:
        return None
    return place.capitals and place.after[:2] == ": " and _NAME_AND_SLASH.fullmatch(place.gap) is not None


def _is_column(place: Place) -> bool | None:
    """`10:30:02;ERROR;main`, `10:30:02|warn|main`, `daemon.err`."""
    return True if _is_between_delimiters(place) or _FACILITY.search(place.gap) else None


def _ends_line(place: Place) -> bool | None:
    """Nothing follows: a level has a message."""
    return None if place.after else False


def _has_brackets(place: Place) -> bool:
    before, after = place.before, place.after[:1]
    if before == "/":  # [main/ERROR]
        return after in ("]", ")", ">") and _BRACKET_AND_SLASH.search(place.gap) is not None
    return (before in _OPENING and after in "])>},|:/】" and before != "") or (
        before in ":," and after in "])>" and after != ""
    )


def _is_between_delimiters(place: Place) -> bool:
    before, after = place.before, place.after[:1]
    if before != after:
        return False
    if before and before in "|;#\t" and ": " not in place.gap:
        return True
    return before in ("/", ",") and (not _LETTER.search(place.gap) or (before == "," and place.capitals and place.blanks == 1))


_FOR_ALL: tuple[Rule, ...] = (
    _is_topic,
    _precedes_colon_and_two_blanks,
    _is_in_sentence,
    _precedes_colon_of_message,
    _is_without_time,
    _is_in_quotes,
    _is_in_brackets,
    _is_foreign,
    _follows_host,
    _is_msg_of_process,
    _is_common_word,
    _ends_namespace,
    _follows_slash,
    _is_column,
    _ends_line,
)
RULES_OF_CAPITALS = (*_FOR_ALL, *FOR_CAPITALS)
RULES_OF_SMALL_WORDS = (*_FOR_ALL, *FOR_SMALL_WORDS)

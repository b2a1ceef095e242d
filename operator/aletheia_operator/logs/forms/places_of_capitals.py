"""Rules for words in capitals: they are levels unless a sentence, a count or a value shows otherwise. See `places`."""

import re

from aletheia_operator.logs.forms.place import Place
from aletheia_operator.logs.forms.prose import TALK

_SOURCE_OR_NUMBERS_LAST = re.compile(  # a place in the source, or numbers, before a plain word: main.c:12 IMAP
    r"(?:[^\n]{0,100}\.[a-z]{1,4}:\d{1,9} [A-Z]{2,8})|[\s\]-]{0,6}\d[\d\s\]-]{0,40} [A-Z]{2,6}"
)
_PROGRAM = re.compile(r"(?=[\w.-]{0,60}[#\[\d./])[\w.#/-]{1,60}(?:\[\d{1,10}\])?: ")
_DOTTED_NAME = re.compile(r"[a-z]\w{0,30}(?:\.\w{1,30}){1,8}[ (]")
_MESSAGE_ID = re.compile(r"[A-Z][A-Z\d]{0,8}-[\dA-Z][\dA-Z-]{1,30} ")
_FUNCTION_WORD = re.compile(
    r"(?i:the|an?|this|that|these|my|our|your|his|her|its|no|new|all|set|to|in|of|at|on|got|get|sent|found|any|some|one|not"
    r"|after"
    r"|before|with|for|from|by|is|was|are|and|or|but|into|as|if)"
)
_BEGINS_MESSAGE = re.compile(r"\[|[A-Z][a-z'’]{1,30} (?:[A-Za-z\d(\"'/]|$)")
_LOGGER_LAST = re.compile(r"[\s\]]{1,4}[a-z][\w-]{0,30}\.")
_COUNT_LAST = re.compile(r"(?:^|\s)\d{1,3}$")
_PLURAL = re.compile(r"[a-z]{2,20}s\b")
_DOTTED = re.compile(r"[\w$-]{1,40}(?:[./][\w$-]{1,40}){1,8}[\s:]")


def _is_of_talk(place: Place) -> bool | None:
    """Someone talks: `<bob> ERROR is what I see`."""
    return False if place.in_chat and TALK.search(place.after) else None


def _follows_word(place: Place) -> bool | None:
    """A word before it may name its sender: `worker ERROR: …`, `worker ERROR Cannot connect`, but not `the ERROR state`."""
    if not place.follows_word or _SOURCE_OR_NUMBERS_LAST.fullmatch(place.gap):
        return None
    name = place.gap.strip()
    if place.blanks_after == 1 and name.isalpha():
        if _PROGRAM.match(place.after) or _DOTTED_NAME.match(place.after) or _MESSAGE_ID.match(place.after):
            return True
        if not _FUNCTION_WORD.fullmatch(name) and _BEGINS_MESSAGE.match(place.after):
            return True
    return (place.after[0] == ":" and not place.blanks_after) or place.blanks_after > 1


def _ends_dotted_name(place: Place) -> bool | None:
    """`worker.ERROR …`, `[main].ERROR …`."""
    return True if place.before == "." and (place.gap.endswith("].") or _LOGGER_LAST.fullmatch(place.gap)) else None


def _precedes_small_letter(place: Place) -> bool | None:
    """Before a small letter it stands behind a time, a place or brackets: `10:30:02 ERROR cannot …`, not `3 ERROR frames`."""
    if place.blanks_after != 1 or not place.after[0].islower():
        return None
    if _COUNT_LAST.search(place.gap) and _PLURAL.match(place.after):
        return False
    return (
        _SOURCE_OR_NUMBERS_LAST.fullmatch(place.gap) is not None
        or place.bare
        or place.blanks > 1
        or place.follows_place
        or _DOTTED.match(place.after) is not None
    )


def _precedes_sign(place: Place) -> bool | None:
    """`*ERROR* …`, `ERROR/worker: …`, not `ERROR=7`."""
    return place.precedes_delimiter if not place.blanks_after and place.after[0] in "*/=" else None


def _is_no_value(place: Place) -> bool | None:
    """Any other word in capitals is a level, but not the value in `state=ERROR` or `OK -> ERROR`, nor before a `,` or `-`."""
    follows_arrow = place.gap[-2:] == "->" and place.gap != " ->"
    return place.before != "=" and not follows_arrow and (place.after[0] not in ".-,|;" or place.blanks_after > 0)


RULES = (_is_of_talk, _follows_word, _ends_dotted_name, _precedes_small_letter, _precedes_sign, _is_no_value)

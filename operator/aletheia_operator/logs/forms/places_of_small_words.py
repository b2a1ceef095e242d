"""Rules for words in small letters or capitalised: they need a delimiter, or a message that begins like one. See `places`."""

import re

from aletheia_operator.logs.forms.place import Place
from aletheia_operator.logs.forms.words import BEFORE_A_MESSAGE

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

_PROTOCOL_LAST = re.compile(r"[\s\]:-]{0,8}[A-Z]{2,8}")  # IMAP Error
_DELIMITERS = " -|:;,#/[(<{\t]>)}*."
_DASHED_LAST = re.compile(r" ?[\w]{1,40}(?:[._-][\w]{1,40}){1,8}\.?")
_THREAD = re.compile(r" \[?[0-9A-F]{6,16}")
_SOURCE = re.compile(r"[\w./-]{1,80}\.[a-z]{1,4}:\d{1,9}[:\s]")
_IN_FILE = re.compile(r"in [./][^\s,]{1,200}, lines? \d")
_PAIR = re.compile(r"[a-z]\w{0,30}=\S")
_ARROW = re.compile(r"(?:>{1,2}|=>|-{2,4}>?|[»›❯▶➜|]) ")
_NUMBER = re.compile(r"\(\d{1,12}\) ")
_DOTTED_LAST = re.compile(r"(?:^|[\s\]])[\w$-]{1,60}(?:(?:\.|::)[\w$-]{1,60}){1,8}$")
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


def _is_directly_behind_time(place: Place) -> bool | None:
    """`10:30:02 warn retrying` has a level, `10:30:02 info page opened` and `10:30:02 debug server listening` have none."""
    behind = place.timed and place.blanks == 1 and not place.gap and place.after[:1].isalpha()
    if not (behind and place.small and place.blanks_after == 1 and place.word in BEFORE_A_MESSAGE):
        return None
    return _NOUN.match(place.after) is None and not (place.word in _OF_TOOLS and _TOOL.match(place.after))


def _is_of_talk(place: Place) -> bool | None:
    """Someone talks: `<bob> error …`."""
    return False if place.in_chat else None


def _precedes_wide_colon(place: Place) -> bool | None:
    """Chinese and Japanese programs write `error：…`, or no blank behind the colon."""
    if place.after[0] == "：" or (place.bare and place.timed and place.after[0] == ":" and not place.after[1:2].isascii()):
        return place.bare
    return None


def _precedes_colon(place: Place) -> bool | None:
    """`error: …` behind anything but a word of a sentence, or behind a protocol: `IMAP error: …`."""
    if place.after[0] != ":" or place.after[1:2] not in (" ", ""):
        return None
    return place.bare or not place.follows_word or _PROTOCOL_LAST.fullmatch(place.gap) is not None


def _closes_bracket(place: Place) -> bool | None:
    """`[10:30:02 error] …`, without another word in the brackets."""
    return place.bare if place.after[0] in "])>}" and place.before not in "(" else None


def _precedes_column(place: Place) -> bool | None:
    """Two blanks or a tab follow: `10:30:02 worker error  …`."""
    two_blanks = place.blanks_after > 1 and (place.blanks < 2 or not place.gap.isascii())
    return place.bare or _is_one_word(place) if two_blanks or place.after[0] == "\t" else None


def _precedes_bracket(place: Place) -> bool | None:
    """`10:30:02 worker error [main] …`."""
    if place.after[0] not in "[@":
        return None
    return place.bare or _is_one_word(place) or _DASHED_LAST.fullmatch(place.gap) is not None


def _precedes_process(place: Place) -> bool | None:
    """`10:30:02 host error worker[7]: …`."""
    head = place.bare or _THREAD.fullmatch(place.gap) or place.gap.strip().isalnum()
    return True if head and place.precedes_process else None


def _precedes_sign(place: Place) -> bool | None:
    """A character that is no blank follows: `error/worker: …`, `error(7): …`, not `error-prone`."""
    return None if place.blanks_after else place.precedes_delimiter


def _precedes_source(place: Place) -> bool | None:
    """`error main.c:12: …`, `error in ./main.c, line 12`."""
    return True if _SOURCE.match(place.after) or (place.bare and _IN_FILE.match(place.after)) else None


def _precedes_pair(place: Place) -> bool | None:
    """`10:30:02 error code=7`."""
    return True if place.bare and _PAIR.match(place.after) else None


def _is_among_words(place: Place) -> bool | None:
    """`10:30:02 the error Cannot`: a plain word stands before it, or blanks follow."""
    return False if place.follows_word or place.blanks_after > 1 else None


def _precedes_arrow(place: Place) -> bool | None:
    """`10:30:02 error => …`, `10:30:02 error (7) …`."""
    number = place.after[0] == "(" and _NUMBER.match(place.after)
    return True if place.bare and (_ARROW.match(place.after) or number) else None


def _is_far_from_head(place: Place) -> bool | None:
    """Words stand before it, but neither brackets, nor a value, nor a dotted name directly."""
    return None if place.bare or place.follows_place or _DOTTED_LAST.search(place.gap) else False


def _precedes_name(place: Place) -> bool | None:
    """The name of a logger follows: `10:30:02 error app.Worker: …`."""
    return True if _NAME.match(place.after) else None


def _begins_message(place: Place) -> bool | None:
    """What follows begins like a message, with a proper name or a usual verb: `10:30:02 Error Cannot connect`."""
    if place.after[0].islower():
        return False
    return (_PROPER if place.small else _OPENER).match(place.after) is not None


def _is_one_word(place: Place) -> bool:
    return place.gap.strip(_DELIMITERS).isalpha()


RULES = (
    _is_directly_behind_time,
    _is_of_talk,
    _precedes_wide_colon,
    _precedes_colon,
    _closes_bracket,
    _precedes_column,
    _precedes_bracket,
    _precedes_process,
    _precedes_sign,
    _precedes_source,
    _precedes_pair,
    _is_among_words,
    _precedes_arrow,
    _is_far_from_head,
    _precedes_name,
    _begins_message,
)

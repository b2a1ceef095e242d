"""Lines with a level in their head: log4j, logback, Python, zap's console, nginx, PostgreSQL, Rust, .NET and most others.

A head is a sequence of times, numbers, names and brackets, then a level. Words of the message do not count.
To add a word for a level, see `logs/levels.py` and the lists below. To add a piece that may stand before a level, see `_PIECE`.
"""

import re

from aletheia_operator.logs.forms.origin import USUAL_ORIGIN, origin_of, origin_with_time
from aletheia_operator.logs.forms.prose import TALK, begins_sentence, is_compound
from aletheia_operator.logs.forms.recognised import HEAD_LENGTH, Fields, Recognised
from aletheia_operator.logs.forms.rest import read_rest
from aletheia_operator.logs.levels import LETTERS, LEVELS

UPPER = (
    "TRACE|DEBUG[1-5]?|INFO|NOTICE|WARN(?:ING)?|ERROR|ERR|SEVERE|FATAL|CRITICAL|CRIT|INFORMATION|VERBOSE|SUCCESS|FINE(?:R|ST)?"
    "|FAILURE|NOTI|D?PANIC|ALERT|EMER(?:G(?:ENCY)?)?|TRC|DBG|VRB|INF|WRN|FTL|PNC|CRI|CRT|CONFIG|ERRO|EROR|FATA|DEBU|DBUG|TRAC|DEBG|BLAT"
    "|PANI"
    "|AUDIT"
)
_ANY = (
    "trace[1-8]?|trce|debug[1-5]?|dbug|info|information|informational|notice|note|warn|warning|error|err|eror|erro|severe"
    "|fail|fatal"
    "|critical|crit|panic|dpanic|alert|emerg|emergency|verbose|system|success|inf|wrn|dbg|trc|vrb|ftl|pnc|audit|shout"
)
_DELIMITED = (
    "trace|trce|debug|dbug|info|information|notice|warn|warning|error|err|severe|fail|fatal|critical|crit|panic|verbose"
    "|fatal error"
)
# what shows that a small word is a level: a delimiter, an error's number, a place in the source, a date
_DELIMITER = (
    r":(?:\s|$)|:\w{1,60}[:.]|\t|\s{0,8}\||\s{2,40}\S|\]|\s{1,8}[:-]\s|/[A-Za-z]\w{1,60}:\s|\s[A-Z]{1,10}\d{1,6}:\s|\s\[\d{4}-"
    r"|\s(?:\w{1,40}\s)?\[?[\w/-]{1,80}\.[a-z]{1,4}:\d{1,6}[\]\s]|\s[\w.-]{1,60}\s:\s|\s\[\w{1,12}\s{1,8}\]\s|\s{1,8}0x"
    r"|\s[\w./-]{1,80}:\d{1,6}:\s"
)
_LEVEL = rf"""
    (?=[A-Za-z_\[(<|])(?:
      [\[(<|]\s{{0,8}}+(?:[\w.-]{{1,60}}[:.]|(?:\w{{1,60}}(?:\.\w{{1,60}}){{1,8}}|std(?:out|err))\#)?((?i:{_ANY})|[DIWEFTC])\s{{0,8}}+(?:[\])>|]|,(?=\d{{4}}-)|\#[A-Za-z][\w.-]{{0,60}}\])
    | \[(?:[\w \#-]{{1,60}}/|\s{{0,8}}(?=[A-Z]{{3,12}}\s{{1,8}}\d))({UPPER})(?:\s{{1,8}}\d[\w:.,/+ -]{{4,80}})?\]
    | (?=[A-Z]|[a-z_][\w-]{{0,60}}\.)(?:[A-Za-z_][\w-]{{0,60}}\.)?({UPPER})(?=[\s:\])>|\[;]|,\S|/[\w -]{{1,60}}\]|$)
    | (?=[tdinwesfcpvTDINWESFCPV])((?i:{_DELIMITED.replace(" ", chr(92) + "s")}))(?={_DELIMITER})
    | (LOG)(?=:\s|\s+\[|\s\w+:|\s[CS]-0x|\s(?:kernel\sfile|listening\son|process\sup)\b)
    )"""
_PIECE = r"""
    (?:
      \d[\d:.,TZ+-]{0,40}[:,;](?=[A-Z]{3,12}\s{0,2}[:,;]|[A-Za-z_][\w.]{0,60}:(?:LEVEL):)
    | [A-Za-z_][\w.-]{0,60}+::?(?=(?:LEVEL):)
    | [\[(<{$]*+\d[\w:.,/+-]*+[%\])>},:;|]*+
    | (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}+[,.]?(?=\s)
    | (?:UTC|GMT|Z|[A-Z]{2,4}T|[AP]M|[+-]\d\d:?\d\d)[\]:]?(?=[\s|])
    | [|*:▶—–-]++(?=\s) | \[\#\| | (?<=\|)-(?=(?:LEVEL)\sin\s[\w-]{1,60}\.) | ->(?=\s(?:CUT)\s[0-9a-f]{3,8}\s)
    | \[[^\[\]]{0,200}+(?:\[[^\[\]]{0,60}+\][^\[\]]{0,60}+){0,8}+\]:?
    | \([^()]{0,200}+\) | \{{1,2}+[^{}]{0,200}+\}{1,2}+ | <[^<>]{0,200}+>
    | \w{1,40}+(?:
        =[^\s"]{1,100}(?=\s)
      | \[\d{1,10}(?::\d{1,9})?\](?:\[\d{1,9}\])?:?
      | (?:\([^()\s]{1,60}\)(?:<[^<>\s]{1,60}>){0,3})?:(?=\s{1,8}(?:\[(?i:ANY)\]|<(?:LEVEL)>|(?i:DELIMITED|info|notice):))
      | (?:\(\w{1,40}\))?(?=\|)
      | (?=\s)(?=\s{1,8}[-|:▶—–]\s|\s\((?i:ANY)\):|\s{2,12}(?i:DELIMITED):\s|\sJID-)
      | (?=\s\s?[\sA-Zdiew])(?=\s(?:LEVEL)\s(?::\s|\[[\w.$-]{1,60}(?::\w{1,60}\(\))?:\d{1,6}\]\s)|\s{2,20}(?:LEVEL)\s{2,8}\S
        |(?:\t|\s{2,20})(?:debug|info|warn|error)\t[A-Z])
      | (?=\s[\d\[-])(?=\s\d{4}[/-]\d\d[/-]\d\d\s\d\d:\d\d:\d\d(?:[.,]\d{1,9})?\s(?:LEVEL):\s
        |\s(?:\d{4}-\d\d-\d\dT)?\d\d:\d\d:\d\d\.\d{2,3}Z?\s(?:LEVEL)\s{1,2}==>|\s\[[\w-]{1,40}\]:\s[\w.]{1,80}:(?:LEVEL):\s
        |\s\d[\w.]{2,30}\s\[[^\[\]]{1,60}\]\s(?:LEVEL):\s|\s\[[\w\#.-]{1,60}\]\s(?:LEVEL)\s{1,2}\w{1,40}\.|\s->\s(?:CUT)\s[0-9a-f]{3,8}\s)
      | (?=\((?i:ANY)\):)
      )
    | [a-z]\w{0,30}(?:\.\w{1,60}){1,8}\s[a-z]\w{0,60}(?=\s(?:LEVEL):\s) | jvm(?=\s\d\s{1,6}\|)
    | [A-Za-z_/](?=[\w.$@/\\:\#%-]{0,100}?(?:[\d_.$@/\\\#-]|:\w))[\w.$@/\\:\#%()-]*+(?:\[\d{1,20}\]:?)?[|,\]]?
    | main(?=\s) | at\s\w{1,60}\(\):(?=\s(?:LEVEL):\s) | NCCL(?=\s) | pid(?=\s\d) | cluster(?=\s[\d\[]) | \#{1,4}(?=<)
    | LiteLLM\s(?:Proxy|Router):(?=(?:LEVEL):) | log(?=\s{1,4}\[(?:\d|ERR|WRN|INF|DBG|SEC))
    | [A-Z]{3,20}(?=\s\d{4}|\s(?:ERROR|WARNING):\s) | ={1,2}>(?=\s)
    | [A-Z][A-Z_]{1,40}+(?:\s{1,8}+(?!LEVEL\s)[A-Z][A-Z_]{1,40}+){1,8}+(?=\s)
    )"""
_PIECE = _PIECE.replace("LEVEL", f"(?:{UPPER})").replace("DELIMITED", _DELIMITED.replace(" ", r"\s")).replace("ANY", _ANY)
_PIECE = _PIECE.replace("CUT", "DEBU|INFO|NOTI|WARN|ERRO|CRIT")  # as Hyperledger Fabric cuts them
_HEAD = re.compile(rf"\s{{0,40}}+((?>{_PIECE}[\s|]*+){{0,16}}?){_LEVEL}[!\]]?", re.VERBOSE)
# the most usual head, found in a third of the time: a date, a time, numbers, then a level in capitals
USUAL = re.compile(
    r"(\[?\d[\d:.,/TZ+-]{0,40}\d\]?Z?(?: \d[\d:.,/TZ+-]{0,40}\]?){0,2}) {1,8}+(\[ ?)?"
    rf"({UPPER})(?(2)\s{{0,8}}\]|(?=[\s:]))"
)
_CLOCK = re.compile(
    r"\d:\d\d|\d\d[/-]\d\d|\d{9}|\d{4}\.\d\d\.\d\d|\d{6} \d{6}|\d{8}T\d{6}|\d\.\d{3}"
)  # not every number is a time
_TIME = re.compile(
    r"[\[(]?((?:[A-Z][a-z]{2},? )?(?:[A-Z][a-z]{2} |\d\d?[/-][A-Z][a-z]{2}[/-])?\d[\dT:.,/+Zh-]{0,60}"
    r"(?:[ :]\d{1,9}[:.][\d:.,]{1,20})?(?<![:,]))"
)
_STRONG = frozenset({"TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL"})  # may begin a line if a blank follows
_CODES = frozenset({
    "ERR", "WRN", "INF", "DBG", "TRC", "FTL", "VRB", "PNC", "EROR", "ERRO", "DEBU", "DBUG", "FATA", "TRAC", "PANI", "CRT",
})  # the same: no word of a sentence  # fmt: skip
_BARE_VALUE = re.compile(  # an id, an address, columns of numbers, counts by severity
    r"[0-9a-f]{8,64}|https?://\S{1,60}|(?:\d[\d.,%]{0,20}(?:\s{1,20}|$)){1,12}"
    r"|\d{1,9}(?: ?[,;|] {0,3}\w{1,20}: {0,3}\d{1,9}){1,12}"
)
_PROSE_VALUES = frozenset({"", "true", "false", "null", "none", "nil", "on", "off", "yes", "no", "~"})
_OPENING_VALUES = frozenset({": {", ": [", ": (", ": |", ": >"})
_REQUEST = re.compile(r" \S{0,299}[^\s:] (?:HTTP|SIP|RTSP)/\d")
_RESULTS = frozenset({"FAIL", "Fail", "fail"})  # of tests, at the end of a line
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_DOTTED = re.compile(r"[a-z_]\w{0,40}(?:\.[a-z_]\w{0,40}){1,8}")
_BULLET = re.compile(r"\s{0,40}[-*+•] ")
_STAMP = re.compile(r" (?:- |\| )?\[?(?:\d\d-\d\d\||(?:\d{4}[-/])?\d\d[-/]\d\d[ T]\d\d:|\d\d:\d\d)")
_OPENING = re.compile(
    r":|\t|\s:\s|\s\[\d{4}-|\s[A-Z]{1,10}\d{1,6}:\s| {2,12}[A-Z]\w{2,60} {2,12}\S"
)  # after a small word that begins a line
# log4j's TTCC, vLLM's processes, a name in brackets
_AROUND = re.compile(
    r"\[[A-Za-z][^\]\n]{0,100}\] *\n\s|\d{1,9} {1,8}\[[^\]\n]{1,200}\] *\n|[\[(][^\n]{1,200}[\])] *\n (?:\d\d)?\d\d[-:/]"
)
_SENTENCE_GOES_ON = re.compile(
    r" (?:and|or|is|are|was|were|means|stands|refers|if|unless|level (?:messages|logs|lines|output|entries)|output) "
)
_NOUN_AND_VERB = re.compile(r" (?:[a-z]{2,20} )?(?:is|are|was|were|has|have) ")
_INDEX = re.compile(r"\[\d{1,3}\] [a-z]")
_NUMBERED = re.compile(r"\d{1,3}\) ")
_CHAT = re.compile(r"<[a-z][\w-]{0,30}>\s{0,4}$")  # a name of someone who talks
_COUNT = re.compile(r"[:\]]\S{0,12} \d{1,3} $")
_PLURAL = re.compile(r" [a-z]{2,20}s\b")
_COLONED = re.compile(r"[A-Za-z][\w-]{1,30}:(error|warning|info|debug) - ")  # Knex
_BOXED = re.compile(r" {1,8}\| \d{4}-\d\d-")  # a time in the next column
_PROSODY_NAME = 20  # characters of a module's name with the blanks after it
_SHORT_ID = re.compile(r" \[[0-9a-f]{8}\] \S")  # SSHKit
_LEVEL_BEHIND = re.compile(rf" ((?i:{_DELIMITED})):")
_NEXT_FIELD = re.compile(rf" \| ({UPPER}) {{1,8}}\|")
_new = tuple.__new__  # makes a named tuple in a third of the time: for the usual lines


def read_usual_head(line: str) -> Recognised | None:
    """Read the most usual head: the result of `read_head`, but faster."""
    match = USUAL.match(line, 0, HEAD_LENGTH)
    if match is None:
        return None
    time, _, level = match.groups()
    at = match.end()
    if (
        (":" not in time and not _CLOCK.search(time))
        or (level == "TRACE" and _REQUEST.match(line, at, 2 * HEAD_LENGTH))
        or (line[at + 1 : at + 4].isupper() and is_compound(line, at, level))
    ):
        return None
    return _after(line, at, level, time)


def read_head(line: str) -> Recognised | None:
    """Read any head."""
    match = _HEAD.match(line, 0, HEAD_LENGTH)
    if match is None:
        return None
    before, decorated, in_thread, upper, delimited, log = match.groups()
    word = decorated or in_thread or upper or delimited or log
    at = match.end()
    if decorated == "system" or (decorated in _RESULTS and at == len(line)):  # MySQL writes System
        return None
    if decorated == "System" and (field := _LEVEL_BEHIND.match(line, at, at + HEAD_LENGTH)):
        word, at = field[1], field.end(1)  # the first one is the name of a component
    if upper == "TRACE" and _REQUEST.match(line, at, at + HEAD_LENGTH):  # HTTP's method
        return None
    if upper and ((line[at + 1 : at + 4].isupper() and is_compound(line, at, upper)) if before else begins_sentence(line, at)):
        return None
    if before:
        if not _CLOCK.search(before) and not _shows_level(line, match, before):
            return None
        if ">" in before and (delimited or TALK.search(line, at, at + _OF_TALK)) and _CHAT.search(before):
            return None
        if upper and _COUNT.search(before) and _PLURAL.match(line, at):
            return None
        if (
            decorated
            and line[match.start(2) - 2].isalnum()
            and line[at : at + 1] not in (" ", ":", "")
            and not _CLOCK.search(before)
        ):
            return None  # Type[Warning],
        if decorated and len(word) == 1 and (":" not in before or line[match.start(2) - 1] == "("):  # the (C) of a copyright
            return None
        if (
            upper and line[match.start(4) - 1] == "." and line[at : at + 1] != ":" and line[at : at + 3] != " - "
        ):  # the name of a constant
            return None
    elif not _opens(line, match, word):
        return None
    if delimited and before and (named := _COLONED.match(before)):  # the level of the line is in its name
        word, at = named[1], named.end()
    if upper and line[at : at + 3] == " | " and (field := _NEXT_FIELD.match(line, at, at + HEAD_LENGTH)):
        word, at = field[1], field.end()  # the first one is the name of a component
    return _after(line, at, word, before)


def _shows_level(line: str, match: "re.Match[str]", before: str) -> bool:
    """Return whether the text around a word shows that it is a level, although there is no time before it."""
    _, decorated, in_thread, _, delimited, _ = match.groups()
    at, before = match.end(), before.rstrip()
    if _BULLET.match(f"{before} ") or not before.strip("-* \t") or _NUMBERED.fullmatch(f"{before} "):  # a list
        return _BOXED.match(line, at, at + HEAD_LENGTH) is not None
    if match[4] and _UUID.fullmatch(before):  # Kanidm: of a request
        return True
    if (
        match[4] and line[at : at + 1] == " " and not line[at + 1 : at + 2].islower() and _DOTTED.fullmatch(before)
    ):  # Python's `%(name)s %(levelname)s %(message)s`
        return True
    if decorated:
        return len(decorated) > 1 and (line[match.start(2) - 1] != "(" or line[at : at + 1] == ":")
    if delimited:
        return line[at : at + 1] == ":" or before[-1:] == ":" or (line[at : at + 1] == "\t" and len(match[1]) == _PROSODY_NAME)
    if (
        in_thread
        or (before.isupper() and line[at : at + 1] == ":")
        or " - " in before
        or before[-1:] in "-|▶"
        or before.endswith("NCCL")
    ):
        return True
    return (line[at : at + 1] == ":" and before[-1:] in ":)]>") or _AROUND.match(f"{before}\n{line[at : at + 8]}") is not None


def _opens(line: str, match: "re.Match[str]", word: str) -> bool:
    """Return whether a word that begins a line is a level, and not part of a sentence, a setting, a request or a table."""
    _, decorated, in_thread, upper, delimited, _ = match.groups()
    at = match.end()
    if decorated:
        return len(word) > 1 and _opens_decorated(line, match.start(2), at, word)
    if in_thread:
        return any(map(str.isdigit, match[0]))  # a time in the brackets
    following = line[at : at + 1]
    if (
        line[:2].isspace()
        and not (upper in _STRONG and following == ":")
        and not (upper and _SHORT_ID.match(line, at, at + HEAD_LENGTH))
    ):  # a usage text
        return False
    if upper:
        if (following == " " and _SENTENCE_GOES_ON.match(line, at)) or (following == "[" and _INDEX.match(line, at)):
            return False
        if (following and following not in " \t:|[") or line[match.start(4) - 1 : match.start(4)] == ".":
            return False
        if word not in _STRONG and word not in _CODES and following == " " and line[at + 1 : at + 2] != " ":
            return _STAMP.match(line, at, at + HEAD_LENGTH) is not None
        if following == " " and "P/" in line and _REQUEST.match(line, at, at + HEAD_LENGTH):
            return False
    elif delimited and (not _OPENING.match(line, at, at + HEAD_LENGTH) or line[:at] == "FAIL"):  # FAIL: of a test
        return False
    if line[at:].isspace() or at == len(line):  # alone, as a heading of output is
        return bool(upper) and not line[:1].isspace()
    return len(line) - at > _LONGEST_VALUE or not _is_value(line[at:].strip())


def _opens_decorated(line: str, at: int, end: int, word: str) -> bool:
    opening, rest = line[:at].strip()[:1], line[end : end + HEAD_LENGTH]
    if opening in ("(", "<") and _NOUN_AND_VERB.match(rest):
        return False
    if opening == "|" or rest[:3] == " = ":  # a table, a setting
        return False
    if opening == "<":  # XML
        return rest[:1] in (" ", ":") and "</" not in rest
    if opening == "(" and word.islower() and ((rest[:1] == " " and rest[1:2].islower()) or line[:1].isspace()):
        return False
    return bool(rest.strip()) or (word.isupper() and opening != "(") or rest[:1] == " "  # else a section of a settings file


_LONGEST_VALUE = 60
_OF_TALK = 80  # characters of a message that are searched for a question


def _is_value(text: str) -> bool:
    """Return whether `text`, after a level at a line's beginning, is the value of a setting or the cell of a table."""
    if text in _OPENING_VALUES or text[0] == "=" or (text[0] == "/" and " " not in text):
        return True
    value = text.strip(" \t:|\"',;")
    if _BARE_VALUE.fullmatch(value) or (text[0] == "|" and not any(map(str.isalpha, value))):  # or a table row
        return True
    if " " in value and value[-1:] not in "EGLONRegelonr":  # the last letters of levels
        return False
    return (
        value.replace(".", "", 1).replace("%", "").isdigit()
        or value.lower() in _PROSE_VALUES
        or value in ("{}", "[]")
        or all(word.upper() in _STRONG for word in value.replace(":", " ").replace("|", " ").split())
    )


def _after(line: str, at: int, word: str, before: str) -> Recognised:
    """Read what follows the level at `at`: the origin of the line, and the message."""
    match, pid, thread, logger, end = origin_of(line, at)
    fields: Fields = {}
    if before and (time := _TIME.match(before)):
        fields["time"] = time[1]
    if pid:
        fields["pid"] = match[pid]
    if thread:
        fields["thread"] = match[thread]
    if logger:
        fields["logger"] = match[logger]
    if match.re is USUAL_ORIGIN:
        return _new(Recognised, (LEVELS.get(word.lower()) or LETTERS[word], line[end:], fields or None, True))
    if line[at - 1] == "," and (close := line.find("]", at, at + HEAD_LENGTH)) > 0:  # Couchbase
        fields["thread"], end = line[at:close], close + 1
    elif "time" not in fields and line[end : end + 1].isdigit() and (late := origin_with_time(line, end)):
        fields["time"], (match, _, thread, logger, end) = late
        if thread:
            fields.setdefault("thread", match[thread])
        if logger:
            fields.setdefault("logger", match[logger])
    end = read_rest(line, end, fields)
    return _new(Recognised, (LEVELS.get(word.lower()) or LETTERS[word], line[end:], fields or None, True))


def usual_spans(line: str) -> tuple[Recognised, dict[str, tuple[int, int]], int] | None:
    """Read a line with the most usual head: the result, the places of its fields, and where its message begins.

    None for other lines, including those with a digit in the level.
    """
    match = USUAL.match(line, 0, HEAD_LENGTH)
    found = read_usual_head(line)
    if match is None or found is None or not match[3].isalpha():
        return None
    origin, pid, thread, logger, end = origin_of(line, match.end())
    if len(line) - len(found.message or "") != end:  # behind parts that differ from line to line
        return None
    spans = {"pid": origin.span(pid), "thread": origin.span(thread), "logger": origin.span(logger)}
    if time := _TIME.match(match[1]):
        spans["time"] = time.span(1)
    return found, spans, end

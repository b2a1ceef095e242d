"""What may stand between the usual origin of a line and its message: more brackets, a place in the source, columns of names.

`read_rest` reads such parts one by one, and stops at the first text that may be the message. To add a part, add it to the
pattern for its first character, with groups named after fields: digits behind the name keep groups apart. No part may be read
beyond `: ` before a letter: shapes of lines end there (`shapes.py`).
"""

import re

from aletheia_operator.logs.forms.recognised import HEAD_LENGTH, Fields

_PARTS = 6  # of one line
_DIGITS = "0123456789"
_NAME = r"[\w$@\#*./:+-]{1,100}"
_SOURCE = r"[\w./$-]{1,100}\.[a-z]{1,4}:\d{1,6}"
_DOTTED = r"[a-z_]\w{0,40}(?:(?:\.|::)\w{1,60}){1,10}"
_PATH = r"\w{1,60}(?:::\w{1,60}){0,8}"
_END = r"(?::?\s{1,4}(?:[|>-]{1,2}\s{1,4})?|(?=\[))"
_IN_SIGNS = re.compile(
    rf"""(?:
      \[(?P<source>{_SOURCE}|[A-Z]\w{{1,60}}:\d{{1,6}})\s{{0,40}}\]
    | (?<=\])\[(?P<thread>[^\[\]]{{0,100}})\]                                   # a group right behind another
    | \[(?P<thread2>[^\[\]\n]{{0,100}}(?:\[[^\[\]\n]{{0,60}}\][^\[\]\n]{{0,60}}){{1,3}})\](?=\s-\s)
    | \[(?!Errno|WinError|[A-Za-z][A-Za-z_-]{{1,40}}\]\s(?!-\s|{_DOTTED}\s-\s))  # a plain word may begin the message
      (?P<thread3>{_NAME}|[A-Za-z]{{1,20}}[:=]\s?[^\[\]\s]{{1,40}}|[A-Z][A-Za-z]{{1,12}}\s\d{{1,9}})
      \s{{0,40}}\]
    | \((?=\D)(?:
        (?P<source2>{_SOURCE}(?:\s[^()]{{1,60}})?|\w{{1,60}}\.\w{{1,5}}\s\[\w{{1,60}}\]:\d{{1,6}})
      | (?<!:\s\()(?P<thread4>[\w$@\#*./:|+-]{{1,100}}))\)
    | <(?P<pid>[\w.]{{0,40}}\d[\w.]{{0,40}})>(?:@(?P<source3>[\w:./-]{{1,80}}))?
    | \{{(?P<source4>[\w$/-]{{1,60}}[.:][\w.$/:-]{{1,60}})\}}
    ){_END}""",
    re.VERBOSE,
)
_OF_NAMES = re.compile(
    rf"""
      (?P<source>{_SOURCE}(?::\w[\w.~]{{0,60}}(?:\(\))?(?=:?\s)|\s[a-z]{{1,30}}_\w{{1,60}}(?=:\s))?)\]?{_END}
    | (?P<program>[a-z][\w.-]{{1,40}})\[(?P<pid>\d{{1,10}})\]:\s
    | (?P<logger>[A-Z]\w{{1,60}}\s\(\w{{1,40}}\.[\w.]{{1,40}}\)):\s                   # ClickHouse
    | [a-z]{{1,12}}\[[\w.-]{{0,60}}\]\[(?P<logger2>[\w.-]{{0,60}})\]\s                # SonarQube
    | (?P<thread>ThreadId\(\d{{1,9}}\))\s(?:(?P<logger3>{_PATH}):\s)?                 # Rust
    | (?P<span>(?:[a-z_][\w.-]{{0,60}}\{{[^{{}}]{{0,200}}\}}:){{1,6}})\s(?:(?P<logger4>{_PATH}):\s)?
    | (?P<logger5>[A-Za-z]\w{{0,30}})\s(?P<pid2>\d{{1,10}})\s(?P<thread2>\d{{5,20}})\s(?=[A-Z])  # Django
    | (?P<source2>\w[\w.]{{0,60}}\(\)(?::\d{{1,6}})?)\s[:>-]\s
    | (?:(?P<thread3>\*?[\w-]{{1,40}})\s)?(?P<logger6>{_DOTTED})\s{{1,8}}-\s
    | (?:\?|(?P<database>[\w-]{{1,60}}))\s(?P<logger7>odoo(?:\.\w{{1,60}}){{1,8}}):\s
    | (?P<logger8>[A-Z]\w{{1,60}}(?:\.[A-Z]\w{{0,60}}){{0,10}})\[(?P<event>\d{{1,9}})\]\s  # .NET
    | (?P<pid3>\d{{1,10}})\s(?={_SOURCE}\]\s)
    """,
    re.VERBOSE,
)
_EVENT = re.compile(r"(?P<logger>[A-Z]\w{1,60}(?:\.[A-Z]\w{0,60}){0,10})\[(?P<event>\d{1,9})\]\s")  # .NET
_COLUMN = re.compile(rf"(?:(?P<source>{_SOURCE})|(?P<logger>[^\s{{}}\"|]{{1,100}}))\t(?=[^{{\s])")
_BETWEEN_BARS = re.compile(
    r"(?P<logger>[\w.@/$-]{1,60})\s{0,40}\|\s{0,2}(?=[^\s|])(?![^\s\[\]]{0,60}\])"
    r"|(?P<thread>[^\s\[\]]{0,80})\]\s{1,4}"  # up to the end of the level's brackets
)
_OPENING = frozenset("[(<{")
_DELIMITERS = (": ", "- ")


def read_rest(line: str, at: int, fields: Fields) -> int:
    """Return where the message begins: at `at`, or behind further parts of the head. Adds these to `fields`."""
    for _ in range(_PARTS):
        part = _part(line, at)
        if part is None or part.end() == len(line):
            break
        at = part.end()
        for name, text in part.groupdict().items():
            if text:
                fields.setdefault(name.rstrip(_DIGITS), text)
    return at


def _part(line: str, at: int) -> "re.Match[str] | None":
    first, end = line[at : at + 1], at + HEAD_LENGTH
    if first in _OPENING:
        return _IN_SIGNS.match(line, at, end)
    if line[at - 1] == "\t":
        return _COLUMN.match(line, at, end)
    if line[at - 2 : at] in _DELIMITERS:
        return _EVENT.match(line, at, end) if line[at - 3].islower() else None  # the usual head has capitals
    if "|" in line[at - 2 : at] and (column := _BETWEEN_BARS.match(line, at, end)):
        return column
    return _OF_NAMES.match(line, at, end)

"""What stands between a level and its message: a process id, a thread, the name of a logger, a time if none came before.

To add a layout, add its part to one of the patterns that `_ORIGIN` is made of. No part may be read beyond `: ` before a
letter: shapes of lines end there (`shapes.py`).
"""

import re
from typing import NamedTuple

from aletheia_operator.logs.forms.recognised import HEAD_LENGTH

_TEXT = r"\s{0,40}+([^\[\]\s](?:[^\[\]]{0,98}[^\[\]\s])?)\s{0,40}+"
_THREAD = (
    r"(?:\s{1,4}+\(([^()]{1,100})\)(?=\s{1,4}\[[\w-]{1,60}\.[\w.():-]{1,100}\]))?+"  # (thread) [logger]: Home Assistant
    r"(?:[\s:|>-]*+(?:(?:\[[^\[\]]{0,100}\]\s{1,4})?"  # [app]: Spring Boot with Sleuth
    r"(\d{1,10})\s{1,8}---\s{1,8}(?:\[[^\[\]]{1,100}\]\s{1,4}(?=\[))?)?"  # 1 --- [app]: Spring Boot
    rf"\[(?!Errno |WinError |SSL: ){_TEXT}\](?!:\d)(?:\s\(([^()]{{1,100}})\)(?=\s))?)?"  # [logger] (thread): Quarkus
)
_LOGGER = (
    r"(?![a-z]{3,14}[^\WeE]ed: )((?<=:)[A-Za-z_][\w.]*+(?=:[^\s/])"
    r"|[A-Za-z_][\w$-]*+(?:(?:[./@]|::)[\w$<>-]++)++(?:#[a-z][\w$<>]*+)?+"
    r"|[A-Za-z_][\w$]*+(?=\s-\s|:\s|\s\||\]\s|\t[^{]|:(?:[\w<>]{1,60}:)?\d{1,9}(?:\s-|:)\s)"
    r"|(?:[a-z]\.){2}[\w.]{1,20}\.\[\S{1,60}(?=\s{1,40}:\s))"  # a container of Tomcat
)
_SOURCE = (  # :12, :function:12 of loguru, (12), [12], a blank and 12 of Calico, [context] of log4j
    r"(?::(?:[\w<>]{1,60}:)?\d{1,9}(?![\w.])|\(\d{1,9}\)|\[\d{1,9}\]|\s\d{1,6}(?=:\s)|\s{1,60}\[[^\[\]]{0,60}\](?=\s-\s))?+"
)
_DELIMITER = r"(?:(?=\t|\s{3,40}\S)|\s{0,100}+[:|-]|(?<=\d)\s>(?=\s)|\](?=\s)|(?<=\d\])(?=\s))\s{0,40}+"
_METHOD = r"((?:[a-z_]\w{0,40}\.){1,8}[A-Z][\w$]{0,60}\.[\w$<>]{1,60})\s"  # Tomcat
_ORIGIN = re.compile(
    rf"{_THREAD}(?:[\s|>-]++|:(?=[A-Za-z_]))?+(?:{_LOGGER}{_SOURCE}{_DELIMITER}|{_METHOD})?[\s:|-]*+(?:={{1,2}}>\s)?+"
)
_CLASS = re.compile(r"[a-z][\w$]*+(?:\.[\w$]++)++")
_PROCESS = re.compile(  # nginx and Unit; HAProxy and pino; Erlang; Celery and Icinga
    r"\s{0,8}+(?:(\d{1,10})#\d{1,10}:?(?: \*\d{1,12})?|(?:\d{3}/\d{6} )?\((\d{1,10})\) ?:|(<\d{1,10}(?:\.\d{1,10}){2}>)"
    r"|/([\w -]{1,60})(?:\]|:)) "
)
_OPENS_PROCESS = frozenset(" 0123456789(<")
_new = tuple.__new__  # makes a named tuple in a third of the time
USUAL_ORIGIN = re.compile(
    r" {1,2}(?:\[([A-Za-z][^\[\]\s]{0,98})\] )?"
    r"(?:([A-Za-z_][\w$-]*+(?:[./][\w$<>-]++)*+): (?=[A-Za-z])"
    r"|(?=[A-Za-z_]\w{0,40}+(?:\.\w{1,40}+)?+(?:\(\))?+ [A-Za-z]\w*+(?!\.\w{1,40}\.)))"
)
"""The most usual origins, found in half the time: a thread, a logger before a colon, or only a message of words.

Nothing of the head is left behind them.
"""
_TIME = re.compile(r"((?:\d{4}[-/])?\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?Z?)(?=[ |])")


class Origin(NamedTuple):
    """What stands between a level and its message."""

    match: "re.Match[str]"
    pid: int
    """The group of `match` that has it; 0 if the line does not."""
    thread: int
    logger: int
    end: int
    """The place at which the message begins."""


def origin_of(line: str, at: int) -> Origin:
    """Read what follows a level that ends at `at`."""
    if usual := USUAL_ORIGIN.match(line, at, at + HEAD_LENGTH):
        worker, name = usual.groups()
        return _new(Origin, (usual, 0, 1 if worker else 0, 2 if name else 0, usual.end()))
    if (line[at + 1 : at + 2] in _OPENS_PROCESS or line[at : at + 1] == "/") and (
        process := _PROCESS.match(line, at, at + HEAD_LENGTH)
    ):
        group = process.lastindex or 0
        pid, thread = (0, group) if line[at] == "/" else (group, 0)
        return _new(Origin, (process, pid, thread, 0, process.end()))
    match = _ORIGIN.match(line, at, at + HEAD_LENGTH)
    assert match is not None  # every part of it may be absent
    before, number, brackets, behind, name, method = match.groups()
    logger = 5 if name else 6 if method else 0
    if not before and not behind:
        return _new(Origin, (match, 2 if number else 0, 3 if brackets else 0, logger, match.end()))
    thread, end = 1 if before else 4, match.start(logger) if logger else match.end()
    if _CLASS.fullmatch(match[thread]) and "." not in brackets:  # [thread] (logger)
        return Origin(match, 0, 3, thread, end)
    return Origin(match, 0, thread, 3, end)


def origin_with_time(line: str, at: int) -> tuple[str, Origin] | None:
    """Read a time at `at`, and what follows it: Cassandra, vLLM."""
    time = _TIME.match(line, at, at + HEAD_LENGTH)
    if time is None:
        return None
    if "/" in time[1]:  # Go's log: a message follows
        return time[1], Origin(time, 0, 0, 0, time.end() + 1)
    origin = origin_of(line, time.end())
    name = origin.match[origin.logger] if origin.logger else ""
    if name.isalpha() and line[origin.match.end(origin.logger)] == ":":  # Severity: error
        return time[1], origin._replace(logger=0, end=origin.match.start(origin.logger))
    return time[1], origin

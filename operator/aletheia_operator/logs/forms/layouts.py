"""Levels at a fixed place of a program's own layout: one pattern each, tried when no other form has found a level.

To add one, add its pattern to `_LAYOUTS` under the first character of its lines, with the level in the group `level`.
"""

import re

from aletheia_operator.logs.forms.recognised import HEAD_LENGTH, Recognised, named
from aletheia_operator.logs.levels import LETTERS, level_of_word

_WORDS = (
    "trace|finest|finer|fine|debug|config|info|information|informational|notice|warn|warning|err|error|severe|crit|critical"
    "|alert"
    "|emerg|emergency|fatal"
)
_CAPITALS = _WORDS.upper()
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,:]\d{1,9})?"
_TIME = rf"\d{{4}}[-/.]\d\d[-/.]\d\d[ T]{_CLOCK}"
_LEVEL_BEFORE_TIME = rf"(?P<level>{_CAPITALS}) {{1,8}}{_TIME}"


def _joined(*patterns: str) -> "re.Pattern[str]":
    """Join patterns, each with the level in one group: the joined pattern fails sooner than trying each."""
    return re.compile("|".join(patterns).replace("(?P<level>", "("))


_BEHIND_TIME = (
    r"Z [A-Z]{3,5}\d{4,5}(?P<level>[EWIS]): ",  # IBM's message ids
    rf" [+-]\d{{4}} [A-Z_]{{2,30}} \((?P<level>{_WORDS})\) ",  # Qpid Dispatch, Skupper
    r"Z (?P<level>trace|debug|info|warning|error|critical) envoy [a-z][a-z_]{1,30} ",  # Istio
    r"Z (?:backstage|rootHttpRouter|catalog|search|auth|scaffolder|techdocs|proxy|kubernetes|permission|events|signals"
    r"|notifications) (?P<level>debug|info|warn|error) ",  # Backstage: its plugins
    r" \[(?P<level>[1-5]0)\] \[[a-z][\w.]{1,60}(?: \d{1,9})?\] ",  # Checkmk: numbers of Python's levels
    r" (?P<level>(?:emergenc(?=ies)|alert(?=s)|error(?=s)|warning(?=s)|notification(?=s)|informational|debugging))"
    r"(?:ies|s)?: [A-Z]{2,20}: ",  # Quagga
    r"(?: [+-]\d\d)? - \[(?P<level>Error|Warning|Information|Verbose|Profiling|Retry)-[A-Z]\w{1,60}\.",  # Duplicati
    rf" T:\d{{1,20}} {{1,8}}(?P<level>{_WORDS}) <[a-z]{{1,20}}>: ",  # Kodi
    r" (?P<level>[CEWIND]) \[\d{1,10}/\d{1,10}\] ",  # MythTV
    r"Z (?P<level>UNUSUAL|\*\*BROKEN\*\*) {1,4}[\w-]{1,80}: ",  # Core Lightning
    r" UTC \[[A-Z]{2,4}\.\d{4}\.\d{4}(?P<level>[IWECD])\] ",  # webMethods
    rf"[+-]\d\d:\d\d [\w.-]{{1,100}} {{1,8}}!(?P<level>{_CAPITALS}) {{0,4}}\| ",  # Scylla's cluster tests
    r"[+-]\d{4} 0x[0-9a-f]{1,8} {1,12}(?P<level>Default|Info|Debug|Error|Fault) {1,12}0x",  # macOS
    r" LOG(?P<level>[0-7])\[[^\]\s]{1,20}\]: ",  # stunnel: syslog's severities
)
_OF_NUMBERS = (
    r"\d{4}-\d\d-\d\d-\d\d\.\d\d\.\d\d\.\d{6}[+-]\d{1,4} \w{2,20} {1,20}LEVEL: (?P<level>\w{3,10})",  # Db2
    rf"\d\d/\d\d/\d{{4}} {_CLOCK}\| {{0,2}}\w{{1,20}}\|[\w.-]{{1,80}}\|(?P<level>[EWICND])\|",  # Grid Engine
    r"\d\d-[A-Z][a-z]{2} \d\d:\d\d [\w.-]{1,80} JobId \d{1,10}: (?P<level>Error|Fatal error|Warning): ",  # Bacula
    rf"\d{{1,9}} {{1,4}}[\w.-]{{1,40}} {{1,4}}(?P<level>{_CAPITALS}) {{1,5}}\[[^\]]{{1,60}}\] ",  # OpenJPA
    r"[0-9A-F]{6,16}:(?P<level>error):[0-9A-F]{8}:",  # OpenSSL
    rf"\d{{1,3}}(?:\.\d{{1,3}}){{3}} - {_TIME} - (?P<level>[0-7]) - ",  # Analog
    r"\d\d/\d\d/\d\d-\d\d:\d\d:\d\d:\d{3} (?P<level>\(\d{1,10}\) [0-3]) ",  # InterSystems IRIS
    r"\d{1,4}\.\d\d\.\d{3}\.\d{3} (?P<level>[DIWE]) {1,3}[a-z]\w{1,60}: ",  # llama.cpp
    rf"{_CLOCK} \[\d{{1,9}}\.\d{{1,9}}\] (?P<level><(?:2|4|8|16|32)>) [a-z]",  # NetBackup
    r"\d{6}/\d{6}\.\d{3}, \[(?:[a-z]\w{0,20},){0,4}(?P<level>error|warn|info|debug)(?:,[a-z]\w{0,20}){0,4}\] ",  # hapi
    r"\d{6}\.[\w.-]{1,100}![\w?.-]{1,80}: (?:[A-Z_]{2,40}:\d{1,6}: )?(?P<level>INFO|WARN|ERROR|DEBUG): ",  # Tuxedo
    r"\d\d:\d\d:\d\d  (?:Database|Compilation|Runtime|Encountered an) (?P<level>[Ee]rror)(?: in \w|:?$)",  # dbt
    rf"{_CLOCK}@\d{{1,9}}/(?P<level>crit|error|warn|info|debug) - ",  # i2pd
)
_OF_PATHS = (
    r"[\w./-]{1,200}:\d{1,6}:\d{1,6}: (?P<level>ERROR|WARNING): ",  # Meson
    r"[\w./\\-]{1,200}\(\d{1,6},\d{1,6}\) ?: (?P<level>(?i:error|warning|info)) [\w-]{2,60}: ",  # Bicep
    r"[\w./-]{1,200}:\d{1,6} (?:DL|SC)\d{4} (?P<level>error|warning|info|style): ",  # hadolint
)
_OF_NAMES = (
    r"(?P<level>Error|Warning|Info|SysError|Fatal|Break) in <[\w:~ ]{1,100}>: ",  # ROOT
    rf"[A-Z]{{2,5}}\d{{0,3}} (?P<level>[DTIWEF]) (?:\d{{4}}[-/])?\d\d[-/]\d\d {_CLOCK}",  # Teradata
    r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4} -> (?P<level>[!^])\S",  # ClamAV
    r"guix(?: [a-z-]{1,20})?: (?P<level>error|warning): ",
    rf"[a-z][\w ]{{1,20}}:(?P<level>{_CAPITALS}|MESSAGE):\d{{4}}-\d\d-\d\d \d\dh\d\d\.\d\d ",  # OpenVAS
)
_OF_BRACKETS = (
    r"\[(?P<level>[DIWE])\]\t\S{1,100}\t\d{4}-\d\d-\d\d ",  # LeoFS
    r"\[(?P<level>Error|Warning|Information|Verbose|Profiling|Retry)-[A-Z]\w{1,60}\.[\w.-]{1,200}\]: ",  # Duplicati
    rf"\[{_TIME}: (?P<level>[DIWEF]) \S{{1,200}}:\d{{1,9}}\] ",  # Horovod
    r"\[\d{4}\.\d\d\.\d\d-[\d.:]{12}\]\[ {0,3}\d{1,6}\]Log[A-Z]\w{1,60}: (?P<level>Display|VeryVerbose): ",  # Unreal
    r"\[(?P<level>Msg)\] \[[\w.]{1,80}:\d{1,9}\] ",  # Gazebo
    rf"\[ ?(?P<level>{_CAPITALS}):\d{{1,4}}(?:@[\d.]{{1,20}})?\] ",  # OpenCV
    r"\[[0-9a-f]{16}\] (?:\w{1,40} ){1,6}(?P<level>error|warning|debug): ",  # VLC
    rf"\[[\w.-]{{1,100}}:[\w.]{{1,100}}:(?P<level>[A-Z][a-z]{{3,8}}):\d{{1,20}}\] \[{_TIME}",  # Cardano
    rf"\[\d{{1,10}}\]\{{-?\d{{1,10}}\}}\[[-/\d]{{1,30}}\] {_TIME} (?P<level>[diwef]) ",  # SAP HANA
)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LAYOUTS = {
    "[": _joined(*_OF_BRACKETS, rf"\[\d\] {_TIME}Z [a-z]{{3,20}} (?P<level>debug|info|warn|error) "),
    '"': _joined(  # ColdFusion, Lucee, hMailServer: a time in one of the next columns
        rf'"(?P<level>(?i:{_WORDS}))"(?:[,;\t] ?(?:"[^"\n]{{0,100}}"|[\w.-]{{1,20}})){{0,3}}?[,;\t] ?"(?:{_TIME}|{_CLOCK})'
    ),
    "*": _joined(rf"\*(?P<level>{_CAPITALS})\* {{1,4}}\t"),  # PrestaShop
    "<": _joined(r'<Event Severity="(?P<level>[1-5]0)" Time="'),  # FoundationDB
    " ": _joined(rf" {{1,8}}{_LEVEL_BEFORE_TIME}"),  # Gearman
    **dict.fromkeys("./-", _joined(*_OF_PATHS)),
    **dict.fromkeys("0123456789", _joined(f"{_TIME}(?:{'|'.join(_BEHIND_TIME)})", *_OF_NUMBERS)),
    **dict.fromkeys(_LETTERS, _joined(*_OF_NAMES, *_OF_PATHS)),
}
_OF_FOUNDATIONDB = {"10": "INFO", "20": "WARN", "30": "WARN", "40": "ERROR", "50": "FATAL"}
_OF_PYTHON = {"10": "DEBUG", "20": "INFO", "30": "WARN", "40": "ERROR", "50": "FATAL"}
_LEVELS = {
    "0": "FATAL", "1": "FATAL", "2": "FATAL", "3": "ERROR", "4": "WARN", "5": "INFO", "6": "INFO", "7": "DEBUG",
    "S": "ERROR", "N": "INFO", "C": "FATAL", "Severe": "ERROR", "SysError": "ERROR", "Break": "FATAL", "Internal": "INFO",
    "MESSAGE": "INFO", "Default": "INFO", "Fault": "FATAL", "Display": "INFO", "VeryVerbose": "TRACE",
    "!": "ERROR", "^": "WARN", "emergenc": "FATAL", "Fatal error": "FATAL", "UNUSUAL": "WARN", "**BROKEN**": "ERROR",
    "Msg": "INFO", "style": "INFO",
    "<2>": "DEBUG", "<4>": "INFO", "<8>": "WARN", "<16>": "ERROR", "<32>": "FATAL",
    "Retry": "WARN", "Profiling": "DEBUG", "notification": "INFO", "debugging": "DEBUG",
}  # fmt: skip


def read_layout(line: str) -> Recognised | None:
    """Read a line with a level at a place that only one program has."""
    first = line[:1]
    pattern = _LAYOUTS.get(first)
    if pattern is None or (first in _LETTERS and ":" not in line[:HEAD_LENGTH]):
        return None
    if match := pattern.match(line, 0, HEAD_LENGTH):
        message = line[match.end() :] if match[0][-1] in " \t" else None
        return named(_level_of(next(filter(None, match.groups())), line), message)
    return None


def _level_of(word: str, line: str) -> str | None:
    if word[0] == "(":
        return ("INFO", "WARN", "ERROR", "FATAL")[int(word[-1])]
    if len(word) == 2 and word.isdecimal():
        return (_OF_FOUNDATIONDB if line[:1] == "<" else _OF_PYTHON).get(word)
    if word[:1] == "D" and word[1:].isdecimal():
        return "DEBUG"
    return _LEVELS.get(word) or (LETTERS.get(word.upper()) if len(word) == 1 else level_of_word(word))

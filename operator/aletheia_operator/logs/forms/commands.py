"""Levels in lines of command line tools, which have no time: `warn Package x`, `info => Starting`, `prisma:error Closed`."""

import re

from aletheia_operator.logs.forms.prose import begins_sentence
from aletheia_operator.logs.forms.recognised import HEAD_LENGTH, Recognised, named
from aletheia_operator.logs.levels import level_of_word

_SMALL = "error|warning|warn|info|debug|verbose|success|notice|trace|fatal"
_LARGE = "TRACE|DEBUG|INFO|NOTICE|WARNING|WARN|ERROR|ERR|SEVERE|CRITICAL|CRIT|FATAL"
_NOT_NAMES = "note|re|info|usage|example|subject|tip|question|answer|todo|fixme|see|warning|error"
_LEVEL_FIRST = re.compile(
    rf"({_SMALL}) (?=[A-Z][a-z'’]{{1,30}} \S)"  # yarn, React Native
    rf"|((?i:{_SMALL})) (?:=>|[›»❯▶➜]) "  # Storybook, signale
    rf"|(fatal error|{_SMALL}) in (?=[./][^\s,]{{1,200}}, lines? \d)"  # Zeek
    r"|(success) (?=[a-z][^\n]{1,200} - \d{1,6}\.\d{3}s$)"  # Gatsby
    rf"|({_LARGE})(?:[/@][\w.-]{{1,60}}|\([\w.:-]{{1,60}}\)): (?=\S)"
    r"|(?:Critical )?(Error|Warning|Info|Note) \(\d{3,7}\): (?=\S)"  # Quartus
    rf"|((?i:{_SMALL})) [\w./-]{{1,100}}\.[a-z]{{1,4}}:\d{{1,6}}:? {{1,4}}(?=\S)"  # Clearwater
)
_SMALL_BEHIND_NAME = re.compile(  # Prisma, LaTeX, rsync
    rf"[a-z][\w-]{{1,30}}:({_SMALL}) (?=[A-Z\"'\[])"
    r"|(?:! )?(?:(?:[A-Z]\w{0,20}[A-Z]\w{0,20}|Liquid|Syntax|Parse|Parser|Internal|Runtime|Import|Config|Configuration"
    r"|Connection|Network"
    r"|Database|Unexpected|System|Server|Client|Validation|Build|Compile|Compilation|Linker|License|Permission|Execution"
    r"|Protocol"
    r"|Socket|Deprecation|Security|User|Assertion) (?i:(error|warning))|rsync (error|warning)): (?=\S)"
)
_BEHIND_NAME = re.compile(
    rf"(?!(?:{_NOT_NAMES}):)[a-z][\w.+-]{{1,30}}(?:\[\d{{1,10}}\])?: ({_LARGE}) (?=[^\s=:|,a-z])"  # mdadm
    rf"|[a-z][\w.]{{1,60}}(?: {{2,20}}|\[\d{{1,9}}\]): ({_LARGE})(?: {{2,8}}(?=[^\s=|])| (?=[^\sa-z=|]))"  # Python, Ignition
    rf"|[a-z][\w.]{{1,30}}-({_LARGE}): "  # GLib
    r"|[a-z][\w-]{1,30}: [a-z][\w-]{1,30}(?:\([^()\s]{1,60}\)){0,2}(?:<[^<>\s]{1,60}>){0,3}"
    r": (Panic|Fatal|Error|Warning|Info|Debug): "  # Dovecot
    rf"|[A-Za-z][\w .-]{{1,40}}\(({_LARGE})\): ?(?=\S)"  # LibreNMS
    rf"|[a-z][\w-]{{1,30}}(?: [0-9a-f]{{6,64}})? <n?((?i:{_SMALL}|debug))>: (?=\S)"  # conmon
    r"|[A-Z][A-Z\d_]{1,20}: (Error|Warning) - "  # DPDK
    rf"|(?!case )(?:[a-z]|[A-Z]\w{{0,40}}[a-z][A-Z])[\w.-]{{1,60}}(?:\[\d{{1,10}}\])? ({_LARGE}): (?=\S)"
    rf"|[\w.-]{{1,60}}\[\d{{1,10}}\]: ({_LARGE}) (?=\S)|[A-Za-z][\w-]{{1,60}}(?:/|::)({_LARGE}): (?=\S)"
    rf"|[\w./-]{{1,200}}\.[a-z]{{1,4}}:\d{{1,9}} ({_LARGE}) (?=\S)"
)
_BRACKETED_BEHIND_NAME = re.compile(
    r"(?!(?i:the|an?|this|that|see|use|in|and|or|my|our|no|some|any|with|note) )"
    rf"(?:[A-Za-z][\w./-]{{1,60}} \[({_LARGE})\]:? (?=[^\sa-z])|[A-Za-z]\w{{0,60}}[./-][\w./-]{{1,60}} \[({_LARGE})\]:? (?=\S)"
    rf"|[A-Za-z][\w./-]{{1,60}} \[((?i:{_SMALL}))\]:? (?=[A-Z][a-z]))"
)
_OF_SIGNS = re.compile(  # makepkg
    rf"(?:\*{{2,5}}|%|>{{2,5}}|!{{1,3}}|={{2,5}}>?|-{{2,5}}>?) ({_LARGE})(?::| =>| in (?=[\w./-]{{1,80}}\.[A-Za-z]{{1,4}}:\d)) "
    rf"{{0,1}}(?=\S)|\+?\d[\d.]{{0,8}}(?:ms|s|µs) ({_LARGE}) (?=\S)"
    rf"|\{{({_LARGE})\}} (?=[^\sa-z])|\|({_LARGE})\| - (?=\S)"
)
_DECORATED = re.compile(  # Abaqus, Ansys, Nastran, LS-DYNA, OpenFOAM, ModelSim, Verilator
    rf"(?:# )?(?:\*{{2,5}}|-{{2,3}}>|>{{3,5}}) (?:(?!(?:{_LARGE}) )[A-Z]{{3,12}} )?"
    rf"({_LARGE}|INFORMATION|NOTE|Error|Warning|Note|Info|Fatal|Message)"
    r"(?:(?: IO)? ERROR)?(?: ?:(?: |$)| \*{2,5} {2,60}\S| MESSAGE (?=\d)| (?=\d{2,6} \())"
    rf"|\*{{3}}({_LARGE}): (?=[^\s*][^*]{{3}})|%(Error|Warning)(?:-[A-Z\d]{{1,40}})?: (?=\S)"
    r"|\*{3} \[[^\]\n]{1,200}\] (Error) \d"  # SCons
)
_OF_BRACKETS = re.compile(  # env_logger, Contiki-NG, kubeadm, Ansible, Syft
    rf"\[({_LARGE})(?: {{1,2}}(?:[\w-]{{1,60}}(?:::|\.)[\w:.-]{{1,80}}"
    rf"|[a-z]\w{{0,30}}_\w{{1,30}})\] (?=\S)|: {{1,2}}[A-Za-z][\w .-]{{0,30}}\] "
    rf"| [A-Z][\w-]{{1,40}}\]: |[:|][\w .-]{{1,40}}\]:? (?=\S)"
    rf"|/[\w .-]{{1,40}}\]: )|\[[A-Za-z]\w{{0,30}} ((?i:{_SMALL}))\]: (?=\S)|\[[A-Z]{{3,15}} (WARNING|ERROR"
    rf"|NOTICE)\]:? (?=\S)|\[\d{{4,10}}\] {{1,2}}({_LARGE}) (?=\S)"
    rf"|\[[\w .-]{{1,40}}\][:-]\[({_LARGE})\][:-]?(?=\S)|\[[\w .-]{{1,40}}(?:/|\|| - )({_LARGE})\]:? (?=\S)"
    rf"|\[[\w .-]{{1,40}}\] \(({_LARGE})\) (?=\S)|\[[A-Z]\w{{0,20}} \d{{1,20}}\] \*{{3}} ({_LARGE}) => (?=\S)"
    r"|\[(Error|Warning|Info) at /[^\]\s]{1,200}\] (?=\S)"  # AWS CDK
)
_OF_PARENTHESES = re.compile(  # PDAL, Rollup
    r"\((!)\) (?=[A-Z])|\((?:[a-z][\w-]{1,20} ){1,3}[\w-]{1,30}\.[\w-]{1,30} (Error|Warning|Debug|Info)\) (?=\S)"
)
_IN_COLUMN = re.compile(rf"({_SMALL}) {{2,8}}(?=\S)")
_OTHERS = {"!": "WARN", "Message": "INFO"}
_SIGNS = frozenset("*>!=-+{|#%")
STARTS = _SIGNS | {"[", "("}
"""Characters other than letters that such a line begins with."""
_WITHIN = 100
_BEGINNINGS = frozenset(word[:4] for word in _SMALL.split("|")) | {"note", "crit"}


def read_behind_symbol(text: str) -> Recognised | None:
    """Read what follows a symbol at the line's beginning: a level and, perhaps, blanks up to a column."""
    if match := _IN_COLUMN.match(text, 0, HEAD_LENGTH):
        return named(level_of_word(match[1]), text[match.end() :])
    return None


def read_command(line: str, first: str) -> Recognised | None:
    """Read such a line; `first` is its first character."""
    match = _match(line, first)
    if match is None or (match[0][-2:-1].isupper() and begins_sentence(line, match.end() - 1)):
        return None
    word = next(filter(None, match.groups()))
    return named(_OTHERS.get(word) or level_of_word(word), line[match.end() :])


def _match(line: str, first: str) -> "re.Match[str] | None":
    if first == "[":
        return _OF_BRACKETS.match(line, 0, HEAD_LENGTH)
    if first == "(":
        return _OF_PARENTHESES.match(line, 0, HEAD_LENGTH)
    if first in _SIGNS:
        return _OF_SIGNS.match(line, 0, HEAD_LENGTH) or _DECORATED.match(line, 0, HEAD_LENGTH)
    if line[:4].lower() in _BEGINNINGS and (match := _LEVEL_FIRST.match(line, 0, HEAD_LENGTH)):
        return match
    if line.find("]", 2, _WITHIN) > 0 and (match := _BRACKETED_BEHIND_NAME.match(line, 0, HEAD_LENGTH)):
        return match
    if (colon := line.find(":", 1, _WITHIN)) < 0:
        return None
    if (not line[1:_WITHIN].islower() or line.find(">: ", 5, _WITHIN) > 0) and (
        match := _BEHIND_NAME.match(line, 0, HEAD_LENGTH)
    ):
        return match
    if line[colon + 1 : colon + 2].isalpha() or line[colon - 5 : colon].lower() in ("error", "rning"):
        return _SMALL_BEHIND_NAME.match(line, 0, HEAD_LENGTH)
    return None

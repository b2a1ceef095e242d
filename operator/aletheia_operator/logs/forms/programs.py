"""Forms of single programs: compilers, package managers, CI systems, desktop libraries, language runtimes' warnings.

To add one, add its beginning to `_BEGINNINGS`, or a pattern to `_PATTERNS` with the level in the group `level`.
"""

import re

from aletheia_operator.logs.forms import codes
from aletheia_operator.logs.forms.anywhere import LOCALIZED
from aletheia_operator.logs.forms.recognised import HEAD_LENGTH, KEY_LENGTH, LONG_HEAD, Recognised, by_key, named
from aletheia_operator.logs.levels import LETTERS, SYSLOG, level_of_word

_BEGINNINGS = {
    "npm ERR!": "ERROR", "npm error ": "ERROR", "npm WARN ": "WARN", "npm warn ": "WARN", "npm notice ": "INFO",
    "npm http ": "DEBUG",
    "npm info ": "INFO", "npm verb ": "TRACE", "npm sill ": "TRACE", "npm verbose ": "TRACE", "npm silly ": "TRACE",
    "error Command failed": "ERROR", "error An unexpected error": "ERROR", "error Couldn't": "ERROR",
    'error Command "': "ERROR", "info Visit https://yarnpkg": "INFO", "info No lockfile found": "INFO",
    "success Saved lockfile": "INFO",
    "warning package.json:": "WARN", " ERR_PNPM_": "ERROR", "ERR_PNPM_": "ERROR",
    "PHP Fatal error: ": "FATAL", "PHP Parse error: ": "FATAL", "PHP Compile error: ": "FATAL", "PHP Core error: ": "FATAL",
    "PHP Warning: ": "WARN", "PHP Deprecated: ": "WARN", "PHP Notice: ": "INFO", "PHP Recoverable fatal error: ": "ERROR",
    "=ERROR REPORT====": "ERROR", "=CRASH REPORT====": "ERROR", "=SUPERVISOR REPORT====": "ERROR",
    "=CRITICAL REPORT====": "FATAL",
    "=WARNING REPORT====": "WARN", "=NOTICE REPORT====": "INFO", "=INFO REPORT====": "INFO", "=PROGRESS REPORT====": "INFO",
    "=DEBUG REPORT====": "DEBUG",
    "│ Error: ": "ERROR", "│ Warning: ": "WARN", "┌ Error: ": "ERROR", "┌ Warning: ": "WARN", "┌ Info: ": "INFO",
    "┌ Debug: ": "DEBUG", "[ Info: ": "INFO", "[ Warning: ": "WARN", "[ Error: ": "ERROR", "[ Debug: ": "DEBUG",
    "##[error]": "ERROR", "##[warning]": "WARN", "##[debug]": "DEBUG", "##[notice]": "INFO", "::error": "ERROR",
    "::warning": "WARN", "::notice": "INFO", "::debug": "DEBUG", "##vso[task.logissue type=error": "ERROR",
    "##vso[task.logissue type=warning": "WARN",
    "CMake Error ": "ERROR", "CMake Error: ": "ERROR", "CMake Warning ": "WARN", "CMake Deprecation Warning ": "WARN",
    "Error from server": "ERROR", "Error occurred during initialization of VM": "ERROR", "Warning message:": "WARN",
    "Warning messages:": "WARN", "Execution halted": "FATAL", "⨯ Error": "ERROR",
    "error execution phase ": "ERROR", "Error response from daemon: ": "ERROR", "docker: Error response from ": "ERROR",
    "! LaTeX Error: ": "ERROR", "DEPRECATION WARNING [": "WARN",
    "Deprecation Warning [": "WARN", "[ioredis] Unhandled error event: ": "ERROR",
    "ERROR! ": "ERROR", "standard_init_linux.go:": "ERROR", "Can't locate ": "ERROR", "Bail out!": "FATAL",
    "Poco::Exception. Code: ": "ERROR",
    "LibClamAV Error: ": "ERROR", "LibClamAV Warning: ": "WARN", "lerna ERR! ": "ERROR", "lerna WARN ": "WARN",
    "log4j:WARN ": "WARN", "log4j:ERROR ": "ERROR", "SLF4J(E): ": "ERROR", "SLF4J(W): ": "WARN", "SLF4J(I): ": "INFO",
    "SLF4J(D): ": "DEBUG", "wandb: ERROR ": "ERROR", "wandb: WARNING ": "WARN",
    "dpkg: error ": "ERROR",
    "lerna info ": "INFO", "lerna notice ": "INFO", "WARNING! ": "WARN", "[DEPRECATED] ": "WARN", "DEPRECATION: ": "WARN",
    "Options error: ": "ERROR", "WordPress database error ": "ERROR", "Warning from https://": "WARN",
}  # fmt: skip
_BY_KEY = by_key(_BEGINNINGS | {f"{word}: ": level for word, level in LOCALIZED.items() if word not in ("ATTENTION", "AVISO")})

_BEFORE_A_MESSAGE = ("npm ", "lerna ", "log4j:", "wandb: ", "SLF4J(", "##[", "│ ", "┌ ", "[ ", "PHP ", "LibClamAV ", "ERROR! ")
"""Beginnings of those that end with the level: the message follows."""

_WORDS = "emergency|emerg|alert|critical|error|warning|notice|informational|info|debug"
_PATTERNS: dict[str, tuple["re.Pattern[str]", ...]] = {
    "E": (
        re.compile(  # apt
            r"(?P<level>E): (?:Unable|Failed|The (?:repo|package|method|list|value|update)|Package|Sub-process|Could|Version"
            r"|Invalid|Type |Write)"
        ),
        re.compile(r"(?P<level>Error) in [^\n:]{1,200}: "),  # R
    ),
    "W": (re.compile(r"(?P<level>W): (?:GPG|Failed|The |Some |Target|Possible|http|https|Download|Skipping|An )"),),  # apt
    "e": (
        re.compile(r"(?P<level>e): (?:file://|/|[A-Z]:\\|[\w./-]{1,200}\.kts?: )"),  # Kotlin's compiler
        re.compile(r"(?P<level>error)(?:\[\w{1,12}\]|\(\w{1,60}\)): "),  # rustc, Zig
        re.compile(r"(?P<level>error)(?:  ?- | ?--- )"),  # Next.js, Verdaccio
        re.compile(
            r"exec(?:: \"| )[^\n]{1,300}(?P<level>: (?:exec format error|no such file or directory|permission denied))$"
        ),
        re.compile(r"exec: \"[^\"\n]{1,300}\"(?P<level>: executable file not found)"),
    ),
    "w": (
        re.compile(r"(?P<level>w): (?:file://|/|[A-Z]:\\|[\w./-]{1,200}\.kts?: )"),
        re.compile(r"(?P<level>warning)(?:\[\w{1,12}\]|\(\w{1,60}\)): "),
        re.compile(r"(?P<level>warn)(?:  - | ?--- )"),
        re.compile(r"(?P<level>warning) (?:[\w@/.-]{1,80} > |\")"),  # yarn
    ),
    "i": (re.compile(r"(?P<level>info)(?:\(\w{1,60}\): |  - | ?--- )"),),
    "O": (re.compile(r"OpenJDK [\w-]{1,20} (?:\w{1,20} )?VM (?P<level>warning|error): "),),
    "J": (re.compile(r"Java HotSpot\(TM\) [\w-]{1,20} (?:\w{1,20} )?VM (?P<level>warning|error): "),),
    "m": (re.compile(r"(?:make|gmake|ninja)(?:\[\d{1,4}\])?(?P<level>: \*\*\* )"),),
    "g": (re.compile(r"gmake(?:\[\d{1,4}\])?(?P<level>: \*\*\* )"),),
    "#": (re.compile(r"\#\d{1,6} (?P<level>ERROR|WARN|WARNING)(?:: | )"),),  # BuildKit
    "=": (re.compile(r"==\d{1,10}== ?(?P<level>ERROR|Error|Warning|WARNING|INFO): "),),  # sanitizers, Valgrind
    "%": (re.compile(r"%(?P<level>[0-7])\|1\d{9}\.\d{3}\|[A-Z]"),),  # librdkafka: syslog's severities
    "C": (re.compile(r"Code: \d{1,4}\. (?P<level>DB::)\w{0,40}Exception: "),),  # ClickHouse
    "(": (
        re.compile(r"\((?P<level>error)\) [A-Z]{2,20} "),  # redis-cli
        re.compile(
            r"\([\w.-]{1,60}:\d{1,10}\): (?:[\w-]{1,60}-)?(?P<level>ERROR|CRITICAL|WARNING|INFO|DEBUG) \*\*: "
            r"(?:\d\d:\d\d:\d\d\.\d{3}: )?"
        ),  # GLib
        re.compile(r"\(node:\d{1,10}\) (?P<level>UnhandledPromiseRejection)"),
        re.compile(r"\(node:\d{1,10}\) (?:\[\w{1,60}\] )?\w{0,60}?(?P<level>Warning): "),
    ),
    "r": (re.compile(r"runsv(?:dir)? [^:\n]{1,100}: (?P<level>fatal|warning): "),),
    "Z": (re.compile(r"Zigbee2MQTT:(?P<level>error|warn|info|debug) {1,2}\d{4}-"),),
    "➤": (re.compile(r"➤ YN\d{4}: [│┌└] (?P<level>Error|Warning): "),),
    " ": (re.compile(r" (?P<level>[⨯⚠]) "), re.compile(r" {2,6}(?P<level>⨯) "),),  # Next.js, GoReleaser
    "*": (
        re.compile(
            r"\*\* \([\w.-]{1,60}:\d{1,10}\): (?P<level>ERROR|CRITICAL|WARNING|INFO|DEBUG) \*\*: "
            r"(?:\d\d:\d\d:\d\d\.\d{3}: )?"
        ),
    ),
    "[": (
        re.compile(  # Chromium
            r"\[(?:\d{1,9}:){0,2}\d{4}/\d{6}\.\d{1,9}:(?P<level>VERBOSE|INFO|WARNING|ERROR|FATAL)\d{0,2}"
            r":[\w.]{1,80}\(\d{1,6}\)\] "
        ),
        re.compile(  # Python's multiprocessing, Celery
            r"\[(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)/"
            r"(?:MainProcess|[A-Z][A-Za-z]{0,30}(?:Process|Worker)-[\d:]{1,20})\] "
        ),
        re.compile(  # GitHub's runner
            r"\[(?:RUNNER|WORKER) \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ (?P<level>INFO|WARN|ERR|VERB) {1,3}[A-Z](?:\w{0,60}\] )?"
        ),
        re.compile(  # tini, Transformers
            r"\[(?P<level>FATAL|ERROR|WARN|WARNING|INFO|DEBUG|TRACE)(?: {1,2}\w{1,20} \(\d{1,9}\)|\|[^\[\]]{1,100})\] "
        ),
    ),
}  # fmt: skip
_NAMED_LEVEL = re.compile(
    # Apache Sling, Fluentd's own tag, Locust, KrakenD, Traffic Server, QuestDB, Tarantool, OrientDB, OceanBase, MediaMTX,
    # Thumbor, Stellar, NFS-Ganesha, Odyssey, Nuclio, rippled
    r"\[?(?:[A-Z][a-z]{2} {1,2})?\d[\d:.,/TZ+ -]{3,40}+\]? {0,2}(?:"
    r"\*(TRACE|DEBUG|INFO|WARN|ERROR)\* \["
    r"|(?<=\d\] )[\w.-]{1,80}/(DEBUG|INFO|WARNING|ERROR|CRITICAL)/[\w.]{1,80}: "
    r"|(?:traffic_\w{1,20}|\{0x[0-9a-f]{1,16}\}|\[ET_\w{1,20} \d{1,4}\]) (NOTE): "
    r"|(?<=[\dZ\]] )(?:(NOTE): |(LOG) (?=[A-Z][a-z]{2,20} )|\[[\w./-]{1,60}\] (MESSAGE) (?=\S))"
    r"|(?<=Z )([ACEDIW]) (?:(?:[a-z]\w{0,3}\.){1,12}[A-Z]\w{1,80}|server-main) "
    r"|\[\d{1,10}\] [\w./:@-]{1,100} ([FECWIVD])> "
    r"|thumbor:(DEBUG|INFO|WARNING|ERROR|CRITICAL) "
    r"|(?<=\d\] )([WE]DIAG) {1,2}\[)"
    r"|\d\d\.\d\d\.\d\d \d\d:\d\d:\d\d\.\d{3} {1,30}+[\w.-]{1,60} \(([DIWE])\) "
    r"|\d{4}-[A-Z][a-z]{2}-\d\d [\d:.]{8,18} UTC [\w.]{1,60}:(TRC|DBG|NFO|WRN|ERR|FTL) "
)
_CSV = re.compile(  # PostgreSQL's and Greenplum's csvlog
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,6} [A-Z]{2,5},(?:(?:\"[^\"]{0,200}\"|[^\",]{0,100}),){8,24}?"
    r"\"?(?P<level>LOG|DEBUG[1-5]|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC)\"?,\"?[0-9A-Z]{5}\"?,"
)
_FALCO = re.compile(rf"\d\d:\d\d:\d\d\.\d{{9}}: (?P<level>(?i:{_WORDS})) ")
_AFTER_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{8,18}Z (?=##\[|::)")  # as GitHub stores its logs
_WARNINGS = re.compile(
    r"[\w./ +@<>-]{1,300}(?::\d{1,9}:|\.py:\d{1,9}(?= [A-Z]\w{2,60}Warning: )) "
    r"(?:[A-Z]\w{0,60}?(?P<level>Warning)|(?P<level2>warning)): "
)
_LOG4J = re.compile(r'[^>\n]{0,400}?\blevel="(?P<level>[A-Z]{3,8})"')
_CMTRACE = re.compile(r'\]LOG\]!><time="[^"\n]{1,40}" date="[^"\n]{1,40}"[^\n>]{0,300} type="([123])"')
_PHP_MESSAGE = re.compile(r"[^\n]{0,200}?(?:PHP message: |\] |\d - )(?=PHP )")
_HEADS_END = frozenset("[(*#=")
"""Beginnings of patterns behind which the message follows, if they end with a blank."""
_LEVEL_OF_MARK = {
    ": exec format error": "ERROR", ": no such file or directory": "ERROR", ": permission denied": "ERROR",
    ": executable file not found": "ERROR", ": *** ": "ERROR", "⨯": "ERROR", "⚠": "WARN",
    "UnhandledPromiseRejection": "ERROR", "VERB": "TRACE", "SEVER": "ERROR", "WARNI": "WARN", "WAR": "WARN", "DEB": "DEBUG",
    "NFO": "INFO", "MESSAGE": "INFO", "EVENT": "INFO", "MAJ": "ERROR", "M_DBG": "TRACE", "F_DBG": "TRACE",
    "WDIAG": "WARN", "EDIAG": "ERROR", "DB::": "ERROR", **{str(number): level for number, level in enumerate(SYSLOG)},
}  # fmt: skip


def read_program(line: str) -> Recognised | None:
    """Read a line of one of the programs here."""
    for beginning, level in _BY_KEY.get(line[:KEY_LENGTH], ()):
        if line.startswith(beginning):
            return named(level, line[len(beginning) :].lstrip() or None if beginning.startswith(_BEFORE_A_MESSAGE) else None)
    first = line[:1]
    for pattern in _PATTERNS.get(first, ()):
        if match := pattern.match(line, 0, HEAD_LENGTH):
            message = match.end() if match[0][-1] == " " and first in _HEADS_END else len(line)
            return named(_level_of(match["level"]), line[message:] or None)
    if line[:3].isupper() and (found := codes.read_ibm(line)):
        return found
    if "arning: " in line[:HEAD_LENGTH] and _WARNINGS.match(line, 0, HEAD_LENGTH):  # Python's and Ruby's
        return named("WARN", None)
    return None


def read_timed_program(line: str) -> Recognised | None:
    """Read such a line behind a time, Falco's rules, and PostgreSQL's csvlog."""
    if line[2:3] == ":" and (match := _FALCO.match(line)):
        return named(level_of_word(match["level"]), line[match.end() :], time=line[:18])
    if line[10:11] == " " and line.find(",", 20, 40) > 0 and (match := _CSV.match(line, 0, LONG_HEAD)):
        return named(level_of_word(match["level"]), None, time=line[: line.find(",", 20)])
    if (at := line.find(" ", 19, 40)) < 0 or line[at + 1 : at + 3] not in ("##", "::"):
        return None
    if match := _AFTER_TIME.match(line):
        found = read_program(line[match.end() : match.end() + HEAD_LENGTH])
        return found and named(found.level, line[match.end() :], time=line[: match.end() - 1])
    return None


def read_named_level(line: str) -> Recognised | None:
    """Read a level that is part of the name behind a time, or a letter before a Java class."""
    if match := _NAMED_LEVEL.match(line, 0, HEAD_LENGTH):
        word = next(filter(None, match.groups()))
        return named("INFO" if word == "A" else _level_of(word), line[match.end() :])  # QuestDB's A: advisory
    return None


def read_php_fpm(line: str) -> Recognised | None:
    """Read PHP's message behind a time, or inside a line of PHP-FPM, which gives every message the same level."""
    if " PHP " in line[:HEAD_LENGTH] and (match := _PHP_MESSAGE.match(line, 0, HEAD_LENGTH)):
        found = read_program(line[match.end() :])
        return found and named(found.level, line[match.end() :])
    return None


def read_marked_up(line: str) -> Recognised | None:
    """Read log4j's XML, and logs of Microsoft's Configuration Manager, which have the level behind the message."""
    if line[:13] == "<log4j:event " and (match := _LOG4J.match(line, 13, HEAD_LENGTH)):
        return named(level_of_word(match["level"]), None)
    if line[:7] == "<![LOG[" and (at := line.rfind("]LOG]!>")) > 0 and (match := _CMTRACE.match(line, at)):
        return named({"1": "INFO", "2": "WARN", "3": "ERROR"}[match[1]], line[7:at])
    return None


def _level_of(mark: str) -> str | None:
    return _LEVEL_OF_MARK.get(mark) or (LETTERS.get(mark.upper()) if len(mark) == 1 else level_of_word(mark))

"""Forms with one letter for the level: klog and glog, Ruby's logger, Android, MongoDB, etcd, Telegraf, TensorFlow and others.

To add a form, add a pattern before `_patterns_for` if a date comes first, else a function and its place in `dispatch`.
"""

import re

from aletheia_operator.logs.forms.logfmt import read_pairs, unquote
from aletheia_operator.logs.forms.recognised import HEAD_LENGTH, LONG_HEAD, MAX_PARSED, NOTHING, Fields, Recognised, named
from aletheia_operator.logs.levels import LETTERS, level_of_word

_KLOG = re.compile(
    r"([IWEFDC])(\d{4,8} \d\d:\d\d:(?:\d\d|1\d{9})(?:\.\d{1,9})?)\s{1,20}+(?:(\d{1,20}|[A-Z][A-Z\d_-]{1,30}) )?"
    r"([^\s\]]{1,300}:\d+)(?:\]|(?= )) {0,2}"
)
_GLUED = re.compile(
    r"([IWEFDC])@?((?:(?:\d{4})?\d{4}|\d{4}-\d\d-\d\d)[-T ]\d\d:\d\d:\d\d\S{0,20}) {1,4}(?=\S)"
)  # Meteor, Outline
_MYLOG = re.compile(r"([DIWE])(\d{4} \d{6}\.\d{3}) (?:\S{1,60} )?([a-z]\w{1,80}(?:::\w{1,80}){0,8})\] ")  # Moonfire
_TAGS = re.compile(r"⋮ \[([^\]]{1,200})\] (?:\d{1,12} {1,2})?")  # CockroachDB: of the context, and a number of the line
_KLOG_MESSAGE = re.compile(r'"((?:[^"\\]|\\.)*+)" (?=[A-Za-z_])')
_RUBY = re.compile(r"([DIWEFAU]), \[([^\]]{1,80})\]\s{1,10}+(?:\w{1,12} )?-- ((?:[^:]|:(?=\S)){0,300}+): ")
_ANDROID_TAG = re.compile(r"([VDIWEFA])/(?:([\w.$ -]{1,100}?) {0,100}\( {0,10}(\d{1,10})\)|([A-Z][\w.$-]{2,100})): ")
_ESPRESSIF = re.compile(r"([VDIWE]) \((\d{2,12})\) ([\w.-]{1,100}): ")
_BRACKET = re.compile(r"\[([DIWEFC]) ?([\d:. ,-]{6,30})(?: ([^\]]{1,200}))?\] ")  # Tornado, Jupyter, Optuna, c10d
_SOURCE = re.compile(r"\[([DIWEF])(?: |:(\w{1,60}):\w{0,60}, )([\w./-]{1,200}:\d{1,9}(?: [^\]]{1,200})?)\] ")  # c10d, ONNX
_SECONDS = re.compile(r"\[([TDIWE])\]\[(\d{3,8}\.\d{3,9})\] ")  # PipeWire
_OF_A_NAME = re.compile(r"([DIWE]): \[([\w./-]{1,60})\] (?=\S)")  # PulseAudio
_QUOTED_TIME = re.compile(r"\[([DIWEF])\] (\d{4}-\d\d-\d\d[T ][\d:.]{8,20}Z?):? ")
_LETTER_TIME = re.compile(r"[<(]([DIWEFCXN])[>)] ?(\d{4}-\d\d-\d\d[T ][\d:.]{8,20}) (?:- )?")  # Mumble, qBittorrent
_NAMED_BEFORE_TIME = re.compile(r"([TDIWEF]) \[([\w. $-]{1,80})\] \[(\d\d:\d\d:\d\d)\]:? ")  # Ignition
_DOTTED = re.compile(r"([IWE])\. (\d\d/\d\d \d\d:\d\d:\d\d)\. (?:\d{10} )?")  # Sybase IQ
_CUPS = re.compile(r"([DdINWECAX]) \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] ")
_TENDERMINT = re.compile(r"([DIE])\[(\d{4}-\d\d-\d\d\|[\d:.]{8,20})\] ")
_PASSENGER = re.compile(r"\[ ([CEWNID])\d? (\d{4}-\d\d-\d\d [\d:.]{8,20}) (\S{1,60}) ([^\]\n]{1,200}:\d{1,9}) \]: ")
_PROMPTED = re.compile(r"([TDIWE])> (?=[A-Z][a-z]|[a-z]+ [a-z])")  # Jolokia
_COUNTED = re.compile(r"\[ {0,10}(\d{1,12})\]\[([DIWEV])\]\[([\w./-]{1,100}:\d{1,6})\] (?:[\w:~]{1,80}\(\): )?")
_CUPS_LEVELS = {"d": "TRACE", "N": "INFO", "X": "FATAL"}
_RANK = re.compile(r"\[rank\d{1,6}\]: ?")


def read_klog(line: str) -> Recognised | None:
    """Read klog, glog and CockroachDB."""
    if not (match := _KLOG.match(line, 0, HEAD_LENGTH)):
        if (line[1:5].isdecimal() or line[1:2] == "@") and (match := _GLUED.match(line, 0, HEAD_LENGTH)):
            return named(LETTERS[match[1]], line[match.end() :], time=match[2])
        if match := _MYLOG.match(line, 0, HEAD_LENGTH):
            return named(LETTERS[match[1]], line[match.end() :], time=match[2], source=match[3])
        return None
    letter, time, pid, source = match.groups()
    message = line[match.end() :]
    fields: Fields = {"time": time, "pid": pid, "source": source} if pid else {"time": time, "source": source}
    if message[:2] == "⋮ " and (tags := _TAGS.match(message)):
        fields["tags"], message = tags[1], message[tags.end() :]
    if message[:1] == '"' and len(message) <= MAX_PARSED and (quoted := _KLOG_MESSAGE.match(message)):
        pairs, _ = read_pairs(message, quoted.end())
        if pairs:
            fields |= pairs
            message = unquote(f'"{quoted[1]}"')
    return Recognised(LETTERS[letter], message, fields, True)


def read_ruby(line: str) -> Recognised | None:
    """Read Ruby's Logger. Its `A` (any level) becomes None."""
    if line[1:4] == ", [" and (match := _RUBY.match(line, 0, HEAD_LENGTH)):
        level = LETTERS.get(match[1]) if match[1] not in "AU" else None
        return named(level, line[match.end() :], time=match[2], program=match[3])
    return None


def read_letter_bracketed_date(line: str) -> Recognised | None:
    """Read CUPS and Tendermint."""
    if line[1:2] == "[" and (match := _TENDERMINT.match(line, 0, HEAD_LENGTH)):
        return named(LETTERS[match[1]], line[match.end() :], time=match[2])
    if line[1:3] == " [" and (match := _CUPS.match(line, 0, HEAD_LENGTH)):
        return named(_CUPS_LEVELS.get(match[1]) or LETTERS[match[1]], line[match.end() :], time=match[2])
    return None


def read_letter_tag(line: str) -> Recognised | None:
    """Read Android's brief form and ESP-IDF's."""
    if line[1:2] == "/" and (match := _ANDROID_TAG.match(line, 0, HEAD_LENGTH)):
        return named(LETTERS[match[1]], line[match.end() :], logger=match[2] or match[4], pid=match[3])
    if line[1:3] == " [" and (match := _NAMED_BEFORE_TIME.match(line)):
        return named(LETTERS[match[1]], line[match.end() :], logger=match[2].strip(), time=match[3])
    if line[1:4] == ": [" and (match := _OF_A_NAME.match(line)):
        return named(LETTERS[match[1]], line[match.end() :], logger=match[2])
    if line[1:3] == "> " and (match := _PROMPTED.match(line)):
        return named(LETTERS[match[1]], line[match.end() :])
    if line[1:3] == ". " and (match := _DOTTED.match(line)):
        return named(LETTERS[match[1]], line[match.end() :], time=match[2])
    if line[1:3] == " (" and (match := _ESPRESSIF.match(line, 0, HEAD_LENGTH)):
        return named(LETTERS[match[1]], line[match.end() :], logger=match[3], time=match[2])
    return None


def read_letter_bracket(line: str) -> Recognised | None:
    """Read a letter and a time, or a place in the source, in brackets."""
    if line[:5] == "[rank" and (rank := _RANK.match(line, 0, HEAD_LENGTH)):
        found = read_letter_bracket(line[rank.end() :])
        return found and found._replace(fields=(found.fields or {}) | {"rank": rank[0][5:].partition("]")[0]})
    if match := _BRACKET.match(line, 0, HEAD_LENGTH):
        return named(LETTERS[match[1]], line[match.end() :], time=match[2], logger=match[3])
    if match := _SOURCE.match(line, 0, HEAD_LENGTH):
        return named(LETTERS[match[1]], line[match.end() :], logger=match[2], source=match[3])
    if match := _QUOTED_TIME.match(line, 0, HEAD_LENGTH) or _SECONDS.match(line, 0, HEAD_LENGTH):
        return named(LETTERS[match[1]], line[match.end() :], time=match[2])
    return None


def read_counted(line: str) -> Recognised | None:
    """Read Arduino's core for the ESP32: milliseconds, a letter and a place in the source, each in brackets."""
    if match := _COUNTED.match(line, 0, HEAD_LENGTH):
        return named(LETTERS[match[2]], line[match.end() :], time=match[1], source=match[3])
    return None


def read_passenger(line: str) -> Recognised | None:
    """Read Phusion Passenger, with blanks inside its brackets."""
    if match := _PASSENGER.match(line, 0, HEAD_LENGTH):
        level = _DATED_LEVELS[match[1]]
        return named(level, line[match.end() :], time=match[2], thread=match[3], source=match[4])
    return None


def read_letter_time(line: str) -> Recognised | None:
    """Read a letter in brackets with a date and a time directly behind it."""
    if match := _LETTER_TIME.match(line, 0, HEAD_LENGTH):
        level = {"X": "FATAL", "N": "INFO"}.get(match[1]) or LETTERS[match[1]]
        return named(level, line[match.end() :], time=match[2])
    return None


_DATE = re.compile(r"(?:\d{4}[-/])?\d\d[-/]\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z| ?[+-]\d\d:?\d\d)?:? {1,8}+")
_LETTER_FIRST = (
    re.compile(r"(?P<level>[TDINWEC]) \| (?:(?P<logger>[\w./-]{1,200}): )?"),  # capnslog: etcd, Rook
    re.compile(r"(?P<level>[DIWE])! (?:\[(?P<logger>[^\]]{1,200})\] )?"),  # Telegraf
    re.compile(r"(?P<level>[IWEF]) (?P<source>[\w./+-]{1,300}:\d{1,9})\] "),  # TensorFlow
    re.compile(r"(?P<level>[VTDIWEF])/(?P<logger>[\w.$-]{1,100}): "),
    re.compile(r"(?P<level>[VTDIWEF]) (?=\[)(?:\[(?P<thread>[^\[\]]{1,100})\] (?:(?P<logger>[\w:]{1,80}) -- )?)?"),
    re.compile(r"(?P<level>[TDIWEF]) (?P<thread>[\w-]{1,60}) (?P<source>[\w/-]{1,100}\.[a-z]{1,4}:\d{1,6}) "),  # lnav
    re.compile(r"(?P<level>[DIWEF])\d? {1,2}(?P<logger>[A-Z]{1,20}|-) {1,12}\[(?P<thread>[^\]]{0,200})\] "),  # MongoDB to 4.2
)
_BRACKET_FIRST = (re.compile(r"\[(?P<level>[VDIWEF]):(?P<logger>\w{1,60}):\w{0,60}, (?P<source>[^\]]{1,300})\] "),)  # ONNX
_NUMBER_FIRST = (
    re.compile(
        r"(?P<pid>\d{1,10}) {1,8}(?P<thread>\d{1,10}) (?P<level>[VDIWEFA]) (?P<logger>[^:]{1,200}?) {0,40}: ?"
    ),  # logcat
    re.compile(r"(?P<pid>\d{1,10}-\d{1,10})[/ ][\w.:?-]{1,200}[ /](?P<level>[VDIWEFA])/(?P<logger>[^:]{1,200}): "),  # logcat
    re.compile(r"(?P<thread>[0-9a-f]{8,16}) (?P<level>-1) "),  # Ceph gives errors -1
)
_SOURCE_FIRST = (re.compile(r"(?P<source>[.\w/-]{1,300}\.go:\d{1,9}:[\w.()*]{1,200}) \[(?P<level>[TDIWECF])\] "),)  # Gitea
_DATED_LEVELS = LETTERS | {"N": "INFO", "-1": "ERROR"}


def read_after_date(line: str) -> Recognised | None:
    """Read a date, a time, and one of the forms with a letter."""
    if line[2:3] not in "-/" and line[4:5] not in "-/":
        return None
    if not (date := _DATE.match(line, 0, HEAD_LENGTH)):
        return None
    at = date.end()
    for pattern in _patterns_for(line, at):
        if match := pattern.match(line, at, at + HEAD_LENGTH):
            fields = match.groupdict()
            del fields["level"]
            return named(_DATED_LEVELS[match["level"]], line[match.end() :], time=date[0].rstrip(" :"), **fields)
    return None


def _patterns_for(line: str, at: int) -> tuple["re.Pattern[str]", ...]:
    """Return the patterns that the two characters behind a time allow."""
    first, second = line[at : at + 1], line[at + 1 : at + 2]
    if first == "[":
        return _BRACKET_FIRST if line[at + 2 : at + 3] == ":" else ()
    if "0" <= first <= "9":
        return _NUMBER_FIRST
    if second in " !:/12345":
        return _LETTER_FIRST
    return _SOURCE_FIRST if line.find(".go:", at, at + HEAD_LENGTH) > 0 else ()


_BRACKETED_DATE = re.compile(
    r"(?:\(\w{1,30}\) )?\[(\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d:\d\d[.,]?\d{0,9}(?: ?[+-]\d\d:?\d\d)?)"
    r"(?:\] ([TDIWEC]) (?=\[)|Z\] ([DIWE]) (?=[\w.-]{1,60}: )| ([DIWEFC]) (\d{1,10} \d{1,10})\] (?:\((\w{1,60})\) )?)"
)
_CLOCKED = re.compile(r"\[(\d\d:\d\d:\d\d[\d.,]{0,12})\]\[([VDIWEC])\]\[([^\]]{1,200})\]: ")
_WEBSPHERE = re.compile(
    r"\[(\d{1,2}/\d{1,2}/\d\d,? \d{1,2}:\d\d:\d\d:\d{3} \w{2,5})\] ([0-9a-f]{8}) (\S{1,60}) {1,20}([FEWAICDO]) "
)

_WEBSPHERE_LEVELS = {"A": "INFO", "C": "INFO"}  # audit, configuration; O is what the program wrote


def read_after_bracketed_date(line: str) -> Recognised | None:
    """Read Ray, GlusterFS, Santa, ESPHome and WebSphere."""
    if match := _BRACKETED_DATE.match(line, 0, HEAD_LENGTH):
        level = LETTERS[match[2] or match[3] or match[4]]
        return named(level, line[match.end() :], time=match[1], thread=match[5], logger=match[6])
    if match := _CLOCKED.match(line, 0, HEAD_LENGTH):
        level = "DEBUG" if match[2] == "C" else LETTERS[match[2]]  # ESPHome's C is its configuration
        return named(level, line[match.end() :], time=match[1], logger=match[3])
    if match := _WEBSPHERE.match(line, 0, HEAD_LENGTH):
        return named(
            _WEBSPHERE_LEVELS.get(match[4]) or LETTERS.get(match[4]),
            line[match.end() :],
            time=match[1],
            thread=match[2],
            logger=match[3],
        )
    return None


_SSSD = re.compile(
    r"\(([\w: -]{15,40})\):? \[(\w{1,20}(?:\[[^\]\n]{1,100}\]{1,2})?)\] \[(\w{1,80})\] \(0x([0-9a-f])([0-9a-f])([0-9a-f])0\): "
)
_SSSD_LEVELS = {"001": "FATAL", "002": "FATAL", "004": "ERROR", "008": "WARN", "010": "INFO"}


def read_sssd(line: str) -> Recognised | None:
    """Read SSSD: its level is one bit of a number."""
    if match := _SSSD.match(line, 0, HEAD_LENGTH):
        level = _SSSD_LEVELS.get(match[4] + match[5] + match[6], "TRACE" if match[4] >= "4" else "DEBUG")
        return named(level, line[match.end() :], time=match[1], logger=match[2])
    return None


_REDIS = re.compile(r"(\d{1,10}(?::\d{1,10})?):([XCSM]) (\d\d \w{3} (?:\d{4} )?\d\d:\d\d:\d\d\.\d{1,9}) ([.\-*#]) ")
_CEPH = re.compile(r"debug (?=\d{4}-\d\d-\d\dT)")  # the prefix of its lines for stderr
_CEPH_CLUSTER = re.compile(r"([\w.:+-]{1,60}) {1,4}[0-9a-f]{1,16} {1,4}-?\d{1,3} log_channel\(\w{1,20}\) log \[([A-Z]{3})\] : ")
_REDIS_LEVELS = {".": "DEBUG", "-": "DEBUG", "*": "INFO", "#": "WARN"}


def read_redis(line: str) -> Recognised | None:
    """Read Redis, Valkey and KeyDB."""
    if match := _REDIS.match(line, 0, LONG_HEAD):
        return named(_REDIS_LEVELS[match[4]], line[match.end() :], time=match[3], pid=match[1])
    return None


def read_ceph(line: str) -> Recognised | None:
    """Read Ceph in a container: its lines begin with `debug`, which is not a level."""
    if match := _CEPH.match(line):
        if cluster := _CEPH_CLUSTER.match(line, match.end()):
            return named(level_of_word(cluster[2]) or "INFO", line[cluster.end() :], time=cluster[1])  # SEC is of security
        found = read_after_date(line[match.end() : match.end() + LONG_HEAD]) or NOTHING
        return named(found.level, line[match.end() :], **(found.fields or {}))
    return None

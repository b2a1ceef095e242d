"""Finds secrets among the arguments of known programs, by a table: the third word after `mosquitto_passwd -b`."""

from collections.abc import Iterator
from typing import NamedTuple

from aletheia_operator.redact import checks
from aletheia_operator.redact.contexts import Check
from aletheia_operator.redact.patterns import byte_words, compiled

Span = tuple[int, int]

MAX_WORDS, MAX_BYTES = 40, 4096
"""Words and bytes after a program's name that are read."""
MAX_PROGRAMS = 32
"""Programs of a line that may stand among the words of another."""


class _Program(NamedTuple):
    """A command with a secret among its arguments.

    `head`: pattern of the program and its subcommand. `places`: numbers of the arguments that are secrets, without flags.
    `flags`: flags before a secret. `attached`: flags that a secret follows without a blank. `others`: flags before another
    argument. `is_pair`: the argument is `user:password`. `check`: of an argument at a place.
    """

    head: str
    places: tuple[int, ...] = ()
    flags: tuple[bytes, ...] = ()
    attached: tuple[bytes, ...] = ()
    others: tuple[bytes, ...] = ()
    is_pair: bool = False
    check: Check = checks.prosaic


_PROGRAMS = (
    _Program(r"mosquitto_passwd(?:\s+-H\s+\S+|\s+-[cD])*\s+-\w*b", (2,), others=(b"-H", b"-I")),
    _Program(r"neo4j-admin(?:\s+dbms)?\s+set-initial-password", (0,)),
    _Program(r"ceph\s+dashboard\s+ac-user-(?:create|set-password)", (1,), others=(b"-i",)),
    _Program(r"(?:ejabberdctl|prosodyctl)\s+(?:register|(?:change|check)_password)", (2,)),
    _Program(r"radtest", (1, 4), others=(b"-t", b"-P", b"-d")),
    _Program(r"nmcli\s[^|;&]*?\s(?:password|\S{1,40}\.(?:psk|password|leap-password))", (0,), check=checks.no_prose),
    _Program(r"ncftp(?:put|get|ls|batch)?", flags=(b"-p",)),
    _Program(r"kadmin(?:\.local)?", flags=(b"-w",)),
    _Program(r"(?:psexec(?:64)?|paexec)(?:\.exe)?", flags=(b"-p",)),
    _Program(r"ab\s+-", flags=(b"-A", b"-P"), is_pair=True),
    _Program(r"sshpass", flags=(b"-p",), attached=(b"-p",)),
    _Program(r"wandb\s+login", (0,), check=checks.coded),
    _Program(r"(?:vault|bao)\s+(?:login|operator\s+unseal|unwrap)", (0,), check=checks.no_argument),
    _Program(r"bw\s+login", (1,), others=(b"--method", b"--code")),
    _Program(r"bw\s+unlock", (0,), check=checks.no_plain_word),
    _Program(r"slappasswd", flags=(b"-s",)),
    _Program(r"(?:dsconf|dsidm|dsctl)", flags=(b"-w",)),
    _Program(r"samba-tool\s+user\s+(?:create|add)", (1,)),
    _Program(r"doveadm\s+auth\s+(?:test|login)", (1,), others=(b"-x", b"-M")),
    _Program(r"doveadm\s+pw", flags=(b"-p",)),
    _Program(r"testsaslauthd", flags=(b"-p",)),
    _Program(r"swaks", flags=(b"-ap",)),
    _Program(r"(?:nxc|netexec)", flags=(b"-p",)),
    _Program(r"(?:couchbase-cli|cbq|cbimport|cbexport|cbbackupmgr)", flags=(b"-p",)),
    _Program(r"etcdctl\s+user\s+add", (0,), is_pair=True),
    _Program(r"drush\s+(?:upwd|user:password)", (1,)),
    _Program(r"(?:airflow\s+users\s+create|(?:superset|flask)\s+fab\s+create-admin)", flags=(b"-p",)),
    _Program(r"mkpasswd", (0,), others=(b"-m", b"-S", b"-R"), check=checks.no_plain_word),
    _Program(r"openssl\s+passwd", (0,), others=(b"-salt", b"-in"), check=checks.no_plain_word),
    _Program(r"nifi\.sh\s+set-single-user-credentials", (1,)),
    _Program(r"ipmitool\s[^|;&]*?\suser\s+set\s+password", (1,)),
    _Program(r"(?:un)?rar\s+[acdefiklmprstuvwx][btr]?\b", attached=(b"-p", b"-hp")),
    _Program(r"virsh\s+secret-set-value", (1,), others=(b"--file", b"--secret")),
    _Program(r"add-user\.sh", flags=(b"-p",)),
    _Program(r"wpa_cli\s[^|;&]*?\spsk", (0,)),
)
"""Checked in order. A blank in a pattern also stands for what separates the items of a list."""
_BETWEEN = r"""["'`]?[\s,]+["'`]?"""
_BEFORE = r"""(?:^|[\s/;|&("'`\[\\])"""
_HEADS = "|".join(program.head for program in _PROGRAMS).replace(r"\s+", _BETWEEN)
PROGRAM = rf"""(?i){_BEFORE}(?:{_HEADS})["'`\s,\w]"""
_WORD = (
    r"""[\s,]*(?:\\*"(?P<double>(?:[^"\\]|\\[^"])*)\\*"|\\*'(?P<single>(?:[^'\\]|\\[^'])*)\\*'"""
    r"""|(?P<bare>(?:[^\s"'|;&\\]|\\[^"'])+))"""
)


_SENTENCE = byte_words("is was are must not because failed succeeded command commands")
"""Words that no arguments have, but sentences about a program."""
_PATTERNS = tuple((program, f"(?i){program.head}".replace(r"\s+", _BETWEEN)) for program in _PROGRAMS)


def find_arguments(line: bytes) -> Iterator[Span]:
    """Yield the secrets among the arguments of the programs of a line."""
    at = number = 0
    while (found := compiled(PROGRAM).search(line, at)) is not None:
        start = compiled(_BEFORE).match(line, found.start())
        begin = start.end() if start else found.start()
        at = max(found.end() - 1, begin + 1)
        for program, pattern in _PATTERNS:
            head = compiled(pattern).match(line, begin)
            if head is not None:
                after = head.end() - (line[head.end() - 1 : head.end()] == b"-")
                words = list(_words(line, after))
                yield from _secrets(program, line, words)
                number += 1
                at = max(at, words[-1][1] if words and number > MAX_PROGRAMS else at)
                break


def _secrets(program: _Program, line: bytes, words: list[Span]) -> Iterator[Span]:
    number, flag = 0, b""
    for begin, end in words:
        word, before, flag = line[begin:end], flag, b""
        if before in program.flags:
            yield from _secret(program, line, begin, end, checks.no_prose)
        elif before in program.others:
            continue
        elif word[:1] == b"-" and len(word) > 1:
            flag = word
            attached = [known for known in program.attached if word.startswith(known) and word != known]
            if attached:
                yield from _secret(program, line, begin + len(attached[0]), end, checks.prosaic)
        else:
            if word.lower() in _SENTENCE:
                return
            if number in program.places:
                yield from _secret(program, line, begin, end, program.check)
            number += 1


def _secret(program: _Program, line: bytes, start: int, end: int, check: Check) -> Iterator[Span]:
    if program.is_pair:
        start = line.find(b":", start, end) + 1
        if not start:
            return
    if check(line[start:end]):
        yield start, end


def _words(line: bytes, at: int) -> Iterator[Span]:
    """Yield the words of a command, without their quotes: up to the next command."""
    if line[at : at + 1] in (b'"', b"'", b"`"):
        at += 1  # the quote after the program's name
    limit = min(len(line), at + MAX_BYTES)
    for _ in range(MAX_WORDS):
        word = compiled(_WORD).match(line, at, limit)
        if word is None:
            return
        at = word.end()
        group = next(name for name in (b"double", b"single", b"bare") if word.group(name) is not None)
        start, end = word.span(group)
        yield start, end if group != b"bare" else start + len(line[start:end].rstrip(b",)]}`"))

"""Finds secrets that a line beside them announces: parameters of statements, lists of users, texts that a shell pipes.

`opened` returns the state after a line, `inside` the secrets of the lines after it, and `earlier` those of the lines before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from aletheia_operator.redact import checks
from aletheia_operator.redact.multiline import State
from aletheia_operator.redact.names import Kind
from aletheia_operator.redact.patterns import LINE_START, compiled, span
from aletheia_operator.redact.statements import LISTED, NUMBERED, STATEMENT, marked_columns, values_in_order

Span = tuple[int, int]

MAX_PARAMETER_LINES = 8  # after a statement
MAX_EARLIER = 10  # lines before a statement in which its parameters are
ECHO_LINES = 2  # between the two parts of a pipe
HOWS = frozenset({"parameters", "users", "piped"})
"""Values of `State.how` that this module sets."""

_USERS = r"(?i)\bset the following '?random'? passwords\b|\bchpasswd\b[^|;]*<<-?\s?[\"']?\w+[\"']?\s*$"
_USER = rf"{LINE_START}\s*[a-z_][\w.-]*:(?P<secret>\S+)\s*$"
_PIPED = (
    r"^(?:\S+\s){0,2}\+\S* (?:(?:\S*/)?(?:chpasswd|openconnect|cryptsetup|sudo\s(?:-\S+\s)*-\w*S)\b"
    r"|.*\s--(?:[\w-]+-stdin|passphrase-fd|password-fd|with-token)\b|(?:\S*/)?passwd\s.*--stdin\b"
    r"|(?:\S*/)?kinit(?:\s+(?:[^\s-]|-[^\skR])\S*)*\s*$)"
)
"""A command in a shell's trace that reads a password: the trace has the other part of the pipe as a line of its own."""
_ECHO = (
    r"""^(?:\S+\s){0,2}\+\S* (?:echo|printf)\s(?:-\w+\s)?(?:'?%s(?:\\n)?'?\s)?"""
    r"""(?:'(?:[a-z_][\w.-]*:)?(?P<quoted>[^']+)'|(?:[a-z_][\w.-]*:)?(?P<plain>[^\s'"$]+))\s*$"""
)
_PARAMETERS_FIRST = r"\bParameters=\[@|\bwith parameters: \$"
"""Parameters that are on a line before their statement: of Entity Framework, and of PostgreSQL's errors."""
STARTS = (_USERS, _PIPED)
"""Patterns of lines for the first look. Statements have a rule of their own."""
_OPENS = f"(?:{_USERS})|(?:{_PIPED})|(?:{STATEMENT})"


def opened(state: State, line: bytes) -> State:
    """Return the state after a line outside of any secret: open if the next lines may have secrets that belong to it."""
    if compiled(_OPENS).search(line) is None:
        return state
    if compiled(_USERS).search(line) is not None:
        return replace(state.closed(), awaited=Kind.PASSWORD.value, how="users")
    if compiled(_PIPED).search(line) is not None:
        return replace(state.closed(), awaited=Kind.PASSWORD.value, how="piped")
    columns = marked_columns(line)
    if not columns or compiled(f"{NUMBERED}|{LISTED}").search(line) is not None:
        return state
    columns_of = tuple(f"{mark.decode('latin-1')}={kind.value}" for mark, kind in columns.items())
    return replace(state.closed(), awaited=Kind.PASSWORD.value, how="parameters", columns=columns_of)


def inside(state: State, line: bytes) -> tuple[list[Span], State]:
    """Return the secrets of a line after the one that opened `state`, and the state after it."""
    if state.how == "users":
        user = compiled(_USER).search(line)
        found = [span(user, "secret")] if user is not None and checks.anything(user.group(b"secret")) else []
        return found, state if found else state.closed()
    rest = replace(state, lines=state.lines + 1)
    if state.how == "piped":
        found = list(_echoed(line))
        return found, state.closed() if found or rest.lines >= ECHO_LINES else rest
    return list(values_in_order(line, _columns(state))), rest if rest.lines < MAX_PARAMETER_LINES else state.closed()


def earlier(line: bytes, before: Sequence[bytes]) -> Iterator[tuple[int, Span]]:
    """Yield secrets of the lines before a line, as (number of the line in `before`, its part)."""
    if compiled(_PIPED).search(line) is not None:
        for number in range(len(before) - 1, max(len(before) - ECHO_LINES, 0) - 1, -1):
            if found := list(_echoed(before[number])):
                yield from ((number, part) for part in found)
                break
    columns = {mark: kind for mark, kind in marked_columns(line).items() if mark[:1] in b"@$"}
    if columns:
        for number in range(len(before) - 1, -1, -1):
            if compiled(_PARAMETERS_FIRST).search(before[number]) is not None:
                yield from ((number, part) for part in values_in_order(before[number], columns))
                return


def looks_back(line: bytes) -> bool:
    """Return whether `earlier` may find something for a line."""
    return compiled(rf"(?:{_PIPED})|[@$]\w").search(line) is not None and compiled(_OPENS).search(line) is not None


def _echoed(line: bytes) -> Iterator[Span]:
    text = compiled(_ECHO).search(line)
    if text is not None:
        group = "quoted" if text.group(b"quoted") is not None else "plain"
        if checks.echoed(text.group(group.encode())):
            yield span(text, group)


def _columns(state: State) -> dict[bytes, Kind]:
    pairs = (column.partition("=") for column in state.columns)
    return {mark.encode("latin-1"): Kind(kind) for mark, _, kind in pairs}

"""Recognises secrets in SQL: the passwords of accounts, and the values of columns with a secret's name."""

from collections.abc import Iterator

from aletheia_operator.redact import checks
from aletheia_operator.redact.contexts import JUDGED, ContextRule, Span
from aletheia_operator.redact.names import Kind, kind_of
from aletheia_operator.redact.patterns import Match, compiled, span
from aletheia_operator.redact.values import is_secret

RULES: tuple[ContextRule, ...] = (
    ("sql-password", r"""(?i)\b(?:identified\s+(?:['\"`]?\w+['\"`]?\s+){0,3}(?:by|as)(?:\s+password)?"""
        r"""|(?:encrypted\s+)?password"""
        r"""|passwd|with\s+password\s*=?|old_password|password\(|sha2\(|md5\(|crypt\()\s*\(?\s*\\*"""
        r"""'(?P<secret>[^'\s]+)\\*'""", checks.password),
    ("set-password", r"""(?i)\bset\s+password\s+for\s+\S+\s*=\s*(?:password\()?\\*'(?P<secret>[^'\s]+)'""",
     checks.password),
    ("sql-secret", r"""(?i)\b(?:secret|access_key|aws_secret_key|key_id|token|api_key"""
                   r"""|credentials)\s+\\*'(?P<secret>[^'\s]{8,})'""", checks.coded_no_name),
    ("sql-from", r"(?i)\bpassword\s+from\s+'(?P<secret>[^']+)'", checks.anything),
    ("sql-to", r"(?i)\bpassword\s+from\s+'[^']*'\s+to\s+'(?P<secret>[^']+)'", checks.anything),
    ("sql-bare", r"(?i)\bidentified\s+by\s+(?P<secret>[^\s;'\"]{4,})(?:[\s;]|$)", checks.password),
    ("sql-replace", r"(?i)\bidentified\s+by\s+\S+\s+replace\s+[\"']?(?P<secret>[\w$#]{4,})", checks.password),
    ("table-function", r"(?i)\b(?:mysql|postgresql|mongodb|remote(?:secure)?"
                       r"|cluster)\(\s*'[^']*'\s*,\s*'[^']*'\s*,\s*'[^']*'\s*,\s*'[^']*'"
                       r"\s*,\s*'(?P<secret>[^']+)'", checks.anything),
    ("storage-function", r"(?i)\b(?:s3(?:cluster)?|gcs|oss|cosn|deltalake|iceberg"
                         r"|hudi)\(\s*'[^']*'\s*,\s*'[^']*'\s*,\s*'(?P<secret>[\w+/=]{20,})'",
     checks.coded),
    ("storage-key", r"(?i)\b(?:s3(?:cluster)?|gcs|oss|cosn|deltalake|iceberg"
                    r"|hudi)\(\s*'[^']*'\s*,\s*'(?P<secret>[A-Z0-9]{16,})'", checks.coded),
    ("storage-format", r"(?i:\b(?:s3|gcs|oss|cosn|azure|deltalake|iceberg|hudi)\w*)\(\s*'[^']*'\s*,\s*"
                       r"(?:(?:'[^']*'\s*,\s*){1,3}?'(?P<secret>[^']+)'\s*,\s*'[A-Z]\w*'"
                       r"|'[^'A-Z][^']*'\s*,\s*'(?P<secret2>[^'\s]+)'\s*\))", checks.anything),
    ("sql-cipher", r"""(?i)\b(?:pgp_sym_(?:en|de)crypt(?:_bytea)?|(?:aes|des)_(?:en|de)crypt)\("""
                   r"""(?:[^'(),]|'[^']*'|\([^()]*\)){1,16}?,\s*'(?P<secret>[^']+)'"""
                   r"""|\b(?:en|de)cryptbypassphrase\(\s*N?'(?P<secret2>[^']+)'""", checks.password),
    ("sql-identified", r"""(?i)\bidentified\s+by\s+\\*"(?P<secret>[^"\\\s]+)\\*\"""", checks.anything),
)  # fmt: skip

_NAMES = r"(?:pass|pwd|secret|token|key|cred|auth|otp|pin|cvv|cvc|salt)"
INSERT = (
    rf"(?i)\b(?:insert|replace|merge)\b[^()]{{0,200}}\((?P<columns>[^()]*{_NAMES}[^()]*)\)[^()]{{0,80}}\bvalues\s*\("
    rf"|\b(?:update|where|set)\b.*?\b\w*{_NAMES}\w*[\"`\]]?\s*=\s*(?:\?|\$\d|%s|[@:]\w{{0,12}}\d"
    r"|'[^']*'.*\bargs=\()"
)
STATEMENT = rf"(?i)\b(?:insert|replace|merge|update|where|set)\b.*\b\w*{_NAMES}"
"""What is in each line that `INSERT` matches."""
_ITEM = r"""(?P<open>[a-zA-Z]?)'(?P<text>(?:[^'\\]|\\.|'')*)'|\\*"(?P<quoted>[^"\\]*)\\*"|(?P<mark>[(),\[\]])"""
_PLACEHOLDER = (
    r"""(?i)(?P<column>\w+)["`\]]?\s*(?:=|<>|like)\s*"""
    r"""(?P<mark>\?|\$\d+|%s|[@:]\w+|N?'(?:[^'\\]|\\.|'')*'|\d+\b)"""
)
_PARAMETERS = r"""(?i)\b(?:param(?:eter)?s?|args|bind(?:ing)?s|values)\\*["']?\s*(?:[:=]\s*)?[(\[]"""

NUMBERED = (
    r"""(?P<mark>\$\d{1,3}|@\w{1,40})\s*=\s*N?'(?P<text>(?:[^'\\]|\\.|'')*)'"""
    r"""|\bparameter (?:\[(?P<number>\d{1,3})\] as \[\w+\] -|\((?P<number6>\d{1,3}):\w+\) <-) \[(?P<bound>.*)\]"""
)
"""Parameters of PostgreSQL, SQL Server and Hibernate: `$1 = 'x'`, `@p0='x'`, `parameter [1] as [VARCHAR] - [x]`."""
LISTED = (
    r"(?i)(?:==>\s+Parameters:\s+|(?:\bparam(?:eter)?s?|\bbind(?:ing)?s?)\s*(?:=>|:|=)\s*[\[(]"
    r"|\[(?:generated|cached|raw sql|no key)[^\]]*\]\s[\[(])"
)
"""What is before a list of all parameters: of MyBatis, SQLAlchemy, EclipseLink."""
_LISTS = rf"{LISTED}(?P<rest>[^\s].*)$"
MAX_LISTED = 64  # parameters of a list
MAX_STATEMENT = 64 * 1024  # bytes of a statement and its parameters that are searched for columns


def find_columns(line: bytes) -> Iterator[Span]:
    """Yield the values of columns with a secret's name, in the statement or in the list of its parameters."""
    first = True
    for match, stop in _bounded(line):
        columns = _columns(line, match, stop)
        kinds = [_kind(column) for column, _ in columns]
        if match.group(b"columns") is not None:
            yield from _values(line, match.end() - 1, stop, kinds)
        before, first = first and match.start() <= MAX_STATEMENT, False  # PostgreSQL lists the parameters before the statement
        yield from _numbered(line, _marked(columns), 0 if before else match.start(), stop)
        if (parameters := compiled(_PARAMETERS).search(line, match.start() + 1, stop)) is not None:
            yield from _values(line, parameters.end() - 1, stop, kinds)


def marked_columns(line: bytes) -> dict[bytes, Kind]:
    """Return the kinds of the parameters that are secrets, by their mark: `$1`, `@p0`, or `2` for the second `?`."""
    marked: dict[bytes, Kind] = {}
    for match, stop in _bounded(line):
        columns = _marked(_columns(line, match, stop))
        marked = {mark: kind for mark, kind in columns.items() if kind is not None and kind in JUDGED}
    return marked


def values_in_order(line: bytes, columns: dict[bytes, Kind]) -> Iterator[Span]:
    """Yield the values of parameters in a line of its own. `columns`: as `marked_columns` returns them."""
    numbered = list(_numbered(line, dict(columns), 0, len(line)))
    listed = compiled(_LISTS).search(line)
    if numbered or listed is None or any(mark[:1] == b"@" for mark in columns):
        yield from numbered
        return
    kinds = [columns.get(str(number).encode()) or columns.get(b"$%d" % number) for number in range(1, MAX_LISTED)]
    start, stop = span(listed, "rest")
    if line[start - 1 : start] in (b"(", b"[") and compiled("[\"']").search(line, start, stop) is not None:
        yield from _values(line, start - 1, stop, kinds)
        return
    for kind in kinds:
        item = compiled(r"(?P<text>.*?)(?:\(\w+\))?(?:, |[\])]?\s*$)").match(line, start, stop)
        if item is None or start >= stop:
            return
        if _is_value(kind, item.group(b"text").strip(b"'\"")):
            yield span(item, "text")
        start = item.end()


def _kind(column: bytes) -> Kind | None:
    return kind_of(column.decode("utf-8", "replace"))


def _columns(line: bytes, match: Match, stop: int) -> list[tuple[bytes, bytes]]:
    """Return the columns of a statement, each with the mark of its parameter; empty if it is unknown."""
    if match.group(b"columns") is None:
        return [(found.group(b"column"), found.group(b"mark")) for found in _placeholders(line, match.start(), stop)]
    values = compiled(r"[^()]*").match(line, match.end(), stop)
    marks = values.group().split(b",") if values is not None else []
    names = match.group(b"columns").split(b",")
    return [(name, marks[number].strip() if number < len(marks) else b"") for number, name in enumerate(names)]


def _placeholders(line: bytes, start: int, stop: int) -> list[Match]:
    """Return the columns that are compared or set, with their parameters. Literal values only if there are no parameters."""
    found = list(compiled(_PLACEHOLDER).finditer(line, start, stop))
    marked = [match for match in found if match.group(b"mark")[:1] in b"?$%@:"]
    return marked or found


def _marked(columns: list[tuple[bytes, bytes]]) -> dict[bytes, Kind | None]:
    """Return the kinds of columns by the mark of their parameter: the number of a `?`."""
    number, marked = 0, {}
    for column, mark in columns:
        number += mark in (b"?", b"%s")
        marked[str(number).encode() if mark in (b"?", b"%s") else mark] = _kind(column)
    return marked


def _numbered(line: bytes, marked: dict[bytes, Kind | None], start: int, stop: int) -> Iterator[Span]:
    """Yield the parameters that have a mark or a number, and are secrets."""
    for parameter in compiled(NUMBERED).finditer(line, start, stop):
        mark = parameter.group(b"mark") or parameter.group(b"number") or parameter.group(b"number6")
        group = "bound" if parameter.group(b"mark") is None else "text"
        if _is_value(marked.get(mark), parameter.group(group.encode())):
            yield span(parameter, group)


def _bounded(line: bytes) -> Iterator[tuple[Match, int]]:
    """Yield the beginning of each statement, and where its parameters end at the latest: at the next statement."""
    matches = list(_statements(line))
    bounds = [*(match.start() for match in matches), len(line)]
    for match, following in zip(matches, bounds[1:], strict=True):
        yield match, min(following, match.start() + MAX_STATEMENT)


def _statements(line: bytes) -> Iterator[Match]:
    """Yield the beginning of each statement. One with placeholders extends to the word `param`, if there is one.

    That word is not part of the pattern: each match would be searched to the end of the line.
    """
    statement, parameters = compiled(INSERT), compiled(r"(?i)\bparam")
    found, named = statement.search(line), parameters.search(line)
    while found is not None:
        yield found
        at = found.end()
        if found.group(b"columns") is None:
            if named is not None and named.start() < at:
                named = parameters.search(line, at)
            at = named.end() if named is not None else at
        found = statement.search(line, at)


def _is_value(kind: Kind | None, value: bytes) -> bool:
    return kind is not None and kind in JUDGED and is_secret(kind, value, False)


def _values(line: bytes, start: int, stop: int, kinds: list[Kind | None]) -> Iterator[Span]:
    """Yield the secrets of rows. `start`: the opening bracket of the first row. `kinds`: of the columns, in order."""
    depth = number = 0
    for item in compiled(_ITEM).finditer(line, start, stop):
        mark = item.group(b"mark")
        if mark is None:
            group = "quoted" if item.group(b"text") is None else "text"
            if depth and number < len(kinds) and _is_value(kinds[number], item.group(group.encode())):
                yield span(item, group)
        elif mark in (b"(", b"["):
            depth += 1
            number = 0 if depth == 1 else number
        elif mark == b",":
            number += depth == 1
        elif depth == 0:
            return
        else:
            depth -= 1

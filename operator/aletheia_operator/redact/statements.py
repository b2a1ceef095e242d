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
    rf"|\b(?:update|where|set)\b.*?\b\w*{_NAMES}\w*[\"`\]]?\s*=\s*(?:\?|\$\d|%s)"
)
_ITEM = r"""(?P<open>[a-zA-Z]?)'(?P<text>(?:[^'\\]|\\.|'')*)'|\\*"(?P<quoted>[^"\\]*)\\*"|(?P<mark>[(),\[\]])"""
_PLACEHOLDER = r"""(?i)(?P<column>\w+)["`\]]?\s*(?:=|<>|like)\s*(?:\?|\$\d+|%s)"""
_PARAMETERS = r"""(?i)\b(?:param(?:eter)?s?|args|bind(?:ing)?s|values)\\*["']?\s*(?:[:=]\s*)?[(\[]"""

_NUMBERED = r"""\$(?P<number>\d{1,3})\s*=\s*'(?P<text>(?:[^'\\]|\\.|'')*)'"""
MAX_STATEMENT = 64 * 1024  # bytes of a statement and its parameters that are searched for columns


def find_columns(line: bytes) -> Iterator[Span]:
    """Yield the values of columns with a secret's name, in the statement or in the list of its parameters."""
    matches = list(_statements(line))
    bounds = [*(match.start() for match in matches), len(line)]
    for match, following in zip(matches, bounds[1:], strict=True):
        stop = min(following, match.start() + MAX_STATEMENT)
        if match.group(b"columns") is None:
            columns = [found.group(b"column") for found in compiled(_PLACEHOLDER).finditer(line, match.start(), stop)]
        else:
            columns = match.group(b"columns").split(b",")
        kinds = [kind_of(column.decode("utf-8", "replace")) for column in columns]
        if match.group(b"columns") is not None:
            yield from _values(line, match.end() - 1, stop, kinds)
        before = match is matches[0] and match.start() <= MAX_STATEMENT  # PostgreSQL lists the parameters before the statement
        for parameter in compiled(_NUMBERED).finditer(line, 0 if before else match.start(), stop):
            number = int(parameter.group(b"number"))
            if 0 < number <= len(kinds) and _is_value(kinds[number - 1], parameter.group(b"text")):
                yield span(parameter, "text")
        if (parameters := compiled(_PARAMETERS).search(line, match.start() + 1, stop)) is not None:
            yield from _values(line, parameters.end() - 1, stop, kinds)


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

"""Finds secrets in documents that stand in one line: JSON Web Keys, Kubernetes Secrets, objects named `secrets` or similar."""

from collections.abc import Iterator

from aletheia_operator.redact.patterns import compiled, span
from aletheia_operator.redact.placeholders import is_placeholder
from aletheia_operator.redact.values import is_coded

Span = tuple[int, int]

JWK = r"""\\*["']kty\\*["']\s*:"""


def find_jwk(line: bytes) -> Iterator[Span]:
    """Yield the private parameters of JSON Web Keys."""
    for member in compiled(r"""\\*["'](?:d|p|q|dp|dq|qi|k)\\*["']\s*:\s*\\*["'](?P<secret>[\w-]{16,})""").finditer(line):
        yield span(member, "secret")


NAMED_OBJECT = r"""(?i)\\*["'](?:secrets|credentials|creds|passwords|tokens|api_?keys)\\*["']\s*(?::|=>)\s*\{"""


def find_named_objects(line: bytes) -> Iterator[Span]:
    """Yield the long values of an object `secrets`, `tokens` or similar, whatever their names are."""
    member = compiled(r"""(?::|=>)\s*\\*["'](?P<secret>[^"'\\]+)\\*["']""")
    searched = 0
    for opened in compiled(NAMED_OBJECT).finditer(line):
        if opened.end() < searched:
            continue  # within the last one: its values were found
        closed = line.find(b"}", opened.end())
        searched = closed if closed >= 0 else len(line)
        for pair in member.finditer(line, opened.end(), searched):
            if _is_long(pair.group(b"secret")):
                yield span(pair, "secret")


KUBERNETES_KIND = r"""(?i)\\*["']?kind\\*["']?\s*:\s*\\*["']?Secret\b"""


def find_secret_data(line: bytes) -> Iterator[Span]:
    """Yield the values of a Kubernetes Secret's `data` and `stringData` on one line of JSON, or of Go's `%v`."""
    for block in compiled(
        r"""(?:^|[^A-Za-z])(?:data|stringData|Data|StringData)\\*["']?\s*:\s*(?:map\[(?:string\]\S{0,10}\{)?|\{)(?P<body>[^{}]*)"""
    ).finditer(line):
        for pair in compiled(r"""\\*["']?[\w.-]+\\*["']?\s*:\s*(?P<quote>\\*["'])(?P<secret>(?:[^"'\\]|\\[^"'])*)""").finditer(
            block.group(b"body")
        ):
            if not is_placeholder(pair.group(b"secret")):
                yield span(block, "body")[0] + span(pair, "secret")[0], span(block, "body")[0] + span(pair, "secret")[1]


def _is_long(value: bytes) -> bool:
    return len(value) >= 16 and is_coded(value.replace(b" ", b"")) and not is_placeholder(value)

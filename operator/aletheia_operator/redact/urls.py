"""Finds the passwords of URLs."""

from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import unquote_to_bytes

from aletheia_operator.redact import checks
from aletheia_operator.redact.patterns import compiled
from aletheia_operator.redact.placeholders import is_template

Span = tuple[int, int]

URL = r"(?i)(?::|%3a)(?:\\*/|%2f){2}[^\s\"'<>`/]*(?::|%3a)"


def find_urls(line: bytes) -> Iterator[Span]:
    """Yield the passwords of URLs. A password may contain `:` and `@`, and `/` if it does not begin like a port."""
    starts = [match.end() for match in compiled(r"(?i)(?::|%3a)(?:\\*/|%2f){2}").finditer(line)]
    for start, following in pairwise([*starts, len(line)]):
        if line.find(b"@", start, following) < 0 and line.find(b"%40", start, following) < 0:
            continue
        found = compiled(r"""[^\s"'<>`]*""").match(line, start, following)
        run = found.group() if found else b""
        run = compiled(r"""\\+[nrt"].*$|[,;|]\s?[a-zA-Z][\w+.-]*(?::|%3A)(?:\\*/|%2F){0,2}$""").sub(b"", run)
        colon = compiled(r"(?i):|%3a").search(run)
        if colon is None:
            continue
        authority = run.partition(b"/")[0].partition(b"?")[0].partition(b"#")[0]
        end = authority.rfind(b"@")
        if end < 0 and colon.group() != b":":
            end = authority.find(b"%40")
        if end < 0 and compiled(r"^\d{1,5}(?:[/?#]|$)").search(run[colon.end() :]) is None and colon.start() < len(authority):
            end = run.rfind(b"@")
        user, password = run[: colon.start()], run[colon.end() : end] if end >= 0 else b""
        if b"/" not in user and checks.anything(_decoded(password)) and not is_template(password, user, run[end + 1 :]):
            yield start + colon.end(), start + end


def _decoded(password: bytes) -> bytes:
    """Return a password that begins with an encoded character without the encoding: `%23x` is no placeholder of a format.

    An encoded `$` before a letter is left out: it begins no variable.
    """
    if compiled(r"%[2-7][0-9A-Fa-f]").match(password) is None:
        return password
    return unquote_to_bytes(password[3:] if compiled(r"%24\w").match(password) is not None else password)

"""Secrets of more than one line: private keys, values on the next line, the data of Kubernetes Secrets.

What must be known of earlier lines is a `State`: small, and serialisable, so that a read can be taken up again.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from aletheia_operator.redact.patterns import compiled, span

BEGIN = r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-|---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----"
END = r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
PEM = f"{BEGIN}|{END}"
STARTS = [PEM]
MAX_LINES = 400  # of a private key
MAX_OTHERS = 8  # lines of others between those of a key


@dataclass(frozen=True)
class State:
    """What of earlier lines matters for the next. in_key: lines of a private key read so far, 0 if in none."""

    in_key: int = 0
    others: int = 0


def find_pem(line: bytes) -> Iterator[tuple[int, int]]:
    """Yield private keys, as far as they are in this line."""
    at = 0
    while (begin := compiled(BEGIN).search(line, at)) is not None:
        end = compiled(END).search(line, begin.end())
        stop = end.end() if end else len(line.rstrip(b"\r\n"))
        yield begin.start(), stop
        at = stop
    if (end := compiled(END).search(line, at)) is not None:
        before = compiled(r"(?:[A-Za-z0-9+/=\\]|\\n)*$").search(line[at : end.start()])
        yield at + (before.start() if before else end.start()), end.end()


_BODY = (
    r"(?P<secret>[A-Za-z0-9+/=]+|(?:Proc-Type|DEK-Info|Version|Comment|Hash|Key-Format|Encryption|Public-Lines"
    r"|Private-Lines|Private-MAC)\s*:.*)\s*$"
)


def opened(line: bytes) -> bool:
    """Return whether a private key begins in a line and does not end there."""
    begins = list(compiled(BEGIN).finditer(line))
    return bool(begins) and compiled(END).search(line, begins[-1].end()) is None


def body_of_key(line: bytes) -> tuple[int, int] | None:
    """Return where a line of a private key's body has its text; None if the line is another one."""
    found = compiled(rf"(?:^|[\s|:>\]]){_BODY}").search(line)
    if found is None:
        return None
    start, end = span(found, "secret")
    alone = end - start >= 40 or not compiled(r"[A-Za-z]{3,}\s*$").search(line[:start]) or b":" in line[start:end]
    return (start, end) if alone else None

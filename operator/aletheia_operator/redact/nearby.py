"""Finds random values in the text after a secret's name, whatever stands between: `expected token X, got Y`, `Password [X]`."""

from collections.abc import Iterator

from aletheia_operator.redact.contexts import is_counted
from aletheia_operator.redact.patterns import compiled, span
from aletheia_operator.redact.placeholders import is_placeholder
from aletheia_operator.redact.randomness import MIN_CHANGES, class_of, is_variable, share_of_changes

Span = tuple[int, int]

REACH = 100  # bytes after a name in which a random value is a secret
MIN_LETTERS, MIN_DIGITS = 2, 2
MIN_CHANGES_OF_TWO = 0.3
"""The same for a value of digits and letters of one case: about 0.4 in random text."""

_NAME = (
    r"(?i)(?:pass(?:w(?:or)?d|phrase|code)|secret|token|credential|bearer|(?:\b|_)jwt|\b(?:exchange|auth|authorization)\s+code"
    r"|(?:api|access|private|auth|signing|encryption|master|shared)[-_ ]?key|\b(?:via|with|using|expected|new|old"
    r"|invalid)\s+key)"
)
_CHARACTER = r"[A-Za-z0-9+/_~.-]"
_VALUE = rf"(?:{_CHARACTER}{{10,}}[0-9]{_CHARACTER}*|{_CHARACTER}*[0-9]{_CHARACTER}{{10,}})={{0,2}}"
NEARBY = rf"""{_NAME}.*?[\s"'`=:\[(,/<>|]{_VALUE}"""
ID = (
    r"(?i)W/\\*[\"']$|(?:ids?|version|etag|request|trace|span|hash|digest|sha\d*|fingerprint|thumbprint|checksum|md5|nonce|revision"
    r"|uuid|name|cursor|file|path|url|arn|image|node|pod|host|session|subject|sub|aud|iss|issuer|commit|tag|ref|bucket|object"
    r"|accessor|kid|jti|public|certificate|signature|salt|iv|next|page|continue|on|\d:secret|h1|integrity|sha\d+-|ENC\[\w{1,16},data)"
    r"\\*[\"'`]?\s*(?:[:=/]|is)?\s*\\*[\"'`\[(]?$"
)
"""Text before a value that shows that it is an id."""


def find_nearby(line: bytes) -> Iterator[Span]:
    """Yield the random values within `REACH` bytes after the name of a secret."""
    at = 0
    for name in compiled(_NAME).finditer(line):
        if is_counted(line[max(name.start() - 24, 0) : name.end()]):
            continue  # `nextPageToken`
        if line[name.start() - 1 : name.start()] == b":" == line[name.end() : name.end() + 1]:
            continue  # a part of an ARN
        begin = max(at, name.end())
        for value in compiled(rf"""(?:^|[\s"'`=:\[(,/<>|])(?P<secret>{_VALUE})""").finditer(
            line, begin, name.end() + REACH + 120
        ):
            start, end = span(value, "secret")
            if start > name.end() + REACH:
                break
            text = line[start:end].rstrip(b".")
            if text[:1] == b"/" or line[end : end + 1] == b"@":
                continue  # a URL, a path, or a mail's address
            if is_variable(text) and line[max(start - 3, 0) : start] == b"{{ ":
                continue  # `${{ secrets.S3AccessKey2 }}`
            if is_random_text(text) and compiled(ID).search(line[max(start - 40, 0) : start]) is None:
                yield start, start + len(text)
            at = end


def is_random_text(value: bytes) -> bool:
    """Return whether a value has the changes between digits, small and capital letters of a random text."""
    classes = [class_of(byte) for byte in value]
    digits, small, capital = (classes.count(kind) for kind in "dac")
    if len(value) < 12 or digits < MIN_DIGITS or is_placeholder(value):
        return False
    changes = share_of_changes(classes)
    if min(small, capital) >= MIN_LETTERS:
        return changes >= MIN_CHANGES and compiled(r"^\d{4}-\d\d-\d\dT|^[A-Za-z]+/\d+(?:\.\d+)*$").search(value) is None
    if len(value) < 20 or not value.isalnum() or digits < 4:
        return False
    no_id = compiled(r"(?i)^(?:[0-9a-f]+|0[0-9A-HJKMNP-TV-Z]{25})$").search(value) is None  # hexadecimal, or a ULID
    return no_id and changes >= MIN_CHANGES_OF_TWO

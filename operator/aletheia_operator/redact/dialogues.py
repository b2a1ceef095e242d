"""Recognises the passwords of dialogues with servers of mail and files: SMTP, IMAP, POP3, FTP, SASL."""

from collections.abc import Iterator

from aletheia_operator.redact import checks
from aletheia_operator.redact.contexts import ContextRule, Span
from aletheia_operator.redact.patterns import compiled, span

RULES: tuple[ContextRule, ...] = (
    ("protocol-password", r"(?:^|[\s>:\]\"'(]|\\[rn])(?:PASS|AUTH(?:\s+(?:PLAIN|LOGIN|XOAUTH2|default"
                          r"|\w{1,30}))?)\s+(?P<secret>[^\s\"')]*[^\s\"')\\]\\*?)\s*(?:$|\\+[rn]|\r|\\*[\"')])",
     checks.no_test),
    ("imap-tagged", r"(?:^|[\s:])[A-Za-z]{0,4}\d{1,6}\s+LOGIN\s+\"?[\w.@+-]+\"?\s+\"(?P<secret>[^\"\s]{6,})\"\s*$",
     checks.password),
    ("imap-login", r"(?i)\bLOGIN\s+\"?[\w.@+-]+\"?\s+(?:(?P<secret>[^\s\"']+)\s*(?:$|\\r|\r|[\"'])"
                   r"|\"(?P<secret2>[^\"]+)\"\s*(?:$|\\r|\r))",
     checks.mostly_coded),
    ("sasl-response", r"\bAUTH\s+\d+\s+\w+\s.*\bresp=(?P<secret>[A-Za-z0-9+/]{8,}={0,2})", checks.anything),
    ("exim", r"\bclient_send\s*=\s*:\s*[^\s:]+\s*:\s*(?P<secret>\S+)", checks.anything),
    ("sasl-plain", r"\\x00[^\s\\\"']{1,64}\\x00(?P<secret>[^\s\"'\\]+)", checks.anything),
)  # fmt: skip

CHALLENGE = r"334 [cU]GFzc3dvcmQ6"
"""SMTP's `Password:` in base64."""
REACH = 64  # bytes after a challenge in which the answer begins
MAX_ANSWER = 4096
_WORD = r"(?:\\+[rn]|[^\w+/=])(?P<secret>[A-Za-z0-9+/]{3,}={0,2})"
_DIRECT = r"^(?:\\+r)?\\+n$"


def find_answers(line: bytes) -> Iterator[Span]:
    """Yield the first word after each challenge that may be an answer: `334 UGFzc3dvcmQ6 > cHc5OQ==`, but not `QUIT`."""
    at = 0
    while (challenge := compiled(CHALLENGE).search(line, at)) is not None:
        at = challenge.end()
        for word in compiled(_WORD).finditer(line, at, at + REACH + MAX_ANSWER):
            start, end = span(word, "secret")
            if start > at + REACH:
                break
            if line[end : end + 1] not in (b"_", b"=") and _is_answer(line[start:end], line[at:start]):
                yield start, end
                break


def _is_answer(word: bytes, before: bytes) -> bool:
    """Return whether a word is a password in base64. `before`: the text between the challenge and the word."""
    if compiled(_DIRECT).search(before) is not None:
        return len(word) >= 4 and checks.anything(word)
    if len(word) >= 8 and not word.endswith(b"="):
        return checks.encoded(word)
    return checks.is_base64(word) and (word.endswith(b"=") or not (word.islower() or word.isupper() or word.istitle()))

"""Replaces secrets in text, named values and streams of lines by tokens."""

from base64 import b64decode
from binascii import Error as NoBase64
from collections import Counter
from collections.abc import Sequence
from copy import copy
from functools import cached_property
from urllib.parse import unquote_to_bytes

from aletheia_operator.redact.composed import judged
from aletheia_operator.redact.custom import Rule, validated
from aletheia_operator.redact.engine import SECRET, Engine, Level
from aletheia_operator.redact.multiline import State
from aletheia_operator.redact.names import Kind, kind_of
from aletheia_operator.redact.patterns import compiled
from aletheia_operator.redact.stream import Lines
from aletheia_operator.redact.values import is_secret

_ENCODED = frozenset({"named", "scheme", "docker-auth", "kubernetes-secret"})
_HEADERS = (Kind.AUTHORIZATION, Kind.COOKIE, Kind.SET_COOKIE)


class Redactor:
    """Redacts for one session: equal secrets are replaced by equal tokens.

    `key`: secret of the session; empty: tokens do not show which secrets are equal. `rules`: of admins and Investigations.
    Raises InvalidRule. Takes time linear in the text; do not call it with more than a few hundred KB on the event loop.
    """

    def __init__(self, key: bytes = b"", level: Level = Level.SECRETS, rules: Sequence[Rule] = ()) -> None:
        self.level = level
        self.counts: Counter[str] = Counter()
        self._key = key
        self._rules = validated(rules)

    def __reduce__(self) -> tuple[type["Redactor"], tuple[bytes, Level, tuple[Rule, ...]]]:
        """Pickle the settings without the counts: the redactor of a worker process counts from zero."""
        return Redactor, (self._key, self.level, self._rules)

    def another(self) -> "Redactor":
        """Return a redactor of the same session that counts from zero."""
        made = copy(self)
        made.counts = Counter()
        return made

    @property
    def is_on(self) -> bool:
        """Whether anything is redacted."""
        return self.level is not Level.OFF

    @cached_property
    def _engine(self) -> Engine | None:
        """The compiled rules; None at level `off`. Compiled when they are first needed: they take several MB."""
        return Engine(self.level, self._rules) if self.level is not Level.OFF else None

    @property
    def rule_names(self) -> list[str]:
        """Names of the rules that were added to the built-in ones."""
        return [rule.name for rule in self._rules]

    def text(self, text: str) -> str:
        """Return `text`, which may have many lines, without secrets."""
        if self._engine is None or not text:
            return text
        data = text.encode("utf-8", "surrogatepass")
        if self._engine.next_line(data, 0) < 0:
            return text
        redacted = self.lines().feed(data)
        return text if redacted is data else redacted.decode("utf-8", "surrogatepass")

    def value(self, name: str, value: str) -> str:
        """Return a value without secrets. `name`: of the variable, header, label, annotation or JSON key that has the value."""
        if self._engine is None or not value:
            return value
        kind = kind_of(name)
        data = value.encode("utf-8", "surrogatepass")
        if kind in _HEADERS:
            spans = list(judged(data, 0, len(data), kind, False))
            redacted = self._replace(data, [(start, end, "named", SECRET) for start, end in spans])
            return self.text(redacted.decode("utf-8", "surrogatepass"))
        if kind is None or not is_secret(kind, data, False):
            return self.text(value)
        found = self._engine.find(data)
        label = found[0].label if found and (found[0].start, found[0].end) == (0, len(data)) else SECRET
        self.counts["named"] += 1
        return self._token(label, "named", data).decode()

    def lines(self, state: State | None = None) -> Lines:
        """Return a filter for one stream of lines. `state`: of an earlier filter of this stream; None: a new stream."""
        return Lines(self, state or State())

    def next_line(self, block: bytes, start: int, end: int | None = None) -> int:
        """Return the beginning of a line of a block before which no line has a secret; -1 if none has. `end`: where to stop."""
        return self._engine.next_line(block, start, end) if self._engine is not None else -1

    def digits_matter(self, line: bytes) -> bool:
        """Return whether `next_line`, which does not find this line, might find it with other digits."""
        return self._engine is not None and self._engine.digits_matter(line)

    def own_rules_match(self, block: bytes) -> bool:
        """Return whether a rule of an admin or an Investigation may match a part of a line that extends to the line's end."""
        return self._engine is not None and self._engine.own_rules_match(block)

    def line(self, line: bytes) -> bytes:
        """Return a line without the secrets that begin and end within it. Use `lines` for secrets of several lines."""
        if self._engine is None:
            return line
        return self._replace(line, self._engine.find(line))

    def replace(self, line: bytes, start: int, end: int, rule: str, label: str = SECRET) -> bytes:
        """Return a line with the bytes from `start` to `end` replaced by a token. `label`: the word in the token."""
        return self._replace(line, [(start, end, rule, label)])

    def _replace(self, line: bytes, found: Sequence[tuple[int, int, str, str]]) -> bytes:
        if not found:
            return line
        parts = []
        at = 0
        for start, end, rule, label in found:
            self.counts[rule] += 1
            parts += [line[at:start], self._token(label, rule, line[start:end])]
            at = end
        return b"".join([*parts, line[at:]])

    def _token(self, label: str, rule: str, secret: bytes) -> bytes:
        if not self._key:
            return f"[redacted:{label}]".encode()
        import hmac  # not at start: OpenSSL takes several MB, and most logs have no secrets

        digest = hmac.digest(self._key, plain(secret, rule), "sha256").hex()[:4]
        return f"[redacted:{label}:{digest}]".encode()


def plain(secret: bytes, rule: str) -> bytes:
    """Return a secret without quoting and encoding, so that it is equal in JSON, in a URL and in a Basic header."""
    if b"\\" in secret:
        secret = compiled(r"""\\+(["'/\\])""").sub(rb"\1", secret)
    if b"%" in secret and compiled("%[0-9A-Fa-f]{2}").search(secret) is not None:
        secret = unquote_to_bytes(secret)
    if rule in _ENCODED and len(secret) % 4 == 0:
        try:
            decoded = b64decode(secret, validate=True)
            readable = decoded.decode()
        except (NoBase64, UnicodeDecodeError):
            return secret
        if readable.isprintable():
            return decoded.partition(b":")[2] or decoded if rule != "kubernetes-secret" else decoded
    return secret

"""Makes a server's own text safe to quote: credentials are removed first, then the text is cut. Pure.

Every client quotes servers through `Quoter` and nothing else.
"""

import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote, quote_plus

from aletheia_operator.redact import Redactor
from aletheia_operator.text.display import one_line

MIN_SECRET_CHARACTERS = 8
"""A shorter secret also occurs by chance. Removing it would garble the text, and the holes would reveal the secret."""
MAX_QUOTED = 500
MAX_ERROR_BYTES = 64 * 1024
"""A longer error body is cut."""
_REDACTOR = Redactor()
_TIMES = 16  # times the shown characters are searched, so that a secret that begins among these is whole
_LONGEST_ESCAPE = len("\\U0010ffff")  # of one character that is not shown as it is
_PERCENT = re.compile("%[0-9A-F]{2}")
LEFT_OUT = "(the server's words are left out: a credential shown to it is too short to be recognised in them)"


@dataclass(frozen=True)
class Quoter:
    """Quotes text of a server, without the secrets that were sent to it."""

    secrets: tuple[str, ...] = field(repr=False)
    """Values that must not be quoted. If one is shorter than MIN_SECRET_CHARACTERS, nothing is quoted at all."""

    def __call__(self, original: str | bytes, limit: int = MAX_QUOTED) -> str:
        """Return the text as one inert line of at most `limit` characters.

        `original` must be the server's whole text: the beginning of a secret that was cut would not be recognised. Bytes may be
        cut at MAX_ERROR_BYTES.
        """
        text = original.decode("utf-8", "replace") if isinstance(original, bytes) else original
        cut = len(original) >= MAX_ERROR_BYTES  # then it may end in the beginning of a secret
        if not text.strip():
            return ""
        if any(len(secret) < MIN_SECRET_CHARACTERS for secret in self.secrets if secret):
            return LEFT_OUT[:limit]
        text = self._without_secrets(text)
        if cut:
            text = self._without_beginning(text.removesuffix("\ufffd"))
        text = _REDACTOR.another().text(text[: _TIMES * limit])  # secrets of others that the server quotes
        text = one_line(text, _LONGEST_ESCAPE * len(text))
        text = self._without_secrets(text)  # again: a line break within one has become a blank
        return one_line(text, limit)

    def _without_secrets(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, "***")
        return text

    def _without_beginning(self, text: str) -> str:
        """Remove from the text's end what may be the beginning of a secret."""
        ends = (length for form in self._forms for length in range(1, len(form)) if text.endswith(form[:length]))
        return text[: len(text) - max(ends, default=0)]

    @cached_property
    def _forms(self) -> list[str]:
        """Return every form in which a server may write the secrets, the longest first."""
        return sorted({form for secret in self.secrets if secret for form in _forms(secret)}, key=len, reverse=True)


def _forms(secret: str) -> Iterable[str]:
    """Return a secret as it is, and escaped as in JSON, URLs, HTML, Python and Go."""
    yield secret
    for text in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        of_go = text
        for character in "&<>":
            of_go = of_go.replace(character, f"\\u{ord(character):04x}")
        yield from (text, text.replace("/", "\\/"), of_go)
    yield repr(secret)[1:-1]
    for text in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield from (text, _PERCENT.sub(lambda match: match[0].lower(), text))
    of_html = html.escape(secret)
    yield from (of_html, of_html.replace("&quot;", "&#34;").replace("&#x27;", "&#39;"), html.escape(secret, quote=False))

"""Finds the secret parts of a value: the items of a list, the argument of a call, the fields of a header."""

from collections.abc import Iterator

from aletheia_operator.redact.headers import HEADERS, header_values
from aletheia_operator.redact.names import Kind
from aletheia_operator.redact.patterns import compiled, span
from aletheia_operator.redact.values import QUOTE, end_of_quoted, is_message, is_secret

Span = tuple[int, int]

_MIXED_CALL = r"""\w+(?:::\w+)+\((?:'[^'"]*(?:[A-Za-z]\d|\d[A-Za-z])[^'"]*'|"[^'"]*(?:[A-Za-z]\d|\d[A-Za-z])[^'"]*")\)"""
"""A password like a call: `Abc::Def('x1')`."""
_DERIVED = r"^[a-z]+(?:able|ally|ance|ary|ate|ence|ible|ical|ied|ify|ing|ion|ional|ious|ism|ist|ity|ive|ized?|ment|ness|ous)s?$"
"""A longer word that few passwords are."""
_OF_LOGINS = (
    r"(?i)(?:access|admin|api|app|auth|bearer|bootstrap|bot|client|csrf|deploy|device|id|invite|join|jwt|login|oauth2?|personal"
    r"|push|refresh|registration|reset|secret|service|session|user|webhook|xsrf)[-_]?tokens$"
)
"""The name of a list of tokens that are secrets."""
_FIRST_RULES = (b"required", b"nullable", b"sometimes")
"""Rules that are the first of a field's."""


def listed_values(line: bytes, start: int, kind: Kind, name: bytes) -> Iterator[Span]:
    """Yield the values in brackets: a header as Go and JSON print it, or a list of tokens. `name`: the list's."""
    items = list(_quoted_items(line, start + 1))
    if items:
        rules = line[slice(*items[0])] in _FIRST_RULES
        for begin, end in items:
            item = line[begin:end]
            if not (_is_rule(item) if rules else _is_text(name) and _is_word(item, len(items))):
                yield from judged(line, begin, end, kind, False)
        return
    at = start + 1
    end = line.find(b"]" if line[start : start + 1] == b"[" else b")", at)
    end = end if end >= 0 else len(line)
    if kind in HEADERS:
        yield from judged(line, at, end, kind, False)
        return
    if b"{" in line[at:end] or b"=" in line[at:end].rstrip(b"="):
        return  # a list of structures: their fields have names
    for word in compiled(r"""[^\s,\]]+""").finditer(line, at, end):
        if word.group() in (b"secure", name.lstrip(b"-")) and line[word.start() - 1 : word.end() + 1] == b"[%b]" % word.group():
            continue  # masked, or the usage of a command: `--password=[password]`
        yield from judged(line, word.start(), word.end(), kind, False)


def _quoted_items(line: bytes, at: int) -> Iterator[Span]:
    item = compiled(rf"""\s*(?P<open>{QUOTE})""")
    while (opener := item.match(line, at)) is not None:
        end = end_of_quoted(line, opener.end(), opener.group(b"open"))
        yield opener.end(), end
        following = compiled(r"""\\*["'`]?\s*,""").match(line, end)
        if following is None:
            return
        at = following.end()


def _is_rule(item: bytes) -> bool:
    """Return whether an item is a rule: `'password' => ['required', 'min:8']`."""
    return compiled(r"^[a-z]+(?:_[a-z]+)*(?::.*)?$").search(item) is not None


def _is_text(name: bytes) -> bool:
    """Return whether a list of this name may have the words of a text: `tokens`, `text_tokens`, but not `refresh_tokens`."""
    return name.endswith((b"tokens", b"Tokens")) and compiled(_OF_LOGINS).search(name) is None


def _is_word(item: bytes, items: int) -> bool:
    """Return whether an item is a word of a text: `tokens: ["Hello", "world"]`, `tokens: ["functional"]`."""
    if not item.isalpha():
        return False
    return len(item) < (16 if items > 1 else 8) or (len(item) < 12 and compiled(_DERIVED).search(item) is not None)


def more_values(line: bytes, start: int, end: int, kind: Kind) -> Iterator[Span]:
    """Yield the values after the first one in a list: `Recovery codes: y3j1p-3tyjh, xrclz-fpdpr`."""
    size = end - start
    while (other := compiled(r",\s?(?P<secret>[^\s,;:=\"'(){}\[\]]+)").match(line, end)) is not None:
        begin, end = span(other, "secret")
        if end - begin == size >= 6:
            yield begin, end
        elif not line[begin:end].isdigit():  # the tokens of a ring of servers are numbers
            yield from judged(line, begin, end, kind, True)


def random_argument(line: bytes, start: int) -> Iterator[Span]:
    """Yield the quoted argument of a call that begins at `start`, if it looks random: `password=decode("S3cret!pw9")`.

    Yield the whole call if it is directly after `=`, and its argument has digits: code has blanks there.
    """
    if line[start - 1 : start] == b"=" and (call := compiled(_MIXED_CALL).match(line, start)) is not None:
        yield start, call.end()
        return
    opened = compiled(rf"""(?:await\s|new\s)?[\w$.:>-]+[!?]?\(\s*(?P<open>{QUOTE})""").match(line, start)
    if opened is not None:
        yield from judged(line, opened.end(), end_of_quoted(line, opened.end(), opened.group(b"open")), Kind.KEY, False)


def judged(line: bytes, start: int, end: int, kind: Kind, prose: bool) -> Iterator[Span]:
    """Yield the secret parts of a value. `kind`: of its name; `prose`: see `is_secret`."""
    if kind in HEADERS:
        yield from header_values(line, start, end, kind, prose)
    elif start < end and is_secret(kind, line[start:end], prose) and not is_message(line[start:end]):
        yield start, end

"""Finds secrets after their names: `password=x`, `"token": "x"`, `Password:x}`, `X-Api-Key: x`, `Authorization:[Bearer x]`.

One pattern finds a name and the separator after it, in any syntax. Code for each kind of quoting then finds the value's end.
"""

from collections.abc import Iterator
from functools import lru_cache, partial
from typing import NamedTuple

from aletheia_operator.redact import checks
from aletheia_operator.redact.composed import judged, listed_values, more_values, random_argument
from aletheia_operator.redact.headers import HEADERS, cookie_map, header_end
from aletheia_operator.redact.names import MAX_NAME, Kind, kind_of
from aletheia_operator.redact.patterns import compiled, span
from aletheia_operator.redact.placeholders import is_placeholder
from aletheia_operator.redact.reach import Before, Reach
from aletheia_operator.redact.surroundings import (
    goes_on,
    is_account_secret,
    is_changed,
    is_closing_quote,
    is_code,
    is_no_value,
    is_reference,
    is_scheme,
    is_tuple,
    kind_here,
)
from aletheia_operator.redact.values import (
    QUOTE,
    end_of_quoted,
    is_coded,
    is_first,
    is_name,
    is_random,
    is_secret,
    is_uuid,
    last_word_end,
    quoted_end,
    unquoted_end,
)

Span = tuple[int, int]

_LONG = (
    r"pass[-_.]?w(?:or)?ds?|passwrd|pass[-_.]?phrases?|pass[-_.]?code|authtok|passwort|kennwort|pswd|psw|secrets?|tokens?"
    r"|credentials?|creds?"
    r"|authorization"
    r"|set-cookie2?|cookies?|requirepass|masterauth|mnemonic|seed[-_. ]?phrase|security[-_.]?code|verification[-_.]?code"
    r"|auth[-_.]?code|(?:otp|sms|mfa|2fa|totp|one[-_. ]?time|confirmation|recovery|backup)[-_. ]?codes?"
    r"|contrase(?:ñ|n)a|senha|wachtwoord|mot[-_ ]?de[-_ ]?passe|пароль|密码|密碼|パスワード|비밀번호"
    r"|parola(?: d.ordine)?|(?:ş|s)ifre|art[-_]api|code[-_.]?verifier|device[-_.]?code|(?:client|saml)[-_]?(?:response"
    r"|assertion)"
    r"|recovery[-_. ]?phrase|has(?:ł|l)o|salasana|l(?:ö|o)senord|passord|adgangskode|[hg]eslo|jelsz(?:ó|o)"
    r"|lozinka|mật[-_ ]?khẩu|парола|slapta(?:ž|z)odis|parool|sandi"
    r"|bw_session"
    r"|access[-_.]?key[-_.]?id|secret[-_.]?key[-_.]?base|dockerconfigjson|dockercfg|(?:js|php)?sessi?o?n?id|connect\.sid"
    r"|shared[-_.]?access|honeycomb-team"
)
_SHORT = r"pass|pwd|pw|psk|pat|auth|jwt|otp|totp|pin|cvv2?|cvc|salt|pepper|sas|xsrf|csrf|crumb|bearer|[a-z0-9]+[-_.]?keys?|hash"
_ENDS = (
    r"value|val|plain|plaintext|plain_?text|clear|base64|b64|raw|text|txt|str|string|old|new|prev|previous|current|cur"
    r"|secondary"
    r"|default|confirm|confirmation|confirmed|repeat|again|env|prod|dev|staging|stage|live|v?\d{1,4}|hash|digest|data|primary"
    r"|private|literal|input|content|header|param|arg|encrypted|enc|encoded|decoded|hashed|field|system|sha\d{0,3}|md5"
    r"|hex|bcrypt"
)
NAME = rf"(?i)(?P<name>(?:\w|[-.$/@]|%5[bB])*(?:{_LONG}|{_SHORT})(?:[-_. ]?(?:{_ENDS})){{0,2}}\d{{0,3}})"
_CLOSE = r"""(?:\\*["'`]\)?|%22|%27|%5[dD]|&quot;|&#34;|&#39;|\\+x2[27]|\\+u0022)?\]?(?:\s*\([^()]{1,30}\))?"""
_COLOUR = r"(?:(?:\x1b|\\u001[bB]|\\x1[bB]|\\033|#033|\^\[)\[[0-9;]{0,12}m)*"
_JOIN = rf"(?:\s*{_COLOUR}\s*(?:=>|->|:{{1,3}}=|\?{{1,2}}=|[+.]=|=|:[*]{{1,2}}|:|：|%3[dD]|%3[aA]|\\u003[dD])\s*{_COLOUR})"
CANDIDATE = rf"""{NAME}(?P<close>{_CLOSE})(?:(?P<join>{_JOIN})|(?P<spaced>\s*[,\s]\s*(?:<<)?\\*["'`]|\s+is\s+))"""
_WRAPPED = (
    r"""(?s)\s*(?:(?:\(\*+[\w.]{1,30}\)\(0x[0-9a-f]+\)\s*\(?|\(\*?[\w.\[\]]{1,30}\)\s*(?:\((?:len"""
    r"""|cap)=\d+[^()]{0,20}\)\s*)?|(?:string|str|String"""
    r"""|text)\(\d*\)?\s*(?:[=:]\s*)?|Some\(|Just\(|Optional[\[(]|SecretStr\("""
    r"""|Secret\(|stringData|\[\](?:byte|uint8)\(|&[a-z]\w*\s+|&|!!?[a-z]+\s+|[brufN]{1,2}(?:\\*["'])|<<|0x[0-9a-f]{6,16}->"""
    r"""|\(?\*?string\)?\(0x[0-9a-f]+\)\s*)\s*)?"""
)
_WRAPPERS = b"(stSJO[&!brufN<0* \t\r\n\f"
"""The first bytes of what `_WRAPPED` matches."""
_TYPED = (
    r""":\s*|\s*(?:[Ss]tring|str|text|SecretStr|&(?:'static\s)?str|Optional\[str\]"""
    r"""|\[\]byte)\??(?:\s*\|\s*\w+)?\s*=\s*\\*["'`]"""
)  # `secretKey:: "x"`, `token: string = "x"`
_ITEMS = r"\[\d*\](?:string|any|interface ?\{\})\{"  # a slice of Go


_BRACED = r"""\{(?P<secret>(?:[^{}]|\}\})(?:[^}]|\}\})*)\}(?:[;\s"']|$)"""
_BRACED_WORD = r"\{(?P<secret>[^}\s]+)\}\s*;"
"""A value as ODBC and JDBC quote it: after `;` it may have blanks."""
_MARKED = r"""<[^\s<>"'|]{6,80}>(?:[\s,;"']|$)"""
"""A value in angle brackets."""


class _Name(NamedTuple):
    """The name of a secret in a line, and the separator after it. `value_at`: where the value begins."""

    line: bytes
    last: bytes  # the part after the last dot
    start: int
    value_at: int
    kind: Kind
    closed: bool
    join: bytes
    spaced: bytes | None
    text_before: Before

    @property
    def before(self) -> bytes:
        """The byte before the name."""
        return self.line[max(self.start - 1, 0) : self.start]


def find_named(line: bytes) -> Iterator[Span]:
    """Yield the values of secret names in a line."""
    at = 0
    pattern, reach, before = compiled(CANDIDATE), Reach(line), Before(line)
    while (match := pattern.search(line, at)) is not None:
        name, close, join, spaced = match.groups()
        start, end = match.span()
        at = start + len(name)
        kind = _kind(name[-MAX_NAME:]) or _kind_without_lead(name, line[max(start - 1, 0) : start])
        if kind is None or (kind := kind_here(kind, name.rpartition(b".")[2], line, start, end)) is None:
            continue
        found = _Name(line, name.rpartition(b".")[2], start, end, kind, bool(close), join or b"", spaced, before)
        if kind in HEADERS and close.find(b"(") >= 0:
            continue  # the call of a function: `GetAuthorization("x"): no such file`
        if join == b":" and not close and (found.before == b":" or b"/" in name[kind is Kind.PASSWORD :]):
            continue  # a part of an ARN or of a key with colons; or the tag of an image, but not `/password:x`
        if (join == b":" and is_scheme(name, line, end)) or (found.before == b"=" and is_changed(found.join, line, start, end)):
            continue
        for begin, stop in reach.look(end, partial(_values_in, found)):
            at = max(at, stop)
            yield begin, stop


def _kind_without_lead(name: bytes, before: bytes) -> Kind | None:
    """Return the kind of a name directly after an escape, a colour or a flag: `%26pwd`, `\\npwd`, `[3mpwd`, `-Dpwd`."""
    if len(name) > MAX_NAME:
        return None  # its end alone decides
    if before == b"%" and compiled(r"^[0-9A-Fa-f]{2}\w").search(name) is not None:
        return _kind(name[2:])
    if before in (b"[", b";") and (colour := compiled(r"^[0-9]{0,3}m").search(name)) is not None:
        return _kind(name[colour.end() :])
    if (before == b"\\" and name[:1] in b"nrt") or name[:2] == b"-D":
        return _kind(name[2 if name[:2] == b"-D" else 1 :])
    return None


@lru_cache(8192)
def _kind(encoded: bytes) -> Kind | None:
    name = encoded.decode("utf-8", "replace")
    return kind_of(name) or (kind_of(name.rpartition(" ")[2]) if " " in name else None)


def _values_in(name: _Name, line: bytes) -> Iterator[Span]:
    return _values(name._replace(line=line))


def _values(name: _Name) -> Iterator[Span]:
    line = name.line
    if name.spaced is not None:
        yield from _spaced_value(name, name.spaced)
        return
    start = name.value_at
    if is_reference(line, start, name.join):
        return
    if name.join[-1:] == b"=" and (compared := compiled(r"""=\s*""").match(line, start)) is not None:
        value = line[compared.end() : unquoted_end(line, compared.end())]
        if compiled(QUOTE).match(line, compared.end()) is None and not (len(value) >= 10 and checks.three_kinds(value)):
            return  # `if password == other {`
        start = compared.end()
    if name.join.strip() == b":" and (typed := compiled(_TYPED).match(line, start)) is not None:
        start = len(line[: typed.end() - 1].rstrip(b"\\"))
    if line[start : start + 1] in _WRAPPERS and (wrapped := compiled(_WRAPPED).match(line, start)) is not None:
        start += len(wrapped.group().removesuffix(b'"').removesuffix(b"'").rstrip(b"\\"))
    opener = compiled(QUOTE).match(line, start)
    if opener is not None:
        yield from _quoted_values(name, start, opener.group())
        return
    first = line[start : start + 1]
    if first == b"{" and name.kind in (Kind.COOKIE, Kind.SET_COOKIE):
        yield from cookie_map(line, start)
        return
    if first in b"= \t\r\n\f" and compiled(r"=?\s*$").match(line, start) is not None:
        return  # the end of base64
    if first == b"{" and (braced := compiled(_BRACED if name.before == b";" else _BRACED_WORD).match(line, start)) is not None:
        value = braced.group(b"secret")
        if name.before == b";" or is_coded(value) or compiled("^[a-z].*[A-Z]").search(value) is not None:
            yield from judged(line, *span(braced, "secret"), name.kind, False)
        return
    if first == b"[" and (items := compiled(_ITEMS).match(line, start)) is not None:
        yield from listed_values(line, items.end() - 1, name.kind, name.last)
    elif first in (b"[", b"(") and not line.startswith(b"[redacted", start):
        yield from listed_values(line, start, name.kind, name.last)
    elif first not in (b"", b"{", b"\n", b"\r") and not (first == b":" and name.join == b":"):
        yield from _bare_value(name, start)


def _quoted_values(name: _Name, start: int, opener: bytes) -> Iterator[Span]:
    """Yield the value in quotes, and the one after a change: `"old" -> "new"`. `start`: where the quote `opener` begins."""
    line = name.line
    if (
        start == name.value_at
        and (not name.closed or line[start - 2 : start - 1] == b")")
        and is_closing_quote(line, name.start, start + len(opener), name.text_before)
    ):
        return
    doubled = line.startswith(b'""', start) and compiled(r"""""[^\s"',;:)}\]]""").match(line, start) is not None
    tripled = line.startswith((b'"""', b"'''"), start)
    quote = line[start : start + 3] if tripled else b'""' if doubled else opener  # doubled in CSV: `""x""`
    begin = start + len(quote)
    end = end_of_quoted(line, begin, quote)
    if quote[-1:] == b"`" and b" " in line[begin:end]:
        return  # the output of a command
    if not (name.kind in (Kind.SECRET, Kind.OBJECT) and goes_on(line, begin, end)):
        yield from judged(line, begin, end, name.kind, False)
    if (changed := compiled(rf"""{_CLOSE}\s*(?:->|=>|→|to)\s*(?P<open>{QUOTE})""").match(line, end)) is not None:
        end = end_of_quoted(line, changed.end(), changed.group(b"open"))
        yield from judged(line, changed.end(), end, name.kind, False)


def _spaced_value(name: _Name, spaced: bytes) -> Iterator[Span]:
    """Yield the password in `password "hunter2"`, `{password, <<"hunter2">>}` or `password is hunter2`.

    Other kinds are ignored: in `secret "db"` the text is the name of a Secret.
    """
    line, start, kind = name.line, name.value_at, name.kind
    opener = compiled(r"""\\*["'`]$""").search(spaced)
    if opener is None and (quoted := compiled(QUOTE).match(line, start)) is not None:
        begin, end = quoted.end(), end_of_quoted(line, quoted.end(), quoted.group())
        if kind is Kind.PASSWORD or is_secret(kind, line[begin:end], True):
            yield from judged(line, begin, end, kind, False)
        return
    if opener is None:
        value = line[start : unquoted_end(line, start)].rstrip(b".,;:!?")
        stated = len(value) >= 4 if kind is Kind.CODE else kind is Kind.PASSWORD and (is_coded(value) or not value.isalpha())
        if stated and is_secret(kind, value, True):
            yield start, start + len(value)
        return
    end = quoted_end(line, start, opener.group())
    value = line[start:end]
    if kind in HEADERS:
        if b"=" in value or b" " in value:
            yield from judged(line, start, end, kind, False)
        return
    if b"," in spaced and name.closed and not is_tuple(line, name.start, end) and not (len(value) >= 16 and is_coded(value)):
        return  # words of a list
    if value[:1] == b"-" or compiled(r"""\\*["']\s*\{""").match(line, end) is not None:
        return  # a flag; or the head of a block: `resource "random_password" "db" {`
    if opener.group()[-1:] == b"`" and compiled(r"""^\w+:\\*\"""").search(value) is not None:
        return  # the tag of a field in Go
    if b"," not in spaced and not name.closed and (is_uuid(value) or is_account_secret(line, start, end)):
        return  # the id of a token, or the name of a Secret
    wanted = (
        kind is Kind.PASSWORD
        or (kind is Kind.PASS and name.before == b"{" and b"," in spaced)
        or (kind in (Kind.WEAK, Kind.KEY) and is_random(value))
        or (kind in (Kind.SECRET, Kind.OBJECT) and (b"," in spaced or is_coded(value)))
    )
    if wanted and value and b" " not in value and is_secret(kind, value, False):
        yield start, end
    if kind is Kind.PASSWORD and b"," not in spaced:
        yield from _next_quoted(line, end)


def _next_quoted(line: bytes, end: int) -> Iterator[Span]:
    """Yield the text in quotes after one that ends at `end`: `password "Auth" "hunter2"`."""
    if (opener := compiled(rf"(?:{QUOTE})\s(?P<open>{QUOTE})").match(line, end)) is not None:
        yield from judged(line, opener.end(), end_of_quoted(line, opener.end(), opener.group(b"open")), Kind.PASSWORD, False)


def _bare_value(name: _Name, start: int) -> Iterator[Span]:
    line, kind = name.line, name.kind
    colon = name.join.strip() in (b":", "：".encode())
    prose = colon and not name.closed and name.join[-1:] in (b" ", b"\t") and line[name.start : name.start + 2].lower() != b"x-"
    prose = prose or (name.join.strip() == b"->" and not name.closed)
    if kind in HEADERS:
        yield from judged(line, start, header_end(line, start), kind, prose)
        return
    end = unquoted_end(line, start)
    if not colon and line[start : start + 1] == b"<" and (marked := compiled(_MARKED).match(line, start)) is not None:
        end = start + len(marked.group().rstrip(b" \t\r\n,;\"'"))
    if kind is Kind.PASSWORD and colon and name.join[-1:] in b" \t":
        end = last_word_end(line, start, end)
    number, ends = line[start:end].removesuffix(b":"), line[:end].endswith(b":")
    is_code_of_error = name.before == b" " and kind in (Kind.SECRET, Kind.OBJECT) and ends and number.isdigit()
    if colon and name.closed and is_code_of_error:
        return  # the code of an error: `"Invalid Credentials": 80090308: LdapErr`
    if colon and name.closed and line[start:end].isalpha() and line[end : end + 1] == b" ":
        return  # words about what is quoted: `secret \"db-token\": secrets \"db-token\" not found`
    if name.join == b":" and name.before in (b'"', b"'") and not name.closed and line[start:end].isalpha():
        return  # a part of a key: `"token:count"`
    if is_no_value(line, start) or (name.join[:1] == b" " and is_code(line, start)):
        yield from random_argument(line, start)
        return
    if name.join.strip() == b"->" and line[start - len(name.join) - 1 : start - len(name.join)] == b")":
        return  # the type that a function returns: `fn verify_token(token: &str) -> Result`
    if name.join == b":" and name.before in (b'"', b"'") and not name.closed and b":" in line[start:end]:
        return  # a part of a key: `"token:bucket:7"`
    if name.join[:1] == b" " and line[start:end].rstrip(b";") == name.last:
        return  # `this.password = password;`
    if prose and name.before not in (b'"', b"'") and is_first(line, name.start):
        whole = start + len(compiled(r"\s+#\s.*$").sub(b"", line[start:].rstrip()))  # without YAML's comment
        if is_placeholder(line[start:whole]):
            return
        prose = end < whole
        if kind is Kind.PASSWORD and line.count(b" ", start, whole) < 8 and is_secret(kind, line[start:whole], True):
            end = whole
    elif name.join == b":" and name.before in (b"{", b" ") and name.text_before.has_brace(name.start):
        end = max(end, _struct_value_end(line, start, end))
    quoted = prose and kind is Kind.PASSWORD and name.before in (b'"', b"'")
    if quoted and compiled(r"\w*[\d!#$%^*@&]").match(line, start, end) is not None:
        end = max(end, end_of_quoted(line, start, name.before))  # a line in quotes: `near "password: Ha!ry: Potter"`
    elif prose:
        end = start + len(line[start:end].rstrip(b".,;:"))
    if colon and name.last.lower() in (b"tokens", b"secrets") and is_name(line[start:end]):
        return  # names of objects
    yield from judged(line, start, end, kind, prose)
    if colon and compiled(r"(?i)(?:codes|tokens|keys|passwords|secrets|phrases)$").search(name.last) is not None:
        yield from more_values(line, start, end, kind)


def _struct_value_end(line: bytes, start: int, end: int) -> int:
    """Return where an unquoted value of Go's `%+v` ends: before the next `Name:` or the closing brace."""
    found = compiled(r"^([^{}\"]{0,80}?)(?:\s[A-Z]\w*:|\})").search(line[start : start + 120])
    return start + len(found.group(1)) if found else end

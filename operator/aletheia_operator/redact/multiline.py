"""Finds secrets of several lines: private keys, values on the line after their name, the data of Kubernetes Secrets.

A `State` has what must be known of earlier lines. It is small and easy to store, so that a read can be resumed.
"""

from base64 import b64decode
from binascii import Error as NoBase64
from collections.abc import Iterator
from dataclasses import dataclass, replace

from aletheia_operator.redact import checks
from aletheia_operator.redact.named import NAME
from aletheia_operator.redact.names import Kind, kind_of
from aletheia_operator.redact.patterns import LINE_START, Match, compiled, span, ungrouped
from aletheia_operator.redact.placeholders import is_placeholder
from aletheia_operator.redact.values import is_coded, is_secret

Span = tuple[int, int]

_OPENVPN = r"OpenVPN (?:Static key V\d|tls-crypt-v2 \w+ key)"
BEGIN = (
    rf"-----BEGIN (?:[A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?|{_OPENVPN})-----"
    r"|PuTTY-User-Key-File-|---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----"
)
END = rf"-----END (?:[A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?|{_OPENVPN})-----"
PEM = f"{BEGIN}|{END}"
MAX_KEY_LINES = 400
MAX_OTHERS = 8  # lines of other writers between two lines of a key
MAX_BLOCK_LINES = 200  # of a value, or of the data of a Secret
MAX_BLANKS = 2  # blank lines between a name and its value

_PREFIX = rf"{LINE_START}(?P<indent>\s*)(?P<item>-\s+)?"
_STAMP = r"^\S*\d{2}:\d{2}:\d{2}\S*\s(?:std(?:out|err)\s[FP]\s)?"
_SPLIT_NAME = (
    rf"""{NAME}\\*["'`]?\]?\s*(?P<join>=>|:=|:|=)"""
    r"""\s*(?:(?P<block>[|>][-+]?\d?)|(?:Some|Secret|SecretString|Just|Optional)\()?\s*$"""
)
_ELEMENT = (
    rf"""(?:<key>{NAME}</key>|<(?:\w+:)?{NAME.replace("(?P<name>", "(?P<element>")}>"""
    rf"""|<name=["']{NAME.replace("(?P<name>", "(?P<attribute>")}["']\s*/>)\s*$"""
)
"""The name of a value that is an element of its own on the next line."""
_FIELD = rf"""(?m)(?:^|\s)`?{NAME.replace("(?P<name>", "(?P<field>")}`?(?:\.[a-z-]+\[.*\]|\.\d+)*\s*$"""
"""A field alone on its line, perhaps with pydantic's way to its value: `password.function-after[check(), str]`."""
_INPUT = (
    r"""\binput_value=(?:b?'(?P<value>(?:[^'\\]|\\.)+)'|b?"(?P<double>(?:[^"\\]|\\.)+)"|\[(?P<items>[b'"][^\]]+)"""
    r"""|(?P<plain>[^\s,'"()<>{}\[\]]+),)"""
)
MAX_MESSAGE_LINES = 4  # between the field and its value
_JAAS = r"LoginModule\s+(?:required|requisite|sufficient|optional)\b[^;]*$"
_ACCOUNTS = r"""^\s*user_[\w.@-]+\s*=\s*["'](?P<value>[^"']+(?:["']\s+user_[\w.@-]+\s*=\s*["'][^"']+)*)"""
_OPTION = r"""^\s*(?:[\w.-]+\s*=|//|#)"""
_CONTENT = r"""(?i)^(?:<string>|<value(?:=["']|>))?(?P<value>[^<>"'\s]+)"""
_ENTRY = r"""(?i)\b(?:name|key|property)\\*["']?\s*[:=]\s*\\*["']?(?P<entry>[\w./-]{1,100})\\*["']?,?\s*$"""
_FLAG_ITEM = rf"""^\s*(?:-\s+)?["']?--?{NAME.replace("(?P<name>", "(?P<flag>")}["']?\s*$"""
"""A flag alone on its line, perhaps as an item of a list in YAML: the next line is its value."""
_FORM_PART = r"""(?i)\bform-data;\s*name=["']?(?P<part>[\w.-]{1,100})["']?\s*$"""
_PARTS_OF_NAMES = (
    "pass|pwd|secret|token|key|cred|auth|pw|pat|psk|sas|dsn|otp|jwt|cookie|csrf|xsrf|pin|cv[cv]|salt|pepper|mnemonic|crumb"
    "|bearer|senha|geslo|psw|session|config"
)
_DATA = r"""(?m)(?:^|\s)["']?(?P<data>data|stringData)["']?\s*:\s*(?P<brace>\{?)\s*$"""
_KIND = r"""(?m)(?:^|\s)["']?kind["']?\s*:\s*["']?(?P<what>[A-Z]\w{1,60})["']?,?\s*$"""
_VALUE = r"""^["']?[Vv]alue["']?\s*[:=]\s*["']?(?P<value>[^"'\r\n]*[^"'\r\n,\s])["']?,?\s*$"""
_SCALAR = (
    r"""^(?:string\(\d+\)\s*)?["'`](?P<value>[^"'`]+)["'`]?,?\s*$|^(?P<bare>[^\s"'`{}\[\]:#-][^:{}\[\]]*?)\s*$"""
    r"""|^(?P<word>\S+)\s*$"""
)
_LAST = r"(?P<value>[A-Za-z0-9+/]{4,}={0,2})\s*$"
_MEMBER = r"""^["']?[\w.-]{1,253}["']?\s*:\s*(?:["'](?P<quoted>[^"']*)["'],?|(?P<plain>\S.*?))?\s*$"""
_BODY = (
    r"(?P<secret>[A-Za-z0-9+/=]+|(?:Proc-Type|DEK-Info|Version|Comment|Hash|Key-Format|Encryption|Public-Lines|Private-Lines"
    r"|Private-MAC)\s*:.*)\s*$"
)
_RANDOM = r"^(?:[>$#*-]\s+)?(?P<value>[\w.~+/=*-]{8,})\s*$"
_CHALLENGE = r"\b334 UGFzc3dvcmQ6\s*$"  # SMTP's "Password:": the client's next line is the password
_QUOTED_BODY = r"""["'`](?P<secret>[A-Za-z0-9+/]{4,}={0,2})(?:\\+[nr])*\\*["'`]"""
_ANNOUNCED = r"(?i)\bfollowing\s+(?:[\w-]+\s+)?(?:password|passphrase|token|key|secret|credentials?)\b[^:]{0,60}:\s*$"
_MENTIONED = (
    r"(?i)\b(?:password|passphrase|tokens?|secrets?"
    r"|(?:api|access|secret|private|license|encryption|recovery|unseal|certificate)[ _-]keys?)\b[^\n]*:\s*$"
    r"|\bget\s+secrets?\b[^\n]*\|\s*base64\s+(?:-d|-D|--decode)\s*$"
)
"""A sentence that announces a secret: the next line is one if it looks random."""
_RESET = r"(?i)\bpassword\b[^:=]{0,60}\b(?:reset|changed|updated|generated)\.?\s*$"
_LABELLED = r"(?i)^(?:new\s+)?(?:value|password)\s*:\s+(?P<value>\S{6,})\s*$"
_VALUES = {
    "entry": _VALUE, "last": _LAST, "labelled": _LABELLED, "element": _CONTENT, "input": _INPUT, "random": _RANDOM,
}  # fmt: skip
"""Patterns of the expected value by its place, `State.how`. For other places: `_SCALAR`."""
STARTS = [
    _RESET,
    _ANNOUNCED,
    _MENTIONED,
    _CHALLENGE,
    PEM,
    rf"""<(?:key>|\w+:|name=["'])?{NAME}(?:</key>|>|["']\s*/>)\s*$""",  # `_ELEMENT`, which has the name three times
    rf"""(?m)(?:^|\s)["'`]?{NAME}["'`]?(?:\.[a-z-]+\[.*\]|\.\d+)*\s*$""",  # `_FIELD` and `_FLAG_ITEM`
    _FORM_PART,
    _ENTRY.replace(r"[\w./-]{1,100}", rf"[\w./-]*(?:{_PARTS_OF_NAMES})[\w./-]*"),
    _DATA,
    _KIND,
    _JAAS,
]
"""Patterns of lines after which the next lines must be checked. `named.CANDIDATE` matches wherever `_SPLIT_NAME` does."""
_ANY_START = "|".join(f"(?:{ungrouped(pattern)})" for pattern in (*STARTS, _ENTRY, _SPLIT_NAME))


@dataclass(frozen=True)
class State:
    """What must be known of earlier lines to redact the next ones."""

    key_lines: int = 0
    """Lines of a private key so far; 0: not in a key."""
    prefix: str = ""
    """Text between the time and the key in the line where the key begins, with each number as 0."""
    others: int = 0
    """Number of lines since the last line of the key."""
    awaited: str = ""
    """Kind of the value that is expected on the next line: a value of `Kind`; empty: no value is expected."""
    how: str = ""
    """Place of the expected value. `entry`: in a member `value`; `block`: on all lines with a larger indent; `next`: alone on
    the next line; `list`: on the next items of a list; `last`: the last word of the next line; `random`: a random word alone
    on the next line; `input`: in pydantic's message about a field; `jaas`: of users in the options of a module of JAAS.
    Others: see `following`."""
    data: str = ""
    """Kind of the object that the lines are data of: `Secret` or `unknown`; empty: the lines are no data."""
    indent: int = 0
    """Indent of the line with the name, or with `data`."""
    lines: int = 0
    """Number of lines of the value or the data so far."""
    columns: tuple[str, ...] = ()
    """Parameters of a statement that are secrets, as `mark=kind`: `$1=password`."""
    kind: str = ""
    """The last `kind` of an object."""

    @property
    def is_open(self) -> bool:
        """Whether the next line must be checked even if no rule matches it."""
        return bool(self.key_lines or self.awaited or self.data)

    def closed(self) -> "State":
        """Return the state outside of any secret."""
        return State(kind=self.kind)


def find_pem(line: bytes) -> Iterator[Span]:
    """Yield the parts of private keys that are on this line."""
    at = 0
    while (begin := compiled(BEGIN).search(line, at)) is not None:
        end = compiled(END).search(line, begin.end())
        stop = end.end() if end else len(line.rstrip(b"\r\n"))
        yield begin.start(), stop
        at = stop
    if (end := compiled(END).search(line, at)) is not None:
        before = compiled(r"(?:[A-Za-z0-9+/=\\]|\\n)*$").search(line[at : end.start()])
        yield at + (before.start() if before else end.start()), end.end()


def after(state: State, line: bytes) -> State:
    """Return the state after a line outside of any secret."""
    if compiled(_ANY_START).search(line) is None:
        return state
    begins = list(compiled(BEGIN).finditer(line))
    if begins and compiled(END).search(line, begins[-1].end()) is None:
        return replace(state.closed(), key_lines=1, prefix=_shape(line[: begins[-1].start()]))
    if kind := compiled(_KIND).search(line):
        return State(kind=kind.group(b"what").decode())
    if compiled(_CHALLENGE).search(line):
        return replace(state.closed(), awaited=Kind.PASSWORD.value, how="last")
    indent = _indent(line)
    if compiled(_RESET).search(line):
        return replace(state.closed(), awaited=Kind.WEAK.value, how="labelled", indent=indent)
    if compiled(_ANNOUNCED).search(line):
        return replace(state.closed(), awaited=Kind.PASSWORD.value, how="next", indent=indent)
    if data := compiled(_DATA).search(line):
        certain = data.group(b"data") == b"stringData" or state.kind == "Secret"
        return replace(state.closed(), data="Secret" if certain else "unknown", indent=indent)
    if (part := compiled(_FORM_PART).search(line)) and (meant := kind_of(part.group(b"part").decode())):
        return replace(state.closed(), awaited=meant.value, how="next", indent=indent)
    if (entry := compiled(_ENTRY).search(line)) and (meant := kind_of(entry.group(b"entry").decode())):
        return replace(state.closed(), awaited=meant.value, how="entry", indent=indent)
    if (item := compiled(_FLAG_ITEM).search(line)) and (meant := kind_of(item.group(b"flag").decode("utf-8", "replace"))):
        return replace(state.closed(), awaited=meant.value, how="flag", indent=indent - 1)
    if element := compiled(_ELEMENT).search(line):
        given = element.group(b"name") or element.group(b"element") or element.group(b"attribute")
        if meant := kind_of(given.decode("utf-8", "replace")):
            return replace(state.closed(), awaited=meant.value, how="element", indent=indent)
    if (field := compiled(_FIELD).search(line)) and (meant := _kind_of_field(line, field)):
        return replace(state.closed(), awaited=meant.value, how="input", indent=indent)
    if (name := compiled(_SPLIT_NAME).search(line)) and (meant := kind_of(name.group(b"name").decode("utf-8", "replace"))):
        return replace(state.closed(), awaited=meant.value, how="block" if name.group(b"block") else "next", indent=indent)
    if compiled(_JAAS).search(line):
        return replace(state.closed(), awaited=Kind.PASSWORD.value, how="jaas", indent=indent)
    if compiled(_MENTIONED).search(line):
        return replace(state.closed(), awaited=Kind.KEY.value, how="random", indent=indent)
    return state


def _kind_of_field(line: bytes, field: Match) -> Kind | None:
    """Return the kind of a field that is alone on its line."""
    start = span(field, "field")[0]
    alone = not line[min(_offset(line), start) : start].strip(b" \t`")
    return kind_of(field.group(b"field").decode("utf-8", "replace")) if alone else None


def inside(state: State, line: bytes) -> tuple[Span | None, State]:
    """Return the part of a line that belongs to the open secret of `state` (None: no part), and the state after the line."""
    if state.key_lines:
        return _in_key(state, line)
    if compiled(BEGIN).search(line) is not None:
        # a key in the data of an object, which may go on after the key; or the value of a name
        return None, replace(after(state.closed(), line), data=state.data, indent=state.indent, lines=state.lines)
    offset = _offset(line)
    text = line[offset:].rstrip(b"\r\n")
    if not text.strip():
        return None, replace(state, lines=state.lines + 1) if state.lines < MAX_BLANKS or not state.awaited else state.closed()
    if state.lines >= MAX_BLOCK_LINES:
        return None, state.closed()
    if state.data:
        return _in_data(state, offset, text, _indent(line))
    if state.how == "jaas":
        return _in_jaas(state, offset, text)
    if state.how == "list" and not _is_item(line):
        return None, state.closed()
    kind = Kind(state.awaited)
    if state.how == "block":
        if _indent(line) <= state.indent:
            return None, state.closed()
        return None if is_placeholder(text.rstrip()) else (offset, offset + len(text.rstrip())), replace(
            state, lines=state.lines + 1
        )
    found = compiled(_VALUES.get(state.how, _SCALAR)).search(text)
    if found is None:
        goes_on = state.how == "input" and state.lines < MAX_MESSAGE_LINES and _indent(line) > state.indent
        return None, replace(state, lines=state.lines + 1) if goes_on else state.closed()
    if (
        kind in (Kind.SECRET, Kind.OBJECT)
        and state.how == "next"
        and compiled(r"^[A-Za-z][\w.-]*:\s*$").search(text) is not None
    ):
        return None, state.closed()  # the next name: `secrets:`, `db_password:`, `file: x`
    group = next(name for name in found.re.groupindex if found.group(name) is not None).decode()
    value, (start, end) = found.group(group.encode()), span(found, group)
    bare = group in ("bare", "word")
    if state.how == "flag" and bare and (value[:1] == b"-" or (b" " in value and not _is_item(line))):
        return None, state.closed()  # the next flag, or what the flag means
    if not is_secret(kind, value, False) or (bare and _indent(line) <= state.indent and (b" " in value or not is_coded(value))):
        return None, state.closed()
    goes_on = state.how in ("next", "list") and _is_item(line)
    return (offset + start, offset + end), replace(state, how="list", lines=state.lines + 1) if goes_on else state.closed()


def _is_item(line: bytes) -> bool:
    """Return whether a line is an item of a list in YAML: the next item is a value too."""
    found = compiled(_PREFIX).search(line)
    return found is not None and bool(found.group(b"item"))


def _in_key(state: State, line: bytes) -> tuple[Span | None, State]:
    if compiled(PEM).search(line) is not None:
        return None, replace(state.closed(), data=state.data, indent=state.indent, lines=state.lines)
    found = body_of_key(line, state.prefix)
    if found is None:
        lost = state.others >= MAX_OTHERS
        return None, state.closed() if lost else replace(state, others=state.others + 1)
    return found, replace(state, key_lines=state.key_lines + 1, others=0) if state.key_lines < MAX_KEY_LINES else state.closed()


def body_of_key(line: bytes, prefix: str | None = None) -> Span | None:
    """Return where a line has a part of a private key's body; None if it has none.

    `prefix`: `State.prefix`; None if the beginning of the key is not known.
    """
    found = compiled(rf"(?:^|[\s|:>\]]){_BODY}").search(line)
    if found is None:
        quoted = list(compiled(_QUOTED_BODY).finditer(line))
        if not quoted:
            return None
        found = max(quoted, key=lambda match: len(match.group(b"secret")))
    start, end = span(found, "secret")
    text = line[start:end]
    alone = (
        end - start >= 40
        or b":" in text
        or (end - start >= 16 and compiled(r"[0-9+/=]").search(text) is not None)
        or (not line[:start].strip() if prefix is None else _shape(line[:start]) == prefix)
    )
    return (start, end) if alone else None


def _in_data(state: State, offset: int, text: bytes, indent: int) -> tuple[Span | None, State]:
    going = replace(state, lines=state.lines + 1)
    if indent <= state.indent or text.strip() in (b"}", b"},"):
        return None, state.closed()
    member = compiled(_MEMBER).search(text)
    if member is None:
        whole = state.data == "Secret" and not is_placeholder(text.rstrip())
        return ((offset, offset + len(text.rstrip())) if whole else None), going
    group = "quoted" if member.group(b"quoted") is not None else "plain"
    value = member.group(group.encode())
    if (
        not value
        or is_placeholder(value)
        or compiled(r"^[|>][-+]?\d?$").search(value)
        or not (state.data == "Secret" or _is_encoded(value))
    ):
        return None, going
    start, end = span(member, group)
    return (offset + start, offset + end), going


def _in_jaas(state: State, offset: int, text: bytes) -> tuple[Span | None, State]:
    """Return the passwords of a line's users. The options of a module end with `;`."""
    ends = b";" in text or compiled(_OPTION).search(text) is None
    found = compiled(_ACCOUNTS).search(text)
    following = state.closed() if ends else replace(state, lines=state.lines + 1)
    if found is None or not checks.of_account(found.group(b"value")):
        return None, following
    start, end = span(found, "value")
    return (offset + start, offset + end), following


def _is_encoded(value: bytes) -> bool:
    """Return whether a value looks like base64: of a text, or with at least 24 characters."""
    if len(value) % 4:
        return False
    try:
        decoded = b64decode(value, validate=True)
        return decoded.decode().isprintable() or len(value) >= 24
    except UnicodeDecodeError:
        return value.endswith(b"=") or len(value) >= 24
    except NoBase64:
        return False


def _offset(line: bytes) -> int:
    found = compiled(_PREFIX).search(line)
    return int(found.end()) if found else 0


def _indent(line: bytes) -> int:
    """Return the indent of a line after a time or a container's name. The mark of a list item counts as blanks."""
    found = compiled(_PREFIX).search(line)
    return len(found.group(b"indent")) + len(found.group(b"item") or b"") if found else 0


def _shape(prefix: bytes) -> str:
    return str(compiled(r"\d+").sub(b"0", compiled(_STAMP).sub(b"", prefix)[-200:]).decode("latin-1"))

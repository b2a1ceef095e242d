"""Finds secrets that have neither a name nor a known form: tokens by their build, and random arguments of calls and commands.

A token has a short prefix, `_` or `-`, and a long random text: `acme_live_…`. Ids have the same build (`req_01…`, `cus_…`), but
their random text is shorter, unless a word of the prefix says that it is a secret.
"""

from collections.abc import Iterator

from aletheia_operator.redact import checks
from aletheia_operator.redact.contexts import ContextRule, is_counted
from aletheia_operator.redact.nearby import ID, is_random_text
from aletheia_operator.redact.patterns import byte_words, compiled
from aletheia_operator.redact.randomness import class_of, share_of_changes

Span = tuple[int, int]

_MARKED = r"(?:live|sk|pat|apikey|secret|sec|token|tok|privkey|prv|svcacct|[_-](?:api|key|auth))[_-](?P<marked>[A-Za-z0-9]{24})"
_LETTERS_OF_BOTH_CASES = r"[A-Za-z]\d?[_-](?P<mixed>[a-z0-9]{0,8}[A-Z][A-Z0-9]{0,6}[a-z][A-Za-z0-9]{24})"
TOKEN_BUILD = f"{_MARKED}|{_LETTERS_OF_BOTH_CASES}"
"""Logs have many ids of one case or of hexadecimal digits: this does not match them, so that they cost no time."""
LONG_BODY = 32  # characters of a random text after a prefix that is no word of secrets
MAX_PREFIX = 40
MAX_TOKEN = 300
_PREFIX = r"^[A-Za-z][A-Za-z0-9]{0,15}(?:[_-][A-Za-z0-9]{1,12}){0,3}$"
_WORD = r"(?:[a-z]{2,16}|[A-Z]{2,16}|[A-Z][a-z]{2,15})\d{0,2}"
_PREFIX_OF_WORDS = rf"^{_WORD}(?:[_-](?:{_WORD}|[A-Za-z]?\d{{1,3}}|[a-z]))*$"
"""A prefix that has no word of secrets: random texts in base64 of URLs may contain `_` and `-` too."""
_SECRET_WORDS = byte_words(
    "live sk pat apikey secret sec token tok privkey priv prv svcacct auth oauth access refresh bearer pass cred"
)
_AFTER_ANOTHER = byte_words("api key")
"""Words of secrets that are too common to begin a token."""
_ID_WORDS = byte_words(
    """
    evt cus pi ch req request msg message chatcmpl run job trace span id ids uid uuid sha1 sha256 sha384 sha512 md5 hash commit
    build file page cursor block tx node pod image snap snapshot vol pvc thread call toolu resp order user session segment
    boundary hmac etag ref rev version pub pk public cert csr fingerprint crc gid cid pid tid sid
    """
)
_NO_START = b"./\\@%#$&;?+-_"
_MIN_DIGITS, _MIN_LETTERS, _MIN_CHANGES = 3, 3, 0.3


def find_tokens(line: bytes) -> Iterator[Span]:
    """Yield the tokens of a line that only their build shows."""
    at = 0
    for body in compiled(TOKEN_BUILD).finditer(line):
        if body.start() < at:
            continue
        separator = body.span(b"marked" if body.group(b"mixed") is None else b"mixed")[0] - 1
        run = compiled(r"[A-Za-z0-9_-]+").match(line, separator, separator + MAX_TOKEN)
        at = run.end() if run else body.end()
        start = _start_of(line, separator)
        if start < 0 or line[at : at + 1] in (b"@", b"(", b"/") or compiled(r"\.[A-Za-z]").match(line, at) is not None:
            continue  # an address, a function, a path, a file
        if _is_token(line[start:separator], line[separator + 1 : at], line[max(start - 40, 0) : start]):
            yield start, at


def _start_of(line: bytes, at: int) -> int:
    """Return where the prefix that ends at `at` begins; -1 if it is none."""
    prefix = compiled(r"[A-Za-z0-9_-]+$").search(line[max(at - MAX_PREFIX, 0) : at])
    if prefix is None or len(prefix.group()) >= MAX_PREFIX:
        return -1
    start = at - len(prefix.group())
    return -1 if start and line[start - 1 : start] in _NO_START else start


def _is_token(prefix: bytes, body: bytes, before: bytes) -> bool:
    if compiled(_PREFIX).search(prefix) is None:
        return False
    parts = compiled(r"[_-]").sub(b" ", prefix.lower()).split()
    if parts[0] in (b"pk", b"pub"):
        return False  # publishable
    if not _SECRET_WORDS.isdisjoint(parts) or not _AFTER_ANOTHER.isdisjoint(parts[1:]):
        return _is_mixed(body)
    return (
        len(body) >= LONG_BODY
        and _ID_WORDS.isdisjoint(parts)
        and compiled(_PREFIX_OF_WORDS).search(prefix) is not None
        and is_random_text(body)
        and not (body.islower() or body.isupper())
        and compiled(ID).search(before) is None
        and not is_counted(before)
    )


def _is_mixed(body: bytes) -> bool:
    """Return whether digits and letters take turns, also in hexadecimal text."""
    classes = [class_of(byte) for byte in body]
    letters = classes.count("a") + classes.count("c")
    least = 1 if len(body) >= LONG_BODY and not (body.islower() or body.isupper()) else _MIN_DIGITS
    return classes.count("d") >= least and letters >= _MIN_LETTERS and share_of_changes(classes) >= _MIN_CHANGES


_QUOTED = r"""\\*["'](?P<secret>[\w+/=-]{24,})\\*["']"""
RULES: tuple[ContextRule, ...] = (
    ("call-key", rf"(?:[Cc]lient|\b(?:load|init|login|authenticate|connect|configure|setup))\(\s*{_QUOTED}",
     is_random_text),
    ("short-flag", r"\s-(?:t|k|a|P|w|T|K)\s+(?P<secret>[\w+/-]{24,}={0,2})(?:\s|$)", is_random_text),
    ("p-flag", r"\s-[pP]\s+[\"']?(?P<secret>[^\s\"'/:=,]{12,})(?:[\s\"']|$)", is_random_text),
    ("login-call", r"""(?i)(?:log_?in|sign_?in|authenticate|\bauth|->auth|check_?password|verify_?password|password_(?:verify"""
                   r"""|hash))\(\s*(?:(?:'[^']*'|"[^"]*"|Object\([\w\\]+\)|[\w.$]+)\s*,\s*)?"""
                   r"""(?:'(?P<secret>[^'\s]{6,64})'|"(?P<secret2>[^"\s]{6,64})")\s*[,)]""", checks.stated_password),
    ("with-password", r"(?i)\b(?:with|using)\s+(?:the\s+|initial\s+|new\s+)?(?:password|passphrase|passwd|pw|pwd)\s+[\"'`]?"
                      r"(?P<secret>[^\s\"'`,;()]{6,64})[\"'`]?(?:[\s,;)]|$)", checks.stated_password),
    ("card-code", r"(?i)\b(?:cvv2?|cvc2?)\s+(?P<secret>\d{3,4})(?:[\s,;.)}\]\"']|$)", checks.anything),
    ("value-of-secret", r"(?i)\bvalue\s+\\*[\"'`]?(?P<secret>[^\s\"'`\\]{12,})\\*[\"'`]?\s+(?:for|of)\s+(?:the\s+)?"
                        r"(?:secret|password|token|\w+\s+key)\b", is_random_text),
    ("user-query", r"[?&]u(?:ser)?=[\w.@%-]+&p=(?P<secret>[^&\s\"'#<>\\]+)", checks.anything),
    ("here-string", r"""<<<\s*\\*["'](?P<secret>[^\s"'\\$]{6,})\\*["']""", checks.mixed),
    ("hosts", r"""(?i)(?:oauth|bearer|tokens?|auth)\\*["']\s*:\s*\{\s*\\*["'][\w.-]+\.[a-z]{2,}\\*["']\s*:\s*"""
              r"""\\*["'](?P<secret>[^"'\\]{16,})""", checks.coded),
    ("jaas-users", r"""LoginModule\s[^;{}]*?(?:\b|\\n)user_[\w.-]+="""
                   r"""\\*"(?P<secret>[^"\\]+(?:\\*"(?:\s|\\+n)+user_[\w.-]+=\\*"[^"\\]+)*)""",
     checks.of_account),
    ("mailed-link", r"(?i)/[\w-]*(?:reset|activat|confirm|verif|recover|invit|magic)[\w-]*"
                    r"(?:/[\w=-]+)?/(?P<secret>[\w-]{16,})(?:[/?#\s\"'<>\\]|$)", checks.unbroken),
    ("refused-value", r"""(?i)(?P<name>[\w.-]*(?:passw(?:or)?d|passphrase|secret|token|key|pwd))(?:\(\d+\))?\\*["'`\]]?[:,]?"""
                      r"""(?:\s|\\+[rn])+(?:[A-Z][^\[\]]{1,120}\[type=\w+, input_value="""
                      r"""|(?:(?:invalid|unsupported|rejected|with)\s*)?value[:=]?\s*|(?:converting|parsing)\s+|\()"""
                      r"""\\*["'`\[](?P<secret>[^"'`\[\]\\]+)""", checks.secret),
    ("signing-call", r"""(?i)(?:\b(?:jwt|jws|jsonwebtoken|jose)(?:\.|::)\w+|hmac(?:sha)?\d*(?:\.\w+)?|hmacshakeyfor"""
                     r"""|\.signwith|_(?:en|de)crypt|\bcookie_?parser)"""
                     r"""\(\s*(?:(?:\{[^{}]{0,200}\}|[^()"']{0,80}|["'](?:sha|md|aes|des)[\w-]*["']),\s*){0,2}"""
                     r"""b?\\*["'](?P<secret>[^"'\\]+)""", checks.coded_no_cipher),
    ("secure-value", r"(?i)\bSecureString\s+--value\s+[\"']?(?P<secret>[^\s\"']+)", checks.anything),
    ("driver-connect", r"""->connect\([^()'"]{0,40}'[^']*',\s*'(?P<secret>[^']+)'""", checks.password),
    ("more-keys", r"(?i)(?:keys|secrets|tokens)\s*[=:]\s*[\w+/=-]{16,},\s?(?P<secret>[\w+/=,-]{16,})", checks.coded),
    ("login-challenge", r"""(?i)\bAUTH LOGIN challenge:\s*["'](?P<secret>[^"']+)""", checks.anything),
    ("chain-node", r"(?i)(?:infura\.io|alchemy\.com|quiknode\.pro|ankr\.com|chainstack\.com|blockpi\.network|drpc\.org"
                   r"|helius-rpc\.com)\\?/(?:[\w.-]{1,20}\\?/)?(?:[\w.-]{1,20}\\?/)?(?P<secret>[A-Za-z0-9_-]{24,})",
     checks.mixed),
    ("storage-account", r"(?i)\baccount\.key\.[\w.-]+\s*[\s=:]\s*(?P<secret>[\w+/-]{40,}={0,2})", checks.anything),
    ("plain-scheme", r"\{(?:PLAIN|CLEAR|CLEARTEXT)\}(?P<secret>[^\s\"':,]+)", checks.anything),
    ("user-pair", r"(?i)\bstats\s+auth\s+[\w.@-]+:(?P<secret>\S+)", checks.anything),
    ("ipsec-secret", r":\s+(?:EAP|PSK|XAUTH|NTLM|PIN)\s+\\*[\"'](?P<secret>[^\"'\\]+)", checks.anything),
    ("installer", r"(?i)(?:\brootpw\s+--plaintext|\bd-i\s+\S*password\S*\s+(?:password|string))\s+(?P<secret>\S+)",
     checks.anything),
    ("secret-hash", r"\bSECRET_HASH\\*[\"']?\s*[=:]\s*\\*[\"']?(?P<secret>[A-Za-z0-9+/]{43}=)", checks.anything),
    ("code-to-enter", r"(?i)\b(?:enter|use)\s+(?:this|the)\s+code\s+to\s+(?:sign|log)[ -]?in:?\s+(?P<secret>\d{4,8})\b",
     checks.anything),
)  # fmt: skip
"""Random arguments of calls, commands and lists, as in `contexts`."""

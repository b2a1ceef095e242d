"""Judges by the text around a name and its value whether the name is that of a secret."""

from aletheia_operator.redact.expressions import is_doubtful
from aletheia_operator.redact.names import Kind, kind_of
from aletheia_operator.redact.patterns import byte_words, compiled
from aletheia_operator.redact.randomness import has_random_word
from aletheia_operator.redact.reach import Before

_SPECIAL = r"(?i)\b(?:bos|eos|eot|eom|pad|unk|sep|cls|mask|stop|special)\s+$"
"""A word before the token of a language model."""
_TOKENS = byte_words("token tokens expected_token actual_token lookahead_token")
_LEXED = r"""\s*\\*["']?(?:[A-Z]{2,15}_)*[A-Z]{2,15}(?:[\s"',;:)}\\]|$)"""
"""The name of a token of a parser: `token=LPAREN text="("`."""
_IN_LEXER = (
    r"""(?i)\b(?:lexer|parser|yacc|yylex|syntax|\w*lexeme)\b|\btoken\{|\b(?:pos|line|col|column|text|value|kind)["']?[=:]"""
)
"""What stands near the name of a token of a parser, and not near a token in capitals."""
_NEXT_PROMPT = (
    r"(?i)(?:re-?type|re-?enter|repeat|confirm|verify|new|old|current)\s(?:\w+\s){0,2}pass(?:word|phrase)s?\b"
    r"|authentication token\b"
)
"""What follows a prompt if the terminal shows no input: `New password: Retype new password: `."""
_SWITCH = r"\s*(?:(?:files|compat|sss|systemd|db|nis|ldap|winbind)\b\s*)+$"
"""The sources of users in nsswitch.conf: `passwd: files systemd`."""
_STAGE = r"""\\*["']?(?:production|staging)\b"""
_FILE = r"""^/[^\s"'`]*\.[a-z]+\\*["'`]\]?\s*:"""
"""A path in quotes, and a message: `cannot load key "/etc/tls/tls.key": no such file`."""
_VARIABLE = r"\s*(?:!(?:vault|secret|env_var|Ref|Sub|GetAtt|ImportValue|Join)\b|\(\([\w.:/-]+\)\))"
_TYPE = r"""\s*Optional\[(?:str|int|bytes|SecretStr|Any)\](?:\s*[=,;)\]|]|\s|["']|$)"""
_DIRECTORY = r"""^["']?(?:/[\w.@+-]*)+(?:["',;\s]|$)"""
_SHELL = r"^:(?:\?[^{}]*\s[^{}\s]|\+(?:(?:-[A-Za-z]|--[a-z-]+)[\s=}]|[a-z0-9]{1,3}\}))"
"""A shell's message, `${DB_PASSWORD:?must be set}`, or what stands for a password that is set: `:+-p`, `:+yes`."""
_PSQL = r"(?i)\b(?:user|role|with|encrypted|alter|set)\b"
_NO_PSQL = r"(?i)\bconfig\s+set\b|\b(?:requirepass|masterauth)\s*$"
"""A command of Redis: `CONFIG SET requirepass :'quote'`."""
_CHOICES = byte_words("type kind mode grant grant_type scheme method strategy format")
"""Names of settings that have a few words as values: `type=password -> text`."""


def kind_here(kind: Kind, name: bytes, line: bytes, start: int, end: int) -> Kind | None:
    """Return the kind of a name in its line: None if its value is no secret there, KEY if only a random value is one."""
    small = name.lower()
    if small in _TOKENS:
        special = compiled(_SPECIAL).search(line[max(start - 12, 0) : start]) is not None
        return Kind.KEY if special or (name == small and _is_lexed(name, line, start, end)) else kind
    if _is_word(small, line, start, end):
        return None
    if line[start : start + 1] == b"/":
        return Kind.KEY if compiled(_FILE).search(line[start:end]) is not None else kind
    if small in (b"pwd", b"oldpwd"):  # a shell's directory
        other = b"/" in line[end : end + 2] and compiled(_DIRECTORY).search(line[end : end + 200]) is not None
    elif name == b"PASS":  # a test that passed
        passed = compiled(r"(?i)^\s*(?:test|[\w.-]+/)").search(line[end : end + 80]) is not None
        other = passed or line[max(start - 4, 0) : start] == b"--- "
    elif small[-5:] in (b"field", b"param", b"input"):  # a field's name
        other = compiled(r"""^\\*["']?[a-zA-Z_.-]{1,24}(?:["',;}\s\\]|$)""").search(line[end : end + 60]) is not None
    elif small.endswith(b"header"):  # a header's name: `API_KEY_HEADER=apikey`
        word = compiled(r"""\\*["']?(?P<word>[A-Za-z_-]{1,40})(?:["',;}\s\\]|$)""").match(line, end)
        other = word is not None and kind_of(word.group(b"word").decode()) is not None
    elif small == b"passwd":
        other = compiled(_SWITCH).match(line, end) is not None
    elif small.endswith(b"env"):  # the stage of a program: `secret_env=staging`
        other = compiled(_STAGE).match(line, end) is not None
    else:
        other = line[max(start - 2, 0) : start] == b"${" and compiled(_SHELL).search(line[end - 1 : end + 200]) is not None
    return None if other else kind


def _is_lexed(name: bytes, line: bytes, start: int, end: int) -> bool:
    """Return whether a token is that of a parser. `start`: of its name; `end`: after the separator."""
    if compiled(_LEXED).match(line, end) is None:
        return False
    near = line[max(start - 60, 0) : start] + b" " + line[end : end + 80]
    return b"_" in name or compiled(_IN_LEXER).search(near) is not None


_WORDS = {
    b"pw": r"(?:api|browser|channel|install|protocol|webserver)(?:[*,:\s]|$)",
    b"credentials": r"(?:edit|show|diff|fetch)\b",
    b"secrets": r"\s*inherit\s*(?:#|$)|S\d{4}\b",
    b"auth": r"\s*[a-z-]+\([^()]*\):",
    b"password": r"Need '[A-Z][\w ]*' |Verification Failed: '",
    b"update_password": r"""\s*\\*["']?(?:always|on_create)\b""",
    b"gpg_key": r"\s*[0-9A-F]{40}\b",
    b"loadcredential": r"[\w.-]+(?::/\S*)?\s*$",
    b"loadcredentialencrypted": r"[\w.-]+(?::/\S*)?\s*$",
}
"""Words and patterns of other values by name."""


def _is_word(small: bytes, line: bytes, start: int, end: int) -> bool:
    """Return whether a known word follows a name: the namespace of a debugger, a command, the id of a rule, a module of PAM."""
    if line[start - 1 : start] == b"(" and compiled(r"\bpam_\w+\($").search(line[max(start - 40, 0) : start]) is not None:
        return True  # `pam_unix(passwd:chauthtok)`
    if compiled(r"\s*Nothing\s*[,})]").match(line, end) is not None and line[max(end - 8, 0) : end].rstrip().endswith(b" ="):
        return True  # as Haskell prints a missing value
    if small == b"pw" and line[end - 1 : end] != b":":
        return False
    words = _WORDS.get(small)
    return words is not None and compiled(words).match(line, end) is not None


def is_reference(line: bytes, at: int, join: bytes) -> bool:
    """Return whether a variable, a type or a tag of YAML begins at `at`. `join`: the separator before it."""
    if line[at : at + 1] not in b"!('O \t\r\n\f":
        return False
    if (variable := compiled(_VARIABLE).match(line, at)) is not None:
        return not has_random_word(variable.group())
    if join[-1:] != b":" and join.strip() != b":":
        return False
    if join == b" :" and compiled(r"'[a-z_]+'(?:[^'\w]|$)").match(line, at) is not None:
        before = line[max(0, at - 200) : at - len(join)]
        return compiled(_PSQL).search(before) is not None and compiled(_NO_PSQL).search(before) is None
    return compiled(_TYPE).match(line, at) is not None


_CALL = r"""[A-Za-z_]\w*(?:(?:\.|::)[A-Za-z_]\w*)*!?\((?:\)|\\*["'])|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+!?\(:?[\w.]+[,)]"""
_STRUCTURE = r"[A-Z]\w*[{(\[][A-Za-z_]\w*\s?[=:]|[a-z]\w*\.[A-Z]\w*\{"
_EMPTY_FIELD = r"(?:^|[{\s])[A-Z]\w*: $"
_NEXT_FIELDS = r"[A-Z]\w*[a-z]\w*:[\w.-]+(?: [A-Z]\w*:\S|\}+ [A-Z]\w*:\S)|[A-Z]\w*[A-Z][a-z]+:[a-z]+\}+\s*$"
"""The fields of Go after one that is empty: `{Password: Host:db Port:5432}`, `{Password: SSLMode:disable}`."""
_KNOWN_FIELD = r"(?:User|Username|Host|Port|Name|Addr|Address|DB|Database):"
_IN_STRUCTURE = r"\{[^{}\"']*$"
"""The text before a field of Go. Outside of braces, only fields with a known name are not taken for a password."""
_BREAK_OR_LENGTH = r"\\+[rn]|\d+ (?:bytes?|bits?|char(?:acter)?s?)\b"
MAX_EXPRESSION = 100  # bytes of an expression that are searched for words
_CODE = (
    r"""(?:[A-Za-z_][\w.:]*\(&|await\s|new\s|\$\w+(?:->|\[(?:\\*["']|[\w$-]+\]|:[A-Za-z_]+\]|\$\w+[+-]\d+\])|::\$?\w)"""
    r"""|[A-Za-z_][\w.]*!?(?:\((?:\)|[\w.]+[,)=]|["'])|\[(?:\w+|["'][\w-]+["'])\]))"""
)


def is_no_value(line: bytes, at: int) -> bool:
    """Return whether something else than an unquoted value begins at `at`.

    A call, `password=config.get("password")`; a structure, because its fields have names; an escaped line break; a length.
    The first byte decides which pattern is tried: a search takes much longer.
    """
    first = line[at : at + 1]
    if first.isalpha() or first == b"_":
        code = _is_code(f"{_CALL}|{_STRUCTURE}", line, at) or compiled(_NEXT_PROMPT).match(line, at) is not None
        return code or _are_next_fields(line, at)
    return (first == b"\\" or first.isdigit()) and compiled(_BREAK_OR_LENGTH).match(line, at) is not None


def _are_next_fields(line: bytes, at: int) -> bool:
    """Return whether the field before `at` is empty, and those after it follow."""
    if compiled(_EMPTY_FIELD).search(line[max(at - 60, 0) : at]) is None or not _is_code(_NEXT_FIELDS, line, at):
        return False
    known = compiled(_KNOWN_FIELD).match(line, at) is not None
    return known or compiled(_IN_STRUCTURE).search(line[max(at - 200, 0) : at]) is not None


def is_code(line: bytes, at: int) -> bool:
    """Return whether code of a program begins at `at`, where a value may be: `token = get_token(user)`."""
    return _is_code(_CODE, line, at)


def _is_code(pattern: str, line: bytes, at: int) -> bool:
    found = compiled(pattern).match(line, at)
    if found is None or has_random_word(found.group()):
        return False
    whole = compiled(r"\S*").match(line, at, at + MAX_EXPRESSION)
    return whole is None or not is_doubtful(whole.group())


def goes_on(line: bytes, begin: int, end: int) -> bool:
    """Return whether a quoted word is part of a sentence: `credentials: "certificate" object cannot specify both`."""
    if compiled(r"^[a-z_]+$").search(line[begin:end]) is None:
        return False
    return compiled(r"""\\*["'`] (?:[a-z]+(?:n't)? ){2}""").match(line, end) is not None


def is_account_secret(line: bytes, begin: int, end: int) -> bool:
    """Return whether a quoted word names the Secret of a service account: `secret "default-token-24579" not found`.

    Its random end has only digits, as passwords may have: a sentence must go on after it.
    """
    named = compiled(r"^[a-z][a-z0-9-]*-token-\d{5}$").search(line[begin:end]) is not None
    return named and compiled(r"""\\*["'`]\s+[a-z]""").match(line, end) is not None


def is_closing_quote(line: bytes, name_at: int, after: int, before: Before) -> bool:
    """Return whether a quote after a name closes a text in which the name stands: `msg="Password:" attempt=2`."""
    quote = line[after - 1 : after]
    return line[after : after + 1] in b" ,}])" and before.opens(quote, name_at)


def is_scheme(name: bytes, line: bytes, at: int) -> bool:
    """Return whether a name is the scheme of a store's URL, as in `ref+secrets://db`. `at`: after its colon."""
    if line[at : at + 2] != b"//":
        return False
    plural = compiled(r"(?i)^[a-z0-9.-]*secrets$").search(name) is not None
    return plural or (name.lower() == b"secret" and compiled(r"//[\w.-]{1,80}/\w").match(line, at) is not None)


def is_changed(join: bytes, line: bytes, start: int, end: int) -> bool:
    """Return whether a secret's name is itself a value that changes: `type=password -> type=text`.

    In `field=password -> x` it is not. `join`: the arrow after the name; `end`: where the new value begins.
    """
    if join.strip() not in (b"->", b"=>"):
        return False
    key = compiled(r"\w+=$").search(line[max(start - 40, 0) : start])
    value = compiled(r"""\\*["'`]?(?P<word>[\w.-]{0,60})=?""").match(line, end)
    if key is None or value is None:
        return False
    if value.group().endswith(b"=") or kind_of(value.group(b"word").decode("utf-8", "replace")) is not None:
        return True
    return key.group()[:-1].lower() in _CHOICES and value.group(b"word").isalpha()


MAX_ITEM = 200  # bytes of a quoted word


def is_tuple(line: bytes, name_at: int, value_end: int) -> bool:
    """Return whether a quoted name and a quoted value stand alone in brackets: `('password', 'hunter2')`."""
    opened = line[max(name_at - 8, 0) : name_at]
    if b"(" not in opened and b"{" not in opened and b"[" not in opened:
        return False
    before = compiled(r"""[({\[]\s*\\*[b]?["'`]$""").search(opened)
    if before is None or compiled(r"""\\*["'`]\s*[)}\]]""").match(line, value_end) is None:
        return False
    return (
        before.group()[:1] != b"["
        or compiled(r"""["'`][a-z]+(?:_[a-z]+)*$""").search(line[max(value_end - MAX_ITEM, 0) : value_end]) is None
    )

"""Recognises values that are no secrets themselves: masks, encrypted texts, variables, and references to where a secret is."""

from aletheia_operator.redact.expressions import is_doubtful
from aletheia_operator.redact.names import kind_of
from aletheia_operator.redact.patterns import compiled
from aletheia_operator.redact.randomness import has_random_word

TOKEN = r"\[redacted(?::[a-z0-9-]{1,40}){0,2}\]"  # noqa: S105
"""Pattern of the tokens that replace secrets."""

_HIDDEN = "(?:redacted|filtered|masked|hidden|removed|protected|secret|omitted|sanitized|scrubbed|sensitive)"
_MASK = (
    r"(?is)^(?:"
    r"[|>][-+]?\d?|\d+ (?:bytes?|bits?|chars?|characters?)|.{0,8}(?:\.{3}|…).{0,12}|[\w.@+-]{1,40}:[*]{3,}"
    r"|~|%![a-z]\(.{0,80}|\?|\$\d"
    r"|[*.#?_\s;:,()\[\]{}<>/\\|=-]+|x{2,}[\sx-]*"
    r"|[\xe2\x80\xa2\xef\xbc\x8a•●＊]+|.{0,4}[*]{3,}.{0,4}"  # masked, perhaps except for its ends
    r"|[*]{12,}\w{0,6}|[*]{3,}\(redacted\)"
    r"|VALUE_SPECIFIED_IN_NO_LOG_PARAMETER|DATA\+OMITTED|0xc000[0-9a-f]{6}\??|[cU]GFzc3dvcmQ6|[dV]XNlcm5hbWU6"
    rf"|(?:value )?{_HIDDEN}(?:[ _-][A-Za-z _-]{{0,30}})?|\[(?:value )?{_HIDDEN}[\w -]{{0,30}}\]?"
    r"|\(?(?:sensitive(?: value)?|redacted|hidden|none|null|empty|unset|not set|masked)\)?"
    r"|(?:your|my|the|insert|enter|replace|put|add|some)[-_ ](?:[\w]+[-_ ])*(?:pass|password|token|key|secret|here"
    r"|credential|value)s?(?:[-_ ]here)?"
    r"|(?:replace|change|fill|update)[-_ ]?(?:me|this|in|it)(?:[-_ !]\D{0,30})?|changeit|(?:example|dummy|fake|sample"
    r"|placeholder)(?:[-_ ]?\w+){0,3}"
    r"|x{3,}(?:[-_]x{2,})*|todo.{0,20}|\.\.\.|…"
    r")$"
)
_ENCRYPTED = (
    r"^(?:ENC\[(?:AES256_GCM(?:,(?:data|iv|tag|type):[\w+/=]*){0,4},?\]?|[A-Z0-9_]{2,16},(?:[A-Za-z0-9+/=]*\]|[A-Za-z0-9+/=]{40,}))"
    r"|EJ\[1:[A-Za-z0-9+/=:]*\]?|\{SHA\d{0,3}\}(?:[0-9a-f]{40}|[0-9a-f]{64})|(?:hmac-)?sha\d+:(?:[0-9a-f]{32,128}|[0-9A-F]{32,128}|[\w+/-]{27}=?|[\w+/-]{43}=?|[\w+/-]{64}|[\w+/-]{86}(?:==)?)"
    r")$"
)
"""What sops, eyaml and ejson write, perhaps cut at a line's end, and digests."""
_ADDRESS = (
    r"^(?:(?i:(?:file|vault|ref\+[\w+]+|gcp-?sm|awssm|aws-?sm|asm|ssm|op|secret|secrets|sm|env|k8s|azkv|azurekeyvault"
    r"|keyvault|conjur"
    r"|doppler|infisical|kms)):(?://|[\w/.-]+[#/]).*"
    r"|arn:aws[\w-]*:.*|projects/[\w-]+/secrets/.*|@\.?/.*"
    r"|/|[A-Za-z]:\\\\?[^\s]*|~/.*|\.{1,2}/.*"
    r"|/(?:etc|var|run|opt|home|root|tmp|usr|mnt|data|secrets?|vault|app|srv|proc|sys|dev|workspace|config|certs?|keys?"
    r"|bin|lib|ssl|tls)"
    r"(?:/[^\s]*)?|(?:/[\w.-]+)+\.(?:key|pem|crt|cer|jks|p12|pfx|json|txt|ya?ml|conf|properties|env|token|secret|pwd|passwd)"
    r"|[\w./-]+\.(?:key|pem|crt|cer|jks|p12|pfx|json|txt|ya?ml|conf|properties|kdbx))$"
)
"""The place of a secret: a file, or an entry of a store."""
_VARIABLE = (
    r"(?is)^(?:<{1,3}[^<>]{0,80}>{1,3}|%env\([\w:.]{1,80}\)%|@@\w{1,60}@@|__[A-Z_]{1,60}__|\*[a-z_][a-z_-]{1,60}|\*(?:\w{1,30}[_-])?(?:password|passwd|passphrase|pass|token|secret|key)\*"
    r"|\$\{[^{}]{0,200}\}{0,2}|\$\([^()]{0,200}\)?|\{\{[^{}]{0,200}\}{0,2}|\$\{\{[^{}]{0,200}\}\}|#\{[^{}]{0,200}\}"
    r"|\{[\w.-]{0,60}\}|%[({]?[\w.-]{0,60}[)}]?[sdvqr]?%?|%[A-Z_]{1,60}%|\$[A-Z_][A-Z0-9_]{1,80}|\$[a-z_]{2,80}"
    r"|\$env:\w{1,80}|\$__(?:file|env|vault)\{[^{}]*\}?|\(\([\w.:/-]{1,80}\){0,2}|Symbol\(\w{1,60}\)?"
    r"|:[a-z_]{2,40}|@[A-Z_a-z]{2,40}@?|&\w{1,40};"
    r"|!(?:vault|secret|env_var|Ref|Sub|GetAtt|ImportValue|Join|Base64)(?:\s.*)?)$"
)
_EXPRESSION = (
    r"^(?:(?:PASSWORD|PASSWD|PASSPHRASE|PASS|PWD|TOKEN|SECRET|API_KEY)|Secrets?(?:[A-Z][a-z]+)+|env:\w+|env\.\w+|(?:process\.env|import\.meta\.env|os\.(?:environ|getenv)|System\.getenv)(?:\W.*)?"
    r"|\$\w+(?:->\w*|::(?:\$\w+|[A-Za-z_]+)|\[(?:(?:[\w$'\".-]+|:[A-Za-z_]+|\$\w+[+-]\d+)\])?|\[\d+\]\.[A-Za-z_]+"
    r"|\((?:[$'\"][\w$'\",. -]*)?\)?)+[,;)]*"
    r"|(?:self|this|var|vars|local|data|module|each|config|cfg|conf|params|req|request|os|settings|options|opts|args|input"
    r"|inputs|ctx|props|state|secrets)(?:\.[A-Za-z_]+)+(?:\[[^\]]*\])?[,;]?"
    r"|(?:[A-Za-z_]+\.)+\w*(?:[Pp]assword|[Tt]oken|[Ss]ecret|[Kk]ey)[,;]?|[A-Z]\w*(?:\.[a-z]+)+(?:_[a-z]+)+!|\w*(?:password|secret|token|key)(?:\.[a-z_]+)+"
    r"|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\[(?::\w+|[\"']\w+[\"']?)?\]?|[a-z_]\w*(?:::[A-Za-z_]\w*)+\(?"
    r"|(?:Read|Get|New|Import|Invoke|ConvertTo|ConvertFrom|Select)-[A-Z][A-Za-z]+)$"
)
_NO_SECRET = f"(?:{_MASK})|(?:{_ENCRYPTED})|(?:{_ADDRESS})"
_NAME = f"(?:{_VARIABLE})|(?:{_EXPRESSION})"


def is_placeholder(value: bytes) -> bool:
    """Return whether a value is no secret itself, but a mask, a variable, or the token of an earlier redaction.

    A variable or an expression with a word that looks random is a secret of the same shape: `$Xq7vT2mK`.
    """
    if compiled(f"{_NO_SECRET}|{_NAME}").search(value) is None:
        return not _without_tokens(value).strip(b" ,;:\"'&")
    if compiled(_NO_SECRET).search(value) is not None:
        return True
    return not has_random_word(value) and not is_doubtful(value)


def is_template(password: bytes, *others: bytes) -> bool:
    """Return whether a password is the name of a variable, and so is a user or a host: `DB_USER:DB_PASSWORD@db`."""
    if not any(compiled(r"[A-Z][A-Z0-9_]+(?:[^A-Za-z0-9_]|$)").match(other) for other in others):
        return False
    return compiled(r"^[A-Z][A-Z0-9_]+$").search(password) is not None and kind_of(password.decode()) is not None


def _without_tokens(value: bytes) -> bytes:
    return compiled(TOKEN).sub(b"", value) if b"[redacted" in value else value

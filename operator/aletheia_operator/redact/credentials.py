"""Literal credentials in a pod's spec: values that belong into a Secret and were written beside it. Best effort, pure.

Replaced are: the value of a variable or header whose name says that it is a credential, and in any variable, argument or
command the password of a URL, private keys, JSON Web Tokens and `--password=...`. Nothing of the value is kept, no digest
either: a short password is found from its digest.
"""

import re
from typing import Any

REDACTED = "[redacted]"

_WORD = (
    r"(?:passw(?:or)?d|passphrase|(?<=[-_])pwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credentials?"
    r"|authorization|cookie)"
)
_NAME = re.compile(rf"{_WORD}s?(?:[-_](?:value|plain|base64|b64|id|\d+))?$", re.IGNORECASE)
_PATTERNS = (  # each linear in the text, which an attacker may have written
    (re.compile(r"(?<=://)([^/\s:@]*):([^/\s@]+)@"), rf"\1:{REDACTED}@"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL), REDACTED),
    (re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), REDACTED),
    (re.compile(rf"(?i)({_WORD}=)(\S+)"), rf"\1{REDACTED}"),
    (re.compile(r"(?i)\b(bearer|basic) [\w.~+/=-]{8,}"), rf"\1 {REDACTED}"),
)
_HINT = re.compile(r"://|=|PRIVATE KEY|eyJ|bearer |basic ", re.IGNORECASE)  # no pattern matches without one


def redact_value(name: str, value: str) -> str:
    """The value of a variable or header of this name, without what is a credential."""
    return REDACTED if value and _NAME.search(name) else redact_text(value)


def redact_text(text: str) -> str:
    """An argument, without what is a credential."""
    if not _HINT.search(text):
        return text
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_spec(spec: Any) -> int:
    """Redact a spec in place, at any depth: `{name, value}` pairs, `command` and `args`; how many values changed."""
    if isinstance(spec, list):
        return sum(map(redact_spec, spec))
    if not isinstance(spec, dict):
        return 0
    changed = 0
    if isinstance(spec.get("name"), str) and isinstance(spec.get("value"), str):
        kept = redact_value(spec["name"], spec["value"])
        changed += kept != spec["value"]
        spec["value"] = kept
    for key in ("command", "args"):
        if isinstance(spec.get(key), list):
            changed += _redact_words(spec[key])
    return changed + sum(redact_spec(value) for value in spec.values() if isinstance(value, (dict, list)))


def _redact_words(words: list[Any]) -> int:
    """Arguments; of a flag such as `--password` that stands alone, the word behind it."""
    changed = 0
    for i, word in enumerate(words):
        if not isinstance(word, str):
            continue
        flag = words[i - 1] if i else ""
        behind = isinstance(flag, str) and flag.startswith("-") and "=" not in flag and _NAME.search(flag)
        kept = REDACTED if behind and not word.startswith("-") else redact_text(word)
        changed += kept != word
        words[i] = kept
    return changed

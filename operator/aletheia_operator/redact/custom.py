"""Validates the rules of admins and Investigations: patterns for RE2, limited in number and size."""

from collections.abc import Sequence
from dataclasses import dataclass

import re2

from aletheia_operator.redact.patterns import compiled, new_pattern
from aletheia_operator.text.sizes import counted

MAX_RULES = 50
MAX_PATTERN = 1000  # characters
MAX_PROGRAMS = 5_000  # size of the compiled rules together, as RE2 measures it: they become one pattern
MAX_MEMORY = 256 * 1024  # bytes for compiling a pattern that is not checked yet; with 8 MiB, RE2 takes up to 30 seconds
_NAME = r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$"


class InvalidRule(ValueError):
    """A rule cannot be used. The message has its name and the reason."""


@dataclass(frozen=True)
class Rule:
    """A rule: what `pattern` matches becomes a token with `name`. Only the group `secret` does if the pattern has one.

    `pattern`: for RE2 (no look-around, no back-references); it is applied to each line.
    """

    name: str
    pattern: str


def validated(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Check all rules, and return them. Raises InvalidRule."""
    if len(rules) > MAX_RULES:
        raise InvalidRule(f"{counted(len(rules), 'rule')} for redaction: at most {MAX_RULES} are taken")
    names = set()
    size = 0
    for rule in rules:
        if compiled(_NAME).search(rule.name.encode()) is None:
            raise InvalidRule(f"rule {rule.name[:60]!r}: a name has up to 40 small letters, digits and hyphens")
        if rule.name in names:
            raise InvalidRule(f"rule {rule.name}: there are two of this name")
        names.add(rule.name)
        size += _checked_size(rule)
        if size > MAX_PROGRAMS:
            raise InvalidRule(f"rule {rule.name}: its pattern, or all together, are too large: shorten counted repetitions")
    return tuple(rules)


def _checked_size(rule: Rule) -> int:
    """Return the size of a compiled rule, as RE2 measures it. Raises InvalidRule."""
    if not 0 < len(rule.pattern) <= MAX_PATTERN:
        raise InvalidRule(f"rule {rule.name}: a pattern has 1 to {MAX_PATTERN} characters, this one {len(rule.pattern)}")
    try:
        pattern = new_pattern(rule.pattern, MAX_MEMORY)
    except re2.error as e:
        reason = e.args[0].decode("utf-8", "replace") if e.args and isinstance(e.args[0], bytes) else str(e)
        raise InvalidRule(f"rule {rule.name}: RE2 does not accept its pattern: {reason[:200]}") from e
    if pattern.search(b"") is not None:
        raise InvalidRule(f"rule {rule.name}: its pattern matches an empty text, so it would match everywhere")
    return int(pattern.programsize)

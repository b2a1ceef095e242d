"""Measures which secrets are found and which look-alikes are changed."""

from collections import Counter
from collections.abc import Iterable

from aletheia_operator.redact import Redactor


def missed(cases: Iterable[tuple[str, str, list[str]]], redactor: Redactor) -> tuple[int, list[tuple[str, str, str]]]:
    """Return how many secrets there were, and those that survived as (kind, secret, redacted text)."""
    count, survived = 0, []
    for kind, text, secrets in cases:
        redacted = redactor.text(text)
        for secret in secrets:
            count += 1
            if secret in redacted:
                survived.append((kind, secret, redacted))
    return count, survived


def touched(lines: Iterable[str], redactor: Redactor) -> tuple[int, list[tuple[str, str]]]:
    """Return how many look-alikes there were, and those that changed as (before, after)."""
    count, changed = 0, []
    for line in lines:
        count += 1
        redacted = redactor.text(line)
        if redacted != line:
            changed.append((line, redacted))
    return count, changed


def by_kind(survived: list[tuple[str, str, str]]) -> Counter[str]:
    """Count survivors by kind."""
    return Counter(kind for kind, _, _ in survived)

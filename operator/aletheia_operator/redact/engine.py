"""Compiles the rules of a level. Finds the secrets of a line, and the lines of a block that may contain secrets."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial
from typing import Any, NamedTuple

from aletheia_operator.redact import contexts, forms, multiline, named, one_line, personal
from aletheia_operator.redact.custom import Rule
from aletheia_operator.redact.patterns import Pattern, PatternSet, compiled, new_pattern, span, ungrouped
from aletheia_operator.redact.values import TOKEN

Find = Callable[[bytes], Iterator[tuple[int, int]]]
SECRET = "secret"  # noqa: S105  # label of secrets that no form recognises


class Level(StrEnum):
    """What is redacted."""

    OFF = "off"
    SECRETS = "secrets"
    STRICT = "strict"
    """Secrets, e-mail addresses, IP addresses and phone numbers."""


class Finding(NamedTuple):
    """A secret in a line. `rule`: the rule that found it. `label`: the word in the token that replaces it."""

    start: int
    end: int
    rule: str
    label: str


@dataclass(frozen=True)
class _Compiled:
    """A rule with its compiled search. `label`: the word in the tokens of its secrets."""

    name: str
    label: str
    find: Find


class Engine:
    """The rules of a level, and of an admin or an Investigation."""

    def __init__(self, level: Level, rules: Sequence[Rule]) -> None:
        self._rules: list[_Compiled] = []
        patterns: list[str] = []
        for name, label, pattern, find in _table(level, rules):
            self._rules.append(_Compiled(name, label, find))
            patterns.append(pattern)
        self._set = PatternSet(patterns)
        alternatives = "|".join(f"(?:{ungrouped(pattern)})" for pattern in patterns + multiline.STARTS)
        self._gate = new_pattern(f"(?m){alternatives}")
        self._own = compiled(TOKEN)

    def next_line(self, block: bytes, start: int, end: int | None = None) -> int:
        """Return where the first match of any rule between `start` and `end` begins; -1 if there is none."""
        found = self._gate.search(block, start, end)
        return found.start() if found else -1

    def find(self, line: bytes) -> list[Finding]:
        """Return the secrets of a line in order, without overlaps."""
        if b"[redacted" in line:
            line = self._own.sub(_masked, line)
        found = []
        for number in self._set.matching(line):
            rule = self._rules[number]
            found += [Finding(start, end, rule.name, rule.label) for start, end in rule.find(line) if start < end]
        return _merged(found)


def _masked(token: Any) -> bytes:
    """Return a mask of the same length for a token of an earlier redaction, so that no rule matches within it."""
    return b"*" * len(token.group())


def _merged(found: list[Finding]) -> list[Finding]:
    """Join overlapping secrets. The label of a form is kept if the form is the whole secret."""
    if len(found) < 2:
        return found
    merged: list[Finding] = []
    for entry in sorted(found, key=lambda entry: (entry.start, -entry.end, entry.label == SECRET)):
        last = merged[-1] if merged else None
        if last is None or entry.start >= last.end:
            merged.append(entry)
        elif (entry.start, entry.end) == (last.start, last.end):
            merged[-1] = Finding(entry.start, entry.end, last.rule, entry.label if last.label == SECRET else last.label)
        elif entry.end > last.end:
            merged[-1] = Finding(last.start, entry.end, last.rule, SECRET)
    return merged


def _table(level: Level, rules: Sequence[Rule]) -> Iterator[tuple[str, str, str, Find]]:
    """Yield (name, label, pattern, find) of every rule."""
    for name, pattern in forms.patterns():
        yield name, name, pattern, partial(_find_form, pattern)
    yield "card", "card", personal.CARD, partial(_find_checked, personal.CARD, personal.is_card)
    yield "named", SECRET, named.CANDIDATE, named.find_named
    yield "flag", SECRET, contexts.FLAG, contexts.find_flags
    yield "url-password", SECRET, contexts.URL, contexts.find_urls
    yield "kubernetes-secret", SECRET, one_line.KUBERNETES_KIND, one_line.find_secret_data
    yield "credentials", SECRET, one_line.CREDENTIALS, one_line.find_credentials
    yield "jwk", "private-key", one_line.JWK, one_line.find_jwk
    yield "private-key", "private-key", multiline.PEM, multiline.find_pem
    for name, pattern, check in contexts.RULES:
        if pattern:
            yield name, SECRET, pattern, partial(_find_context, name, pattern, check)
    if level is Level.STRICT:
        for name, pattern, check in personal.rules():
            yield name, name, pattern, partial(_find_checked, pattern, check)
    for rule in rules:
        yield rule.name, rule.name, rule.pattern, partial(_find_custom, new_pattern(rule.pattern))


def _find_form(pattern: str, line: bytes) -> Iterator[tuple[int, int]]:
    for match in compiled(pattern).finditer(line):
        if forms.is_real(match.group(b"secret")):
            yield span(match, "secret")


def _find_context(name: str, pattern: str, check: contexts.Check, line: bytes) -> Iterator[tuple[int, int]]:
    yield from contexts.find_context(name, compiled(pattern), check, line)


def _find_checked(pattern: str, check: Callable[[bytes], bool], line: bytes) -> Iterator[tuple[int, int]]:
    for match in compiled(pattern).finditer(line):
        if check(match.group(b"secret")):
            yield span(match, "secret")


def _find_custom(expression: Pattern, line: bytes) -> Iterator[tuple[int, int]]:
    group = expression.groupindex.get(b"secret", 0)
    for match in expression.finditer(line):
        if match.group(group):
            yield match.span(group)


@lru_cache(4)
def engine(level: Level, rules: tuple[Rule, ...]) -> Engine:
    """Return the engine of these rules. A few engines are cached: the automata of each take memory."""
    return Engine(level, rules)

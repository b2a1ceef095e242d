"""Compiles the rules of a level. Finds the secrets of a line, and the lines of a block that may contain secrets."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial
from itertools import chain
from typing import Any, NamedTuple

from aletheia_operator.redact import (
    arguments,
    audit,
    commands,
    contexts,
    dialogues,
    escaped_lines,
    following,
    forms,
    markup,
    multiline,
    named,
    nearby,
    one_line,
    personal,
    programs,
    statements,
    unnamed,
    urls,
)
from aletheia_operator.redact.custom import Rule
from aletheia_operator.redact.patterns import (
    EveryLine,
    LineFinder,
    Pattern,
    PatternSet,
    compiled,
    loosened,
    new_pattern,
    span,
    with_any_digit,
)
from aletheia_operator.redact.placeholders import TOKEN

OWN_MEMORY = 4 << 20
"""Bytes for the automaton of all own rules. RE2 needs less memory, and more time, if states do not fit."""
RULE_MEMORY = 1 << 18
"""Bytes for the automaton of one own rule."""
OWN_KEPT = 4
"""Number of sets of own rules that stay compiled."""
_ALONE = re.compile(r"\\[AzQ]|\(\?[a-zA-Z]*-|\\\(\?P?<|\[[^\]]*\(\?P?<")
"""What has another meaning in a pattern for all rules and all lines: begin and end of the text, quotes, flags that are switched
off, and the characters of a group's name where they are none."""
_ANCHOR = re.compile(r"(\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\])|(\^)|\$")
"""An escaped character, a class, or the beginning or the end of a line."""
DIGITS_MATTER = frozenset({"card", "okta-token", "ip-address", "phone"})
"""Rules that distinguish digits: they look for numbers that are frequent in logs. For all others, any digits are alike."""
Find = Callable[[bytes], Iterator[tuple[int, int]]]
SECRET = "secret"  # noqa: S105  # label of secrets that no form recognises


class Level(StrEnum):
    """What is redacted."""

    OFF = "off"
    SECRETS = "secrets"
    STRICT = "strict"
    """Secrets, e-mail addresses, IP addresses and phone numbers."""


class FoundSecret(NamedTuple):
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


class _BuiltIn:
    """The built-in rules of a level."""

    def __init__(self, level: Level) -> None:
        table = list(_built_in(level))
        self._rules = [_Compiled(name, label, find) for name, label, _, find in table]
        patterns = [loosened(pattern) for _, _, pattern, _ in table]
        self._set = PatternSet(patterns)
        exact = [loosened(pattern) for name, _, pattern, _ in table if name in DIGITS_MATTER]
        others = [pattern for name, _, pattern, _ in table if name not in DIGITS_MATTER]
        others += [*multiline.STARTS, *following.STARTS]
        self.gate = LineFinder([*exact, *(with_any_digit(loosened(pattern)) for pattern in others)])
        self.digits = LineFinder([with_any_digit(pattern) for pattern in exact])
        """Finds lines that the gate might find if they had other digits."""

    def candidates(self, line: bytes) -> Iterator[_Compiled]:
        """Yield the rules that may find secrets in a line."""
        return (self._rules[number] for number in self._set.matching(line))


def _in_block(part: "re.Match[str]") -> str:
    """Return a part of an own rule for a block: the runtime's words may be before `^`, and a carriage return at `$`."""
    return part[1] or ("(?:^| )" if part[2] else r"\r?$")


class _Own:
    """The rules of an admin and of an Investigation. They have little memory: a tenant may write patterns that need much."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = [
            _Compiled(rule.name, rule.name, partial(_find_custom, new_pattern(rule.pattern, RULE_MEMORY))) for rule in rules
        ]
        patterns = [_ANCHOR.sub(_in_block, rule.pattern) for rule in rules]
        self.gate = EveryLine() if any(map(_ALONE.search, patterns)) else LineFinder(patterns, OWN_MEMORY)

    def candidates(self, line: bytes) -> Iterator[_Compiled]:
        """Yield the rules that may find secrets in a line: all of them."""
        return iter(self._rules)


class Engine:
    """The rules of a level, and of an admin and an Investigation, which are compiled apart and searched afterwards."""

    def __init__(self, level: Level, rules: tuple[Rule, ...]) -> None:
        self._own = _own(rules) if rules else None
        self._built_in = _of_level(level)
        self._parts: list[_BuiltIn | _Own] = [self._built_in, *([self._own] if self._own else [])]
        self._token = compiled(TOKEN)

    def next_line(self, block: bytes, start: int, end: int | None = None) -> int:
        """Return the beginning of a line between `start` and `end` before which no rule matches a line; -1 if none does."""
        return min((line for part in self._parts if (line := part.gate.find(block, start, end)) >= 0), default=-1)

    def digits_matter(self, line: bytes) -> bool:
        """Return whether `next_line` may find this line with other digits in place of its own, although it does not now."""
        return self._own is not None or self._built_in.digits.find(line, 0) >= 0

    def own_rules_match(self, block: bytes) -> bool:
        """Return whether a rule of an admin or an Investigation may match a part of a line that extends to the line's end."""
        return self._own is not None and self._own.gate.find(block, 0) >= 0

    def find(self, line: bytes) -> list[FoundSecret]:
        """Return the secrets of a line in order, without overlaps."""
        if b"[redacted" in line:
            line = self._token.sub(_masked, line)
        found = []
        for part in self._parts:
            for rule in part.candidates(line):
                found += [FoundSecret(start, end, rule.name, rule.label) for start, end in rule.find(line) if start < end]
        return _merged(found)


def _masked(token: Any) -> bytes:
    """Return a mask of the same length for a token of an earlier redaction, so that no rule matches within it."""
    return b"*" * len(token.group())


def _merged(found: list[FoundSecret]) -> list[FoundSecret]:
    """Join overlapping secrets. The label of a form is kept if the form is the whole secret."""
    if len(found) < 2:
        return found
    merged: list[FoundSecret] = []
    for entry in sorted(found, key=lambda entry: (entry.start, -entry.end, entry.label == SECRET)):
        last = merged[-1] if merged else None
        if last is None or entry.start >= last.end:
            merged.append(entry)
        elif (entry.start, entry.end) == (last.start, last.end):
            merged[-1] = FoundSecret(entry.start, entry.end, last.rule, entry.label if last.label == SECRET else last.label)
        elif entry.end > last.end:
            merged[-1] = FoundSecret(last.start, entry.end, last.rule, SECRET)
    return merged


def _built_in(level: Level) -> Iterator[tuple[str, str, str, Find]]:
    """Yield (name, label, pattern, find) of every built-in rule."""
    for name, pattern in forms.patterns():
        yield name, name, pattern, partial(_find_form, pattern)
    yield "card", "card", personal.CARD, personal.find_cards
    yield "named", SECRET, named.CANDIDATE, named.find_named
    yield "flag", SECRET, commands.FLAG, commands.find_flags
    yield "url-password", SECRET, urls.URL, urls.find_urls
    yield "kubernetes-secret", SECRET, one_line.KUBERNETES_KIND, one_line.find_secret_data
    yield "credentials", SECRET, one_line.NAMED_OBJECT, one_line.find_named_objects
    yield "escaped-lines", SECRET, escaped_lines.ESCAPED_LINES, escaped_lines.find_escaped_lines
    yield "jwk", "private-key", one_line.JWK, one_line.find_jwk
    yield "private-key", "private-key", multiline.PEM, multiline.find_pem
    yield "login-answer", SECRET, dialogues.CHALLENGE, dialogues.find_answers
    yield "arguments", SECRET, arguments.PROGRAM, arguments.find_arguments
    yield "audit", SECRET, audit.EXECVE, audit.find_audited
    yield "nearby", SECRET, nearby.NEARBY, nearby.find_nearby
    yield "vendor-token", SECRET, unnamed.TOKEN_BUILD, unnamed.find_tokens
    yield "sql-columns", SECRET, statements.INSERT, statements.find_columns
    for name, pattern, check in chain(
        *(part.RULES for part in (contexts, dialogues, markup, commands, statements, unnamed, programs))
    ):
        yield name, SECRET, pattern, partial(_find_context, name, pattern, check)
    for name, line, pattern, check in contexts.EVERY:
        yield name, SECRET, line, partial(_find_context, name, pattern, check)
    if level is Level.STRICT:
        for name, pattern, check in personal.rules():
            yield name, name, pattern, partial(_find_checked, pattern, check)


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
    for match in expression.finditer(line.removesuffix(b"\r")):
        if match.group(group):
            yield match.span(group)


@lru_cache(3)
def _of_level(level: Level) -> _BuiltIn:
    return _BuiltIn(level)


@lru_cache(OWN_KEPT)
def _own(rules: tuple[Rule, ...]) -> _Own:
    return _Own(rules)

"""Compiles patterns for RE2 over bytes: every byte is a character, so lines that are not UTF-8 are searched like any other."""

from functools import cache
from typing import Any

import re2

MAX_MEMORY = 64 << 20  # of an automaton's cache of states; RE2's default of 8 MiB makes large alternations slow


def _options(max_memory: int = MAX_MEMORY) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = max_memory
    options.log_errors = False
    return options


def new_pattern(pattern: str, max_memory: int = MAX_MEMORY) -> Any:
    """Compile a pattern. Characters outside ASCII stand for their UTF-8 bytes. Raises re2.error, also for a program that is
    larger than `max_memory`: compiling takes time with its square.
    """
    return re2.compile(pattern.encode(), _options(max_memory))


@cache
def compiled(pattern: str) -> Any:
    """Compile one of the built-in patterns, once. Those of users are no business of a cache without end."""
    return new_pattern(pattern)


class PatternSet:
    """Finds which of several patterns match anywhere in a text, in one pass over it."""

    def __init__(self, patterns: list[str]) -> None:
        self._set = re2.Set.SearchSet(_options())
        for pattern in patterns:
            self._set.Add(pattern.encode())
        self._set.Compile()

    def matching(self, text: bytes) -> list[int]:
        """Return the numbers of the patterns that match, in order."""
        return sorted(self._set.Match(text) or ())


def span(match: Any, group: str) -> tuple[int, int]:
    """Return the position of a named group of a match. The library takes only numbers of groups."""
    start, end = match.span(match.re.groupindex[group.encode()])
    return int(start), int(end)


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


def byte_words(text: str) -> frozenset[bytes]:
    """Return the words of a text, encoded."""
    return frozenset(text.encode().split())

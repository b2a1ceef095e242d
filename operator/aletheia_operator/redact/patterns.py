"""Compiles patterns for RE2 over bytes: each byte is a character, so lines that are not UTF-8 can be searched too."""

from functools import cache
from typing import Any

import re2

MAX_MEMORY = 64 << 20  # bytes for the states of an automaton; with RE2's default of 8 MiB, large alternations are slow


def _options(max_memory: int = MAX_MEMORY) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = max_memory
    options.log_errors = False
    return options


def new_pattern(pattern: str, max_memory: int = MAX_MEMORY) -> Any:
    """Compile a pattern. Characters outside ASCII match their UTF-8 bytes.

    Raises re2.error, also if the program would exceed `max_memory`: the time for compiling grows with the square of its size.
    """
    return re2.compile(pattern.encode(), _options(max_memory))


@cache
def compiled(pattern: str) -> Any:
    """Compile a built-in pattern, and cache it. Do not use it for patterns of users: the cache is not bounded."""
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
    """Return the position of a named group of a match: the library itself accepts only numbers of groups."""
    start, end = match.span(match.re.groupindex[group.encode()])
    return int(start), int(end)


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


def byte_words(text: str) -> frozenset[bytes]:
    """Return the words of a text, encoded."""
    return frozenset(text.encode().split())

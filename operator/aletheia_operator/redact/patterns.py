"""Compiles patterns for RE2 over bytes: each byte is a character, so lines that are not UTF-8 can be searched too."""

from collections.abc import Callable, Iterator
from functools import cache, cached_property
from typing import Any

import re2

MAX_MEMORY = 64 << 20  # bytes for the states of an automaton; with RE2's default of 8 MiB, large alternations are slow


def _options(max_memory: int = MAX_MEMORY) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = max_memory
    options.log_errors = False
    return options


class Match:
    """A match of a Pattern. Groups are given by number, or by name as bytes."""

    __slots__ = ("_spans", "re", "string")

    def __init__(self, pattern: "Pattern", text: bytes, spans: list[tuple[int, int]]) -> None:
        self.re = pattern
        self.string = text
        self._spans = spans

    def span(self, group: int | bytes = 0) -> tuple[int, int]:
        """Return start and end of a group; (-1, -1) if it is not part of the match."""
        return self._spans[group if isinstance(group, int) else self.re.groupindex[group]]

    def start(self) -> int:
        return self._spans[0][0]

    def end(self) -> int:
        return self._spans[0][1]

    def group(self, group: int | bytes = 0) -> Any:
        """Return the bytes of a group; None if it is not part of the match."""
        start, end = self.span(group)
        return self.string[start:end] if start >= 0 else None

    def groups(self) -> list[Any]:
        """Return all groups, None for one that is not part of the match."""
        return [self.string[start:end] if start >= 0 else None for start, end in self._spans[1:]]


class Pattern:
    """A compiled pattern over bytes, with the methods of `re`.

    It calls RE2 directly: for a line, the library's Python wrapper takes longer than the search itself.
    """

    __slots__ = ("_match", "_wrapped", "groupindex")

    def __init__(self, pattern: bytes, options: Any) -> None:
        self._wrapped = re2.compile(pattern, options)
        self._match = self._wrapped._regexp.Match
        self.groupindex: dict[bytes, int] = self._wrapped.groupindex

    @property
    def programsize(self) -> int:
        """RE2's measure of the compiled pattern."""
        return int(self._wrapped.programsize)

    def search(self, text: bytes, start: int = 0, end: int | None = None) -> Match | None:
        """Return the first match between `start` and `end`; None if there is none."""
        return self._found(_UNANCHORED, text, start, end)

    def match(self, text: bytes, start: int = 0, end: int | None = None) -> Match | None:
        """Return the match that begins at `start`; None if there is none."""
        return self._found(_ANCHORED, text, start, end)

    def finditer(self, text: bytes, start: int = 0, end: int | None = None) -> Iterator[Match]:
        """Yield the matches between `start` and `end`, without overlaps."""
        stop = len(text) if end is None else min(end, len(text))
        while start <= stop:
            spans = self._match(_UNANCHORED, text, start, stop)
            if spans[0] == _NO_SPAN:
                return
            yield Match(self, text, spans)
            start = spans[0][1] + (spans[0][1] == start)

    def sub(self, replacement: bytes | Callable[[Any], bytes], text: bytes) -> bytes:
        """Return the text with every match replaced."""
        if self.search(text) is None:
            return text
        replaced: bytes = self._wrapped.sub(replacement, text)
        return replaced

    def _found(self, anchor: Any, text: bytes, start: int, end: int | None) -> Match | None:
        stop = len(text) if end is None else min(end, len(text))
        if start > stop:
            return None
        spans = self._match(anchor, text, start, stop)
        return None if spans[0] == _NO_SPAN else Match(self, text, spans)


_UNANCHORED, _ANCHORED = re2._Anchor.UNANCHORED, re2._Anchor.ANCHOR_START
_NO_SPAN = (-1, -1)


def new_pattern(pattern: str, max_memory: int = MAX_MEMORY) -> Pattern:
    """Compile a pattern. Characters outside ASCII match their UTF-8 bytes.

    Raises re2.error, also if the program would exceed `max_memory`: the time for compiling grows with the square of its size.
    """
    return Pattern(pattern.encode(), _options(max_memory))


def ungrouped(pattern: str) -> str:
    """Return a pattern without its named groups: RE2 finds a match faster if it need not find its parts."""
    return compiled(r"\(\?P<\w+>").sub(b"(?:", pattern.encode()).decode()


@cache
def compiled(pattern: str) -> Pattern:
    """Compile a built-in pattern, and cache it. Do not use it for patterns of users: the cache is not bounded."""
    return new_pattern(pattern)


class PatternSet:
    """Finds which of several patterns match anywhere in a text, in one pass over it. Compiled when it is first used."""

    def __init__(self, patterns: list[str]) -> None:
        self._patterns = patterns

    def matching(self, text: bytes) -> list[int]:
        """Return the numbers of the patterns that match, in order."""
        return sorted(self._set.Match(text) or ())

    @cached_property
    def _set(self) -> Any:
        made = re2.Set.SearchSet(_options())
        for pattern in self._patterns:
            made.Add(pattern.encode())
        made.Compile()
        return made


def span(match: Match, group: str) -> tuple[int, int]:
    """Return the position of a named group of a match."""
    return match.span(group.encode())


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


def byte_words(text: str) -> frozenset[bytes]:
    """Return the words of a text, encoded."""
    return frozenset(text.encode().split())

"""Compiles patterns for RE2 over bytes: each byte is a character, so lines that are not UTF-8 can be searched too."""

import re
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from typing import Any

import re2

from aletheia_operator.memory import give_back

SETS = 16
"""Number of automata of a PatternSet: in one alone, lines of many kinds need ten times the time, and four times the memory."""
MAX_MEMORY = 64 << 20  # bytes for the states of an automaton; with RE2's default of 8 MiB, large alternations are slow


def _options(max_memory: int = MAX_MEMORY) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = max_memory
    options.log_errors = False
    return options


LINE_START = r"^(?:\S*\d{2}:\d{2}:\d{2}\S*\s(?:std(?:out|err)\s[FP]\s)?|[\w./-]{1,60}\s+\|\s?|\[[\w./-]{1,100}\]\s)?"
"""What may be before the text of a line: a time, the runtime's words, or the name of a container or a pod."""


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


MOST_COUNTED = 16
_COUNTED = re.compile(r"(?<!\\)\{(\d+)(,\d*)?\}")


def loosened(pattern: str) -> str:
    """Return a pattern that matches wherever a built-in one does, and rarely elsewhere, but takes half the memory.

    RE2 writes a counted repetition out: one of more than `MOST_COUNTED` gets that as its least number, and has no largest.
    """

    def loosen(counted: re.Match[str]) -> str:
        least = int(counted[1])
        most = least if counted[2] is None else int(counted[2][1:] or 0)
        return f"{{{min(least, MOST_COUNTED)},}}" if max(least, most) > MOST_COUNTED else counted[0]

    return _COUNTED.sub(loosen, pattern)


_DIGIT = re.compile(
    r"(?P<kept>\\x[0-9a-fA-F]{2}|\\.|\{\d+(?:,\d*)?\}|\(\?P<\w+>)|(?P<class>\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\])|\d"
)
"""A part of a pattern: `kept` (an escaped character, a count or a group's name), a `class`, or a digit of the text."""


def with_any_digit(pattern: str) -> str:
    """Return a pattern that matches what `pattern` does, with any digits in the text. It rarely matches anything else."""

    def any_digit(part: re.Match[str]) -> str:
        if part["kept"]:
            return part[0]
        if part["class"] is None:
            return r"\d"
        matched = sum(re.match(part[0], digit) is not None for digit in "0123456789")
        return rf"[\d{part[0][1:]}" if 0 < matched < 10 and part[0][1] != "^" else part[0]

    return _DIGIT.sub(any_digit, pattern)


@cache
def compiled(pattern: str) -> Pattern:
    """Compile a built-in pattern, and cache it. Do not use it for patterns of users: the cache is not bounded."""
    return new_pattern(pattern)


class LineFinder:
    """Finds the first line of a text in which any of several patterns may match.

    The search is anchored, and goes forward only: to find where a match begins, RE2 would compile all patterns once more.
    """

    def __init__(self, patterns: list[str], max_memory: int = MAX_MEMORY) -> None:
        alternatives = "|".join(f"(?:{ungrouped(pattern)})" for pattern in patterns)
        self._pattern = new_pattern(f"(?m)(?s:.*?)(?:{alternatives})", max_memory)
        give_back()

    def find(self, text: bytes, start: int, end: int | None = None) -> int:
        """Return the beginning of a line between `start` and `end` before which no line has a match; -1 if none has one."""
        match = self._pattern.match(text, start, end)
        if match is None:
            return -1
        line = max(text.rfind(b"\n", start, match.end() - 1) + 1, start)
        if line > start and self._pattern.match(text, start, line) is not None:
            return start  # a match extends over several lines
        return line


class EveryLine:
    """Takes every line for one in which a pattern may match."""

    def find(self, text: bytes, start: int, end: int | None = None) -> int:
        """Return `start`; -1 if there is no text between `start` and `end`."""
        return start if start < (len(text) if end is None else min(end, len(text))) else -1


class PatternSet:
    """Finds which of several patterns match anywhere in a text. Compiled when it is first used."""

    def __init__(self, patterns: list[str]) -> None:
        self._patterns = patterns

    def matching(self, text: bytes) -> list[int]:
        """Return the numbers of the patterns that match, in order."""
        found = (SETS * number + first for first, part in enumerate(self._sets) for number in part.Match(text) or ())
        return sorted(found)

    @cached_property
    def _sets(self) -> list[Any]:
        """Set number n has every 16th pattern, from number n on."""
        sets = []
        for first in range(min(SETS, len(self._patterns))):
            made = re2.Set.SearchSet(_options(MAX_MEMORY // 16))
            for pattern in self._patterns[first::SETS]:
                made.Add(pattern.encode())
            made.Compile()
            sets.append(made)
        give_back()
        return sets


def span(match: Match, group: str) -> tuple[int, int]:
    """Return the position of a named group of a match."""
    return match.span(group.encode())


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


def byte_words(text: str) -> frozenset[bytes]:
    """Return the words of a text, encoded."""
    return frozenset(text.encode().split())

"""No line of a log takes more than linear time, whatever it contains: a search for counterexamples.

Each line is made for a pattern: a random string that matches it is cut, a piece is repeated after it, and the line's end is
made not to match. The search is seeded, and takes ROUNDS.
"""

import pkgutil
import random
import re
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import product
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

import pytest

from aletheia_operator.logs import forms, levels, stack_traces
from aletheia_operator.logs.forms import recognise, shape_of
from aletheia_operator.logs.levels import LevelCount
from aletheia_operator.logs.stack_traces import Heads
from aletheia_operator.text import trace_ids
from aletheia_operator.text.trace_ids import TraceIds

ROUNDS = 10  # over all patterns
MOST_SECONDS = 0.1  # for a line of 64 KiB; the slowest takes a seventh of it. Quadratic patterns take seconds
LENGTHS = (64, 256, 1024, 4096, 65_536)
STAMP = "2026-01-01T00:00:00.000000000Z"


def modules() -> list[ModuleType]:
    """The modules with patterns over text of logs."""
    names = [name for _, name, _ in pkgutil.iter_modules(forms.__path__, f"{forms.__name__}.")]
    return [*map(import_module, names), levels, stack_traces, trace_ids]


def patterns_in(value: Any) -> Iterator["re.Pattern[Any]"]:
    """All patterns of a module's value, in dictionaries and tuples as well."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from patterns_in(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from patterns_in(inner)


def all_patterns() -> dict[str, "re.Pattern[Any]"]:
    """Every pattern once, by its module and name."""
    found: dict[re.Pattern[Any], str] = {}
    for module in modules():
        for name, value in vars(module).items():
            for number, pattern in enumerate(patterns_in(value)):
                found.setdefault(pattern, f"{module.__name__.rpartition('.')[2]}.{name}[{number}]")
    return {place: pattern for pattern, place in found.items()}


PATTERNS = all_patterns()


def head_of(text: str) -> None:
    """Look for the head of a line after a traceback's first one, as the run parser does."""
    for language in (
        "Traceback (most recent call last):", "panic: x", "thread 'main' panicked at src/main.rs:3:7:", "/app/x.js:3",
        "==1==ERROR: AddressSanitizer: x", "[    1.000000] BUG: x",
    ):  # fmt: skip
        heads = Heads()
        heads.head_of(language, STAMP, "ERROR")
        heads.keeps(text)
        heads.head_of(text, STAMP)


def find_trace_ids(text: str) -> None:
    """Look for trace ids in an entry."""
    TraceIds(4).search(text.encode("utf-8", "replace"))


def count_message(text: str) -> None:
    """Count the message of an error."""
    LevelCount().add_message(text)


READERS: list[Callable[[str], object]] = [recognise, shape_of, head_of, find_trace_ids, count_message]


def sample_of(pattern: "re.Pattern[Any]", draw: random.Random) -> list[str]:
    """The pieces of a string that the pattern may match (looking around is ignored)."""
    source = pattern.pattern
    text = source.decode("latin-1") if isinstance(source, bytes) else source
    return list(_pieces(parser.parse(text, pattern.flags & ~re.UNICODE), draw))


def _pieces(parsed: Any, draw: random.Random) -> Iterator[str]:
    for code, argument in parsed:
        if code is op.LITERAL:
            yield chr(argument)
        elif code is op.NOT_LITERAL:
            yield "~"
        elif code is op.ANY:
            yield draw.choice("x. \\")
        elif code is op.IN:
            yield _one_of(argument, draw)
        elif code is op.BRANCH:
            yield from _pieces(draw.choice(argument[1]), draw)
        elif code is op.SUBPATTERN:
            yield from _pieces(argument[-1], draw)
        elif code is op.ATOMIC_GROUP:
            yield from _pieces(argument, draw)
        elif code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            least, most, inner = argument
            for _ in range(draw.randint(least, min(most, least + 3))):
                yield from _pieces(inner, draw)
        elif code is op.GROUPREF_EXISTS:
            yield from _pieces(argument[1], draw)


_OF_CATEGORY = {
    op.CATEGORY_DIGIT: "07", op.CATEGORY_SPACE: " \t", op.CATEGORY_WORD: "aA0_", op.CATEGORY_NOT_SPACE: "a$[",
    op.CATEGORY_NOT_WORD: "$ :", op.CATEGORY_NOT_DIGIT: "a",
}  # fmt: skip


def _one_of(argument: Any, draw: random.Random) -> str:
    if argument[0][0] is op.NEGATE:
        return draw.choice("aZ0$ .\\")
    code, value = draw.choice(argument)
    if code is op.RANGE:
        return chr(draw.choice(value))
    return draw.choice(_OF_CATEGORY[value]) if code is op.CATEGORY else chr(value)


def seconds(read: Callable[[str], object], line: str) -> float:
    """The least processor time of this thread in up to three readings."""
    least = float("inf")
    for _ in range(3):
        began = time.thread_time()
        read(line)
        least = min(least, time.thread_time() - began)
        if least < MOST_SECONDS / 4:
            break
    return least


def slow_lengths(read: Callable[[str], object], prefix: str, core: str, suffix: str) -> str | None:
    """Return what is slow about lines of growing length, or None.

    Short lines come first: an exponential pattern ends the search early.
    """
    for repeats in (4, 8, 12, 16, 20, 24, 28, 32):
        if (taken := seconds(read, prefix + core * repeats + suffix)) > MOST_SECONDS:
            return f"{taken:.3f} s for {repeats} times {core!r} after {prefix!r} before {suffix!r}"
    for length in LENGTHS:
        line = (prefix + core * (length // len(core)))[:length] + suffix
        if (taken := seconds(read, line)) > MOST_SECONDS:
            return f"{taken:.3f} s for {length} characters of {core!r} after {prefix!r} before {suffix!r}"
    return None


KNOWN = [
    pytest.param("ERROR a", "$", "", id="a name of dollars"),
    pytest.param("ERROR com.acme.Foo", "$$anonfun$apply$4", "!", id="Scala's names"),
    pytest.param("2026-01-01 00:00:00 ERROR a", "$x", " ", id="a name of inner classes"),
    pytest.param("I/", " ", "", id="blanks for a tag"),
    pytest.param("I/a", " (1", "", id="tags without an end"),
    pytest.param("01-01 00:00:00.1 1 1 I a", " ", "", id="blanks after a logger"),
    pytest.param("ERROR [", " ", "", id="blanks for a thread"),
    pytest.param("ERROR [a", " ", "]", id="blanks after a thread"),
    pytest.param("", "[", "", id="brackets"),
    pytest.param("", "[[a]", "", id="brackets in brackets"),
    pytest.param("", "Jan  1 00:00:00 h a: ", "x", id="syslog in syslog"),
    pytest.param("", "<1>", "x", id="priorities"),
    pytest.param("<1>1 - - - - - ", "[a\\]", "", id="structured data without an end"),
    pytest.param("a=", '"\\', "", id="quotes"),
    pytest.param("", 'a="b" ', '"', id="pairs"),
    pytest.param("level=info ", "b=c ", "", id="pairs without quotes"),
    pytest.param('I0101 00:00:00.0 1 a.go:1] "x" ', "b=c ", "", id="klog's pairs"),
    pytest.param("", "\x1b[1m", "", id="colours"),
    pytest.param('{"level":', "[", "", id="deep JSON"),
    pytest.param('{"a":NaN,"b":', '{"a":', "1}", id="deep lenient JSON"),
    pytest.param('{"a":NaN,"b":', "9", "}", id="a long number"),
    pytest.param('I0101 00:00:00.0 1 a.go:1] "', "\\", "", id="klog's quotes"),
    pytest.param("", "AB ", "x", id="capitals"),
    pytest.param("", "a.b.", "Error", id="dotted names"),
    pytest.param("a", "::a", "Exception", id="names with colons"),
    pytest.param("", "trace_id=", "", id="trace ids"),
]


@pytest.mark.parametrize(("prefix", "core", "suffix"), KNOWN)
@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_known_hostile_lines_are_read_soon(read: Callable[[str], object], prefix: str, core: str, suffix: str) -> None:
    """Lines that once took seconds to days, and their like."""
    assert slow_lengths(read, prefix, core, suffix) is None


@pytest.mark.parametrize(("prefix", "core", "suffix"), KNOWN)
def test_the_longest_lines_are_read_soon(prefix: str, core: str, suffix: str) -> None:
    """1 MiB, which is the longest line that is kept by default."""
    for read in READERS:
        assert seconds(read, (prefix + core * (2**20 // len(core)))[: 2**20] + suffix) < 5 * MOST_SECONDS, read.__name__


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_long_lines_of_one_character_are_read_soon(read: Callable[[str], object]) -> None:
    """64 KiB of each character of ASCII, and of some others, alone and after a level."""
    for character in [*map(chr, range(1, 128)), "é", "\u2028", "支", "🔥", "\ud800" if read is recognise else "x"]:
        for prefix in ("", "ERROR ", "2026-01-01 00:00:00 "):
            line = prefix + character * 65_536
            assert seconds(read, line) < MOST_SECONDS, f"slow: {prefix!r} and {character!r}"


def test_no_line_made_of_the_patterns_own_characters_is_slow() -> None:
    """The search over every pattern, several times."""
    draw = random.Random(10)
    slow: list[str] = []
    for number, (name, pattern) in product(range(ROUNDS), PATTERNS.items()):
        pieces = sample_of(pattern, draw)
        if not pieces:
            continue
        at = draw.randrange(len(pieces))
        core = "".join(pieces[at : at + draw.randint(1, 6)])
        prefix = draw.choice(["", "ERROR ", "2026-01-01 00:00:00 ERROR "]) if number % 4 == 3 else ""
        suffix = draw.choice(["", "!", " ", "\x00", "$", "]", '"', "".join(pieces[at:])])
        text = prefix + "".join(pieces[:at])
        slow += [f"{name}: {found}" for read in READERS if (found := slow_lengths(read, text, core, suffix))]
    assert not slow, slow[:5]


def test_every_form_is_searched() -> None:
    """The search knows the patterns of each family."""
    found = {name.partition(".")[0] for name in PATTERNS}
    assert {
        "access",
        "crashes",
        "heads",
        "json_lines",
        "letters",
        "logfmt",
        "programs",
        "syslog",
        "stack_traces",
        "trace_ids",
    } <= found
    assert len(PATTERNS) > 60

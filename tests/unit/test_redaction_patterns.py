"""The first look at a block of lines: it misses no line in which a rule matches, and needs little memory."""

import re

import pytest

from aletheia_operator.memory import give_back
from aletheia_operator.redact.engine import Level, _built_in, _of_level
from aletheia_operator.redact.multiline import STARTS
from aletheia_operator.redact.patterns import MOST_COUNTED, LineFinder, compiled, loosened, with_any_digit
from aletheia_operator.redact.redactor import Redactor
from tests.support.secrets import HALVES, LOOKALIKES, STORED, STORED_LOOKALIKES
from tests.support.secrets.stored import read, read_lookalikes

ZEROS = bytes.maketrans(b"123456789", b"000000000")
OTHER_DIGITS = bytes.maketrans(b"0123456789", b"7490836152")
LINES = b"nothing here\npassword=hunter2\n\ntoken=x\nkey:\n\n\nvalue\nend"


@pytest.mark.parametrize(
    ("patterns", "begins"),
    [
        (["hunter"], b"password"),
        (["token", "pass"], b"password"),
        ([r"password=\S+\s"], b"password"),  # the match ends behind the line's end
        ([r"x$"], b"token"),
        ([r"(?i)^END"], b"end"),
        ([r"nothing"], b"nothing"),
    ],
)
def test_the_line_of_the_first_match(patterns: list[str], begins: bytes) -> None:
    """Its beginning is found, whichever pattern matches, and wherever the search begins."""
    found = LineFinder(patterns).find(LINES, 0)
    assert LINES[found:].startswith(begins)
    assert LineFinder(patterns).find(LINES, found) == found
    assert LineFinder(patterns).find(LINES, len(LINES)) == -1


@pytest.mark.parametrize("pattern", [r"hunter2\s*token", r"key:\s*value", r"key:\s*$", r"here[^=]*=\w+\s*token=x"])
def test_matches_over_several_lines(pattern: str) -> None:
    """No line at or after the result's end is skipped: the result is not behind the line where the match ends."""
    found = LineFinder([pattern]).find(LINES, 0)
    match = compiled(f"(?m){pattern}").search(LINES)
    assert match is not None
    assert 0 <= found < match.end()
    assert all(compiled(f"(?m){pattern}").search(line) is None for line in LINES[:found].splitlines())


def test_blank_lines_take_time_in_proportion() -> None:
    """A match that could end on any of many lines is searched for twice at most."""
    assert LineFinder([r"key:\s*$"]).find(b"key:" + b"\n" * 1_000_000, 0) == 0


@pytest.mark.parametrize(
    ("pattern", "loose"),
    [
        (r"gh_\w{40}", r"gh_\w{16,}"),
        (r"\w{20,}", r"\w{16,}"),
        (r"[^:=]{0,60}x", r"[^:=]{0,}x"),
        (r"a{3,100}?b", r"a{3,}?b"),
        (r"a{2,16}b{16}c{3,}", r"a{2,16}b{16}c{3,}"),
        (r"\{40}", r"\{40}"),
    ],
)
def test_counted_repetitions(pattern: str, loose: str) -> None:
    """Long ones are cut; short ones, and braces that are no repetition, stay."""
    assert loosened(pattern) == loose


def test_loosened_rules() -> None:
    """Of every built-in rule only counts differ, and they fit: its loosened pattern matches whatever the rule matches."""
    patterns = [pattern for _, _, pattern, _ in _built_in(Level.STRICT)] + STARTS
    for pattern in patterns:
        assert re.search(r"\[[^\]]*\{\d+,?\d*\}", pattern) is None, pattern  # braces within a class
        assert max((int(least) for least in re.findall(r"(?<!\\)\{(\d+)", loosened(pattern))), default=0) <= MOST_COUNTED
    secrets = [secret.encode() for name in HALVES for _, _, found in read(name) for secret in found]
    for pattern in patterns:
        exact, loose = compiled(pattern), compiled(loosened(pattern))
        assert all(loose.search(secret) is not None for secret in secrets if exact.search(secret) is not None), pattern


@pytest.mark.parametrize(
    ("pattern", "any_digit"),
    [
        (r"oauth2?_\d{3}", r"oauth\d?_\d{3}"),
        (r"(?P<key1>[1-5a-f]{8,40}) v1{2}", r"(?P<key1>[\d1-5a-f]{8,40}) v\d{2}"),
        (r"[0-9a-f][^\w1][\w-]\x31[]7]", r"[0-9a-f][^\w1][\w-]\x31[\d]7]"),
        (r"\[2]\{3}", r"\[\d]\{\d}"),
    ],
)
def test_patterns_with_any_digit(pattern: str, any_digit: str) -> None:
    """Digits of the text become any digit; counts, names and codes stay."""
    assert with_any_digit(pattern) == any_digit


@pytest.mark.parametrize(("level", "every"), [(Level.SECRETS, 4), (Level.STRICT, 40)])
def test_other_digits_find_the_same_lines(level: Level, every: int) -> None:
    """A line is found or not whatever its digits are, if none of the few rules for numbers may match it."""
    redactor = Redactor(level=level)
    written = [text for name in (*HALVES, *STORED) for _, text, _ in read(name)]
    written += [text for name in (*LOOKALIKES, *STORED_LOOKALIKES) for text in read_lookalikes(name)]
    lines = sorted({line.encode() for text in written for line in text.splitlines()})[::every]
    compared = [line for line in lines if not redactor.digits_matter(line)]
    for line in compared:
        for other in (line.translate(ZEROS), line.translate(OTHER_DIGITS)):
            assert (redactor.next_line(other, 0) < 0) is (redactor.next_line(line, 0) < 0), line
            assert not redactor.digits_matter(other), line
    assert len(compared) > len(lines) * 0.8


@pytest.mark.parametrize("line", [b"", b"x", b"insert " + b"x" * 201 + b"(password) values ('a')"], ids=["empty", "x", "far"])
def test_rules_find_nothing_in_lines_that_only_their_loose_patterns_match(line: bytes) -> None:
    """Such a line reaches the rule, so it must not fail: the log of a pod would be lost with it."""
    for _, _, _, find in _built_in(Level.STRICT):
        assert list(find(line)) == []
    assert Redactor().text(line.decode()) == line.decode()


def test_the_size_of_the_first_look() -> None:
    """The patterns of all rules together stay small: every parser process has them."""
    assert _of_level(Level.SECRETS).gate._pattern.programsize < 60_000


def test_memory_is_given_back_anywhere() -> None:
    """Also where the C library cannot."""
    give_back()

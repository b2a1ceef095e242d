"""Which entries a budget keeps with an error, and which are an even sample of the others."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.logs.marks import BUCKETS, CONTEXT, CONTEXT_LINES, MARK, MarkedEntries, bucket_of, codes_of, count_codes
from aletheia_operator.text.batches import SEPARATOR, SERIOUS_CODE

CODES = st.sampled_from([0, SERIOUS_CODE - 1, SERIOUS_CODE])


def marked(codes: list[int], belonging: set[int], block: int) -> list[int]:
    """Return the marks of entries with these levels, taken in blocks, and check that the entries are unchanged."""
    entries = MarkedEntries()
    content, marks = [], array(MARK)
    for number, code in enumerate(codes):
        entries.add(f"entry {number}", code, number in belonging)
        if number % block == block - 1:
            parsed = entries.take(CONTEXT_LINES)
            content += parsed.block.split(SEPARATOR) if parsed.block else []
            marks.frombytes(parsed.marks)
    parsed = entries.take(0)
    content += parsed.block.split(SEPARATOR) if parsed.block else []
    marks.frombytes(parsed.marks)
    assert content == [f"entry {number}".encode() for number in range(len(codes))]
    return list(marks)


@given(st.lists(st.tuples(CODES, st.booleans()), max_size=60), st.integers(1, 20))
def test_lines_around_an_error_are_kept_with_it(lines: list[tuple[int, bool]], block: int) -> None:
    """Five before and after it, and its stack trace of any length, for any blocks."""
    codes = [code for code, _ in lines]
    serious = [number for number, code in enumerate(codes) if code >= SERIOUS_CODE]
    belonging = {number for number, (_, belongs) in enumerate(lines) if belongs}
    for number, mark in enumerate(marked(codes, belonging, block)):
        before = any(0 < error - number <= CONTEXT_LINES for error in serious)
        after = any(0 < number - error <= CONTEXT_LINES for error in serious)
        kept_anyway = codes[number] >= SERIOUS_CODE
        assert bool(mark & CONTEXT) is (before or (not kept_anyway and (after or number in belonging)))
        assert mark & 7 == codes[number]


@pytest.mark.parametrize("block", [1, 7, 5000])
def test_the_first_buckets_are_an_even_sample(block: int) -> None:
    """Of 8192 entries the first half of the buckets has every second, a quarter every fourth. Buckets are equally large."""
    buckets = [bucket_of(mark) for mark in marked([0] * 2 * BUCKETS, set(), block)]
    for part in (2, 4, 64):
        assert [number for number, bucket in enumerate(buckets) if bucket < BUCKETS // part] == list(
            range(0, 2 * BUCKETS, part)
        )
    assert sorted(buckets) == sorted([*range(BUCKETS)] * 2)


def test_levels_are_counted_whatever_else_a_mark_says() -> None:
    """Levels without entries are left out."""
    marks = array(MARK, marked([0, SERIOUS_CODE, 0, 0, 3], {2}, 2)).tobytes()
    assert codes_of(marks) == bytes([0, SERIOUS_CODE, 0, 0, 3])
    assert count_codes(marks) == {0: 3, 3: 1, SERIOUS_CODE: 1}

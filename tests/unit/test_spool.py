"""What is kept of a run: errors, the lines around them, an even sample, and always its last lines."""

import errno
import json
import os
from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.logs.run_parser import RunParser
from aletheia_operator.logs.run_settings import RunSettings
from aletheia_operator.logs.spool import LAST_BYTES, LAST_LINES, Spool, share
from aletheia_operator.scratch import Scratch, Stored
from tests.unit.fakes import make_scratch

START, END = "2026-11-22T11:00:00.000000000Z", "2026-11-22T12:00:00.000000000Z"


def lines_kept(lines: list[str], max_bytes: int, cuts: list[int], sample_percent: int = 100) -> tuple[list[str], Spool]:
    """Return what a spool keeps of lines that come in pieces, cut at these numbers."""
    parser = RunParser(RunSettings("app", 0, True, START, END, 2**20))
    spool = Spool(make_scratch(), max_bytes, sample_percent)
    edges = sorted({0, len(lines), *(cut % (len(lines) + 1) for cut in cuts)})
    stamped = [f"2026-11-22T11:30:{number // 1000:02}.{number % 1000:03}000000Z {line}\n" for number, line in enumerate(lines)]
    for first, last in pairwise(edges):
        spool.add(parser.feed("".join(stamped[first:last]).encode()))
    spool.add(parser.end_run())
    spool.end()
    spool.finish(max_bytes)
    entries = [entry for block in spool.blocks() for entry in json.loads(b"[" + block.block + b"]")]
    spool.close()
    return [entry["line"] for entry in entries], spool


@given(
    st.lists(st.sampled_from(["INFO app: x", "ERROR app: y", "plain", "z" * 3000]), max_size=300),
    st.lists(st.integers(0, 300), max_size=6),
    st.sampled_from([0, 1000, 20_000, 2**30]),
    st.sampled_from([0, 50, 100]),
)
def test_what_is_kept_depends_on_the_log_and_the_budget_alone(
    lines: list[str], cuts: list[int], max_bytes: int, sample_percent: int
) -> None:
    """However lines arrived, the kept ones are in order, with the last lines among them, and counted correctly."""
    numbered = [f"{line} {number}" for number, line in enumerate(lines)]
    kept, spool = lines_kept(numbered, max_bytes, cuts, sample_percent)
    assert kept == lines_kept(numbered, max_bytes, [], sample_percent)[0]
    assert kept == [line for line in numbered if line in set(kept)]
    assert kept[len(kept) - min(len(numbered), LAST_LINES) :] == numbered[-LAST_LINES:]
    assert (spool.total.total(), spool.kept.total()) == (len(numbered), len(kept))
    if max_bytes == 2**30 and sample_percent == 100:
        assert kept == numbered


def test_the_last_words_of_a_crash_stay() -> None:
    """A flood of errors fills the budget; the end of the run is still kept."""
    lines = [*(f"ERROR app: {number}" for number in range(5000)), "shutting down", "bye"]
    kept, spool = lines_kept(lines, 5000, [1000, 2000])
    assert kept[-LAST_LINES:] == lines[-LAST_LINES:]
    assert spool.over_budget
    assert spool.size_bytes < 5000 + LAST_LINES * 300


def test_errors_are_kept_before_the_lines_around_them_and_these_before_the_rest() -> None:
    """No budget drops a line while it keeps a less important one."""
    errors, near = set(range(50, 1000, 100)), {at + off for at in range(50, 1000, 100) for off in range(-5, 6) if off}
    lines = [f"{'ERROR' if number in errors else 'INFO'} app: {number:04}" for number in range(1000)]
    whole, spool = lines_kept(lines, 2**30, [])
    each = spool.size_bytes // len(whole) + 1
    for room, must, may in (
        (len(errors) // 2, set(), errors),
        (len(errors) + 2, errors, near),
        (len(errors) + len(near) // 2, errors, near),
        (len(errors) + len(near) + 20, errors | near, set(range(1000))),
    ):
        kept, _ = lines_kept(lines, room * each + each // 2, [300, 600])
        numbers = {int(line[-4:]) for line in kept} - set(range(1000 - LAST_LINES, 1000))
        assert must <= numbers <= must | may
        assert numbers - must


@pytest.mark.parametrize("size", [LAST_BYTES // 3, LAST_BYTES * 2])
def test_long_last_lines_have_a_bound(size: int) -> None:
    """As many as fit are kept, and always the very last."""
    lines = [f"{number} {'x' * size}" for number in range(30)]
    kept, _ = lines_kept(lines, 1, [5, 17])
    assert kept == lines[-max(1, LAST_BYTES // (size + 150)) :]


def test_blocks_that_are_in_the_file_say_where() -> None:
    """A session's file copies them unchanged."""
    spool = Spool(make_scratch(), 2**30)
    parser = RunParser(RunSettings("app", 0, True, START, END, 2**20))
    spool.add(parser.feed(b"".join(b"2026-11-22T11:30:00.%09dZ %s\n" % (number, b"x" * 3000) for number in range(400))))
    spool.finish(2**30)
    stored = [block for block in spool.blocks() if isinstance(block, Stored)]
    assert stored
    for block in stored:
        assert block.scratch is spool.file
        assert block.scratch.get(block.number) == block.block
    spool.close()


def test_an_even_share() -> None:
    """No run is cut below its share. Others get what small runs do not need."""
    assert share([10, 100, 100], 90) == [10, 40, 40]
    assert share([], 10) == []


def test_a_sealed_spool_never_uses_a_key_twice(tmp_path: Path) -> None:
    """A thinned spool has another key, since its blocks are numbered from zero again."""
    scratch = Scratch(tmp_path, encrypted=True)
    assert scratch.another()._key != scratch._key


def test_a_block_behind_one_that_was_not_written_whole_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The volume was full for a while."""
    scratch = Scratch(tmp_path, encrypted=False)
    scratch.put(b"first")

    def write_half(descriptor: int, content: bytes) -> None:
        os.write(descriptor, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("aletheia_operator.scratch.write_all", write_half)
        with pytest.raises(OSError, match="no space"):
            scratch.put(b"second")
    number = scratch.put(b"third")
    assert (scratch.get(0), scratch.get(number)) == (b"first", b"third")
    scratch.close()


@pytest.mark.parametrize(("max_bytes", "fits"), [(2**30, 300), (5000, 40)], ids=["all fits", "over budget"])
def test_no_entry_is_lost_or_doubled_when_the_volume_is_full(
    max_bytes: int, fits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever write is refused: what was added until then can be read, in order, although it is not thinned out."""
    monkeypatch.setattr("aletheia_operator.logs.spool._BLOCK_BYTES", 2000)
    lines = [f"INFO app: {number}" for number in range(300)]
    real = Scratch.put
    for at in count():
        writes = count()

        def put(scratch: Scratch, block: bytes, at: int = at, writes: Iterator[int] = writes) -> int:
            if next(writes) >= at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(scratch, block)

        monkeypatch.setattr(Scratch, "put", put)
        parser = RunParser(RunSettings("app", 0, True, START, END, 2**20))
        spool = Spool(make_scratch(), max_bytes)
        refused = 0
        for number, line in enumerate(lines):
            parsed = parser.feed(f"2026-11-22T11:30:00.{number:09}Z {line}\n".encode())
            try:
                spool.add(parsed)
            except OSError:
                refused += 1
                break
        try:
            spool.finish(max_bytes)
        except OSError:
            refused += 1
        kept = [entry["line"] for block in spool.blocks() for entry in json.loads(b"[" + block.block + b"]")]
        spool.close()
        assert kept == [line for line in lines if line in set(kept)], at
        assert spool.kept.total() == len(kept), at
        assert len(kept) >= min(spool.total.total(), fits), at
        if not refused:
            break
    assert at > 10

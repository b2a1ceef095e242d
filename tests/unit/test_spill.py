"""Pieces of an answer: in memory while they are few, then in a scratch file."""

import json
from pathlib import Path

import pytest

from aletheia_operator.fetchers import spill
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.scratch import Scratch
from aletheia_operator.text.encoding import dumps


def test_pieces_come_back_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in memory or in the scratch, which is made when needed and given back."""
    monkeypatch.setattr(spill, "MEMORY_BYTES", 10)
    scratches: list[Scratch] = []

    def scratch() -> Scratch:
        scratches.append(Scratch(tmp_path, False))
        return scratches[-1]

    pieces = Spill(scratch)
    numbers = [pieces.put(b"12345")]
    assert scratches == []
    numbers += [pieces.put(piece) for piece in (b"123456", b"", b"7")]
    assert len(scratches) == 1
    assert [pieces.get(number) for number in reversed(numbers)] == [b"7", b"", b"123456", b"12345"]
    pieces.close()


@pytest.mark.parametrize("value", [{"a": "björn"}, "\ud800", 2**70, [1.5, None]], ids=repr)
def test_any_json_is_written_on_one_line(value: object) -> None:
    """This includes values that the fast encoder does not accept."""
    assert json.loads(dumps(value)) == value
    assert b"\n" not in dumps(value)

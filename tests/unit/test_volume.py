"""The records of the session volume: its id, and the cluster of its sessions."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from aletheia_operator.session import SessionLayout
from aletheia_operator.session.redaction_key import redaction_key
from aletheia_operator.session.volume import bind_volume, open_volume
from tests.unit.fakes import LONGEST_TEST_SECONDS


def test_a_volume_keeps_its_id(tmp_path: Path) -> None:
    """It is made with the volume's directory, and two volumes never share one."""
    layout = SessionLayout(tmp_path / "a" / "root")
    assert open_volume(layout) == open_volume(layout)
    assert open_volume(layout).id != open_volume(SessionLayout(tmp_path / "b")).id


@pytest.mark.parametrize("made", [lambda layout: open_volume(layout).id, lambda layout: redaction_key(layout, b"salt")])
def test_all_who_begin_at_once_have_the_same(made: Callable[[SessionLayout], object], tmp_path: Path) -> None:
    """Captures of one process, and two operators, may begin at once. Each must find the same id and secret later."""
    for number in range(20):
        layout = SessionLayout(tmp_path / str(number))
        start = Barrier(8)

        def begin(layout: SessionLayout = layout, start: Barrier = start) -> object:
            start.wait(LONGEST_TEST_SECONDS)
            return made(layout)

        with ThreadPoolExecutor(8) as threads:
            found = [future.result(LONGEST_TEST_SECONDS) for future in [threads.submit(begin) for _ in range(8)]]
        assert set(found) == {made(layout)}


def test_the_first_cluster_is_the_volumes(tmp_path: Path) -> None:
    """Another cluster that comes later gets the id of the first one; the volume's id does not change."""
    layout = SessionLayout(tmp_path)
    volume = open_volume(layout)
    assert volume.cluster is None
    assert bind_volume(layout, "uid-1").cluster == "uid-1"
    assert bind_volume(layout, "uid-2").cluster == "uid-1"
    assert open_volume(layout).id == volume.id


@pytest.mark.parametrize("content", ["", "{", '{"id": 5}', '{"id": "x", "more": 1}'])
def test_a_damaged_record_is_no_new_volume(content: str, tmp_path: Path) -> None:
    """Its sessions may be of another cluster: nothing is guessed, and the message has the remedy."""
    layout = SessionLayout(tmp_path)
    layout.volume.write_text(content)
    with pytest.raises(OSError, match="damaged"):
        open_volume(layout)
    assert layout.volume.read_text() == content


def test_a_volume_that_cannot_be_used(tmp_path: Path) -> None:
    """An OSError is raised, as for other files."""
    (tmp_path / "root").write_text("in the way")
    with pytest.raises(OSError):
        open_volume(SessionLayout(tmp_path / "root"))

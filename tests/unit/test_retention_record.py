"""Holds, imports and expiry on the volume itself, without an operator: what removes data, what prevents it, and locks."""

import errno
import fcntl
import json
import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.scratch import write_all
from aletheia_operator.session import Session, SessionBusy, SessionLayout, files
from aletheia_operator.session import retention_record as module
from aletheia_operator.session.lock import lock_directory, locked
from aletheia_operator.session.manifest_file import read_manifest
from aletheia_operator.session.retention import expire, remove
from aletheia_operator.session.retention_record import (
    RetentionRecord,
    read_retention_record,
    retention_lock,
    update_retention_record,
)
from aletheia_operator.session.staging import remove_leftovers
from aletheia_operator.session.store import create_session
from aletheia_operator.session.verify import verify
from tests.support.captures import NOW, Memory, capture, unfinished

ANSWERS = {"first": [[{"line": "evidence"}]]}


@pytest.fixture
def layout(tmp_path: Path) -> SessionLayout:
    return SessionLayout(tmp_path)


@pytest.fixture
def session_id(layout: SessionLayout) -> str:
    """A finished session."""
    return capture(layout.root, Memory(ANSWERS)).manifest.session_id


HELD: list[dict[str, Any]] = [
    {"legal_hold": "case 1"},
    {"legal_hold": ""},
    {"hold": "case 2"},
    {"hold": "a", "legal_hold": "b"},
]


@pytest.mark.parametrize("record", HELD, ids=str)
def test_nothing_removes_what_is_on_hold(record: dict[str, Any], layout: SessionLayout, session_id: str) -> None:
    """Expiry and removal, also by hand, leave it until every hold is lifted."""
    update_retention_record(layout, session_id, **record)
    for removal in (
        lambda: expire(layout, session_id, NOW),
        lambda: remove(layout, session_id),
        lambda: remove(layout, session_id, by_hand=True),
    ):
        with pytest.raises(PermissionError, match="is under legal hold"):
            removal()
        assert verify(layout.session(session_id)).intact
    update_retention_record(layout, session_id, legal_hold=None, hold=None)
    remove(layout, session_id)
    assert not layout.session(session_id).exists()


@pytest.mark.parametrize("field", ["keep", "imported"])
def test_what_is_kept_goes_by_hand_alone(field: str, layout: SessionLayout, session_id: str) -> None:
    """It stays when its Investigation is deleted. `aletheia session delete` removes it."""
    update_retention_record(layout, session_id, **{field: True})
    with pytest.raises(PermissionError, match="is kept"):
        remove(layout, session_id)
    assert verify(layout.session(session_id)).intact
    remove(layout, session_id, by_hand=True)
    assert list(layout.sessions.glob("[!.]*")) == []


def test_an_unfinished_capture_is_not_expired(layout: SessionLayout) -> None:
    """Its data would be removed while it is written, and the next process would consider the session ended."""
    manifest = create_session(layout, unfinished())
    with pytest.raises(PermissionError, match="has not ended"):
        expire(layout, manifest.session_id, NOW)
    assert read_manifest(layout, manifest.session_id) == manifest


def test_expiry_and_removal_wait_for_who_works_on_the_session(layout: SessionLayout, session_id: str) -> None:
    """While another process has the session locked nothing changes, not even the manifest."""
    before = layout.manifest(session_id).read_bytes()
    with locked(layout.session(session_id)):
        for work in (lambda: expire(layout, session_id, NOW), lambda: remove(layout, session_id, by_hand=True)):
            with pytest.raises(SessionBusy, match=session_id):
                work()
    assert layout.manifest(session_id).read_bytes() == before
    assert verify(layout.session(session_id)).intact


def test_a_directory_that_was_replaced_meanwhile_is_not_taken_for_the_same(
    layout: SessionLayout, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was removed and restored between opening and locking: the lock would be of a directory that is gone."""
    directory = layout.session(session_id)
    real = fcntl.flock

    def replacing(descriptor: int, operation: int) -> None:
        if directory.exists() and not (layout.root / "elsewhere").exists():
            directory.rename(layout.root / "elsewhere")
            directory.mkdir()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", replacing)
    with pytest.raises(FileNotFoundError):
        lock_directory(directory)


def test_what_each_writer_said_stays(layout: SessionLayout, session_id: str) -> None:
    """The operator's record of the Investigation does not lift a hold set by hand, and vice versa."""
    update_retention_record(layout, session_id, hold="case 4711")
    update_retention_record(layout, session_id, keep=True, legal_hold="audit", orphaned_since=None)
    assert read_retention_record(layout, session_id) == RetentionRecord(keep=True, legal_hold="audit", hold="case 4711")
    update_retention_record(layout, session_id, keep=False, legal_hold=None, orphaned_since=NOW)
    assert read_retention_record(layout, session_id).hold_reason == "case 4711"


def _add(root: Path, session_id: str, count: int) -> None:
    layout = SessionLayout(root)
    for _ in range(count):
        with retention_lock(layout):
            path = layout.retention_record(session_id)
            record = json.loads(path.read_bytes())
            record["hold"] = str(int(record["hold"]) + 1)
            path.write_text(json.dumps(record))


def test_processes_change_the_record_one_after_the_other(layout: SessionLayout, session_id: str) -> None:
    """Four processes make 200 changes, and none is lost."""
    update_retention_record(layout, session_id, hold="0")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_add, args=(layout.root, session_id, 50)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert read_retention_record(layout, session_id).hold == "200"


def test_a_lock_that_is_never_given_back_is_busy(layout: SessionLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another process is stopped in the middle, the operator continues without it."""
    layout.sessions.mkdir(parents=True)
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.0)
    with retention_lock(layout), pytest.raises(SessionBusy), retention_lock(layout):
        pass


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"keep": "perhaps"}', b'{"newer": 1}', b"x" * 100_000, b'{"keep": ' + b" " * 10**6 + b"false}"],
    ids=lambda content: repr(content[:20]),
)
def test_a_record_that_cannot_be_read_is_a_hold(content: bytes, layout: SessionLayout, session_id: str) -> None:
    """Better kept too long than lost; the hold can be lifted by hand, and then the record is readable again."""
    layout.retention_record(session_id).write_bytes(content)
    assert read_retention_record(layout, session_id).hold_reason == module.UNREADABLE
    with pytest.raises(PermissionError):
        remove(layout, session_id, by_hand=True)
    update_retention_record(layout, session_id, keep=False, legal_hold=None, orphaned_since=None)
    assert read_retention_record(layout, session_id).hold_reason == module.UNREADABLE
    update_retention_record(layout, session_id, hold=None)
    assert read_retention_record(layout, session_id).hold_reason is None


@pytest.mark.parametrize("kind", ["a pipe", "a link"])
def test_what_is_no_file_in_place_of_a_record_is_a_hold(
    kind: str, layout: SessionLayout, session_id: str, tmp_path: Path
) -> None:
    """A pipe is not waited for, and a link is not followed."""
    path = layout.retention_record(session_id)
    path.unlink(missing_ok=True)
    if kind == "a pipe":
        os.mkfifo(path)
    else:
        (tmp_path / "elsewhere").write_text("{}")
        path.symlink_to(tmp_path / "elsewhere")
    assert read_retention_record(layout, session_id).hold_reason == module.UNREADABLE


def test_a_volume_that_fails_for_a_moment_changes_no_record(
    layout: SessionLayout, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record cannot be read, and counts as a hold. What is in it is not replaced by that."""
    update_retention_record(layout, session_id, legal_hold="case 1", adopted_by="u-2")
    before = layout.retention_record(session_id).read_bytes()
    opening = os.open

    def fails(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path).endswith("custody.json"):
            raise OSError(errno.EMFILE, "Too many open files")
        return opening(path, *arguments, **options)

    with monkeypatch.context() as broken:
        broken.setattr(os, "open", fails)
        assert read_retention_record(layout, session_id).hold_reason == module.UNREADABLE
        with pytest.raises(OSError, match="Too many open files"):
            update_retention_record(layout, session_id, keep=True)
    assert layout.retention_record(session_id).read_bytes() == before


def test_expiry_takes_a_journal_along_that_a_crash_left(layout: SessionLayout, session_id: str) -> None:
    """The process was killed after the last manifest: an expired session has only its manifest and record."""
    layout.journal(session_id).write_text('{"key": "pod/first"}\n')
    expire(layout, session_id, NOW)
    assert verify(layout.session(session_id)).intact
    with Session(layout, read_manifest(layout, session_id)) as session:
        assert session.manifest.expiration_time == NOW


def test_a_sweep_leaves_a_record_that_is_being_written(
    layout: SessionLayout, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It removes unfinished files of killed processes, and a hold that is set at the same moment is not lost."""
    sweep = threading.Thread(target=remove_leftovers, args=(layout,))

    def write_slowly(descriptor: int, content: bytes) -> None:
        write_all(descriptor, content)
        sweep.start()
        sweep.join(0.1)  # without the lock it ends, and the file is gone

    monkeypatch.setattr(files, "write_all", write_slowly)
    assert update_retention_record(layout, session_id, hold="case 4711").hold == "case 4711"
    sweep.join(10)
    assert read_retention_record(layout, session_id).hold == "case 4711"
    left = layout.retention_record(session_id).with_suffix(".json.part")
    left.write_text("half")
    remove_leftovers(layout)
    assert not left.exists()

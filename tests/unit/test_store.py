"""The atomic store: at every moment, and after every crash, a file is absent or complete."""

import errno
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.investigate.abandoned import end_abandoned
from aletheia_operator.session import (
    Artifact,
    Done,
    EntryBuffer,
    Gap,
    InvestigationReference,
    Manifest,
    Session,
    SessionBusy,
    SessionLayout,
    WrittenFile,
    create_session,
    encoded,
    find_session,
    journal,
    publishing,
    store,
)
from aletheia_operator.session.artifact import BLOCK_BYTES
from aletheia_operator.session.files import temporary
from aletheia_operator.session.lock import locked
from aletheia_operator.session.manifest_file import NoManifest, manifest_sha256, read_manifest
from aletheia_operator.session.names import MAX_SESSION_ID_DIGITS, session_id
from aletheia_operator.session.staging import remove_leftovers
from tests.support.captures import unfinished
from tests.unit.capturing import counts, gaps, on_disk, run
from tests.unit.fakes import NOW, UID, FakeFetcher, make_order, make_tools

NAME = ("kubernetes", "web-0", "shop")
STEM = "kubernetes_web-0_shop_2026-11-22T12-00-00"
GAP = Gap(fetcher="Fake", target="thing", reason="NotFound", message="gone")


@pytest.fixture
def layout(tmp_path: Path) -> SessionLayout:
    """A session volume."""
    return SessionLayout(tmp_path)


def make_manifest(uid: str = UID) -> Manifest:
    return unfinished(InvestigationReference(namespace="shop", name="incident", uid=uid))


def open_session(layout: SessionLayout, uid: str = UID) -> Session:
    """Return the session of an Investigation; make it if there is none."""
    return Session(layout, find_session(layout, uid) or create_session(layout, make_manifest(uid)))


def write(session: Session, *batches: Sequence[Any], name: tuple[str, ...] = NAME) -> WrittenFile:
    """Write these entries to a file under its temporary name."""
    entries = EntryBuffer(session.scratches())
    try:
        for batch in batches:
            entries.add(encoded(batch))
        return session.write("logs", name, "kubernetes", {"count": entries.count}, entries, NOW)
    finally:
        entries.close()


def save(session: Session, *entries: Any, name: tuple[str, ...] = NAME) -> Artifact:
    """Save an artifact with these entries."""
    written = write(session, entries, name=name)
    artifact = Artifact(
        path=written.path,
        fetcher="Fake",
        target="thing",
        count=len(entries),
        summary="",
        time_range=["a", "b"],
        size_bytes=written.size_bytes,
        sha256=written.sha256,
        complete=True,
    )
    for error in session.publish(Done("saved", (artifact,))).values():
        raise error
    return artifact


def files(directory: Path) -> dict[str, bytes]:
    """Return every file below, by its path."""
    return {str(file.relative_to(directory)): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def content(session: Session, artifact: Artifact) -> bytes:
    return (session.path / artifact.path).read_bytes()


def test_an_artifact_is_readable_with_head_and_with_jq(layout: SessionLayout) -> None:
    """It has source, metadata, then one entry a line."""
    with open_session(layout) as session:
        artifact = save(session, {"line": "a"}, {"line": "支払い"})
        text = content(session, artifact).decode()
    assert artifact.path == f"data/logs/{STEM}.json"
    assert text == '{"source": "kubernetes",\n"metadata": {"count":2},\n"data": [\n{"line":"a"},\n{"line":"支払い"}\n]}\n'
    assert list(json.loads(text)) == ["source", "metadata", "data"]


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([], id="nothing"),
        pytest.param([{"a": "\ud800"}], id="half a surrogate pair"),
        pytest.param([{"a": 2**80}], id="a number past 64 bits"),
        pytest.param([{"a": "\n\r\u2028\0"}], id="line ends"),
        pytest.param([{"a": "x" * 1000}] * 3000, id="more than memory holds"),
    ],
)
def test_entries_come_back_as_they_went_in(layout: SessionLayout, entries: list[Any]) -> None:
    """They are valid JSON, one line an entry. The size and digest are those returned."""
    with open_session(layout) as session:
        artifact = save(session, *entries)
        saved = content(session, artifact)
    assert json.loads(saved)["data"] == entries
    assert saved.count(b"\n") == len(entries) + 4
    assert (len(saved), hashlib.sha256(saved).hexdigest()) == (artifact.size_bytes, artifact.sha256)


def test_batches_join_as_if_they_were_one(layout: SessionLayout) -> None:
    """Empty batches have no effect."""
    with open_session(layout) as session:
        written = write(session, [], [1], [], [2, 3], [])
        document = json.loads(temporary(session.path / written.path).read_bytes())
        assert (document["data"], document["metadata"]) == ([1, 2, 3], {"count": 3})


def test_entries_that_are_given_up_leave_nothing(layout: SessionLayout) -> None:
    """Neither a file nor a temporary file is left, even if memory did not hold the entries."""
    with open_session(layout) as session:
        entries = EntryBuffer(session.scratches())
        entries.add(encoded(["x" * BLOCK_BYTES] * 2))
        entries.close()
        assert files(session.path / "data") == {}


def test_two_artifacts_never_share_a_name(layout: SessionLayout) -> None:
    """This includes a name that is not saved yet, the same second, and texts that become the same name."""
    with open_session(layout) as session:
        names = (NAME, NAME, ("kubernetes", "web-0/shop"))
        paths = [write(session, [number], name=name).path for number, name in enumerate(names)]
        assert paths == [f"data/logs/{STEM}.json", f"data/logs/{STEM}-2.json", f"data/logs/{STEM}-3.json"]
        assert [json.loads(temporary(session.path / path).read_bytes())["data"] for path in paths] == [[0], [1], [2]]


def failing(real: Callable[..., Any], matches: Callable[..., bool], number: int) -> Callable[..., Any]:
    """Return `real`, which raises ENOSPC at its `number`th matching call."""
    calls = itertools.count(1)

    def call(*arguments: Any, **keywords: Any) -> Any:
        if matches(*arguments) and next(calls) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **keywords)

    return call


@pytest.mark.parametrize(
    ("function", "number"),
    [
        pytest.param("write", 1, id="at its head"),
        pytest.param("write", 2, id="at its entries"),
        pytest.param("write", 3, id="at its tail"),
        pytest.param("fsync", 1, id="at the sync of the file"),
        pytest.param("rename", 1, id="at the rename"),
    ],
)
def test_a_save_that_fails_leaves_nothing_behind(
    layout: SessionLayout, monkeypatch: pytest.MonkeyPatch, function: str, number: int
) -> None:
    """No file is left under the final or the temporary name. Earlier files stay, and the next save succeeds."""
    with open_session(layout) as session:
        save(session, "old")
        before = files(session.path)
        with monkeypatch.context() as patch:
            patch.setattr(os, function, failing(getattr(os, function), lambda *_: True, number))
            with pytest.raises(OSError, match="No space left"):
                save(session, "new")
        assert files(session.path) == before
        assert json.loads(content(session, save(session, "again")))["data"] == ["again"]


def refusing_directories(path: Any) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_directory_that_cannot_be_synced_costs_nothing(layout: SessionLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files have their names already. The manifest is not written before the names are durable.

    Each directory is synced once, whatever the number of its files.
    """
    with open_session(layout) as session:
        save(session, "first")
        final = session.manifest.model_copy(update={"phase": "Completed", "completion_time": NOW})
        with monkeypatch.context() as patch:
            patch.setattr(publishing, "sync_directory", refusing_directories)
            artifact = save(session, "second")
            assert json.loads(content(session, artifact))["data"] == ["second"]
            with pytest.raises(OSError, match="Input/output"):
                session.finish(final)
        synced: list[Path] = []
        monkeypatch.setattr(publishing, "sync_directory", synced.append)
        session.finish(final)
        folder = (session.path / artifact.path).parent
        assert sorted(synced) == [session.path, folder.parent, folder]
        assert json.loads(content(session, artifact))["data"] == ["second"]


@pytest.mark.parametrize("undone", [True, False])
def test_a_crash_after_a_directory_was_not_synced(layout: SessionLayout, monkeypatch: pytest.MonkeyPatch, undone: bool) -> None:
    """Whether or not the machine kept the new name, the next process finds the files of the journal, and can continue."""
    with open_session(layout) as session:
        monkeypatch.setattr(publishing, "sync_directory", refusing_directories)
        done = Done("a", (save(session, "evidence"),))
        session.record(done)
        path = session.path / done.artifacts[0].path
    if undone:
        path.rename(temporary(path))
    with open_session(layout) as session:
        assert session.done == {"a": done}
        assert json.loads(content(session, done.artifacts[0]))["data"] == ["evidence"]


async def test_a_capture_on_a_volume_whose_directories_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status, journal and files agree: the captured files are there, and the manifest is a gap until it can be written."""
    tools = make_tools(tmp_path, FakeFetcher({"a": [[1, 2]], "b": [[3]]}))
    monkeypatch.setattr(publishing, "sync_directory", refusing_directories)
    snapshot = await run(make_order(), tools)
    assert counts(snapshot) == {"thing/a": 2, "thing/b": 1}
    assert gaps(snapshot) == [("manifest.json", "SaveFailed")]
    monkeypatch.undo()
    manifest = end_abandoned(tools.layout, snapshot.manifest.session_id, NOW, "PartiallyCompleted")
    assert on_disk(replace(snapshot, manifest=manifest)).keys() == {"thing/a", "thing/b"}


@pytest.mark.parametrize(("function", "number"), [("write", 1), ("fsync", 1), ("rename", 1)])
def test_a_manifest_that_cannot_be_saved_leaves_the_old_one(
    layout: SessionLayout, monkeypatch: pytest.MonkeyPatch, function: str, number: int
) -> None:
    """The session can still be resumed."""
    with open_session(layout) as session:
        before = files(session.path)
        final = session.manifest.model_copy(update={"phase": "Completed", "completion_time": NOW})
        with monkeypatch.context() as patch:
            patch.setattr(os, function, failing(getattr(os, function), lambda *_: True, number))
            with pytest.raises(OSError, match="No space left"):
                session.finish(final)
        assert files(session.path) == before
        assert session.finish(final) == hashlib.sha256(layout.manifest(final.session_id).read_bytes()).hexdigest()


@pytest.mark.parametrize(("function", "number"), [("write", 1), ("fsync", 1), ("rename", 1)])
def test_a_session_that_cannot_be_made_leaves_nothing(
    layout: SessionLayout, monkeypatch: pytest.MonkeyPatch, function: str, number: int
) -> None:
    """No partial session blocks the next try."""
    with monkeypatch.context() as patch:
        patch.setattr(os, function, failing(getattr(os, function), lambda *_: True, number))
        with pytest.raises(OSError, match="No space left"):
            create_session(layout, make_manifest())
    assert list(layout.sessions.iterdir()) == []
    assert find_session(layout, UID) is None


def test_a_session_is_taken_up_where_it_was_left(layout: SessionLayout) -> None:
    """Plan, artifacts and gaps are there again, and names in use stay in use."""
    with open_session(layout) as session:
        session.record_plan({"questions": [1]})
        done = Done("a", (save(session, 1),), (GAP,))
        session.record(done)
        session.record(Done("b"))
    with open_session(layout) as session:
        assert session.progress.plan == {"questions": [1]}
        assert session.done == {"a": done, "b": Done("b")}
        assert save(session, 2).path == f"data/logs/{STEM}-2.json"


@pytest.mark.parametrize("torn", [b"{", b'{"key":"b","artifacts":[],"gaps":[]}', b"\0\0\0"], ids=["a brace", "no end", "NULs"])
def test_a_torn_last_line_of_the_journal_is_dropped(layout: SessionLayout, torn: bytes) -> None:
    """Its question is asked again, and later lines are not damaged."""
    with open_session(layout) as session:
        session.record(Done("a"))
    journal = layout.journal(session.manifest.session_id)
    journal.write_bytes(journal.read_bytes() + torn)
    with open_session(layout) as session:
        assert set(session.done) == {"a"}
        session.record(Done("c"))
    with open_session(layout) as session:
        assert set(session.done) == {"a", "c"}


def test_a_journal_that_is_full_hides_no_later_line(layout: SessionLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that could not be synced is removed."""
    with open_session(layout) as session:
        session.record(Done("a"))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing(os.fsync, lambda *_: True, 1))
            with pytest.raises(OSError, match="No space left"):
                session.record(Done("b"))
        session.record(Done("c"))
    with open_session(layout) as session:
        assert set(session.done) == {"a", "c"}


def test_a_damaged_journal_does_not_stop_the_capture(layout: SessionLayout) -> None:
    """For a line that is no JSON, only its own question is asked again."""
    with open_session(layout) as session:
        session.record(Done("a"))
    journal = layout.journal(session.manifest.session_id)
    journal.write_bytes(b"\0\0garbage\n" + journal.read_bytes())
    with open_session(layout) as session:
        assert set(session.done) == {"a"}


def test_files_that_no_line_names_are_removed(layout: SessionLayout) -> None:
    """Partial and unrecorded files of a crash are removed. Recorded files stay."""
    with open_session(layout) as session:
        kept = save(session, 1)
        session.record(Done("a", (kept,)))
        save(session, 2)
        (session.path / "data/logs/half.json.part").write_text("half")
    with open_session(layout) as session:
        assert list(files(session.path / "data")) == [kept.path.removeprefix("data/")]


@pytest.mark.parametrize("damage", [b"", b"{}"], ids=["emptied", "replaced"])
def test_an_altered_artifact_is_fetched_again(layout: SessionLayout, damage: bytes) -> None:
    """Its question counts as not done, and the altered file is removed."""
    with open_session(layout) as session:
        artifact = save(session, 1)
        session.record(Done("a", (artifact,)))
        session.record(Done("b", (save(session, 2),)))
    (session.path / artifact.path).write_bytes(damage)
    with open_session(layout) as session:
        assert set(session.done) == {"b"}
        assert not (session.path / artifact.path).exists()


def test_an_artifact_that_is_gone_is_fetched_again(layout: SessionLayout) -> None:
    """A line in the journal is not enough."""
    with open_session(layout) as session:
        artifact = save(session, 1)
        session.record(Done("a", (artifact,)))
    (session.path / artifact.path).unlink()
    with open_session(layout) as session:
        assert session.done == {}


def test_a_session_has_one_holder(layout: SessionLayout) -> None:
    """Others are refused until the first one closes it."""
    first = open_session(layout)
    manifest = first.manifest
    with pytest.raises(SessionBusy, match=manifest.session_id):
        Session(layout, manifest)
    first.close()
    Session(layout, manifest).close()


def test_a_copy_of_the_lock_in_a_child_holds_nothing(layout: SessionLayout) -> None:
    """While a process starts it has copies of all descriptors. Closing the lock still unlocks the session."""
    manifest = create_session(layout, make_manifest())
    session = Session(layout, manifest)
    in_child = os.dup(session._directory._descriptor)
    session.close()
    try:
        Session(layout, manifest).close()
        with locked(session.path):
            also_in_child = os.dup(in_child)
        with locked(session.path):
            os.close(also_in_child)
    finally:
        os.close(in_child)


def colliding_uid(uid: str) -> str:
    """Another uid with a session id that begins with the same four digits."""
    wanted = session_id(uid, 4)
    return next(other for n in itertools.count() if session_id(other := f"uid-{n}", 4) == wanted)


def test_sessions_whose_ids_collide_get_longer_ids(layout: SessionLayout) -> None:
    """Each Investigation still finds its own session."""
    other = colliding_uid(UID)
    first, second = create_session(layout, make_manifest(UID)), create_session(layout, make_manifest(other))
    assert first.session_id == session_id(UID, 4)
    assert second.session_id == session_id(other, 5)
    assert find_session(layout, UID) == first
    assert find_session(layout, other) == second
    assert find_session(layout, "someone else") is None


def test_a_directory_without_a_manifest_is_passed_by(layout: SessionLayout) -> None:
    """Existing files of others must not be overwritten."""
    foreign = layout.session(session_id(UID, 4))
    foreign.mkdir(parents=True)
    (foreign / "notes.txt").write_text("mine")
    assert create_session(layout, make_manifest()).session_id == session_id(UID, 5)
    assert files(foreign) == {"notes.txt": b"mine"}


def test_the_manifests_digest_is_that_of_its_file(layout: SessionLayout) -> None:
    """This holds at once, and for a later process that reads the file."""
    with open_session(layout) as session:
        session.record(Done("a", (save(session, 1),), (GAP,)))
        final = session.manifest_so_far(["a"]).model_copy(update={"phase": "Completed", "completion_time": NOW})
        digest = session.finish(final)
        file = layout.manifest(final.session_id)
        assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
    with open_session(layout) as session:
        assert session.manifest == final
        assert manifest_sha256(layout, final.session_id) == digest
        assert files(session.path).keys() == {"manifest.json", f"data/logs/{STEM}.json"}


def test_the_digest_of_a_manifest_of_an_older_form_is_that_of_its_file(layout: SessionLayout) -> None:
    """This version would write it differently, but its digest is still that of `sha256sum`."""
    with open_session(layout) as session:
        session.finish(session.manifest.model_copy(update={"phase": "Completed", "completion_time": NOW}))
    file = layout.manifest(session.manifest.session_id)
    file.write_text(json.dumps(json.loads(file.read_text())))
    assert manifest_sha256(layout, session.manifest.session_id) == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_finished_session_is_not_touched(layout: SessionLayout) -> None:
    """This includes files that its manifest does not name."""
    with open_session(layout) as session:
        session.finish(session.manifest.model_copy(update={"phase": "Completed", "completion_time": NOW}))
        (session.path / "data" / "logs").mkdir(parents=True)
        (session.path / "data" / "logs" / "extra.json").write_text("{}")
        before = files(session.path)
    open_session(layout).close()
    assert files(session.path) == before


def test_answers_stand_in_the_manifest_in_the_order_of_the_questions(layout: SessionLayout) -> None:
    """It does not matter which was done first."""
    with open_session(layout) as session:
        for key in ("c", "a", "b"):
            session.record(Done(key, (), (GAP.model_copy(update={"target": key}),)))
        gaps = session.manifest_so_far(["a", "b", "c"]).gaps
    assert [gap.target for gap in gaps] == ["a", "b", "c"]


def test_a_link_planted_among_the_data_is_removed_and_not_followed(layout: SessionLayout, tmp_path: Path) -> None:
    """The file or directory behind the link is not touched."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.json").write_text("precious")
    with open_session(layout) as session:
        save(session, 1)
        (session.path / "data/logs/link.json").symlink_to(outside / "precious.json")
        (session.path / "data/metrics").symlink_to(outside)
    with open_session(layout) as session:
        assert list((session.path / "data").rglob("*.json")) == []
        assert not (session.path / "data/metrics").is_symlink()
    assert files(outside) == {"precious.json": b"precious"}


def test_a_link_planted_under_a_temporary_name_is_not_written_through(layout: SessionLayout, tmp_path: Path) -> None:
    """The save fails, and the link's target stays."""
    outside = tmp_path / "precious"
    outside.write_text("precious")
    with open_session(layout) as session:
        (session.path / "data/logs").mkdir(parents=True)
        (session.path / f"data/logs/{STEM}.json.part").symlink_to(outside)
        with pytest.raises(OSError, match=r"File exists"):
            write(session, [1])
    assert outside.read_text() == "precious"


def test_a_link_planted_in_place_of_the_data_is_not_followed(layout: SessionLayout, tmp_path: Path) -> None:
    """Files outside of the session are never removed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.json").write_text("precious")
    with open_session(layout) as session:
        (session.path / "data").symlink_to(outside)
    with suppress(OSError):  # refusing is as good
        open_session(layout).close()
    assert files(outside) == {"precious.json": b"precious"}


def test_a_link_planted_in_place_of_the_journal_is_not_followed(layout: SessionLayout, tmp_path: Path) -> None:
    """Files outside of the session are never cut."""
    outside = tmp_path / "precious"
    outside.write_text("precious")
    with open_session(layout) as session:
        layout.journal(session.manifest.session_id).unlink()
        layout.journal(session.manifest.session_id).symlink_to(outside)
    with suppress(OSError):  # refusing is as good
        open_session(layout).close()
    assert outside.read_text() == "precious"


def test_files_are_not_for_everyone(layout: SessionLayout) -> None:
    """Only the operator's user and group can read evidence."""
    with open_session(layout) as session:
        session.record(Done("a", (save(session, 1),)))
        modes = {path.stat().st_mode & 0o007 for path in [session.path, *session.path.rglob("*")]}
    assert modes == {0}


def test_without_a_manifest_there_is_none(layout: SessionLayout) -> None:
    """A missing manifest raises NoManifest, unlike a damaged one."""
    with pytest.raises(NoManifest):
        read_manifest(layout, "INC-0000")


BEGUN, STOPPED, DONE = b'{"begun":"a"}\n', b'{"stopped":"a"}\n', b'{"key":"a","artifacts":[],"gaps":[]}\n'


@pytest.mark.parametrize(
    ("lines", "deaths"),
    [
        ([], 0),
        ([BEGUN], 1),
        ([BEGUN, BEGUN], 2),
        ([BEGUN, STOPPED], 0),
        ([BEGUN, STOPPED, BEGUN], 1),
        ([BEGUN, DONE], 0),
        ([BEGUN, BEGUN, DONE, BEGUN], 1),
        ([BEGUN, b'{"begun":"b"}\n', DONE], 0),
    ],
    ids=[
        "never asked",
        "died",
        "died twice",
        "stopped",
        "stopped, then died",
        "done",
        "done, then asked again",
        "another died",
    ],
)
def test_the_journal_tells_how_often_the_process_died_with_a_question(tmp_path: Path, lines: list[bytes], deaths: int) -> None:
    """A question that began, and was neither done nor stopped in good order, was open when its process died."""
    (tmp_path / "journal.ndjson").write_bytes(b"".join(lines))
    assert journal.read(tmp_path / "journal.ndjson", lambda artifact: True).deaths["a"] == deaths


def test_the_manifest_is_read_again_under_the_lock(layout: SessionLayout) -> None:
    """If another process finished the session meanwhile, this is seen, and nothing is removed."""
    with open_session(layout) as session:
        looked = session.manifest
        artifact = save(session, 1)
        session.record(Done("a", (artifact,)))
        session.finish(session.manifest_so_far(["a"]).model_copy(update={"phase": "Completed", "completion_time": NOW}))
        before = files(session.path)
    with Session(layout, looked) as session:
        assert (session.manifest.finished, session.manifest.artifacts) == (True, [artifact])
        assert files(session.path) == before


@pytest.mark.parametrize(
    ("record", "line", "synced"),
    [
        (lambda session: session.record_begun("a"), {"begun": "a"}, False),
        (lambda session: session.record_stopped("a"), {"stopped": "a"}, False),
        (lambda session: session.record_redaction(b"\x00\xff"), {"redaction": "00ff"}, False),
        (lambda session: session.record_plan({"a": 1}), {"plan": {"a": 1}}, False),
        (lambda session: session.record_interruption("TimedOut"), {"interrupted": "TimedOut"}, True),
        (lambda session: session.record_upload(), {"upload": "begun"}, True),
        (lambda session: session.record(Done("a")), {"key": "a", "artifacts": [], "gaps": [], "origins": {}}, True),
    ],
    ids=["begun", "stopped", "redaction", "plan", "interruption", "upload", "done"],
)
def test_which_lines_of_the_journal_wait_for_the_disk(
    layout: SessionLayout, monkeypatch: pytest.MonkeyPatch, record: Callable[[Session], None], line: Any, synced: bool
) -> None:
    """Lines that count deaths need not survive a crash of the machine, which no question caused; a later line syncs the others.

    A new session was made with its journal. The directory of another is synced once, for the journal's name.
    """
    appended: list[Any] = []
    monkeypatch.setattr(journal, "append", lambda *arguments: appended.append(arguments))
    directories: list[Path] = []
    monkeypatch.setattr(store, "sync_directory", directories.append)
    with open_session(layout) as session:
        record(session)
        record(session)
        assert appended == 2 * [(layout.journal(session.manifest.session_id), (line,), synced)]
        assert not directories
    layout.journal(session.manifest.session_id).write_bytes(BEGUN)
    with open_session(layout) as session:
        record(session)
        record(session)
        assert directories == ([session.path] if synced else [])


def test_a_journal_is_synced_if_something_was_added(layout: SessionLayout, journal_waits: list[bool]) -> None:
    """And only then."""
    with open_session(layout) as session:
        session.sync_journal()
        assert not journal_waits
        session.record_plan({"a": 1})
        session.sync_journal()
        session.sync_journal()
        session.record(Done("a"))
        session.sync_journal()
    assert journal_waits == [False, True, True]
    assert layout.journal(session.manifest.session_id).read_bytes().count(b"\n") == 3, "the first manifest comes first"


def test_a_manifest_that_a_crash_of_the_machine_lost_is_restored(layout: SessionLayout) -> None:
    """Only the journal is synced before evidence gets its name. The session is found again, with its id and its evidence."""
    with open_session(layout) as session:
        first = session.manifest
        session.record_plan({"a": 1})
        session.record(Done("a"))
    for lost in (b"", b"\0" * 300, None):
        manifest = layout.manifest(first.session_id)
        manifest.unlink() if lost is None else manifest.write_bytes(lost)
        assert find_session(layout, "another") is None
        assert find_session(layout, UID) == first
        assert read_manifest(layout, first.session_id) == first
    remove_leftovers(layout)
    with Session(layout, first) as session:
        assert (session.progress.plan, list(session.done)) == ({"a": 1}, ["a"])


def test_a_session_is_found_although_its_name_cannot_be_looked_up(
    layout: SessionLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the volume is no proof that there is no session: a second one would be made."""
    first = create_session(layout, make_manifest())

    def fails(path: Any) -> Any:
        raise OSError(errno.EIO, "input/output error", path)

    monkeypatch.setattr("aletheia_operator.session.store.os.lstat", fails)
    assert find_session(layout, UID) == first
    assert find_session(layout, "another") is None


def test_scratch_files_do_not_wait_for_the_journal(layout: SessionLayout) -> None:
    """The event loop makes their makers, and a journal on a slow disk may take seconds."""
    with open_session(layout) as session, session._guard:  # as while a line is synced
        session.close_scratches(session.scratches())
    with pytest.raises(OSError, match="closed"):
        session.scratches()


@pytest.mark.parametrize("line", [b"", b"{", b"[]\n", b'{"plan": {}}\n', b'{"session": {"sessionId": "INC-0000"}}\n'])
def test_a_session_without_a_manifest_and_a_first_line_is_not_found(layout: SessionLayout, line: bytes) -> None:
    """It counts as another Investigation's, whose session gets a longer id. One that never began is removed later."""
    first = create_session(layout, make_manifest())
    layout.manifest(first.session_id).write_bytes(b"")
    layout.journal(first.session_id).write_bytes(line)
    assert find_session(layout, UID) is None
    second = create_session(layout, make_manifest())
    assert len(second.session_id) > len(first.session_id)
    remove_leftovers(layout)
    assert layout.session(first.session_id).exists() == bool(line)
    assert find_session(layout, UID) == second


def test_a_lost_manifest_of_a_sealed_session_is_not_replaced(layout: SessionLayout) -> None:
    """The first one has no key. That of a sealed session is synced, so a crash does not lose it."""
    spec = {"session": {"encryption": {"recipients": ["age1x"]}}}
    first = create_session(layout, make_manifest().model_copy(update={"spec": spec}))
    layout.manifest(first.session_id).write_bytes(b"")
    assert find_session(layout, UID) is None


def test_when_every_session_id_is_taken(layout: SessionLayout) -> None:
    """Nothing is overwritten, and the error is FileExistsError."""
    for digits in range(4, MAX_SESSION_ID_DIGITS):
        (taken := layout.session(session_id(UID, digits))).mkdir(parents=True)
        (taken / "mine").touch()
    with pytest.raises(FileExistsError, match="every session id is taken") as caught:
        create_session(layout, make_manifest())
    assert (caught.value.errno, caught.value.filename) == (errno.EEXIST, str(layout.sessions))
    assert find_session(layout, UID) is None


def test_a_session_closes_the_scratch_files_that_are_left(layout: SessionLayout) -> None:
    """It makes none afterwards, since nobody would close them."""
    session = open_session(layout)
    scratch = session.scratches()()
    scratch.put(b"x")
    session.close()
    for refused in (lambda: scratch.put(b"y"), session.scratches):
        with pytest.raises(OSError, match="closed"):
            refused()

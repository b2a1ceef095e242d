"""One reader and one writer of manifest.json: what is refused, what a refusal costs others, and the limit of both."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from aletheia_operator.session import Gap, InvestigationReference, Manifest, SessionLayout, find_session
from aletheia_operator.session import manifest_file as module
from aletheia_operator.session.archive import export_session, import_directory
from aletheia_operator.session.catalog import sessions
from aletheia_operator.session.manifest_file import (
    MAX_MANIFEST_BYTES,
    NewerManifest,
    Unreadable,
    manifest_bytes,
    parse_manifest,
    read_session,
)
from aletheia_operator.session.names import session_id
from aletheia_operator.session.tar_stream import ArchiveError
from aletheia_operator.session.verify import verify
from tests.support.captures import OWNER, Memory, capture

ANSWERS = {"first": [[{"line": "evidence"}]]}
Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished session."""
    return Path(capture(tmp_path_factory.mktemp("volume"), Memory(ANSWERS)).path)


def changed(session: Path, change: Change) -> bytes:
    value = json.loads((session / "manifest.json").read_bytes())
    change(value)
    return json.dumps(value).encode()


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


HOSTILE: list[tuple[str, Change, str]] = [
    ("NaN in the spec", lambda m: m.update(spec={"a": float("nan")}), "is not a manifest"),
    ("Infinity in the spec", lambda m: m.update(spec={"a": float("-inf")}), "is not a manifest"),
    ("nested past any stack", lambda m: m.update(spec={"a": nested(900)}), "recursion"),
    ("an unknown key", lambda m: m.update(run="rm -rf /"), "run"),
    ("an unknown key of an artifact", lambda m: m["artifacts"][0].update(run=1), "artifacts.0.run"),
    ("a list for the whole of artifacts", lambda m: m.update(artifacts={}), "artifacts"),
    ("a number for a session", lambda m: m.update(sessionId=7), "sessionId"),
    ("a session that leads elsewhere", lambda m: m.update(sessionId="../../profile"), "as its session"),
    ("no phase", lambda m: m.pop("phase"), "phase"),
    ("a size past 64 bits", lambda m: m["artifacts"][0].update(sizeBytes=10**30), "past 2^63"),
    ("a count below zero", lambda m: m["artifacts"][0].update(count=-1), "below zero"),
    ("no digest", lambda m: m["artifacts"][0].update(sha256="x" * 64), "no SHA-256"),
    ("a time without a zone", lambda m: m.update(completionTime="2026-11-22T12:00:00"), "without a zone"),
    ("a time at the end of the calendar", lambda m: m.update(completionTime="9999-12-31T23:59:59Z"), "out of bounds"),
    ("a time at its beginning", lambda m: m.update(startTime="0001-01-01T00:00:00+14:00"), "out of bounds"),
    ("a namespace that leads elsewhere", lambda m: m["investigation"].update(namespace="../../secrets"), "namespace"),
    ("a name with a line end", lambda m: m["investigation"].update(name="a\nb"), "name"),
    ("an empty uid", lambda m: m["investigation"].update(uid=""), "uid"),
    ("another session's id", lambda m: m.update(sessionId="INC-FFFF"), "is of session 'INC-FFFF'"),
]


@pytest.mark.parametrize(("change", "message"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_hostile_manifests(change: Change, message: str, session: Path, tmp_path: Path) -> None:
    """Every reader refuses it and names the file; the list of sessions has an entry with the fault."""
    layout = SessionLayout(tmp_path)
    damaged = layout.session(session.name)
    damaged.mkdir(parents=True)
    (damaged / "manifest.json").write_bytes(changed(session, change))
    readers: list[Callable[[Path], Any]] = [read_session, verify, lambda path: export_session(path, lambda block: None)]
    for read in readers:
        with pytest.raises(Unreadable, match=r"manifest\.json") as refused:
            read(damaged)
        assert message in str(refused.value)
    (entry,) = sessions(layout)
    assert entry.manifest is None
    assert message in entry.fault


@pytest.mark.parametrize("content", [b"", b"\xff", b"null", b"[]", b"{}", b'{"schemaVersion": 1', b"[" * 100_000], ids=str)
def test_what_is_no_manifest_at_all(content: bytes) -> None:
    """Any other bytes raise Unreadable, and no other error."""
    with pytest.raises(Unreadable):
        parse_manifest(content)


def test_one_limit_for_writing_reading_exporting_and_importing(session: Path, tmp_path: Path) -> None:
    """A manifest of exactly the limit passes all four. One with a byte more is refused by each."""
    layout = SessionLayout(tmp_path / "here")
    large = layout.session(session.name)
    large.parent.mkdir(parents=True)
    os.system(f"cp -r {session} {large}")
    manifest = read_session(large)[0]
    filled = manifest.model_copy(update={"spec": {"a": ""}})
    room = MAX_MANIFEST_BYTES - len(manifest_bytes(filled))
    content = manifest_bytes(manifest.model_copy(update={"spec": {"a": "x" * room}}))
    assert len(content) == MAX_MANIFEST_BYTES
    (large / "manifest.json").write_bytes(content)
    archive = tmp_path / "archive"
    with archive.open("wb") as file:
        export_session(large, file.write)
    assert import_directory(SessionLayout(tmp_path / "there"), large).session_id == session.name
    with pytest.raises(OSError, match="the manifest is larger"):
        manifest_bytes(manifest.model_copy(update={"spec": {"a": "x" * (room + 10_000)}}))
    (large / "manifest.json").write_bytes(content + b"\n")
    with pytest.raises(Unreadable, match="is larger than"):
        read_session(large)
    with pytest.raises(ArchiveError, match="is larger than"):
        import_directory(SessionLayout(tmp_path / "nowhere"), large)


def test_a_manifest_that_grew_too_large_is_still_written(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence comes first: summaries are dropped first, and then all gaps after the first thousand."""
    gap = Gap(fetcher="KubernetesLogs", target="pod/a", reason="NotFound", message="gone")
    manifest = read_session(session)[0].model_copy(update={"gaps": [gap] * 3000})
    monkeypatch.setattr(module, "MAX_MANIFEST_BYTES", 200_000)
    written = parse_manifest(manifest_bytes(manifest))
    assert [artifact.sha256 for artifact in written.artifacts] == [artifact.sha256 for artifact in manifest.artifacts]
    assert len(written.gaps) == 1001
    assert "left out 2000 gaps" in written.gaps[-1].message
    assert (written.gaps[-1].target, written.gaps[-1].reason) == ("manifest.json", "SaveFailed")
    assert {artifact.summary for artifact in written.artifacts} == {""}
    assert {artifact.summary for artifact in parse_manifest(manifest_bytes(read_session(session)[0])).artifacts} != {""}


@pytest.mark.parametrize(("last", "severity"), [("note", "note"), ("gap", "gap")])
def test_gaps_that_do_not_fit_keep_their_weight(
    session: Path, monkeypatch: pytest.MonkeyPatch, last: Literal["note", "gap"], severity: str
) -> None:
    """The gap with the number of further gaps is a note if all of them are notes. If all gaps fit, there is none."""
    note = Gap(fetcher="KubernetesLogs", target="pod/a", reason="NotFound", message="gone", severity="note")
    gaps = [note] * module.MAX_GAPS_IN_A_LARGE_MANIFEST
    manifest = read_session(session)[0]
    monkeypatch.setattr(module, "MAX_MANIFEST_BYTES", 200_000)
    more = [note.model_copy(update={"severity": last, "message": "x" * 10_000})] * 20
    assert parse_manifest(manifest_bytes(manifest.model_copy(update={"gaps": gaps + more}))).gaps[-1].severity == severity
    monkeypatch.setattr(module, "MAX_MANIFEST_BYTES", len(manifest_bytes(manifest.model_copy(update={"gaps": gaps}))) - 1)
    assert parse_manifest(manifest_bytes(manifest.model_copy(update={"gaps": gaps}))).gaps == gaps


def test_a_newer_version_is_named(session: Path) -> None:
    """Whatever else the newer version changed, the message says which version wrote it and what to do."""
    with pytest.raises(NewerManifest, match=r"schema version 7.* reads up to 1: use the version that wrote it") as refused:
        parse_manifest(changed(session, lambda m: m.update(schemaVersion=7, artifacts={"by": "path"}, colour="red")))
    assert refused.value.uid == OWNER.uid


@pytest.mark.parametrize("owner", [None, [], ["uid"], "uid", {}, {"uid": None}, {"uid": 7}], ids=str)
def test_a_newer_version_may_name_its_investigation_otherwise(session: Path, owner: Any) -> None:
    """Then the Investigation of the session is not known."""
    with pytest.raises(NewerManifest, match="schema version 2") as refused:
        parse_manifest(changed(session, lambda m: m.update(schemaVersion=2, investigation=owner)))
    assert refused.value.uid == ""


def test_words_of_a_manifest_may_be_those_of_numbers(session: Path) -> None:
    """NaN and Infinity inside a text are accepted."""
    content = changed(session, lambda m: m.update(spec={"a": "NaN", "Infinity": "-Infinity"}))
    assert parse_manifest(content).spec == {"a": "NaN", "Infinity": "-Infinity"}


def test_a_manifest_is_for_people_too(session: Path) -> None:
    """It has a line for each field, and ends with a line end."""
    lines = (session / "manifest.json").read_text().split("\n")
    assert (lines[0], lines[1], lines[-2:]) == ("{", '  "schemaVersion": 1,', ["}", ""])


@pytest.mark.parametrize("version", ["2", None, 1, 0, 2.5])
def test_what_is_no_newer_version(session: Path, version: Any) -> None:
    """The manifest counts as damaged, not as newer."""
    with pytest.raises(Unreadable, match="is not a manifest: ") as refused:
        parse_manifest(changed(session, lambda m: m.update(schemaVersion=version, artifacts=7)))
    assert not isinstance(refused.value, NewerManifest)


@pytest.mark.parametrize("how", ["damaged", "newer", "empty", "a directory", "a link to nowhere", "a pipe", "no manifest"])
def test_another_session_never_fails_a_new_one(how: str, session: Path, tmp_path: Path) -> None:
    """Anything may be under the id that the uid asks for: the new session gets a longer id, and the other is untouched."""
    taken = tmp_path / "sessions" / session_id("newcomer", 4)
    taken.mkdir(parents=True)
    manifest = taken / "manifest.json"
    match how:
        case "damaged":
            manifest.write_bytes(b"\0" * 4096)
        case "newer":
            manifest.write_bytes(changed(session, lambda m: m.update(schemaVersion=2)))
        case "empty":
            manifest.touch()
        case "a directory":
            manifest.mkdir()
        case "a link to nowhere":
            manifest.symlink_to("/no/such/file")
        case "a pipe":
            os.mkfifo(manifest)
        case _:
            (taken / "data").mkdir()
    before = sorted(path.name for path in taken.rglob("*"))
    owner = InvestigationReference(namespace="shop", name="newcomer", uid="newcomer")
    found = capture(tmp_path, Memory(ANSWERS), owner=owner).manifest
    assert (found.phase, found.session_id) == ("Completed", session_id("newcomer", 5))
    assert sorted(path.name for path in taken.rglob("*")) == before
    assert capture(tmp_path, Memory(ANSWERS), owner=owner).manifest.session_id == found.session_id


def test_ones_own_newer_session_is_not_captured_twice(session: Path, tmp_path: Path) -> None:
    """After a downgrade the operator says that it cannot read the session, and makes no second one."""
    own = tmp_path / "sessions" / session.name
    own.mkdir(parents=True)
    (own / "manifest.json").write_bytes(changed(session, lambda m: m.update(schemaVersion=2)))
    with pytest.raises(OSError, match="schema version 2"):
        capture(tmp_path, Memory(ANSWERS))
    assert [path.name for path in (tmp_path / "sessions").iterdir()] == [session.name]


def test_a_volume_that_fails_is_no_damaged_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If reading fails temporarily, the session is not taken for absent: its evidence would be captured twice."""
    manifest: Manifest = capture(tmp_path, Memory(ANSWERS)).manifest
    real = os.open

    def failing(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path).endswith("manifest.json"):
            raise OSError(5, "Input/output error")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(OSError, match="Input/output error"):
        find_session(SessionLayout(tmp_path), manifest.investigation.uid)

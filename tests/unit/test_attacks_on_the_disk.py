"""Rows of the attack table that need no API server: names and links on the session volume. No byte lies outside of a session.

Other rows on the disk: test_names.py (every text becomes a safe name), test_archive.py (hostile archives and folders),
test_store.py (planted links), test_logs_by_node.py (annotations of mirror pods), test_artifacts_api.py (paths of requests).
"""

import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.cli.__main__ import main
from aletheia_operator.fetchers.base import Document, Entries, Outcome, Question, Sources
from aletheia_operator.redact import Redactor
from aletheia_operator.scratch import write_all
from aletheia_operator.session import SessionLayout
from aletheia_operator.session.archive import export_session, import_session
from aletheia_operator.session.artifact import EntryBuffer, WrittenFile, encoded
from aletheia_operator.session.files import open_new
from aletheia_operator.session.journal import first_manifest
from aletheia_operator.session.names import session_id
from aletheia_operator.session.redacted_copy import redact_session
from aletheia_operator.session.retention_record import read_retention_record
from aletheia_operator.session.store import Session, create_session, find_session
from aletheia_operator.session.verify import verify
from tests.support.captures import NOW, Memory, capture, unfinished
from tests.unit.fakes import descriptors

EVIDENCE = "the-evidence"
ARTIFACT = "aletheia_operator.session.artifact"
NAMES = [
    "..", "../../outside/evil", "/etc/cron.d/evil", "....//....//evil", "..\\..\\evil", "a/../../../b", "\0/evil",
    "evil\n/../x", "%2e%2e%2fevil", "．．／evil", "‥/evil", "~/evil", "C:\\evil", "-rf", ".hidden",
    "con", "a" * 300, "🔥/../..",
]  # fmt: skip


@pytest.mark.parametrize(
    "read",
    [
        lambda layout: read_retention_record(layout, "INC-7F3A"),
        lambda layout: first_manifest(layout.journal("INC-7F3A")),
        lambda layout: find_session(layout, "uid"),
    ],
    ids=["custody.json", "journal.ndjson", "manifest.json"],
)
def test_a_directory_in_place_of_a_file_takes_no_descriptor(read: Callable[[SessionLayout], object], tmp_path: Path) -> None:
    """Passes over all sessions read these files again and again: the process would run out of descriptors."""
    layout = SessionLayout(tmp_path)
    for path in (layout.retention_record("INC-7F3A"), layout.journal("INC-7F3A"), layout.manifest(session_id("uid", 4))):
        path.mkdir(parents=True)
    before = descriptors()
    for _ in range(3):
        read(layout)
    assert descriptors() == before


@dataclass
class Named(Memory):
    """Answers with documents that have hostile names, in every part of a name."""

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        async def batches() -> AsyncGenerator[Entries, None]:
            yield [{"line": EVIDENCE}]

        for name in ((question.key,), ("kubernetes", question.key, "ns"), (question.key, question.key)):
            yield Document("logs", "memory", name, {"pod": question.key}, batches(), Outcome(summary=question.key))


OWN = ("volume.json", "redaction.key")
"""Files of the volume itself."""


def outside_of(directory: Path, root: Path) -> list[Path]:
    """Everything below `root` that is neither in `directory` nor above it, except the volume's own files."""
    return [
        path
        for path in root.rglob("*")
        if directory not in (path, *path.parents) and path not in directory.parents and path.name not in OWN
    ]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_no_name_leads_out_of_the_session(tmp_path: Path, name: str) -> None:
    """Of pods, queries, traces: one file each in the folder of its category, which verifies."""
    root = tmp_path / "a" / "b" / "root"
    snapshot = capture(root, Named({name: []}))
    session = Path(snapshot.path)
    assert outside_of(session, tmp_path) == []
    found = [path for path in (session / "data" / "logs").iterdir() if EVIDENCE in path.read_text()]
    assert len(found) == 3
    assert not [path for path in found if path.is_symlink() or path.name.startswith(".")]
    assert verify(session).intact


@pytest.mark.parametrize("name", [*NAMES, "INC-7F3A/../../outside", "inc-7f3a", "INC-"], ids=ascii)
def test_no_name_of_a_session_leads_out_of_the_volume(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands accept only the id or the Investigation's name of an existing session, and touch nothing else."""
    outside = tmp_path / "outside"
    capture(outside, Memory({"a": [[EVIDENCE]]}))
    before = {path: path.stat().st_mtime_ns for path in outside.rglob("*")}
    root = tmp_path / "root"
    (root / "sessions").mkdir(parents=True)
    for command in (["delete", "--yes", "--skip-hold-check"], ["hold", "--reason=x"], ["release"], ["show"], ["export"]):
        with pytest.raises(SystemExit) as ended:
            raise SystemExit(main(["session", command[0], f"--root={root}", *command[1:], "--", name.replace("\0", "")]))
        assert ended.value.code not in (0, None)
    assert {path: path.stat().st_mtime_ns for path in outside.rglob("*")} == before


def swap(directory: Path, outside: Path) -> None:
    """Replace a directory by a link to `outside`, as other users of the volume can at any time."""
    directory.rename(directory.with_name("moved"))
    directory.symlink_to(outside)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    layout = SessionLayout(tmp_path / "root")
    with Session(layout, create_session(layout, unfinished())) as session:
        yield session


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory in which no evidence may appear, with a file that must not change."""
    made = tmp_path / "outside"
    (made / "logs").mkdir(parents=True)
    (made / "precious").write_text("precious")
    return made


def evidence_in(directory: Path) -> list[Path]:
    """Return the files below `directory`, except the one that was there before."""
    found = [path for path in directory.rglob("*") if path.is_file() and path.name != "precious"]
    assert (directory / "precious").read_text() == "precious"
    return found


def write(session: Session) -> WrittenFile:
    entries = EntryBuffer(session.scratches())
    try:
        entries.add(encoded([{"line": EVIDENCE}]))
        return session.write("logs", ("pod",), "memory", {}, entries, NOW)
    finally:
        entries.close()


FOLDERS: dict[str, Callable[[Session], Path]] = {
    "the folder of logs": lambda session: session.path / "data" / "logs",
    "the folder of all data": lambda session: session.path / "data",
    "the session": lambda session: session.path,
}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_link_that_was_swapped_in_is_not_written_through(session: Session, outside: Path, folder: str) -> None:
    """New artifacts are not written through it. The journal and the manifest are refused if the session itself was swapped."""
    write(session)
    swap(FOLDERS[folder](session), outside)
    with pytest.raises(OSError, match=r"link leads out|moved or replaced"):
        write(session)
    if folder == "the session":
        for act in (lambda: session.record_begun("a"), lambda: session.finish(session.manifest)):
            with pytest.raises(OSError, match="moved or replaced"):
                act()
    assert evidence_in(outside) == []
    assert {path.name for path in outside.rglob("*")} == {"precious", "logs"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_link_that_is_swapped_in_just_before_a_file_is_made(
    session: Session, outside: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It appears after the folder was checked. The new file is recognised as misplaced before a byte is written to it."""
    write(session)
    written: list[Any] = []

    def open_late(path: Path) -> int:
        swap(FOLDERS[folder](session), outside)
        (outside / "data" / "logs").mkdir(parents=True)
        return open_new(path)

    monkeypatch.setattr(f"{ARTIFACT}.open_new", open_late)
    monkeypatch.setattr(f"{ARTIFACT}.write_all", lambda descriptor, block: written.append(block))
    with pytest.raises(OSError, match="link leads out"):
        write(session)
    assert written == []
    assert evidence_in(outside) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_link_that_is_swapped_in_while_a_file_is_written(
    session: Session, outside: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes go to the file that was checked. It is not found by its name again, and nothing appears elsewhere."""
    swapped: list[bool] = []

    def write_late(descriptor: int, block: bytes | memoryview) -> None:
        if not swapped:
            swap(FOLDERS[folder](session), outside)
            swapped.append(True)
        write_all(descriptor, block)

    monkeypatch.setattr(f"{ARTIFACT}.write_all", write_late)
    written = write(session)
    assert evidence_in(outside) == []
    assert not (session.path / written.path).exists()


@dataclass
class Swapping(Memory):
    """Puts a link in the place of a directory of the session while it answers."""

    layout: SessionLayout | None = None
    outside: Path = Path()
    folder: str = ""

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        async for document in super().fetch(question, sources):
            yield document
        if question.key == "first":
            assert self.layout is not None
            (path,) = self.layout.sessions.iterdir()
            swap(path / self.folder if self.folder else path, self.outside)


@pytest.mark.parametrize("folder", ["data/logs", "data", ""])
def test_a_capture_ends_while_links_are_swapped_in(tmp_path: Path, outside: Path, folder: str) -> None:
    """Data that cannot be written is a gap. No byte of evidence is outside."""
    answers = {"first": [[{"line": EVIDENCE}]], "second": [[{"line": EVIDENCE}]]}
    layout = SessionLayout(tmp_path / "root")
    fetcher = Swapping(answers, layout=layout, outside=outside, folder=folder)
    manifest = capture(layout.root, fetcher).manifest
    assert manifest.phase != "Completed"
    assert {gap.reason for gap in manifest.gaps} == {"SaveFailed"}
    assert evidence_in(outside) == []


def redact_again(layout: SessionLayout, session_id: str) -> None:
    redact_session(layout, session_id, Redactor(b"k"), None)


def import_again(layout: SessionLayout, session_id: str) -> None:
    archive = BytesIO()
    export_session(layout.session(session_id), archive.write)
    archive.seek(0)
    shutil.rmtree(layout.session(session_id))
    import_session(layout, archive)


@pytest.mark.parametrize("folder", ["data/logs", "data", ""])
@pytest.mark.parametrize(("module", "act"), [(ARTIFACT, redact_again), ("aletheia_operator.session.archive", import_again)])
def test_a_link_that_is_swapped_into_a_copy_is_not_written_through(
    tmp_path: Path, outside: Path, module: str, act: Callable[[SessionLayout, str], None], folder: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A second pass of redaction and an import write into a hidden directory: they stop before a byte is elsewhere."""
    layout = SessionLayout(tmp_path / "root")
    manifest = capture(layout.root, Memory({"a": [[{"line": EVIDENCE}]]})).manifest
    written: list[bytes] = []

    def open_late(path: Path) -> int:
        if "logs" in path.parts:
            (made,) = layout.sessions.glob(".new-*")
            swap(made / folder if folder else made, outside)
            (outside / "data" / "logs").mkdir(parents=True, exist_ok=True)
        return open_new(path)

    monkeypatch.setattr(f"{module}.open_new", open_late)
    monkeypatch.setattr(f"{module}.write_all", lambda descriptor, block: written.append(bytes(block)))
    with pytest.raises(OSError, match="link leads out"):
        act(layout, manifest.session_id)
    assert EVIDENCE.encode() not in b"".join(written)
    assert evidence_in(outside) == []

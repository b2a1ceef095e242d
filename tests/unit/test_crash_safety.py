"""A capture that dies, or has a failing disk, at each system call in turn: no evidence is lost, doubled or incomplete."""

import errno
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.handlers import progress
from aletheia_operator.investigate.answering import GIVEN_UP
from aletheia_operator.session import SessionLayout, age
from aletheia_operator.session.archive import export_session, import_session
from aletheia_operator.session.catalog import sessions
from aletheia_operator.session.manifest_file import read_session
from aletheia_operator.session.retention import expire, remove
from aletheia_operator.session.staging import remove_leftovers
from aletheia_operator.session.unseal import decrypt_artifact
from aletheia_operator.session.verify import verify
from tests.support.captures import NOW, Memory, StoredResource, capture, digest_of, operate
from tests.support.faults import Fault, in_child


def entry(line: str, level: str | None = None) -> dict[str, Any]:
    return {"timestamp": "2026-11-22T11:30:00.000000000Z", "container": "app", "level": level, "line": line}


MADE = ("timeline", "findings", "report")  # made from the answers, at the end
LARGE = [[entry(f"{number} {'x' * 4000}") for number in range(batch, batch + 100)] for batch in range(0, 600, 100)]
ERRORS = [[entry("connection refused", "ERROR")] * 20]
ANSWERS = {"small": [[entry("evidence")]], "large": LARGE, "empty": [], "last": ERRORS}
MOST_STEPS = 400
KUBERNETES = "kubernetes"  # its answers become the timeline, the session's last artifact


def files_of(root: Path) -> dict[str, bytes]:
    """Every file but those of the volume that are random: its id and the secret of redaction."""
    files = [path for path in root.rglob("*") if not path.is_dir() and path.name not in ("volume.json", "redaction.key")]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def session_in(root: Path) -> Path:
    (session,) = (path for path in (root / "sessions").iterdir() if not path.name.startswith("."))
    return session


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every file of a capture that nothing disturbed."""
    root = tmp_path_factory.mktemp("undisturbed")
    assert capture(root, Memory(ANSWERS, KUBERNETES)).manifest.phase == "Completed"
    return files_of(root)


def faults(kind: str) -> Iterator[Fault]:
    """Yield the fault at step 1, at step 2, and so on. The test ends the series when a run no longer meets it."""
    return (Fault(kind, at) for at in count(1))


def interrupted(root: Path, fault: Fault) -> None:
    with fault.injected():
        capture(root, Memory(ANSWERS, KUBERNETES))


@pytest.mark.parametrize("kind", ["kill", "torn"])
def test_killed_at_every_step(kind: str, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """SIGKILL at each step in turn: the next process ends with the same bytes, and asks for nothing that was saved."""
    for fault in faults(kind):
        root = tmp_path / str(fault.at)
        if in_child(partial(interrupted, root, fault)) is None:
            break
        named = [path for path in files_of(root) if path.endswith(".json") and "/data/" in path]
        fetcher = Memory(ANSWERS, KUBERNETES)
        snapshot = capture(root, fetcher)
        assert snapshot.manifest.phase == "Completed", fault
        assert files_of(root) == undisturbed, fault
        assert verify(session_in(root)).intact
        assert not [key for key in fetcher.asked if any(f"_{key}_" in path for path in named)], fault
    assert 60 < fault.at < MOST_STEPS


def test_killed_while_it_recovers(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """Killed in the middle, then killed again at each step of its recovery: still the same bytes.

    Exception: a question, or the timeline, that both processes were working on when they died is given up, with a gap.
    """
    counting = Fault("none", 0)
    interrupted(tmp_path / "counting", counting)
    middle, given_up = counting.taken.index("dup") + 1, 0  # when the scratch file of the large answer is made
    for fault in faults("kill"):
        root = tmp_path / str(fault.at)
        assert in_child(partial(interrupted, root, Fault("kill", middle))) == signal.SIGKILL
        if in_child(partial(interrupted, root, fault)) is None:
            break
        manifest = capture(root, Memory(ANSWERS, KUBERNETES)).manifest
        if not manifest.gaps:
            assert files_of(root) == undisturbed, fault
            continue
        ((reason, message),) = {(gap.reason, gap.message) for gap in manifest.gaps}
        assert (reason, message) == ("InternalError", GIVEN_UP), fault
        assert len(manifest.artifacts) + len(manifest.gaps) == len(ANSWERS) + len(MADE), fault
        logs = {path: content for path, content in files_of(root).items() if "/data/logs" in path}
        assert logs.items() <= undisturbed.items(), fault
        assert verify(session_in(root)).intact, fault
        given_up += 1
    assert 20 < fault.at < MOST_STEPS
    assert 0 < given_up < fault.at - 10


@pytest.mark.parametrize("kind", ["EIO", "ENOSPC"])
def test_the_disk_fails_at_every_step(kind: str, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """A failing call at each step in turn: the session verifies, and all missing data is a gap SaveFailed."""
    for at in count(1):
        root = tmp_path / str(at)
        fault = Fault(kind, at)
        snapshot = None
        with fault.injected():
            for _ in range(2):  # as the supervisor does if the volume cannot be used
                with suppress(OSError):
                    snapshot = capture(root, Memory(ANSWERS, KUBERNETES))
                    break
        assert snapshot is not None
        remove_leftovers(SessionLayout(root))
        verification = verify(session_in(root))
        assert verification.intact, (fault, verification)
        manifest = snapshot.manifest
        lost = any(gap.severity == "gap" for gap in manifest.gaps)  # a report that cannot be saved loses no evidence
        assert manifest.phase == ("PartiallyCompleted" if lost else "Completed"), fault
        assert {gap.reason for gap in manifest.gaps} <= {"SaveFailed"}
        assert len(manifest.artifacts) + len(manifest.gaps) == len(ANSWERS) + len(MADE), fault
        assert {
            path: content for path, content in files_of(root).items() if "/data/logs" in path
        }.items() <= undisturbed.items()
        if not fault.met:
            break
    assert 60 < at < MOST_STEPS


def test_closing_fails_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network volume may report a failed write when the file is closed: the session verifies, lost data is a gap."""
    close = os.close
    for at in count(1):
        root = tmp_path / str(at)
        closed: list[int] = []

        def failing(descriptor: int, at: int = at, closed: list[int] = closed) -> None:
            close(descriptor)
            closed.append(descriptor)
            if len(closed) == at:
                raise OSError(errno.EIO, "Input/output error")

        snapshot = None
        with monkeypatch.context() as patched:
            patched.setattr(os, "close", failing)
            for _ in range(2):  # as the supervisor does
                with suppress(OSError):
                    snapshot = capture(root, Memory(ANSWERS, KUBERNETES))
                    break
        assert snapshot is not None, at
        remove_leftovers(SessionLayout(root))
        assert verify(session_in(root)).intact, at
        manifest = snapshot.manifest
        assert {gap.reason for gap in manifest.gaps} <= {"SaveFailed"}
        assert len(manifest.artifacts) + len(manifest.gaps) == len(ANSWERS) + len(MADE), at
        if len(closed) < at:
            break
    assert 40 < at < MOST_STEPS


def test_every_step_that_writes_is_enumerated(tmp_path: Path) -> None:
    """No call of the store writes outside of the enumeration: Python's audit hooks see the counted calls only."""
    seen: list[str] = []
    active = [True]

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if active and event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "fcntl.flock"):
            writes = event != "open" or (isinstance(arguments[2], int) and arguments[2] & 0o3)
            if writes and (event != "open" or str(tmp_path) in str(arguments[0]) or arguments[0] == "manifest.json"):
                seen.append(event)

    sys.addaudithook(audit)
    fault = Fault("none", 0)
    with fault.injected():
        capture(tmp_path / "root", Memory(ANSWERS, KUBERNETES))
    active.clear()
    names = {"os.rename": "rename", "os.mkdir": "mkdir", "os.remove": "unlink", "os.rmdir": "rmdir", "fcntl.flock": "flock"}
    for event, name in names.items():
        assert seen.count(event) == fault.taken.count(name), event
    assert seen.count("open") <= fault.taken.count("open")


@pytest.mark.timeout(1800)
def test_killed_at_every_step_and_status_patch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL at each step of the operator's way from resource to last status, before and after each patch of it.

    The next process ends with the same status and the same bytes, and asks for nothing that had its name.
    """
    monkeypatch.setattr(progress, "PROGRESS_INTERVAL_SECONDS", 0.0)
    answers = {"first": [[entry("evidence")]], "last": ERRORS}
    whole = StoredResource(tmp_path / "whole.json")
    operate(tmp_path / "whole", Memory(answers, KUBERNETES), whole)
    assert whole.status["phase"] == "Completed"
    killed_at: set[str] = set()
    for fault in faults("kill"):
        root = tmp_path / str(fault.at)
        resource = StoredResource(tmp_path / f"{fault.at}.json", fault)

        def killed(root: Path = root, resource: StoredResource = resource, fault: Fault = fault) -> None:
            with fault.injected():
                operate(root, Memory(answers, KUBERNETES), resource)
            (root / "taken.json").write_text(json.dumps(fault.taken))

        if in_child(killed) is None:
            killed_at.update(json.loads((root / "taken.json").read_text()))
            break
        named = [path for path in files_of(root) if path.endswith(".json") and "/data/" in path]
        fetcher = Memory(answers, KUBERNETES)
        operate(root, fetcher, StoredResource(resource.file))
        (session,) = (path for path in (root / "sessions").iterdir() if not path.name.startswith("."))
        status = resource.status
        assert {**status, "session": {**status["session"], "path": ""}} == {
            **whole.status,
            "session": {**whole.status["session"], "path": ""},
        }, fault
        assert status["session"]["manifestSha256"] == digest_of(session / "manifest.json"), fault
        assert files_of(root) == files_of(tmp_path / "whole"), fault
        assert not [key for key in fetcher.asked if any(f"_{key}_" in path for path in named)], fault
    assert {"before patch", "after patch", "rename", "fsync", "write"} <= killed_at
    assert 60 < fault.at < MOST_STEPS


def opened(session: Path, secret: str) -> dict[str, bytes]:
    """The content of every sealed file by its path."""
    contents = {}
    for artifact in read_session(session)[0].artifacts:
        plain = bytearray()
        decrypt_artifact(session, artifact, secret, plain.extend)
        contents[artifact.path] = bytes(plain)
    return contents


def test_a_sealed_capture_killed_at_every_step(tmp_path: Path) -> None:
    """The next process seals with the same key and keeps whole files. The opened content is that of an undisturbed capture."""
    secret, public = age.new_identity()
    spec = {"session": {"encryption": {"recipients": [public]}}}
    answers = {"small": [[entry("evidence")]], "large": LARGE[:3]}
    whole = opened(Path(capture(tmp_path / "undisturbed", Memory(answers), spec).path), secret)
    for fault in faults("kill"):
        root = tmp_path / str(fault.at)

        def interrupted(root: Path = root, fault: Fault = fault) -> None:
            with fault.injected():
                capture(root, Memory(answers), spec)

        if in_child(interrupted) is None:
            break
        assert capture(root, Memory(answers), spec).manifest.phase == "Completed"
        assert verify(session_in(root)).intact
        found = opened(session_in(root), secret)
        assert found.keys() == whole.keys(), fault
        del found["report.html.age"]  # it has the digests of the sealed files, which differ for each try
        assert found.items() <= whole.items(), fault
    assert 40 < fault.at < MOST_STEPS


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    """A session of two artifacts as an archive."""
    written = io.BytesIO()
    answers = {"first": [[entry("evidence")]], "last": ERRORS}
    export_session(Path(capture(tmp_path / "exported", Memory(answers)).path), written.write)
    return written.getvalue()


def whole_sessions(root: Path) -> list[str]:
    """The ids of a volume's sessions, every one of which verifies."""
    found = list(sessions(SessionLayout(root)))
    assert all(verify(session.path).intact for session in found), found
    return [session.session_id for session in found]


@pytest.mark.parametrize("kind", ["kill", "torn", "EIO", "ENOSPC"])
def test_an_import_that_is_broken_off_at_every_step(kind: str, archive: bytes, tmp_path: Path) -> None:
    """The session is there whole or not at all. The next import succeeds, and a failed one leaves nothing."""
    for fault in faults(kind):
        root = tmp_path / str(fault.at)

        def broken(root: Path = root, fault: Fault = fault) -> None:
            with fault.injected():
                import_session(SessionLayout(root), io.BytesIO(archive))

        if kind in ("kill", "torn"):
            if in_child(broken) is None:
                break
        else:
            with suppress(OSError):
                broken()
            if not fault.met:
                break
            remove_leftovers(SessionLayout(root))  # if the cleaning up itself failed
            left = [path for path in root.rglob("*") if not path.is_dir()]
            assert not left or whole_sessions(root), fault
        if not whole_sessions(root):
            import_session(SessionLayout(root), io.BytesIO(archive))
        assert len(whole_sessions(root)) == 1, fault
        assert not list((root / "sessions").glob(".*")) or kind in ("kill", "torn"), fault
    assert 25 < fault.at < MOST_STEPS


def killed_at_every_step(
    archive: bytes, root: Path, step: Callable[[SessionLayout, str], object]
) -> Iterator[tuple[SessionLayout, str, Fault]]:
    """Yield an imported session after `step` was killed in it, once for each of its operations."""
    for fault in faults("kill"):
        layout = SessionLayout(root / str(fault.at))
        session_id = import_session(layout, io.BytesIO(archive)).session_id
        layout.retention_record(session_id).unlink()

        def killed(layout: SessionLayout = layout, session_id: str = session_id, fault: Fault = fault) -> None:
            with fault.injected():
                step(layout, session_id)

        if in_child(killed) is None:
            return
        yield layout, session_id, fault


def test_expiry_killed_at_every_step(archive: bytes, tmp_path: Path) -> None:
    """The manifest is expired before any data is removed; the next pass removes the rest."""
    steps = 0
    for layout, session_id, fault in killed_at_every_step(
        archive, tmp_path, lambda layout, killed_id: expire(layout, killed_id, NOW)
    ):
        steps = fault.at
        session = layout.session(session_id)
        assert verify(session).intact or read_session(session)[0].expiration_time == NOW, fault
        expire(layout, session_id, NOW)
        assert not (session / "data").exists(), fault
        assert verify(session).intact, fault
    assert 15 <= steps < MOST_STEPS - 1


def test_removal_killed_at_every_step(archive: bytes, tmp_path: Path) -> None:
    """Nobody sees half of a session; the next pass removes what is left of it."""
    steps = 0
    for layout, session_id, fault in killed_at_every_step(archive, tmp_path, remove):
        steps = fault.at
        if whole_sessions(layout.root):
            remove(layout, session_id)
        remove_leftovers(layout)
        assert list(layout.sessions.iterdir()) == [], fault
    assert 10 <= steps < MOST_STEPS - 1

"""Commands that are killed at each step in turn: the session is as before or as intended, and the next try succeeds."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import unquote

import pytest

from aletheia_operator.cli.__main__ import main
from aletheia_operator.cli.downloading import Remote, Response
from aletheia_operator.cli.fetching import fetch_session
from aletheia_operator.session import SessionLayout, age
from aletheia_operator.session.archive import Imported
from aletheia_operator.session.lock import locked
from aletheia_operator.session.retention_record import read_retention_record
from aletheia_operator.session.verify import verify
from tests.support.captures import Memory, capture
from tests.support.faults import Fault, in_child

ANSWERS = {"first": [[{"line": "evidence"}]], "last": [[{"line": "the end"}]]}
MOST_STEPS = 120


class Sealed:
    """A volume with one sealed session, a key that opens it, and another one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.layout = SessionLayout(root)
        secret, public = age.new_identity()
        other, self.other_public = age.new_identity()
        root.mkdir()
        (root / "key").write_text(secret)
        (root / "other").write_text(other)
        spec = {"session": {"encryption": {"recipients": [public]}}}
        self.id = capture(root, Memory(ANSWERS), spec).manifest.session_id
        self.path = self.layout.session(self.id)

    def __call__(self, command: str, *arguments: str) -> int:
        return main(["session", command, self.id, f"--root={self.root}", *arguments])

    def opens(self, key: str) -> bool:
        return self("verify", "-i", str(self.root / key)) == 0


def killed_at_every_step(tmp_path: Path, command: Callable[[Sealed], int], check: Callable[[Sealed], object]) -> int:
    """Kill the command at each of its steps, and call `check` after each. Returns the number of steps."""
    for at in count(1):
        sealed = Sealed(tmp_path / str(at))
        fault = Fault("kill", at)

        def killed(sealed: Sealed = sealed, fault: Fault = fault) -> None:
            with fault.injected():
                assert command(sealed) == 0

        if in_child(killed) is None:
            return at
        if sealed.path.exists():
            with locked(sealed.path):
                assert verify(sealed.path).intact
        check(sealed)
    raise AssertionError


def test_resealing(tmp_path: Path) -> None:
    """One of the keys always opens all of it."""

    def reseal(sealed: Sealed) -> int:
        return sealed("reseal", "-i", str(sealed.root / "key"), "--recipient", sealed.other_public)

    def check(sealed: Sealed) -> None:
        assert sealed.opens("key") is not sealed.opens("other")
        if sealed.opens("key"):
            assert reseal(sealed) == 0
        assert sealed.opens("other")

    assert 5 < killed_at_every_step(tmp_path, reseal, check) < MOST_STEPS


def test_holding(tmp_path: Path) -> None:
    """The hold is there or not. The next try sets it, and then nothing deletes the session."""

    def hold(sealed: Sealed) -> int:
        return sealed("hold", "--reason", "case")

    def check(sealed: Sealed) -> None:
        assert read_retention_record(sealed.layout, sealed.id).hold in (None, "case")
        assert hold(sealed) == 0
        assert sealed("delete", "--yes") == 1

    assert 5 < killed_at_every_step(tmp_path, hold, check) < MOST_STEPS


def test_releasing(tmp_path: Path) -> None:
    """The hold is there or not, and never a record that cannot be read."""

    def release(sealed: Sealed) -> int:
        assert sealed("hold", "--reason", "case") == 0
        return sealed("release")

    def check(sealed: Sealed) -> None:
        assert read_retention_record(sealed.layout, sealed.id).hold in (None, "case")
        assert sealed("release") == 0
        assert sealed("delete", "--yes") == 0

    assert 10 < killed_at_every_step(tmp_path, release, check) < MOST_STEPS


def test_deleting(tmp_path: Path) -> None:
    """The session is whole or gone. The next command that removes sessions removes leftovers, too."""

    def check(sealed: Sealed) -> None:
        was_there = sealed.path.exists()
        assert sealed("delete", "--yes") == (0 if was_there else 1)
        capture(sealed.root, Memory(ANSWERS))
        assert sealed("delete", "--yes") == 0
        assert list(sealed.layout.sessions.iterdir()) == []

    assert 10 < killed_at_every_step(tmp_path, lambda sealed: sealed("delete", "--yes"), check) < MOST_STEPS


def test_decrypting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder is there whole or not at all. The next try names leftovers beside it."""

    def decrypt(sealed: Sealed) -> int:
        return sealed("decrypt", "-i", str(sealed.root / "key"), "--to", str(sealed.root / "plain"))

    def check(sealed: Sealed) -> None:
        plain, left = sealed.root / "plain", sealed.root / "plain.part"
        if left.exists():
            capsys.readouterr()
            assert decrypt(sealed) == 1
            assert "plain.part: left by a decryption that was broken off: remove it first" in capsys.readouterr().err
            assert not plain.exists()
        else:
            assert len(list(plain.rglob("*.json"))) == 3 or not plain.exists()

    assert 10 < killed_at_every_step(tmp_path, decrypt, check) < MOST_STEPS


class Server:
    """Answers requests for the files of one session, without a network."""

    def __init__(self, session: Path) -> None:
        self._session = session

    @contextmanager
    def get(self, path: str, headers: Mapping[str, str]) -> Iterator[Response]:
        part = unquote(path).partition(f"/{self._session.name}/")[2]
        content = (self._session / ("manifest.json" if part == "manifest" else part.removeprefix("files/"))).read_bytes()
        start = int(headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        yield Part(206 if start else 200, content[start:])


@dataclass
class Part:
    """An answer with these bytes."""

    status: int
    content: bytes

    def read(self, amount: int) -> bytes:
        block, self.content = self.content[:amount], self.content[amount:]
        return block

    def getheader(self, name: str) -> str | None:
        return None


def test_fetching(tmp_path: Path) -> None:
    """Killed and interrupted, in turns, at each of its steps: the session is whole or not there; the next try completes it."""
    session = Path(capture(tmp_path / "volume", Memory({"first": ANSWERS["first"]})).path)

    def fetched(layout: SessionLayout) -> Imported:
        return fetch_session(Remote(Server(session).get, "shop", session.name), layout)

    for at in count(1):
        layout = SessionLayout(tmp_path / str(at))
        fault = Fault("kill" if at % 2 else "interrupt", at)

        def stopped(layout: SessionLayout = layout, fault: Fault = fault) -> None:
            with suppress(KeyboardInterrupt), fault.injected():
                fetched(layout)

        if fault.kind == "kill":
            is_over = in_child(stopped) is None
        else:
            stopped()
            is_over = not fault.met
        here = layout.session(session.name)
        assert not here.exists() or verify(here).intact
        fetched(layout)
        assert verify(here).intact
        assert [path.name for path in layout.root.iterdir()] == ["sessions"]
        if is_over:
            assert 10 < at < MOST_STEPS
            return

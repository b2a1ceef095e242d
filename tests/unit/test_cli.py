"""The `aletheia` command: what a person and a program get, on a folder of sessions."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.cli.__main__ import main
from aletheia_operator.session import SessionLayout, age
from aletheia_operator.session.lock import locked
from aletheia_operator.session.retention_record import update_retention_record
from tests.support.captures import Memory, capture

ANSWERS = {"first": [[{"line": "evidence"}]], "last": [[{"line": "the end"}]]}


@pytest.fixture
def session(tmp_path: Path) -> Path:
    return Path(capture(tmp_path, Memory(ANSWERS)).path)


class Aletheia:
    """The command on one folder."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.capsys = capsys

    def __call__(self, command: str, *arguments: str, code: int = 0) -> str:
        """Its output; errors where it fails."""
        assert main(["session", command, f"--root={self.root}", *arguments]) == code
        said = self.capsys.readouterr()
        return said.out if code == 0 else said.out + said.err

    def json(self, command: str, *arguments: str, code: int = 0) -> Any:
        return json.loads(self(command, *arguments, "-o", "json", code=code))


@pytest.fixture
def aletheia(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Aletheia:
    return Aletheia(tmp_path, capsys)


def test_list_and_show(aletheia: Aletheia, session: Path) -> None:
    """A session is listed with its Investigation, and shown with its artifacts; as JSON it is its manifest."""
    assert session.name in aletheia("list")
    (row,) = aletheia.json("list")
    assert row["investigation"] == {"namespace": "production", "name": "payments-500s", "uid": row["investigation"]["uid"]}
    assert (row["artifactCount"], row["gapCount"], row["sealedBy"]) == (2, 0, None)
    assert "the words of first" in aletheia("show", session.name)
    assert aletheia.json("show", session.name) == json.loads((session / "manifest.json").read_bytes())


def test_an_empty_folder_has_no_sessions(aletheia: Aletheia) -> None:
    """Where there are no sessions the list is empty, not an error."""
    assert aletheia.json("list") == []


def test_verify_names_what_is_wrong(aletheia: Aletheia, session: Path) -> None:
    """What is missing, there besides, or altered is named; the exit code says it, too."""
    assert "intact" in aletheia("verify", session.name)
    first, last = sorted(session.glob("data/logs/*"))
    first.write_bytes(first.read_bytes().replace(b"evidence", b"EVIDENCE"))
    last.rename(last.with_name("elsewhere.json"))
    (session / "link").symlink_to("/etc/passwd")
    result = aletheia.json("verify", session.name, code=1)[0]
    assert result["altered"] == [f"data/logs/{first.name}"]
    assert result["missing"] == [f"data/logs/{last.name}"]
    assert result["extra"] == ["data/logs/elsewhere.json", "link"]
    said = aletheia("verify", code=1)
    assert "NOT intact" in said
    assert f"  altered: data/logs/{first.name}" in said


def test_a_session_travels(aletheia: Aletheia, session: Path, tmp_path: Path) -> None:
    """Exported to a file, deleted and imported again, a session verifies; an existing file is not overwritten."""
    archive = tmp_path / "session.tar"
    aletheia("export", session.name, "-f", str(archive))
    assert "File exists" in aletheia("export", session.name, "-f", str(archive), code=1)
    aletheia("delete", session.name, "--yes")
    assert aletheia.json("list") == []
    assert session.name in aletheia("import", str(archive))
    assert aletheia.json("verify")[0]["intact"]
    assert aletheia.json("list")[0]["custody"] == {"keep": True, "imported": True}


def test_every_command_speaks_json(aletheia: Aletheia, tmp_path: Path) -> None:
    """What a script gets of the commands that change something; the session is sealed, so that all of them apply."""
    secret, public = age.new_identity()
    key, archive, plain = tmp_path / "key.txt", tmp_path / "session.tar", tmp_path / "plain"
    key.write_text(secret)
    spec = {"session": {"encryption": {"recipients": [public]}}}
    name = Path(capture(tmp_path, Memory(ANSWERS), spec).path).name
    assert "name a file with -f for -o json" in aletheia("export", name, "-o", "json", code=1)
    resealed = aletheia.json("reseal", name, "--identity", str(key), "--recipient", public)
    assert resealed == {"session": name, "sealedBy": "recipients"}
    exported = aletheia.json("export", name, "-f", str(archive))
    assert exported == {"session": name, "path": str(archive), "sizeBytes": archive.stat().st_size}
    assert aletheia.json("delete", name, "--yes") == {"session": name}
    assert aletheia.json("import", str(archive))["session"] == name
    opened = aletheia.json("decrypt", name, "--identity", str(key), "--to", str(plain))
    assert opened == {"session": name, "path": str(plain)}
    assert aletheia.json("show", name)["sessionId"] == name


def test_through_a_pipe(session: Path, tmp_path: Path) -> None:
    """`export | import` as two processes: what `kubectl exec` and a laptop do."""
    command = [sys.executable, "-m", "aletheia_operator.cli", "session"]
    export = subprocess.run([*command, "export", f"--root={tmp_path}", session.name], capture_output=True, check=True)
    taken = [*command, "import", f"--root={tmp_path / 'laptop'}", "-"]
    subprocess.run(taken, input=export.stdout, check=True, capture_output=True)
    assert (tmp_path / "laptop/sessions" / session.name / "manifest.json").exists()


def test_log_content_is_inert(aletheia: Aletheia, tmp_path: Path) -> None:
    """A summary with escape sequences, as an attacker's log may make one, shows none on the terminal."""
    evil = Memory({"\x1b[2Jowned": [[{"line": "x"}]]})
    snapshot = capture(tmp_path, evil)
    shown = aletheia("show", Path(snapshot.path).name) + aletheia("list") + aletheia("show", Path(snapshot.path).name, "-ojson")
    assert "\x1b" not in shown
    assert "owned" in shown


def test_delete_asks_and_respects(aletheia: Aletheia, session: Path, tmp_path: Path) -> None:
    """Nothing is deleted without --yes, under legal hold, or while another process holds the session."""
    assert "--yes deletes without asking" in aletheia("delete", session.name, code=1)
    with locked(session):
        assert "in use by another process" in aletheia("delete", session.name, "--yes", code=1)
    update_retention_record(SessionLayout(tmp_path), session.name, legal_hold="case 4711")
    assert "under legal hold (case 4711)" in aletheia("delete", session.name, "--yes", code=1)
    assert session.exists()


BAD_ARGUMENTS: list[tuple[list[str], int, str]] = [
    ([], 2, "required: NOUN"),
    (["session"], 2, "required: COMMAND"),
    (["session", "explode"], 2, "invalid choice: 'explode'"),
    (["session", "show"], 2, "required: session"),
    (["session", "show", "../../etc"], 2, "'../../etc' is not a session id such as INC-7F3A"),
    (["session", "show", "inc-7f3a"], 2, "is not a session id"),
    (["session", "show", "INC-FFFF"], 1, "there is no session INC-FFFF in"),
    (["session", "list", "-o", "yaml"], 2, "invalid choice: 'yaml'"),
    (["session", "import", "/no/such/file"], 1, "/no/such/file: No such file or directory"),
    (["session", "import", "x.tar", "--max-bytes=-1"], 2, "is not a number of bytes of at least 1"),
    (["session", "reseal", "INC-FFFF"], 2, "one of the arguments --new-password-file --recipient is required"),
    (["session", "reseal", "INC-FFFF", "--password-file=a", "--identity=b", "--recipient=c"], 2, "not allowed with"),
    (["session", "reseal", "INC-FFFF", "--recipient=age1nonsense"], 2, "is not an age public key"),
    (["session", "delete", "INC-FFFF", "--yes", "-o", "json"], 1, "there is no session INC-FFFF in"),
    (["session", "decrypt", "INC-FFFF"], 2, "required: --to"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), BAD_ARGUMENTS, ids=[" ".join(row[0]) for row in BAD_ARGUMENTS])
def test_bad_arguments(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each is refused with a message that names what is wrong."""
    monkeypatch.setenv("ALETHEIA_ROOT", str(tmp_path))
    try:
        found = main(arguments)
    except SystemExit as e:
        found = int(e.code or 0)
    assert found == code
    assert message in capsys.readouterr().err

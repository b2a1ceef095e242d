"""The `aletheia` command: its output for people and programs, on a folder of sessions."""

import json
import os
import resource
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.cli.__main__ import main
from aletheia_operator.cli.output import MAX_CELL, MAX_FIELD, print_fields, print_table
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.session import Gap, InvestigationReference, SessionLayout, age
from aletheia_operator.session.lock import locked
from aletheia_operator.session.manifest_file import manifest_bytes
from aletheia_operator.session.names import session_id
from aletheia_operator.session.retention import expire
from aletheia_operator.session.retention_record import RetentionRecord, read_retention_record, update_retention_record
from aletheia_operator.session.store import create_session
from tests.support.captures import NOW, OWNER, Memory, capture, unfinished
from tests.unit.fakes import Clock, FakeKubernetes

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
        """Run a command; returns its output, or its errors if it fails."""
        assert main(["session", command, f"--root={self.root}", *arguments]) == code
        output = self.capsys.readouterr()
        return output.out if code == 0 else output.out + output.err

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
    assert (row["artifactCount"], row["gapCount"], row["sealedBy"]) == (3, 0, None)
    assert "the words of first" in aletheia("show", session.name)
    assert aletheia.json("show", session.name) == json.loads((session / "manifest.json").read_bytes())


def test_an_empty_folder_has_no_sessions(aletheia: Aletheia) -> None:
    """Without sessions the list is empty, and the message names the folder; that is no error."""
    assert aletheia.json("list") == []
    assert main(["session", "list", f"--root={aletheia.root}"]) == 0
    assert aletheia.capsys.readouterr().err == f"there are no sessions in {aletheia.root}\n"


@pytest.mark.parametrize("command", [["report"], ["session", "report"]])
def test_html_is_not_for_a_terminal(
    command: list[str], aletheia: Aletheia, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report on a terminal is refused, with the ways to see it; as Markdown it is printed."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main([*command, session.name, f"--root={aletheia.root}"]) == 1
    assert "print --format markdown" in aletheia.capsys.readouterr().err
    assert main([*command, session.name, f"--root={aletheia.root}", "--format=markdown"]) == 0


def test_verify_names_what_is_wrong(aletheia: Aletheia, session: Path) -> None:
    """Missing, extra and altered files are listed; the exit code is 1."""
    assert "intact" in aletheia("verify", session.name)
    first, last = sorted(session.glob("data/logs/*"))
    first.write_bytes(first.read_bytes().replace(b"evidence", b"EVIDENCE"))
    last.rename(last.with_name("elsewhere.json"))
    (session / "link").symlink_to("/etc/passwd")
    result = aletheia.json("verify", session.name, code=1)[0]
    assert result["altered"] == [f"data/logs/{first.name}"]
    assert result["missing"] == [f"data/logs/{last.name}"]
    assert result["extra"] == ["data/logs/elsewhere.json", "link"]
    output = aletheia("verify", code=1)
    assert "NOT intact" in output
    assert f"  altered: data/logs/{first.name}" in output


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
    """JSON output of the commands that change something; the session is sealed, so that all of them apply."""
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
    """`export | import` as two processes, as with `kubectl exec` and a laptop."""
    command = [sys.executable, "-m", "aletheia_operator.cli", "session"]
    export = subprocess.run([*command, "export", f"--root={tmp_path}", session.name], capture_output=True, check=True)
    taken = [*command, "import", f"--root={tmp_path / 'laptop'}", "-"]
    subprocess.run(taken, input=export.stdout, check=True, capture_output=True)
    assert (tmp_path / "laptop/sessions" / session.name / "manifest.json").exists()


@pytest.mark.parametrize("unbuffered", ["", "1"])  # the operator's image sets it
@pytest.mark.parametrize("missing", [1, 100])
def test_a_full_disk_behind_standard_output_is_an_error(session: Path, tmp_path: Path, unbuffered: str, missing: int) -> None:
    """Also if it takes a part of the last write: a cut file must not pass for a whole one."""
    path = max((session / "data").rglob("*.json"), key=lambda path: path.stat().st_size)
    room = path.stat().st_size - missing
    assert room > 0

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    command = [sys.executable, "-B", "-m", "aletheia_operator.cli", "session", "cat", f"--root={tmp_path}", session.name]
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run(
            [*command, str(path.relative_to(session))],
            stdout=out,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            preexec_fn=limit,
            check=False,
        )
    assert (tmp_path / "out").read_bytes() == path.read_bytes()[:room]
    assert done.returncode != 0
    assert b"File too large" in done.stderr


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
    output = aletheia("delete", session.name, "--yes", code=1)
    assert "under legal hold (case 4711)" in output
    assert "kubectl annotate investigation -n production payments-500s aletheia.dev/legal-hold-" in output
    assert session.exists()


def test_hold_and_release(aletheia: Aletheia, session: Path) -> None:
    """A hold stops a deletion at once and shows in the list. A released session can be deleted. Both may be repeated."""
    for _ in range(2):
        assert "is on hold (case \\x1b 4711)" in aletheia("hold", session.name, "--reason", "case \x1b\n4711")
    assert "legal hold (case \\x1b 4711)" in aletheia("list")
    output = aletheia("delete", session.name, "--yes", code=1)
    assert f"is under legal hold (case \\x1b 4711): `aletheia session release {session.name}` lifts it" in output
    assert aletheia.json("release", session.name) == {"session": session.name, "released": True}
    assert aletheia.json("release", session.name) == {"session": session.name, "released": False}
    aletheia("delete", session.name, "--yes")
    assert not session.exists()


def test_a_hold_of_an_investigation_that_is_gone_is_lifted(aletheia: Aletheia, session: Path) -> None:
    """Once the Investigation is gone, its annotation cannot be removed. Before that, the command asks for its removal."""
    layout = SessionLayout(aletheia.root)
    update_retention_record(layout, session.name, legal_hold="case 4711", hold="mine")
    output = aletheia("release", session.name, code=1)
    assert "aletheia.dev/legal-hold-`, or release it with --gone" in output
    assert read_retention_record(layout, session.name).hold == "mine"
    update_retention_record(layout, session.name, orphaned_since=NOW, hold=None)
    assert "its Investigation is gone" in aletheia("delete", session.name, "--yes", code=1)
    assert "removes it after its grace" in aletheia("release", session.name)
    assert read_retention_record(layout, session.name) == RetentionRecord()
    update_retention_record(layout, session.name, legal_hold="case 4711")
    aletheia("release", session.name, "--gone")
    aletheia("delete", session.name, "--yes")


def test_a_record_that_cannot_be_read_is_released_like_a_hold(aletheia: Aletheia, session: Path) -> None:
    """The session is held until somebody releases it."""
    SessionLayout(aletheia.root).retention_record(session.name).write_bytes(b"{")
    assert "custody.json cannot be read" in aletheia("delete", session.name, "--yes", code=1)
    aletheia("release", session.name)
    aletheia("delete", session.name, "--yes")


PATH = "/apis/aletheia.dev/v1alpha1/namespaces/production/investigations/payments-500s"
LIVE: list[tuple[str, Any, str]] = [
    ("held", {"uid": OWNER.uid, "annotations": {"aletheia.dev/legal-hold": "case 9"}}, "is under legal hold (case 9)"),
    ("held without a value", {"uid": OWNER.uid, "annotations": {"aletheia.dev/legal-hold": ""}}, "is under legal hold (set)"),
    ("not held", {"uid": OWNER.uid, "annotations": {"aletheia.dev/legal-hold": "false"}}, ""),
    ("another of its name is held", {"uid": "7", "annotations": {"aletheia.dev/legal-hold": "case 9"}}, ""),
    ("no such Investigation", Rejected("not found", GapReason.NOT_FOUND), ""),
    ("it may not be asked", Rejected("forbidden", GapReason.FORBIDDEN), "cannot be asked (forbidden): try again, or delete"),
    (
        "no answer",
        Unavailable("no answer"),
        "cannot be asked (no answer): try again, or delete all the same with --skip-hold-check",
    ),
]


@pytest.mark.parametrize(("metadata", "refusal"), [row[1:] for row in LIVE], ids=[row[0] for row in LIVE])
def test_a_hold_counts_from_the_moment_it_is_set(
    metadata: Any, refusal: str, aletheia: Aletheia, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the operator's pod the API server is asked for the annotation right before the deletion."""
    answer = metadata if isinstance(metadata, Exception) else {"metadata": metadata}

    async def connect() -> Any:
        return FakeKubernetes({PATH: answer})

    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr("aletheia_operator.clients.kubernetes.connect", connect)
    if not refusal:
        aletheia("delete", session.name, "--yes")
    else:
        assert refusal in aletheia("delete", session.name, "--yes", code=1)
        assert session.exists()
        aletheia("delete", session.name, "--yes", "--skip-hold-check")
    assert not session.exists()


def test_a_hold_of_a_restored_investigation_counts(aletheia: Aletheia, session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has another uid than the one in the manifest, and the operator has recorded that the session belongs to it."""
    update_retention_record(SessionLayout(aletheia.root), session.name, adopted_by="7")

    async def connect() -> Any:
        return FakeKubernetes({PATH: {"metadata": {"uid": "7", "annotations": {"aletheia.dev/legal-hold": "case 9"}}}})

    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr("aletheia_operator.clients.kubernetes.connect", connect)
    assert "is under legal hold (case 9)" in aletheia("delete", session.name, "--yes", code=1)


def test_a_pod_without_a_token_deletes_nothing_by_default(
    aletheia: Aletheia, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the client cannot be made, the deletion is refused, and the message says how to proceed."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.delenv("KUBERNETES_SERVICE_PORT", raising=False)
    assert "cannot be asked" in aletheia("delete", session.name, "--yes", code=1)
    assert session.exists()


def owner(namespace: str, name: str, uid: str) -> InvestigationReference:
    return InvestigationReference(namespace=namespace, name=name, uid=uid)


@pytest.fixture
def three(tmp_path: Path) -> dict[str, str]:
    """Three sessions, the newest first in the order of ids, two of the same name, and one that cannot be read."""
    uids = sorted("abcdefgh", key=lambda uid: session_id(uid, 4), reverse=True)[:3]
    owners = [owner("shop", "checkout", uids[0]), owner("bank", "checkout", uids[1]), owner("bank", "ledger", uids[2])]
    found = {}
    for minute, name in enumerate(owners):
        snapshot = capture(tmp_path, Memory(ANSWERS), owner=name, now=Clock(NOW + timedelta(minutes=minute)))
        found[f"{name.namespace}/{name.name}"] = snapshot.manifest.session_id
    (tmp_path / "sessions/INC-0000").mkdir()
    (tmp_path / "sessions/INC-0000/manifest.json").write_text("{")
    return found


def test_sessions_by_name(aletheia: Aletheia, three: dict[str, str], tmp_path: Path) -> None:
    """Every command takes NAME, NAMESPACE/NAME, or the id in any case; an ambiguous name is refused with the ids."""
    for name, id in three.items():
        for given in (name, id, id.lower()):
            assert aletheia.json("show", given)["sessionId"] == id
    assert aletheia.json("show", "ledger")["sessionId"] == three["bank/ledger"]
    output = aletheia("show", "checkout", code=1)
    assert "checkout names 2 sessions" in output
    assert output.index(three["bank/checkout"]) < output.index(three["shop/checkout"])
    assert "there is no session shop/ledger" in aletheia("show", "shop/ledger", code=1)
    aletheia("hold", "ledger", "--reason", "case")
    aletheia("release", "bank/ledger")
    aletheia("export", "ledger", "-f", str(tmp_path / "archive"))
    assert aletheia.json("verify", "ledger", "shop/checkout")[1]["session"] == three["shop/checkout"]
    aletheia("delete", "ledger", "--yes")
    assert three["bank/ledger"] not in aletheia("list")


def test_a_session_is_found_by_its_id_before_any_name(aletheia: Aletheia, tmp_path: Path) -> None:
    """An Investigation may be named like the id of another's session: the id in capitals is that session."""
    first = capture(tmp_path, Memory(ANSWERS), owner=owner("shop", "first", "a")).manifest.session_id
    second = capture(tmp_path, Memory(ANSWERS), owner=owner("shop", first.lower(), "b")).manifest.session_id
    assert aletheia.json("show", first)["sessionId"] == first
    assert aletheia.json("show", first.lower())["sessionId"] == second


def test_the_list_is_in_order_of_time(aletheia: Aletheia, three: dict[str, str]) -> None:
    """The newest last, whatever the ids; what cannot be read comes first, with the reason."""
    assert [row["session"] for row in aletheia.json("list")] == ["INC-0000", *three.values()]
    assert "manifest.json is not a manifest" in aletheia("list")


def test_verify_of_all_goes_on(aletheia: Aletheia, three: dict[str, str], tmp_path: Path) -> None:
    """Unreadable sessions do not end it. Expired sessions and running captures are named, and are no faults."""
    layout = SessionLayout(tmp_path)
    expire(layout, three["shop/checkout"], NOW)
    running = create_session(layout, unfinished(owner("shop", "running", "r"))).session_id
    broken_off = create_session(layout, unfinished(owner("shop", "broken", "s"))).session_id
    with locked(layout.session(running)):
        states = {row["session"]: row["state"] for row in aletheia.json("verify", code=1)}
        assert states == {
            "INC-0000": "unreadable",
            three["shop/checkout"]: "expired",
            three["bank/checkout"]: "intact",
            three["bank/ledger"]: "intact",
            running: "running",
            broken_off: "interrupted",
        }
        output = aletheia("verify", code=1)
        assert "INC-0000: NOT readable" in output
        assert f"{three['shop/checkout']}: expired: its data was removed at 2026-11-22T12:00:00Z" in output
        assert f"{running}: its capture has not ended" in output
        (layout.session("INC-0000") / "manifest.json").unlink()
        layout.session("INC-0000").rmdir()
        aletheia("verify")
        aletheia("verify", three["shop/checkout"], three["bank/ledger"])
        aletheia("verify", "shop/running", code=1)
        aletheia("verify", "broken", code=1)


def test_what_is_left_of_an_expired_session_is_no_expiry(aletheia: Aletheia, session: Path) -> None:
    """Files that should be gone are named."""
    expire(SessionLayout(aletheia.root), session.name, NOW)
    (session / "data/logs").mkdir(parents=True)
    (session / "data/logs/left.json").touch()
    output = aletheia("verify", code=1)
    assert "NOT intact, and expired at" in output
    assert "extra: data/logs/left.json" in output


def test_verify_with_a_key_looks_at_every_session(aletheia: Aletheia, session: Path, tmp_path: Path) -> None:
    """A session that is not sealed needs no key, and one that another key opens does not end the command."""
    secret, public = age.new_identity()
    (tmp_path / "key").write_text(secret)
    spec = {"session": {"encryption": {"recipients": [public]}}}
    mine = capture(tmp_path, Memory(ANSWERS), spec, owner=owner("shop", "mine", "m")).manifest.session_id
    spec = {"session": {"encryption": {"recipients": [age.new_identity()[1]]}}}
    theirs = capture(tmp_path, Memory(ANSWERS), spec, owner=owner("shop", "theirs", "t")).manifest.session_id
    rows = aletheia.json("verify", "-i", str(tmp_path / "key"), code=1)
    assert {row["session"]: row["state"] for row in rows} == {session.name: "intact", mine: "intact", theirs: "unopened"}
    assert "whole, but NOT opened: none of the keys opens it" in aletheia("verify", "-i", str(tmp_path / "key"), code=1)


LONG = "word " * 100 + "the remedy"


def test_nothing_is_cut_but_for_a_terminal(aletheia: Aletheia, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gets whole cells. A terminal gets short cells, and whole remedies in lines of its width."""
    snapshot = capture(tmp_path, Memory({"p" * 150: [[{"line": "x"}]]}))
    manifest = snapshot.manifest.model_copy(update={"gaps": [Gap(fetcher="f", target="t", reason="NotFound", message=LONG)]})
    layout = SessionLayout(tmp_path)
    layout.manifest(manifest.session_id).write_bytes(manifest_bytes(manifest))
    piped = aletheia("show", manifest.session_id)
    assert LONG in piped
    assert f"the words of {'p' * 150}" in piped
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    shown = aletheia("show", manifest.session_id)
    assert "p" * 150 not in shown
    paragraph = shown.partition("NotFound t\n")[2]
    assert " ".join(paragraph.split()) == LONG
    assert max(map(len, paragraph.splitlines())) <= 60


@pytest.mark.parametrize(("terminal", "field", "cell"), [(False, 5000, 5000), (True, MAX_FIELD, MAX_CELL)])
def test_lengths_of_cells(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool, field: int, cell: int
) -> None:
    """What a terminal shows of a long value, and what a pipe gets."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    print_fields([("Message", "x" * 5000)])
    assert len(capsys.readouterr().out.split()[1]) == field
    print_table(["MESSAGE"], [["x" * 5000]])
    assert len(capsys.readouterr().out.split()[1]) == cell


def test_an_archive_is_for_its_owner_alone(aletheia: Aletheia, session: Path, tmp_path: Path) -> None:
    """Whatever the umask; and a link in its place is not followed."""
    before = os.umask(0)
    try:
        aletheia("export", session.name, "-f", str(tmp_path / "archive"))
    finally:
        os.umask(before)
    assert (tmp_path / "archive").stat().st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    aletheia("export", session.name, "-f", str(tmp_path / "link"), code=1)
    assert not (tmp_path / "elsewhere").exists()


BAD_ARGUMENTS: list[tuple[list[str], int, str]] = [
    ([], 2, "Usage: aletheia"),
    (["session"], 2, "COMMAND [ARGS]"),
    (["session", "explode"], 2, "there is no command 'explode'"),
    (["session", "show"], 2, "Missing argument 'SESSION'"),
    (["session", "show", "../../etc"], 1, "there is no session ../../etc in"),
    (["session", "show", "inc-7f3a"], 1, "there is no session inc-7f3a in"),
    (["session", "hold", "INC-FFFF"], 2, "Missing option '--reason'"),
    (["session", "hold", "INC-FFFF", "--reason", " "], 2, "a reason in words is needed"),
    (["session", "release", "INC-FFFF"], 1, "there is no session INC-FFFF in"),
    (["session", "show", "INC-FFFF"], 1, "there is no session INC-FFFF in"),
    (["session", "list", "-o", "yaml"], 2, "'yaml' is not one of"),
    (["session", "import", "/no/such/file"], 1, "/no/such/file: No such file or directory"),
    (["session", "import", "x.tar", "--max-bytes=-1"], 2, "is not a number of bytes of at least 1"),
    (["session", "reseal", "INC-FFFF"], 2, "one of the options --new-password-file --recipient is required"),
    (["session", "reseal", "INC-FFFF", "--password-file=a", "--identity=b", "--recipient=c"], 2, "not allowed with"),
    (["session", "reseal", "INC-FFFF", "--recipient=age1nonsense"], 2, "is not an age public key"),
    (["session", "delete", "INC-FFFF", "--yes", "-o", "json"], 1, "there is no session INC-FFFF in"),
    (["session", "decrypt", "INC-FFFF"], 2, "Missing option '--to'"),
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

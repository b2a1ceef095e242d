"""Sealed sessions: no evidence touches the disk in plain text, and owners of the key can read it."""

import base64
import errno
import json
import os
import shutil
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.cli.__main__ import main
from aletheia_operator.investigate.report_step import SUMMARY
from aletheia_operator.session import SessionBusy, SessionLayout, age, seal
from aletheia_operator.session.lock import locked
from aletheia_operator.session.manifest_file import manifest_bytes, read_manifest
from aletheia_operator.session.retention import expire
from aletheia_operator.session.unseal import decrypt_artifact, decrypt_session, open_key, replace_encryption
from aletheia_operator.session.verify import verify
from tests.cluster import programs
from tests.support.captures import NOW, Memory, capture
from tests.support.terminal import on_a_terminal
from tests.unit.capturing import watched_writes
from tests.unit.fakes import FakeKubernetes

CANARY = "canary-7d1f"
LARGE = [[{"line": f"{CANARY} {number} {'x' * 4000}"} for number in range(batch, batch + 100)] for batch in range(0, 600, 100)]
ANSWERS = {"small": [[{"line": CANARY}]], "large": LARGE, "empty": []}
PASSWORD = "correct horse battery staple"
BY_PASSWORD = {
    "serviceAccountName": "reader",
    "session": {"encryption": {"passwordSecretRef": {"name": "incident-password"}}},
}


@pytest.fixture
def key(tmp_path: Path) -> tuple[Path, str]:
    """An age key: the file with the private key, and the public key."""
    secret, public = age.new_identity()
    file = tmp_path / "key.txt"
    file.write_text(f"# a comment\n{secret}\n")
    return file, public


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password.txt"
    file.write_text(PASSWORD + "\n")
    return file


def to_recipients(*recipients: str) -> dict[str, Any]:
    return {"session": {"encryption": {"recipients": list(recipients)}}}


def kubernetes(**data: str) -> FakeKubernetes:
    """A Kubernetes with a Secret."""
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
    return FakeKubernetes(
        {
            "/api/v1/namespaces/production/serviceaccounts/reader": {"metadata": {"name": "reader"}},
            "/api/v1/namespaces/production/secrets/incident-password": {"data": encoded},
        }
    )


def cli(root: Path, command: str, *arguments: object) -> int:
    return main(["session", command, f"--root={root}", *map(str, arguments)])


def evidence_in(folder: Path) -> dict[str, Any]:
    return {path.name.split("_")[1]: json.loads(path.read_bytes())["data"] for path in folder.glob("data/logs/*.json")}


def test_nothing_touches_the_disk_in_plain(key: tuple[Path, str], tmp_path: Path) -> None:
    """The canary in every line is in no write, not even in that of a spool."""
    with watched_writes() as written:
        snapshot = capture(tmp_path / "root", Memory(ANSWERS), to_recipients(key[1]))
    assert snapshot.manifest.phase == "Completed"
    assert sum(map(len, written)) > 2 * len(str(LARGE)) * 0.9  # the spool and the file
    assert not [block for block in written if CANARY.encode() in block]
    assert {artifact.summary for artifact in snapshot.manifest.artifacts} == {
        "1 entry, sealed",
        "600 entries, sealed",
        "0 entries, sealed",
        SUMMARY,
    }
    assert verify(Path(snapshot.path)).intact


def test_the_real_age_opens_every_file(key: tuple[Path, str], tmp_path: Path) -> None:
    """The command is `age -d -i key.txt`."""
    programs.debian({"age": "age"})
    snapshot = capture(tmp_path / "root", Memory(ANSWERS), to_recipients(key[1]))
    for artifact in snapshot.manifest.artifacts:
        command = [str(shutil.which("age")), "-d", "-i", str(key[0]), str(Path(snapshot.path) / artifact.path)]
        opened = subprocess.run(command, capture_output=True, check=True).stdout
        if artifact.summary == SUMMARY:
            assert opened.startswith(b"<!doctype html>")
            continue
        document = json.loads(opened)
        assert document["metadata"]["summary"] == f"the words of {document['metadata']['pod']}"
        assert len(document["data"]) == artifact.count


def test_our_command_opens_and_reseals(key: tuple[Path, str], password_file: Path, tmp_path: Path) -> None:
    """They open by the key, are sealed again by a password, and open by that. The files are not written again."""
    root = tmp_path / "root"
    session = Path(capture(root, Memory(ANSWERS), to_recipients(key[1])).path)
    before = {path: path.read_bytes() for path in session.rglob("*.age")}
    assert cli(root, "verify", session.name, "-i", key[0]) == 0
    assert cli(root, "decrypt", session.name, "-i", key[0], "--to", tmp_path / "first") == 0
    assert evidence_in(tmp_path / "first") == {name: list(chain(*batches)) for name, batches in ANSWERS.items()}
    assert cli(root, "reseal", session.name, "-i", key[0], "--new-password-file", password_file) == 0
    assert cli(root, "decrypt", session.name, "-i", key[0], "--to", tmp_path / "second") == 1
    assert cli(root, "decrypt", session.name, "--password-file", password_file, "--to", tmp_path / "third") == 0
    assert evidence_in(tmp_path / "third") == evidence_in(tmp_path / "first")
    assert {path: path.read_bytes() for path in session.rglob("*.age")} == before
    assert verify(session).intact


def test_by_a_password(password_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The Secret is read once, as the service account; the password is stored nowhere."""
    root = tmp_path / "root"
    fake = kubernetes(password=PASSWORD)
    snapshot = capture(root, Memory(ANSWERS), BY_PASSWORD, kubernetes=fake.real())
    assert snapshot.manifest.phase == "Completed"
    assert cli(root, "decrypt", Path(snapshot.path).name, "--password-file", password_file, "--to", tmp_path / "plain") == 0
    assert evidence_in(tmp_path / "plain")["small"] == [{"line": CANARY}]
    shown = caplog.text + str(snapshot) + "".join(path.read_text("latin-1") for path in root.rglob("*") if path.is_file())
    assert PASSWORD not in shown
    assert base64.b64encode(PASSWORD.encode()).decode() not in shown


def test_by_a_password_with_nothing_but_age_and_jq(tmp_path: Path) -> None:
    """As the README says: the manifest's identity is a key file for the real age, which asks for the password."""
    programs.debian({"age": "age", "jq": "jq"})
    session = Path(capture(tmp_path, Memory(ANSWERS), BY_PASSWORD, kubernetes=kubernetes(password=PASSWORD).real()).path)
    extract = [str(shutil.which("jq")), "-r", ".encryption.identity", str(session / "manifest.json")]
    identity = tmp_path / "identity.age"
    identity.write_bytes(subprocess.run(extract, capture_output=True, check=True).stdout)
    target, sealed = tmp_path / "plain.json", next(session.rglob("*small*.age"))
    on_a_terminal([str(shutil.which("age")), "-d", "-i", str(identity), "-o", str(target), str(sealed)], PASSWORD)
    assert json.loads(target.read_bytes())["data"] == [{"line": CANARY}]


def test_resealed_by_another_password_and_to_recipients(key: tuple[Path, str], password_file: Path, tmp_path: Path) -> None:
    """The old password does not open it any more. When sealed to recipients, the real age decrypts the session's key."""
    programs.debian({"age": "age"})
    root = tmp_path / "root"
    session = Path(capture(root, Memory(ANSWERS), BY_PASSWORD, kubernetes=kubernetes(password=PASSWORD).real()).path)
    new = tmp_path / "new.txt"
    new.write_text("another password")
    assert cli(root, "reseal", session.name, "--password-file", password_file, "--new-password-file", new) == 0
    assert cli(root, "decrypt", session.name, "--password-file", password_file, "--to", tmp_path / "plain") == 1
    assert cli(root, "reseal", session.name, "--password-file", new, "--recipient", key[1]) == 0
    locked = json.loads((session / "manifest.json").read_bytes())["encryption"]["identity"]
    program = str(shutil.which("age"))
    unlock = [program, "-d", "-i", str(key[0])]
    secret = subprocess.run(unlock, input=locked.encode(), capture_output=True, check=True).stdout
    (tmp_path / "session.key").write_bytes(secret)
    small = next(session.rglob("*small*.age"))
    plain = subprocess.run(
        [program, "-d", "-i", str(tmp_path / "session.key"), str(small)], capture_output=True, check=True
    ).stdout
    assert json.loads(plain)["data"] == [{"line": CANARY}]
    assert cli(root, "verify", session.name, "-i", key[0]) == 0


def test_resealing_never_writes_an_old_manifest(key: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later changes of the session are kept: the end of its capture, an expiry, or another sealing."""
    root = tmp_path / "root"
    layout = SessionLayout(root)
    id = capture(root, Memory(ANSWERS), to_recipients(key[1])).manifest.session_id
    finished = read_manifest(layout, id)
    assert finished.encryption is not None
    running = finished.model_copy(update={"phase": "Running", "completion_time": None, "artifacts": []})
    lock = seal.reseal(finished.encryption, "AGE-SECRET-KEY-1", recipients=[key[1]])
    changed = replace_encryption(layout, running, lock)  # the capture ended after the manifest was read
    assert changed == finished.model_copy(update={"encryption": lock})
    assert verify(layout.session(id)).intact
    with pytest.raises(PermissionError, match="resealed by somebody else"):
        replace_encryption(layout, finished, lock)
    with locked(layout.session(id)), pytest.raises(SessionBusy):
        replace_encryption(layout, changed, lock)
    layout.manifest(id).write_bytes(manifest_bytes(running.model_copy(update={"encryption": lock})))
    with pytest.raises(PermissionError, match="its capture has not ended"):
        replace_encryption(layout, changed, lock)
    layout.manifest(id).write_bytes(manifest_bytes(changed))
    expire(layout, id, NOW)
    with pytest.raises(PermissionError, match="has expired"):
        replace_encryption(layout, changed, lock)
    assert cli(root, "reseal", id, "-i", key[0], "--recipient", age.new_identity()[1]) == 1


def test_decrypted_files_are_for_their_owner_alone(key: tuple[Path, str], tmp_path: Path) -> None:
    """The folder appears whole, with nothing beside it."""
    root = tmp_path / "root"
    id = capture(root, Memory(ANSWERS), to_recipients(key[1])).manifest.session_id
    assert cli(root, "decrypt", id, "-i", key[0], "--to", tmp_path / "plain") == 0
    assert (tmp_path / "plain").stat().st_mode & 0o777 == 0o700
    assert not list(tmp_path.glob("*.part"))


REFUSED: list[tuple[str, dict[str, Any], FakeKubernetes, str, str]] = [
    (
        "no service account",
        {"session": BY_PASSWORD["session"]},
        kubernetes(password="x"),
        "Forbidden",
        "name a serviceAccountName",
    ),
    ("no such key", BY_PASSWORD, kubernetes(other="x"), "SealingFailed", "has no key password"),
    ("an empty password", BY_PASSWORD, kubernetes(password="\n"), "SealingFailed", "is empty or no text"),
    (
        "an RSA key with an exponent of two",
        to_recipients("ssh-rsa AAAAB3NzaC1yc2EAAAABAgAAABEAgAAAAAAAAAAAAAAAAAAAAQ=="),
        kubernetes(),
        "SealingFailed",
        "is not an age public key",
    ),
    ("a key with a typing error", to_recipients("age1" + "q" * 58), kubernetes(), "SealingFailed", "is not an age public key"),
]


@pytest.mark.parametrize(("spec", "fake", "reason", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_be_sealed_is_not_captured(
    spec: dict[str, Any], fake: FakeKubernetes, reason: str, message: str, tmp_path: Path
) -> None:
    """One gap has the reason. Nothing is requested, and nothing is stored in plain text."""
    fetcher = Memory(ANSWERS)
    manifest = capture(tmp_path, fetcher, spec, kubernetes=fake.real()).manifest
    assert (manifest.phase, [(gap.target, gap.reason) for gap in manifest.gaps]) == ("Failed", [("session.encryption", reason)])
    assert message in manifest.gaps[0].message
    assert fetcher.asked == []
    assert not list(tmp_path.rglob("data"))


def test_a_decryption_that_was_broken_off_is_not_overwritten(tmp_path: Path) -> None:
    """Another process may still work on it: the error names the path in the way."""
    (tmp_path / "plain.part").mkdir()
    with pytest.raises(FileExistsError, match="left by a decryption") as caught:
        decrypt_session(tmp_path, capture(tmp_path, Memory(ANSWERS)).manifest, "", tmp_path / "plain")
    assert (caught.value.errno, caught.value.filename) == (errno.EEXIST, str(tmp_path / "plain.part"))
    assert list((tmp_path / "plain.part").iterdir()) == []


def test_a_decrypted_folder_appears_when_all_of_it_is_on_the_disk(
    key: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file and folder is synced before the folder gets its name: a full volume may refuse the bytes only then."""
    file, public = key
    snapshot = capture(tmp_path / "root", Memory(ANSWERS), to_recipients(public))
    assert snapshot.manifest.encryption is not None
    secret = open_key(snapshot.manifest.encryption, password=None, identities=age.parse_identities(file.read_text()))
    synced: set[int] = set()
    fsync, rename = os.fsync, os.rename
    before: list[set[int]] = []

    def watched_fsync(descriptor: int) -> None:
        fsync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    def watched_rename(old: Path, new: Path) -> None:
        rename(old, new)
        before.append(set(synced))

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "rename", watched_rename)
    target = tmp_path / "plain"
    decrypt_session(Path(snapshot.path), snapshot.manifest, secret, target)
    assert {path.stat().st_ino for path in [target, *target.rglob("*")]} <= before[-1]
    assert tmp_path.stat().st_ino in synced - before[-1]

    def full(descriptor: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="quota"):
        decrypt_session(Path(snapshot.path), snapshot.manifest, secret, tmp_path / "other")
    assert not [*tmp_path.glob("other*")]


def test_a_link_in_place_of_a_sealed_file_is_not_followed(key: tuple[Path, str], tmp_path: Path) -> None:
    """Nothing is written either."""
    snapshot = capture(tmp_path, Memory({"small": [[{"line": CANARY}]]}), to_recipients(key[1]))
    artifact = snapshot.manifest.artifacts[0]
    file = Path(snapshot.path) / artifact.path
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    written: list[bytes] = []
    with pytest.raises(OSError, match="symbolic links") as caught:
        decrypt_artifact(Path(snapshot.path), artifact, "", written.append)
    assert (caught.value.errno, written) == (errno.ELOOP, [])


def test_a_damaged_file_leaves_no_plain_text(key: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One bit at the end of a file is flipped: the command names the file, and no folder is made."""
    root = tmp_path / "root"
    session = Path(capture(root, Memory(ANSWERS), to_recipients(key[1])).path)
    victim = next(session.rglob("*large*.age"))
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    assert cli(root, "decrypt", session.name, "-i", key[0], "--to", tmp_path / "plain") == 1
    assert f"{victim.relative_to(session)}: it was altered" in capsys.readouterr().err
    assert not (tmp_path / "plain").exists()


def key_file(content: bytes, option: str = "-i") -> Any:
    def make(folder: Path) -> list[str]:
        file = folder / "given"
        file.write_bytes(content)
        return [option, str(file)]

    return make


def password(content: bytes) -> Any:
    return key_file(content, "--password-file")


BAD_KEYS: list[tuple[str, Any, str]] = [
    ("no key at all", lambda folder: [], "is sealed to recipients: name your private key with --identity"),
    ("no such file", lambda folder: ["-i", str(folder / "absent")], "No such file or directory"),
    ("a folder", lambda folder: ["-i", str(folder)], "Is a directory"),
    ("an empty file", key_file(b""), "the key file holds no key"),
    ("comments alone", key_file(b"# created: today\n"), "the key file holds no key"),
    ("a public key", key_file(b"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\n"), "not a key file"),
    ("binary", key_file(b"\xff\xfe"), "given: "),
    ("a key with a typing error", key_file(b"AGE-SECRET-KEY-1" + b"Q" * 58), "not a key file"),
    ("somebody else's key", key_file(age.new_identity()[0].encode()), "none of the keys opens it"),
    (
        "an SSH key of no kind",
        key_file(b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END"),
        "not an SSH key that age can use",
    ),
    ("an endless key", key_file(b"x" * 2**17), "no key or password"),
    ("a password", password(b"secret"), "is sealed to recipients, not by a password"),
    ("an empty password", password(b"\n"), "the password is empty"),
    ("a password of no text", password(b"\xff"), "the password is not UTF-8"),
]


@pytest.mark.parametrize(("give", "message"), [row[1:] for row in BAD_KEYS], ids=[row[0] for row in BAD_KEYS])
def test_bad_keys(give: Any, message: str, key: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is refused with one line; nothing is written."""
    root = tmp_path / "root"
    session = Path(capture(root, Memory({"small": [[{"line": CANARY}]]}), to_recipients(key[1])).path)
    target = tmp_path / "plain"
    assert cli(root, "decrypt", session.name, "--to", target, *give(tmp_path)) == 1
    output = capsys.readouterr().err
    assert message in output
    assert output.count("\n") == 1
    assert not target.exists()

"""The archive for Aletheia, opened by a reader that knows only its layout."""

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet, InvalidToken
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.cli.__main__ import main
from aletheia_operator.session import Manifest, age
from aletheia_operator.session.aletheia_archive import _collected, export_for_aletheia
from aletheia_operator.session.fernet_stream import FernetStream
from aletheia_operator.session.tar_stream import ArchiveError
from tests.support.captures import Memory, capture, unfinished

PASSWORD = "correct horse battery staple"
ANSWERS = {"first": [[{"line": "evidence"}]], "last": [[{"line": "the end"}]]}


def fernet(password: str, salt: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 100_000, dklen=32)))


def unpacked(archive: bytes, password: str, folder: Path) -> Path:
    """Import as Aletheia does: decrypt, unpack, and take the first member for the session."""
    with tarfile.open(fileobj=io.BytesIO(fernet(password, b"aletheia-archive").decrypt(archive)), mode="r:gz") as tar:
        first = tar.getmembers()[0]
        assert first.isdir()
        tar.extractall(folder, filter="data")
    return folder / first.name


def resumed(session: Path, password: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what Aletheia's resume reads: metadata and the scratchpad's sections. Checks plain metadata and canary."""
    salt = (session / "salt").read_text()
    box = fernet(password, base64.b64decode(salt))
    metadata = json.loads(box.decrypt((session / "metadata.encrypted").read_bytes()))
    assert set(metadata) == {"id", "name", "created", "updated", "status", "salt", "verbose"}
    assert metadata["salt"] == salt
    plain = json.loads((session / "metadata.json").read_text())
    assert plain == metadata | {"unsafe": False, "total_input_tokens": 0, "total_output_tokens": 0}
    assert box.decrypt((session / ".canary").read_bytes()) == b"ALETHEIA_CHECK"
    scratchpad = json.loads(box.decrypt((session / "scratchpad.encrypted").read_bytes()))
    assert set(scratchpad) == {"updated_at", "sections"}
    return metadata, scratchpad["sections"]


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    return file


@pytest.mark.parametrize("sealed", [False, True])
def test_aletheia_opens_it(sealed: bool, password_file: Path, tmp_path: Path) -> None:
    """Metadata, scratchpad and plain data files, with their paths in the scratchpad; also from a sealed session."""
    secret, public = age.new_identity()
    (tmp_path / "key").write_text(secret)
    spec = {"session": {"encryption": {"recipients": [public]}}} if sealed else {}
    session_id = Path(capture(tmp_path, Memory(ANSWERS), spec).path).name
    file = tmp_path / f"{session_id}.tar.gz.enc"
    options = ["--format=aletheia", f"--archive-password-file={password_file}", f"--file={file}"]
    opening = ["-i", str(tmp_path / "key")] if sealed else []
    assert main(["session", "export", f"--root={tmp_path}", session_id, *options, *opening]) == 0
    session = unpacked(file.read_bytes(), PASSWORD, tmp_path / "imported")
    metadata, sections = resumed(session, PASSWORD)
    assert (session.name, metadata["id"], metadata["status"]) == (session_id, session_id, "completed")
    collected = [json.loads((session / section["path"]).read_bytes()) for section in sections["DATA_COLLECTED"].values()]
    assert [document["data"] for document in collected] == [[{"line": "evidence"}], [{"line": "the end"}]]
    assert {path.name for path in (session / "data").iterdir()} >= {"logs", "metrics", "traces"}


def test_artifacts_are_named_by_their_source() -> None:
    """A further artifact of a source has a number. The report is left out, since it is not JSON."""
    names = ("data/logs/kubernetes_a.json", "data/logs/kubernetes_b.json.age", "data/logs/kubernetes_c_d.json")
    paths = (*names, "data/metrics/prometheus_up.json", "data/timeline.json", "data/findings.json.age", "report.html")
    found = {"fetcher": "F", "target": "t", "summary": "s", "timeRange": ["a", "b"], "sizeBytes": 1, "sha256": "0" * 64}
    artifacts = [{**found, "path": path, "count": count, "complete": True} for count, path in enumerate(paths)]
    manifest = Manifest.model_validate({**unfinished().to_json(), "artifacts": artifacts})
    collected = _collected(manifest)
    assert list(collected) == ["kubernetes", "kubernetes-2", "kubernetes-3", "prometheus", "timeline", "findings"]
    assert [entry["path"] for entry in collected.values()] == [path.removesuffix(".age") for path in paths[:-1]]
    assert [(entry["summary"], entry["count"]) for entry in collected.values()] == [("s", count) for count in range(6)]


@pytest.mark.parametrize(("spare", "taken"), [(0, True), (-1, False)])
def test_an_archive_that_aletheia_could_not_read_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spare: int, taken: bool
) -> None:
    """An archive of exactly the limit is made."""
    snapshot = capture(tmp_path, Memory(ANSWERS))
    monkeypatch.setattr("aletheia_operator.session.aletheia_archive.MAX_BYTES", snapshot.manifest.size_bytes + spare)
    written: list[Any] = []
    if taken:
        export_for_aletheia(Path(snapshot.path), PASSWORD, None, written.append)
    else:
        with pytest.raises(ArchiveError, match="larger than the"):
            export_for_aletheia(Path(snapshot.path), PASSWORD, None, written.append)
    assert bool(written) is taken


def test_only_the_password_opens_it(password_file: Path, tmp_path: Path) -> None:
    """Another password is refused by the format itself."""
    session_id = Path(capture(tmp_path, Memory(ANSWERS)).path).name
    file = tmp_path / "archive"
    options = ["--format=aletheia", f"--archive-password-file={password_file}", f"--file={file}"]
    assert main(["session", "export", f"--root={tmp_path}", session_id, *options]) == 0
    with pytest.raises(InvalidToken):
        unpacked(file.read_bytes(), "battery staple", tmp_path)


@given(st.lists(st.binary(max_size=70)))
def test_a_streamed_token_is_a_fernet_token(pieces: list[bytes]) -> None:
    """However the content is split, the original library decrypts it, but not after a byte was altered."""
    key, written = Fernet.generate_key(), bytearray()
    stream = FernetStream(key, written.extend)
    for piece in pieces:
        assert stream.write(piece) == len(piece)
    stream.close()
    assert Fernet(key).decrypt(bytes(written), ttl=60) == b"".join(pieces)
    written[len(written) // 2] ^= 1
    with pytest.raises(InvalidToken):
        Fernet(key).decrypt(bytes(written))


PEAK = """
import re, sys
from pathlib import Path
from aletheia_operator.cli.__main__ import main
status = main(sys.argv[1:])
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
sys.exit(status)
"""


@pytest.mark.parametrize("sealed", [False, True])
def test_memory_is_flat(sealed: bool, password_file: Path, tmp_path: Path) -> None:
    """57 MiB of evidence are exported within 96 MiB: the command shares the memory limit of the operator's pod."""
    secret, public = age.new_identity()
    (tmp_path / "key").write_text(secret)
    noise = [[{"line": base64.b64encode(os.urandom(48 * 1024)).decode()} for _ in range(32)] for _ in range(28)]
    spec = {"session": {"encryption": {"recipients": [public]}}} if sealed else {}
    snapshot = capture(tmp_path, Memory({"large": noise}), spec)
    assert snapshot.manifest.size_bytes > 55 * 2**20
    session_id = snapshot.manifest.session_id
    file = tmp_path / "archive"
    options = ["--format=aletheia", f"--archive-password-file={password_file}", f"--file={file}"]
    opening = ["-i", str(tmp_path / "key")] if sealed else []
    command = [sys.executable, "-c", PEAK, "session", "export", f"--root={tmp_path}", session_id, *options, *opening]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) < 96, done
    assert list((unpacked(file.read_bytes(), PASSWORD, tmp_path / "imported") / "data/logs").iterdir())


def test_what_cannot_be_exported(password_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a password, or with an altered file, no archive is left."""
    session = Path(capture(tmp_path, Memory(ANSWERS)).path)
    file = tmp_path / "archive"
    command = ["session", "export", f"--root={tmp_path}", session.name, "--format=aletheia", f"--file={file}"]
    assert main(command) == 1
    assert "name a file with --archive-password-file" in capsys.readouterr().err
    next(session.rglob("*first*")).write_text("altered")
    assert main([*command, f"--archive-password-file={password_file}"]) == 1
    assert "the session is not complete" in capsys.readouterr().err
    assert not file.exists()

"""Hostile sessions, pods and names on the machine of a person who reads them with the command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from aletheia_operator.cli import opening
from aletheia_operator.cli.__main__ import main
from aletheia_operator.cli.cluster import MAX_PAGES, ClusterApi
from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.pod import OperatorPod, operator_pod, session_of
from aletheia_operator.cli.reader import FolderFiles, StreamedFiles
from aletheia_operator.cli.rights import Rights
from aletheia_operator.report import PlainFiles
from aletheia_operator.session.layout import REPORT
from aletheia_operator.session.manifest_file import read_copy
from aletheia_operator.session.unseal import decrypt_artifact
from aletheia_operator.text.yaml_text import yaml_text
from tests.support.operator import until
from tests.unit.artifacts_server import made
from tests.unit.fakes import LONGEST_TEST_SECONDS
from tests.unit.proxies import connect, lying, program


def test_an_id_that_leads_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`open` writes its report below the cache only."""
    session = made(tmp_path / "volume")
    manifest = session / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "sessionId": "../../elsewhere"}))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    assert main(["open", str(session), "--no-browser"]) == 1
    assert "as its session" in capsys.readouterr().err
    assert not list(tmp_path.rglob("elsewhere*"))


def test_scripts_in_a_stored_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`open` puts a policy before everything that the session brings, which forbids them."""
    session = made(tmp_path / "volume")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(opening, "html", lambda reader: b"<script>alert(1)</script>")
    assert main(["open", str(session), "--no-browser"]) == 0
    written = tmp_path / "cache" / "aletheia" / f"{session.name}.html"
    assert written.read_bytes() == opening.HARMLESS + b"<script>alert(1)</script>"
    assert b"default-src 'none'" in opening.HARMLESS
    assert written.stat().st_mode & 0o777 == 0o600


def test_reports_are_private(tmp_path: Path) -> None:
    """Both commands that write a report write it for this user alone: that of a sealed session is plain text."""
    session = made(tmp_path / "volume")
    old = os.umask(0)
    try:
        assert main(["session", "report", session.name, f"--root={tmp_path / 'volume'}", "-f", str(tmp_path / "one")]) == 0
        assert main(["report", str(session), "-f", str(tmp_path / "two")]) == 0
    finally:
        os.umask(old)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("one", "two")} == {0o600}


def test_links_in_a_folder(tmp_path: Path) -> None:
    """No link is followed, neither for a file nor for a folder above it."""
    session = made(tmp_path / "volume")
    manifest, _ = read_copy(session)
    artifact = next(artifact for artifact in manifest.artifacts if artifact.path != REPORT)
    folder = (session / artifact.path).parent
    secret = tmp_path / "secret"
    folder.rename(secret)
    folder.symlink_to(secret)
    with pytest.raises(OSError), FolderFiles(session).open(artifact):
        pass
    with pytest.raises(OSError), PlainFiles(session).open(artifact.path):
        pass
    with pytest.raises(OSError):
        decrypt_artifact(session, artifact, "", lambda block: None)


def test_a_directory_in_place_of_a_file(tmp_path: Path) -> None:
    """It is not read, and no descriptor stays open."""
    (tmp_path / "data").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(9):
        with pytest.raises(OSError):
            PlainFiles(tmp_path).open("data")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_pod_that_sends_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither memory nor the disk fills: not by a manifest, and not by a file."""
    program(tmp_path, "import sys\nwhile True: sys.stdout.write('x' * 65536)", monkeypatch)
    pod = OperatorPod([], "system", "pod-1")
    with pytest.raises(Refused, match="sends more than"):
        session_of(pod, "shop/payments")
    manifest, _ = read_copy(made(tmp_path / "volume"))
    artifact = manifest.artifacts[0]
    files = StreamedFiles(lambda artifact, start: pod.stream("cat", artifact.path, f"--offset={start}"))
    with files.open(artifact) as file, pytest.raises(Refused, match="more is sent than the manifest says"):
        while file.read(65536):
            pass


def test_a_pod_with_the_operators_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant may give its pod the operator's labels: evidence is not read from it silently. Two of one namespace may run."""
    pods = [{"metadata": {"namespace": place, "name": "a"}, "status": {"phase": "Running"}} for place in ("a-tenant", "system")]
    program(tmp_path, f"import json\nprint(json.dumps({{'items': {pods}}}))", monkeypatch)
    with pytest.raises(Refused, match="a-tenant, system"):
        operator_pod([])
    program(tmp_path, f"import json\nprint(json.dumps({{'items': {pods[1:] * 2}}}))", monkeypatch)
    assert operator_pod([]).namespace == "system"


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 200_000])
def test_answers_that_are_nested_too_deep(body: bytes) -> None:
    """They are refused as what is no JSON."""
    for status in (200, 500):
        with pytest.raises(Refused):
            ClusterApi(lying(status, body), [], "shop").get("/apis")


@pytest.mark.parametrize("body", [b"{}", b'{"kind": "Status"}', b'{"items": {"a": 1}}', b'{"items": "none"}'])
def test_an_answer_that_is_no_list_is_not_an_empty_list(body: bytes) -> None:
    """A proxy may answer 200 with anything: `there are none` would be a guess."""
    with pytest.raises(Refused, match="no list"):
        ClusterApi(lying(200, body), [], "shop").items("/apis/aletheia.dev/v1alpha1/investigations")
    assert not ClusterApi(lying(200, b'{"items": null}'), [], "shop").items("/apis/aletheia.dev/v1alpha1/investigations")


def test_a_list_without_end() -> None:
    """A list that always has one more page ends."""
    proxy = lying(200, b'{"items": [], "metadata": {"continue": "more"}}')
    with pytest.raises(Refused, match=f"{MAX_PAGES} pages"):
        ClusterApi(proxy, [], "shop").items("/apis")


@pytest.mark.parametrize(
    "text", ["1e3", "12E5", "y", "N", "0o17", "1_000", "0x1F", "+1", ".5", "1.", "yes", "null", "2026-11-22"]
)
def test_texts_that_look_like_other_types(text: str) -> None:
    """They are quoted: YAML 1.1, YAML 1.2 and kubectl read them as text."""
    assert yaml_text({"label": text}) == f"label: '{text}'\n"
    assert yaml.safe_load(yaml_text({text: text})) == {text: text}


def test_texts_that_are_plain() -> None:
    """Others are not quoted."""
    for text in ("30m", "1h", "payments", "yesterday", "v1.2", "1.2.3"):
        assert yaml_text({"a": text}) == f"a: {text}\n"


ENDLESS = """import os, signal, socket, sys, time
path = next(word for word in sys.argv if word.startswith("--unix-socket=")).partition("=")[2]
listening = socket.socket(socket.AF_UNIX)
listening.bind(path)
listening.listen()
open({marks!r}, "w").write(f"{{os.getpid()}} {{os.path.dirname(path)}}")
time.sleep(3600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_command_that_is_ended(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves neither kubectl's proxy, which has this user's rights, nor the folder of its socket.

    SIGKILL leaves the folder, in which nobody listens.
    """
    marks = tmp_path / "marks"
    program(tmp_path, ENDLESS.format(marks=str(marks)), monkeypatch)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    command = ["env", "--default-signal=HUP,INT", sys.executable, "-m", "aletheia_operator.cli", "-n", "shop", "list"]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while not (marks.exists() and len(marks.read_text().split()) == 2):
        time.sleep(0.02)
    proxy, folder = marks.read_text().split()
    assert os.stat(folder).st_mode & 0o777 == 0o700
    time.sleep(0.3)
    running.send_signal(number)
    assert running.wait(LONGEST_TEST_SECONDS) != 0
    assert os.path.exists(folder) is (number == signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    until(lambda: not is_alive(int(proxy)), LONGEST_TEST_SECONDS, "the proxy has ended")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_download_that_is_ended(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves no `kubectl get --raw`, also if no byte comes, and from any thread."""
    pid = tmp_path / "pid"
    waits = f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()) + ' ')\ntime.sleep(3600)"
    program(tmp_path, waits, monkeypatch)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    code = (
        "import threading; from aletheia_operator.cli.kubectl import raw_body\n"
        "def read():\n  with raw_body([], '/apis') as body: body.read(1)\n"
        "threading.Thread(target=read).start()"
    )
    running = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    until(lambda: pid.exists() and pid.read_text().endswith(" "), LONGEST_TEST_SECONDS, "kubectl runs")
    running.send_signal(number)
    assert running.wait(LONGEST_TEST_SECONDS) == -number
    until(lambda: not is_alive(int(pid.read_text())), LONGEST_TEST_SECONDS, "kubectl has ended")


def is_alive(pid: int) -> bool:
    """Return whether a process runs: an ended one may wait for its new parent."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_pod_that_exports_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`fetch` stops after as many bytes as the session of the manifest can have."""
    session = made(tmp_path / "volume")
    pods = {"items": [{"metadata": {"namespace": "system", "name": "a"}, "status": {"phase": "Running"}}]}
    shown = f"print(open({str(session / 'manifest.json')!r}).read())"
    answers = f"if 'get' in sys.argv: print(json.dumps({pods}))\nelif 'show' in sys.argv: {shown}"
    program(tmp_path, f"import json, sys\n{answers}\nelse:\n    while True: sys.stdout.write('x' * 65536)", monkeypatch)
    connect(monkeypatch, lying(404, b"the server could not find the requested resource"))
    assert main(["-n", "shop", "fetch", "payments", f"--root={tmp_path / 'mine'}"]) == 1
    assert "system/a sends more than the manifest says" in capsys.readouterr().err


def test_a_user_with_a_name_for_the_shell() -> None:
    """An admin may paste the command that `doctor` prints."""
    cluster = ClusterApi(lying(201, b'{"status": {"userInfo": {"username": "tess; reboot"}}, "items": []}'), [], "shop")
    assert Rights(cluster).binding("reader").endswith(" --user='tess; reboot'")

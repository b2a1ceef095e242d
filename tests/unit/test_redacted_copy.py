"""`aletheia session redact`: a copy with fewer secrets and the same entries, which names its original session."""

import hashlib
import json
import shutil
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api.status import FindingObject, FindingStatus
from aletheia_operator.cli.__main__ import main
from aletheia_operator.redact import Level, Redactor, Rule
from aletheia_operator.session import Artifact, Gap, Manifest, SessionLayout, age
from aletheia_operator.session.manifest_file import manifest_bytes, read_manifest
from aletheia_operator.session.redacted_copy import redact_session
from aletheia_operator.session.tar_stream import ArchiveError
from aletheia_operator.session.verify import verify
from aletheia_operator.settings import Redaction
from tests.support.captures import NOW, Memory, capture
from tests.unit.capturing import watched_writes

PASSWORD = "Xq9vLm3Zw8"
ADDRESS = "alice@example.com"
KEY = ["-----BEGIN PRIVATE KEY-----", "MIIEpAIBAAKCAQEAx" + "ab" * 24, "c2hvcnQ=", "-----END PRIVATE KEY-----"]
ENTRIES: list[Any] = [
    {"container": "a", "level": "ERROR", "message": "as in the line", "line": f"ERROR login: password={PASSWORD}"},
    *({"timestamp": "t2", "container": "a", "line": line} for line in KEY),
    {"timestamp": "t3", "container": "b", "labels": {"password": PASSWORD}, "line": f"mail from {ADDRESS}"},
    {"timestamp": "t4", "container": "b", "line": "EMP-12345678 is at work"},
    {"timestamp": "t5", "container": "b", "line": "?", "line_base64": "/3Bhc3N3b3JkPVhxOXZMbTNadzg="},
    {"metric": {"password": PASSWORD, "text": "fine"}, "values": [[1, "2"]]},
]


def a_session(root: Path, **spec: Any) -> Manifest:
    """A session that was captured without redaction."""
    return capture(root, Memory({"web": [ENTRIES]}), spec or None, redaction=Redaction(level="off")).manifest


def log_of(manifest: Manifest) -> Artifact:
    (log,) = [artifact for artifact in manifest.artifacts if artifact.path.startswith("data/logs/")]
    return log


def entries_of(root: Path, manifest: Manifest) -> list[Any]:
    path = SessionLayout(root).session(manifest.session_id) / log_of(manifest).path
    return list(json.loads(path.read_bytes())["data"])


def test_a_copy_has_fewer_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Entries keep their order. The manifest has counts, digests, level, rules, and the digest of the original."""
    old = a_session(tmp_path, metrics=[{"query": f'up{{password="{PASSWORD}"}}'}])
    content = (SessionLayout(tmp_path).session(old.session_id) / "manifest.json").read_bytes()
    arguments = ["--level", "strict", "--rule", "badge=EMP-[0-9]+", "-o", "json"]
    assert main(["session", "redact", old.session_id, f"--root={tmp_path}", *arguments]) == 0
    answer = json.loads(capsys.readouterr().out)
    new = read_manifest(SessionLayout(tmp_path), answer["session"])
    assert answer["of"] == old.session_id != new.session_id
    found = entries_of(tmp_path, new)
    assert len(found) == len(ENTRIES)
    assert not [secret for secret in (PASSWORD, ADDRESS, "EMP-1", *KEY[1:3]) if secret in json.dumps(found)]
    assert "WHF5" not in found[7]["line_base64"]
    assert found[0]["level"] == "ERROR"
    assert found[0]["message"] in found[0]["line"]
    assert found[8]["values"] == [[1, "2"]]
    assert PASSWORD in json.dumps(old.spec) and PASSWORD not in json.dumps(new.spec)
    record = new.redaction
    assert record is not None
    assert (record.level, record.rules, record.of_manifest) == ("strict", ["badge"], hashlib.sha256(content).hexdigest())
    assert new.redactions == answer["redactions"] == sum(log_of(new).redactions.values())
    assert verify(SessionLayout(tmp_path).session(new.session_id)).intact
    assert verify(SessionLayout(tmp_path).session(old.session_id)).intact


def test_a_sealed_session_stays_sealed(tmp_path: Path) -> None:
    """The command needs its key, which also opens the copy. Nothing is written to the disk in plain text."""
    secret, public = age.new_identity()
    old = a_session(tmp_path, session={"encryption": {"recipients": [public]}})
    identity = tmp_path / "identity"
    identity.write_text(secret)
    assert main(["session", "redact", old.session_id, f"--root={tmp_path}"]) == 1
    with watched_writes() as written:
        assert main(["session", "redact", old.session_id, f"--root={tmp_path}", "-i", str(identity)]) == 0
    assert b"mail from" not in b"".join(written)
    (new_id,) = {path.name for path in SessionLayout(tmp_path).sessions.glob("INC-*")} - {old.session_id}
    plain = tmp_path / "plain"
    assert main(["session", "decrypt", new_id, f"--root={tmp_path}", "-i", str(identity), "--to", str(plain)]) == 0
    text = "".join(path.read_text() for path in plain.rglob("*.json"))
    assert PASSWORD not in text
    assert ADDRESS in text


def test_what_the_manifest_quotes_is_redacted(tmp_path: Path) -> None:
    """Headline, findings and gaps are redacted, and otherwise unchanged."""
    layout, error = SessionLayout(tmp_path), f"it broke: password={PASSWORD}"
    subject = FindingObject(kind="Pod", name="web")
    finding = FindingStatus(
        rule="CrashLoop", severity="error", confidence="certain", object=subject, message=error, first_seen=None
    )
    gap = Gap(fetcher="F", target=error, reason="NotFound", message=error)
    for headline in (error, None):
        changes = {"headline": headline, "findings": [finding], "gaps": [gap]}
        old = a_session(tmp_path).model_copy(update=changes)
        layout.manifest(old.session_id).write_bytes(manifest_bytes(old))
        new = redact_session(layout, old.session_id, Redactor(b"k"), None)
        assert PASSWORD not in new.model_dump_json()
        assert (new.headline or "it broke").startswith("it broke")
        assert (new.headline is None) is (headline is None)
        assert [(finding.rule, finding.message[:9], finding.object) for finding in new.findings] == [
            ("CrashLoop", "it broke:", subject)
        ]
        assert [(gap.target[:9], gap.reason, gap.message[:9]) for gap in new.gaps] == [("it broke:", "NotFound", "it broke:")]


def test_lines_of_one_stream_are_read_together(tmp_path: Path) -> None:
    """A key that goes over several lines is found among lines of other streams; labels may come in any order."""
    streams: list[dict[str, Any]] = [
        {"labels": {"a": "1", "b": "2"}},
        {"labels": {"a": "1", "b": "3"}},
        {"stream": "stderr"},
        {"run": 1},
        {},
    ]
    turned = [{"labels": dict(reversed(stream["labels"].items()))} if "labels" in stream else stream for stream in streams]
    entries = [{**stream, "line": line} for number, line in enumerate(KEY) for stream in (turned if number % 2 else streams)]
    old = capture(tmp_path, Memory({"web": [entries]}), redaction=Redaction(level="off")).manifest
    new = redact_session(SessionLayout(tmp_path), old.session_id, Redactor(b"k"), None)
    found = json.dumps(entries_of(tmp_path, new))
    assert not [part for part in KEY[1:3] if part in found]


def test_what_cannot_be_redacted(tmp_path: Path) -> None:
    """For a damaged or expired session, or an unusable rule, no copy is made."""
    layout = SessionLayout(tmp_path)
    old = a_session(tmp_path)
    assert main(["session", "redact", old.session_id, f"--root={tmp_path}", "--rule", "badge=x*"]) == 1
    file = layout.session(old.session_id) / log_of(old).path
    file.write_bytes(file.read_bytes().replace(b"fine", b"evil"))
    with pytest.raises(ArchiveError, match="was altered"):
        redact_session(layout, old.session_id, Redactor(b"k"), None)
    assert [path.name for path in layout.sessions.iterdir()] == [old.session_id]


def rewritten(root: Path, path: str, content: bytes, **changes: Any) -> Manifest:
    """A session with a single artifact, which has this path and content."""
    layout, old = SessionLayout(root), a_session(root)
    file = layout.session(old.session_id) / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    found = {"path": path, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest = old.model_copy(update={"artifacts": [log_of(old).model_copy(update=found)], **changes})
    layout.manifest(old.session_id).write_bytes(manifest_bytes(manifest))
    return manifest


def test_a_large_file_is_copied_whole(tmp_path: Path) -> None:
    """The sizes of chunks and batches do not matter."""
    entries = [{"container": "a", "line": f"{number:06} password={PASSWORD} " + "x" * 2000} for number in range(1300)]
    old = capture(tmp_path, Memory({"web": [entries]}), redaction=Redaction(level="off")).manifest
    assert log_of(old).size_bytes > 2.5 * 2**20
    new = redact_session(SessionLayout(tmp_path), old.session_id, Redactor(b"k"), None)
    found = entries_of(tmp_path, new)
    assert [item["line"][:7] for item in found] == [f"{number:06} " for number in range(1300)]
    assert {item["line"][-2000:] for item in found} == {"x" * 2000}
    assert PASSWORD not in json.dumps(found)
    assert (log_of(new).count, sum(log_of(new).redactions.values())) == (1300, 1300)
    assert verify(SessionLayout(tmp_path).session(new.session_id)).intact
    assert not list(SessionLayout(tmp_path).sessions.glob(".*"))


HEAD = b'{"source": "kubernetes",\n"metadata": {"pod": "web", "token": "%s"},\n"data": [\n' % PASSWORD.encode()


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"{}\n", HEAD[:20], HEAD.removesuffix(b'"data": [\n'), HEAD[:-1], HEAD + b"1\n]}", HEAD + b"1"],
    ids=len,
)
def test_what_is_no_artifact_is_not_redacted(tmp_path: Path, content: bytes) -> None:
    """It is refused as a whole."""
    old = rewritten(tmp_path, "data/logs/a.json", content)
    with pytest.raises(ArchiveError, match=r"data/logs/a\.json has a form that this version cannot read"):
        redact_session(SessionLayout(tmp_path), old.session_id, Redactor(b"k"), None)
    assert [path.name for path in SessionLayout(tmp_path).sessions.iterdir()] == [old.session_id]


@pytest.mark.parametrize(("folder", "spec"), [("objects", True), ("events", False)])
def test_words_of_a_command_are_those_of_objects(tmp_path: Path, folder: str, spec: bool) -> None:
    """After a flag the next word of a command is its value. In other lists two words are unrelated."""
    entry = {"command": ["app", "--password", "abcdefg1"], "password": PASSWORD}
    old = rewritten(tmp_path, f"data/{folder}/a.json", HEAD + json.dumps(entry).encode() + b"\n]}\n")
    new = redact_session(SessionLayout(tmp_path), old.session_id, Redactor(b"k"), None)
    (artifact,) = new.artifacts
    document = json.loads((SessionLayout(tmp_path).session(new.session_id) / artifact.path).read_bytes())
    assert PASSWORD not in json.dumps(document)
    assert (document["source"], document["metadata"]["pod"]) == ("kubernetes", "web")
    assert document["metadata"]["redactions"] == artifact.redactions
    assert ("abcdefg1" in json.dumps(document)) is not spec


@pytest.mark.parametrize(
    "changes",
    [
        {"completion_time": None, "phase": "Running"},
        {"expiration_time": NOW},
        {"completion_time": None, "phase": "Running", "expiration_time": NOW},
    ],
)
def test_what_has_not_ended_or_has_expired_is_not_redacted(tmp_path: Path, changes: dict[str, Any]) -> None:
    """There is nothing to copy, or not all of it."""
    old = rewritten(tmp_path, "data/logs/a.json", HEAD + b"]}\n", **changes)
    with pytest.raises(ArchiveError, match="its capture has not ended, or its data has expired"):
        redact_session(SessionLayout(tmp_path), old.session_id, Redactor(b"k"), None)


@pytest.mark.parametrize(
    ("line", "exact", "before", "after"),
    [
        ("ERROR login: password=Xq9vLm3Zw8", False, {"message": "m"}, ["message"]),
        ("ERROR login: password=Xq9vLm3Zw8", False, {}, []),
        (
            '{"level":"error","msg":"m","password":"Xq9vLm3Zw8"}',
            False,
            {"message": "m", "fields": {"a": 1}},
            ["message", "fields"],
        ),
        ("password=Xq9vLm3Zw8", False, {"message": "m", "fields": {"a": 1}}, []),
        ("ERROR login: password=Xq9vLm3Zw8", True, {}, ["line_base64"]),
        ("ERROR login: nothing", True, {"message": "m", "fields": {"a": 1}}, ["line_base64", "message", "fields"]),
    ],
)
def test_what_is_told_of_a_line_follows_from_it(
    tmp_path: Path, line: str, exact: bool, before: dict[str, Any], after: list[str]
) -> None:
    """If the line changed, its existing fields are computed again, and no field is added. Other lines keep their fields."""
    entry = {"container": "a", "line": line, **before, **({"line_base64": b64encode(line.encode()).decode()} if exact else {})}
    old = capture(tmp_path, Memory({"web": [[entry]]}), redaction=Redaction(level="off")).manifest
    new = redact_session(SessionLayout(tmp_path), old.session_id, Redactor(b"k"), None)
    (found,) = entries_of(tmp_path, new)
    assert PASSWORD not in json.dumps(found)
    assert sorted(set(found) - {"container", "line"}) == sorted(after)
    if exact:
        assert b64decode(found["line_base64"]).decode() == found["line"]
    if PASSWORD not in line:
        assert found == entry


def test_each_pass_makes_one_more(tmp_path: Path) -> None:
    """A copy can be redacted again. Counts add up, and the rules of all passes are listed."""
    layout = SessionLayout(tmp_path)
    old = a_session(tmp_path)
    first = redact_session(layout, old.session_id, Redactor(b"k", rules=[Rule("badge", "EMP-[0-9]+")]), None)
    second = redact_session(layout, first.session_id, Redactor(b"k", Level.STRICT), None)
    assert second.redaction is not None
    assert second.redaction.rules == ["badge"]
    assert log_of(second).redactions == {**log_of(first).redactions, "email": 1}
    again = redact_session(layout, old.session_id, Redactor(b"k"), None)
    assert len({old.session_id, first.session_id, second.session_id, again.session_id}) == 4
    shutil.rmtree(layout.session(old.session_id))
    assert verify(layout.session(second.session_id)).intact

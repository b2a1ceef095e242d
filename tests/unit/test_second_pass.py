"""`aletheia session redact`: a copy with fewer secrets and the same entries, which names the session that it is of."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api.status import FindingObject, FindingStatus
from aletheia_operator.cli.__main__ import main
from aletheia_operator.redact import Level, Redactor, Rule
from aletheia_operator.session import Artifact, Gap, Manifest, SessionLayout, age
from aletheia_operator.session.manifest_file import manifest_bytes, read_manifest
from aletheia_operator.session.second_pass import redact_session
from aletheia_operator.session.tar_stream import ArchiveError
from aletheia_operator.session.verify import verify
from aletheia_operator.settings import Redaction
from tests.support.captures import Memory, capture
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
    """The same entries in the same order; counts, digests, level, rules, and the digest of the session it is of."""
    old = a_session(tmp_path, metrics=[{"query": f'up{{password="{PASSWORD}"}}'}])
    content = (SessionLayout(tmp_path).session(old.session_id) / "manifest.json").read_bytes()
    arguments = ["--level", "strict", "--rule", "badge=EMP-[0-9]+", "-o", "json"]
    assert main(["session", "redact", old.session_id, f"--root={tmp_path}", *arguments]) == 0
    answer = json.loads(capsys.readouterr().out)
    new = read_manifest(SessionLayout(tmp_path), answer["session"])
    assert answer["of"] == old.session_id != new.session_id
    found = entries_of(tmp_path, new)
    assert len(found) == len(ENTRIES)
    assert not [one for one in (PASSWORD, ADDRESS, "EMP-1", *KEY[1:3]) if one in json.dumps(found)]
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
    """Its key is needed; the copy opens by the same one; nothing is on the disk in plain meanwhile."""
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
    """Headline, findings and gaps; the rest of them stays."""
    layout, said = SessionLayout(tmp_path), f"it broke: password={PASSWORD}"
    subject = FindingObject(kind="Pod", name="web")
    finding = FindingStatus(
        rule="CrashLoop", severity="error", confidence="certain", object=subject, message=said, first_seen=None
    )
    gap = Gap(fetcher="F", target=said, reason="NotFound", message=said)
    for headline in (said, None):
        changes = {"headline": headline, "findings": [finding], "gaps": [gap]}
        old = a_session(tmp_path).model_copy(update=changes)
        layout.manifest(old.session_id).write_bytes(manifest_bytes(old))
        new = redact_session(layout, old.session_id, Redactor(b"k"), None)
        assert PASSWORD not in new.model_dump_json()
        assert (new.headline or "it broke").startswith("it broke")
        assert (new.headline is None) is (headline is None)
        assert [(one.rule, one.message[:9], one.object) for one in new.findings] == [("CrashLoop", "it broke:", subject)]
        assert [(one.target[:9], one.reason, one.message[:9]) for one in new.gaps] == [("it broke:", "NotFound", "it broke:")]


def test_lines_of_one_stream_are_read_together(tmp_path: Path) -> None:
    """A key that goes over several lines is found among lines of other streams; labels may come in any order."""
    streams: list[dict[str, Any]] = [
        {"labels": {"a": "1", "b": "2"}},
        {"labels": {"a": "1", "b": "3"}},
        {"stream": "stderr"},
        {"run": 1},
        {},
    ]
    turned = [{"labels": dict(reversed(one["labels"].items()))} if "labels" in one else one for one in streams]
    entries = [{**one, "line": line} for number, line in enumerate(KEY) for one in (turned if number % 2 else streams)]
    old = capture(tmp_path, Memory({"web": [entries]}), redaction=Redaction(level="off")).manifest
    new = redact_session(SessionLayout(tmp_path), old.session_id, Redactor(b"k"), None)
    found = json.dumps(entries_of(tmp_path, new))
    assert not [part for part in KEY[1:3] if part in found]


def test_what_cannot_be_redacted(tmp_path: Path) -> None:
    """A damaged or expired session, and a rule that is no use: nothing is made."""
    layout = SessionLayout(tmp_path)
    old = a_session(tmp_path)
    assert main(["session", "redact", old.session_id, f"--root={tmp_path}", "--rule", "badge=x*"]) == 1
    file = layout.session(old.session_id) / log_of(old).path
    file.write_bytes(file.read_bytes().replace(b"fine", b"evil"))
    with pytest.raises(ArchiveError, match="was altered"):
        redact_session(layout, old.session_id, Redactor(b"k"), None)
    assert [path.name for path in layout.sessions.iterdir()] == [old.session_id]


def test_each_pass_makes_one_more(tmp_path: Path) -> None:
    """Also of a copy; counts add up, and rules are told of all passes."""
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

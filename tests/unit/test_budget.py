"""Quotas of a session and of a namespace, and the reserve of the volume."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from aletheia_operator.investigate import Budget
from aletheia_operator.session import InvestigationReference
from aletheia_operator.session.verify import verify
from tests.support.captures import OWNER, Memory, capture

BATCH = [{"line": "x" * 1000}]
ANSWERS = {"first": [BATCH] * 5, "second": [BATCH] * 5}


def test_a_session_stops_at_its_quota(tmp_path: Path) -> None:
    """What fits is kept whole and verifies; the artifact that crosses the quota is cut and the next one is not asked for."""
    snapshot = capture(tmp_path, Memory(ANSWERS), budget=Budget(max_session_bytes=3000))
    assert [(artifact.target, artifact.count, artifact.complete) for artifact in snapshot.manifest.artifacts] == [
        ("pod/first", 3, False)
    ]
    assert [(gap.target, gap.reason) for gap in snapshot.manifest.gaps] == [
        ("pod/first", "BudgetExceeded"),
        ("pod/second", "BudgetExceeded"),
    ]
    assert "the session reached its quota of 3000 bytes" in snapshot.manifest.gaps[1].message
    assert verify(Path(snapshot.path)).intact


def test_a_namespace_stops_at_its_quota(tmp_path: Path) -> None:
    """A namespace that is full gets nothing more; another namespace does."""
    budget = Budget(max_namespace_bytes=10_000)
    assert capture(tmp_path, Memory(ANSWERS), budget=budget).manifest.phase == "PartiallyCompleted"
    same = InvestigationReference(namespace=OWNER.namespace, name="again", uid="2")
    refused = capture(tmp_path, Memory(ANSWERS), owner=same, budget=budget).manifest
    assert (refused.phase, {gap.reason for gap in refused.gaps}) == ("Failed", {"BudgetExceeded"})
    assert "of namespace production reached their quota of 10000 bytes" in refused.gaps[0].message
    other = InvestigationReference(namespace="staging", name="other", uid="3")
    assert capture(tmp_path, Memory({"first": [BATCH]}), owner=other, budget=budget).manifest.phase == "Completed"


def test_a_reserve_is_kept_for_journals_and_manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence that would take the last of the volume is not begun, and the gap says how much is needed and free."""
    volume = SimpleNamespace(f_blocks=1_000, f_frsize=1024, f_bavail=100)  # of which 50 KiB are the reserve
    monkeypatch.setattr("aletheia_operator.session.files.os.statvfs", lambda directory: volume)
    answers = {"small": [[{"line": "x" * 1_000}]], "large": [[{"line": "x" * 60_000}]], "last": [[{"line": "y"}]]}
    manifest = capture(tmp_path, Memory(answers)).manifest
    assert [artifact.target for artifact in manifest.artifacts] == ["pod/small", "pod/last"]
    (gap,) = manifest.gaps
    assert (gap.target, gap.reason) == ("pod/large", "SaveFailed")
    assert "102400 are free and 51200 of these are kept for manifests: delete sessions or enlarge the volume" in gap.message
    assert verify(tmp_path / "sessions" / manifest.session_id).intact

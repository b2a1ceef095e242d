"""Quotas of a session and of a namespace, and the reserve of the volume."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aletheia_operator.investigate import Budget
from aletheia_operator.investigate.budget import Account, QuotaExceeded, Usage
from aletheia_operator.session import InvestigationReference, SessionLayout
from aletheia_operator.session.retention import expire
from aletheia_operator.session.retention_record import update_retention_record
from aletheia_operator.session.verify import verify
from aletheia_operator.session.volume import usable_bytes
from tests.support.captures import NOW, OWNER, Memory, capture

BATCH = [{"line": "x" * 1000}]
ANSWERS = {"first": [BATCH] * 5, "second": [BATCH] * 5}


def test_a_session_stops_at_its_quota(tmp_path: Path) -> None:
    """Artifacts that fit are complete and verify; the artifact that exceeds the quota is cut, and the next is not requested."""
    snapshot = capture(tmp_path, Memory(ANSWERS), budget=Budget(max_session_bytes=3000))
    assert [(artifact.target, artifact.count, artifact.complete) for artifact in snapshot.manifest.artifacts] == [
        ("pod/first", 3, False)
    ]
    assert [(gap.target, gap.reason) for gap in snapshot.manifest.gaps] == [
        ("pod/first", "BudgetExceeded"),
        ("pod/second", "BudgetExceeded"),
        ("report", "BudgetExceeded"),
    ]
    assert [gap.severity for gap in snapshot.manifest.gaps] == ["gap", "gap", "note"]
    assert "the session reached its quota of 3000 bytes" in snapshot.manifest.gaps[1].message
    assert verify(Path(snapshot.path)).intact


def test_all_artifacts_of_a_session_count_for_its_quota(tmp_path: Path) -> None:
    """The third one reaches it, since two are kept."""
    answers = {name: [BATCH] for name in ("first", "second", "third", "fourth")}
    snapshot = capture(tmp_path, Memory(answers), budget=Budget(max_session_bytes=2500))
    assert [gap.target for gap in snapshot.manifest.gaps if gap.severity == "gap"] == ["pod/third", "pod/fourth"]


def test_a_namespace_stops_at_its_quota(tmp_path: Path) -> None:
    """A full namespace captures nothing more; another namespace does."""
    budget = Budget(max_namespace_bytes=10_000)
    assert capture(tmp_path, Memory(ANSWERS), budget=budget).manifest.phase == "PartiallyCompleted"
    same = InvestigationReference(namespace=OWNER.namespace, name="again", uid="2")
    refused = capture(tmp_path, Memory(ANSWERS), owner=same, budget=budget).manifest
    assert (refused.phase, {gap.reason for gap in refused.gaps}) == ("Failed", {"BudgetExceeded"})
    assert "of namespace production reached their quota of 10000 bytes" in refused.gaps[0].message
    other = InvestigationReference(namespace="staging", name="other", uid="3")
    assert capture(tmp_path, Memory({"first": [BATCH]}), owner=other, budget=budget).manifest.phase == "Completed"


def quota_gaps(root: Path, name: str, budget: Budget) -> list[str]:
    """Messages about quotas of one more capture of the namespace."""
    owner = InvestigationReference(namespace=OWNER.namespace, name=name, uid=name)
    gaps = capture(root, Memory(ANSWERS), owner=owner, budget=budget).manifest.gaps
    assert {gap.reason for gap in gaps} <= {"BudgetExceeded"}
    return [gap.message for gap in gaps]


def test_a_namespace_has_a_share_of_the_volume(tmp_path: Path) -> None:
    """Captures stop at the share, with the remedy for an admin. With a larger volume they continue."""
    budget = Budget(namespace_share=25, volume_bytes=80_000)
    assert quota_gaps(tmp_path, "first", budget) == []
    messages = quota_gaps(tmp_path, "second", budget)
    assert "reached their quota of 20000 bytes (25 % of the volume): delete Investigations" in messages[-1]
    assert "volume.namespaceShare" in messages[-1]
    budget.volume_bytes = 200_000
    assert quota_gaps(tmp_path, "third", budget) == []


def test_the_file_system_bounds_the_size_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim may be larger than its file system. If the file system reports no size, that of the claim is used."""
    layout = SessionLayout(tmp_path)
    for blocks, limit, size in ((10, None, 10_240), (10, 99_999, 10_240), (10, 99, 99), (0, 99, 99), (0, None, None)):
        found = SimpleNamespace(f_blocks=blocks, f_frsize=1024)
        monkeypatch.setattr("aletheia_operator.session.volume.os.statvfs", lambda root, found=found: found)
        assert usable_bytes(layout, limit) == size


@pytest.mark.parametrize("protected", [{"keep": True}, {"hold": "case 4711"}, {"legal_hold": "case 4711"}])
def test_what_is_kept_or_on_hold_counts_for_the_quota(tmp_path: Path, protected: dict[str, Any]) -> None:
    """Kept data fills the quota; expired data does not count."""
    budget = Budget(namespace_share=25, volume_bytes=80_000)
    owner = InvestigationReference(namespace=OWNER.namespace, name="first", uid="first")
    manifest = capture(tmp_path, Memory(ANSWERS), owner=owner, budget=budget).manifest
    layout = SessionLayout(tmp_path)
    update_retention_record(layout, manifest.session_id, **protected)
    assert quota_gaps(tmp_path, "second", budget) != []
    update_retention_record(layout, manifest.session_id, keep=False, hold=None, legal_hold=None)
    expire(layout, manifest.session_id, NOW)
    assert quota_gaps(tmp_path, "third", budget) != quota_gaps(tmp_path, "fourth", budget)


def test_a_reserve_is_kept_for_journals_and_manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence that would use the reserve is not captured. The gap says how much is needed and free."""
    volume = SimpleNamespace(f_blocks=1_000, f_frsize=1024, f_bavail=100)  # of which 50 KiB are the reserve
    monkeypatch.setattr("aletheia_operator.session.files.os.statvfs", lambda directory: volume)
    answers = {"small": [[{"line": "x" * 1_000}]], "large": [[{"line": "x" * 60_000}]], "last": [[{"line": "y"}]]}
    manifest = capture(tmp_path, Memory(answers)).manifest
    assert [artifact.target for artifact in manifest.artifacts] == ["pod/small", "pod/last", "report"]
    (gap,) = manifest.gaps
    assert (gap.target, gap.reason) == ("pod/large", "SaveFailed")
    assert "102400 are free and 51200 of these are kept for manifests: delete sessions or enlarge the volume" in gap.message
    assert verify(tmp_path / "sessions" / manifest.session_id).intact


def open_accounts(tmp_path: Path, budget: Budget, *namespaces: str) -> list[Account]:
    """An account in each namespace, of captures that keep nothing yet."""
    return [budget.open(SessionLayout(tmp_path), namespace, f"INC-{n}", 0) for n, namespace in enumerate(namespaces)]


@pytest.mark.parametrize(
    ("budget", "size", "quota"),
    [
        (Budget(), 1000, None),
        (Budget(max_namespace_bytes=7), 1000, 7),
        (Budget(max_namespace_bytes=7, namespace_share=50), 1000, 7),
        (Budget(max_namespace_bytes=0, namespace_share=50), 1000, 0),
        (Budget(namespace_share=25), 1000, 250),
        (Budget(namespace_share=25, volume_bytes=500), 1000, 125),
        (Budget(namespace_share=33), 100, 33),
        (Budget(namespace_share=1), 3, 1),
        (Budget(namespace_share=25), 0, None),
    ],
)
def test_the_quota_of_a_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: Budget, size: int, quota: int | None
) -> None:
    """An admin's number, else a share of the volume, at least one byte; no quota if the size is not known."""
    found = SimpleNamespace(f_blocks=size, f_frsize=1)
    monkeypatch.setattr("aletheia_operator.session.volume.os.statvfs", lambda root: found)
    (account,) = open_accounts(tmp_path, budget, "shop")
    assert account.namespace_quota == quota


def test_what_lies_on_the_volume_counts_for_its_namespace(tmp_path: Path) -> None:
    """Data that has expired does not count, nor the session itself, nor a session without a readable manifest."""
    layout = SessionLayout(tmp_path)
    size = capture(tmp_path, Memory({"a": [BATCH]}), owner=OWNER).manifest.size_bytes
    shop = OWNER.model_copy(update={"namespace": "shop"})
    owners = [shop.model_copy(update={"uid": uid, "name": uid}) for uid in ("expired", "damaged", "own", "first", "second")]
    sessions = {owner.uid: capture(tmp_path, Memory({"a": [BATCH]}), owner=owner).manifest for owner in owners}
    expire(layout, sessions["expired"].session_id, NOW)
    layout.manifest(sessions["damaged"].session_id).write_text("{")
    total = sessions["first"].size_bytes + sessions["second"].size_bytes
    account = Budget(max_namespace_bytes=10**9).open(layout, "shop", sessions["own"].session_id, 7)
    assert (account.others_bytes, account.kept_bytes) == (total, 7)
    assert Budget(max_namespace_bytes=10**9).open(layout, OWNER.namespace, "INC-0", 0).others_bytes == size
    assert Budget().open(layout, "shop", "INC-0", 0).others_bytes == 0, "without a quota nothing is read"


@pytest.mark.parametrize(
    ("session", "namespace", "kept", "more", "quota"),
    [
        (None, None, 10**15, 10**15, None),
        (100, None, 60, 39, None),
        (100, None, 60, 40, "the session reached its quota of 100 bytes"),
        (100, None, 100, 0, "the session reached its quota of 100 bytes"),
        (None, 100, 60, 39, None),
        (None, 100, 60, 40, "the sessions of namespace shop reached their quota of 100 bytes"),
        (1000, 100, 60, 40, "the sessions of namespace shop reached their quota of 100 bytes"),
        (100, 1000, 60, 40, "the session reached its quota of 100 bytes"),
    ],
)
def test_which_quota_is_reached(
    tmp_path: Path, session: int | None, namespace: int | None, kept: int, more: int, quota: str | None
) -> None:
    """At exactly the quota's size, data is kept and nothing more is captured."""
    (account,) = open_accounts(tmp_path, Budget(session, namespace), "shop")
    account.kept_bytes = kept
    message = account.exceeded(more)
    assert (message or "").startswith(quota or "")
    assert (message is None) is (quota is None)
    account.require_room(more)
    if quota is not None:
        with pytest.raises(QuotaExceeded, match=quota):
            account.require_room(more + 1)


def test_captures_of_a_namespace_share_its_quota_while_they_run_and_afterwards(tmp_path: Path) -> None:
    """Running captures count with their scratch files, ended ones with what they kept. Other namespaces do not count."""
    budget = Budget(max_namespace_bytes=100)
    first, second, other = open_accounts(tmp_path, budget, "shop", "shop", "bank")
    other.kept_bytes = 90
    first.kept_bytes = 30
    with first.using(Usage(waiting_bytes=20)):
        assert (budget.namespace_bytes(first), budget.namespace_bytes(second)) == (50, 50)
        assert second.exceeded(49) is None
        assert second.exceeded(50)
    assert budget.namespace_bytes(second) == 30
    budget.close(first)
    assert (budget.namespace_bytes(second), budget.namespace_bytes(other)) == (30, 90)
    second.kept_bytes = 5
    assert budget.namespace_bytes(second) == 35

"""How long sessions are kept: expiry, caps, holds, and deleted resources."""

import asyncio
import copy
from collections.abc import AsyncIterator
from datetime import datetime
from hashlib import sha256
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api import paths
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.handlers import settling as module
from aletheia_operator.handlers import sweeper
from aletheia_operator.handlers.cluster_state import CLUSTER
from aletheia_operator.handlers.sweeper import Sweeper
from aletheia_operator.session import InvestigationReference, Manifest, SessionLayout
from aletheia_operator.session.archive import export_session, import_session
from aletheia_operator.session.lock import locked
from aletheia_operator.session.manifest_file import manifest_bytes, read_manifest
from aletheia_operator.session.retention import expire, remove
from aletheia_operator.session.retention_record import RetentionRecord, read_retention_record, update_retention_record
from aletheia_operator.session.store import create_session
from aletheia_operator.session.verify import verify
from aletheia_operator.session.volume import open_volume, record_operator
from aletheia_operator.settings import Retention, VolumeShares
from tests.support.captures import NOW, Memory, capture, unfinished
from tests.unit.fakes import Clock, FakeKubernetes

LISTED = "/apis/aletheia.dev/v1alpha1/investigations"
SIZE = 200_000


class Rig:
    """A volume with a session for each of `names`, whose Investigations exist, and a sweeper."""

    def __init__(self, root: Path, *names: str, **settings: Any) -> None:
        self.layout = SessionLayout(root)
        self.clock = Clock(NOW)
        self.bodies = {name: self._body(name) for name in names}
        self.kubernetes = FakeKubernetes(objects={}, lists={})
        self.cluster: dict[str, Any] = {
            CLUSTER: {"metadata": {"uid": "this-cluster"}},
            paths.CRD: {"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}},
        }
        self.events: list[str] = []
        self.said: list[tuple[str, str, str]] = []
        """Investigation, type and message of each Event."""
        self.sweeper = Sweeper(self.layout, self.kubernetes.real(), self._emit, self.clock, **settings)
        self.ids = {}
        for name in names:
            owner = InvestigationReference(namespace="shop", name=name, uid=f"uid-{name}")
            self.ids[name] = capture(root, Memory({"a": [["x" * SIZE]]}), owner=owner, now=self.clock).manifest.session_id
            self.clock.advance(1)

    def _body(self, name: str) -> dict[str, Any]:
        metadata = {"namespace": "shop", "name": name, "uid": f"uid-{name}", "generation": 1}
        return {"metadata": metadata, "spec": {}, "status": {"phase": "Completed", "conditions": []}}

    def _emit(self, body: Any, kind: str, reason: str, message: str) -> None:
        self.events.append(reason)
        self.said.append((body["metadata"]["name"], kind, message))

    def sweep(self, listed: list[Any] | None = None) -> None:
        bodies = list(self.bodies.values()) if listed is None else listed
        self.kubernetes.lists = {LISTED: bodies}
        self.know()
        asyncio.run(self.sweeper.sweep())

    def know(self) -> None:
        """Make the API server return the existing Investigations, by name."""
        found = {paths.investigation(body["metadata"]["namespace"], name): body for name, body in self.bodies.items()}
        self.kubernetes.objects = {**self.cluster, **found}

    def delete(self, name: str) -> None:
        """Delete an Investigation, and report it as the watch does."""
        body = self.bodies.pop(name)
        self.know()
        asyncio.run(self.sweeper.deleted(body))

    def there(self) -> set[str]:
        """Return the names of the Investigations with data."""
        return {name for name, id in self.ids.items() if list(self.layout.session(id).glob("data/logs/*"))}

    def hold(self, name: str, value: str = "case 4711") -> None:
        self.bodies[name]["metadata"]["annotations"] = {"aletheia.dev/legal-hold": value}

    def import_one(self, name: str) -> str:
        """Export a session of this volume, remove it, import it, and return its id."""
        session = self.layout.session(self.ids[name])
        archive = self.layout.root / "archive.tar"
        with archive.open("wb") as file:
            export_session(session, file.write)
        remove(self.layout, self.ids[name])
        with archive.open("rb") as stream:
            return import_session(self.layout, stream).session_id

    def record(self, name: str) -> RetentionRecord:
        return read_retention_record(self.layout, self.ids[name])

    def retain(self, name: str, **retention: Any) -> None:
        self.bodies[name]["spec"]["retention"] = retention


def test_data_expires_and_the_resource_stays(tmp_path: Path) -> None:
    """After artifactsSeconds the data is removed. The manifest records it, and the status gains ArtifactsExpired once."""
    rig = Rig(tmp_path, "old", "forever")
    rig.retain("old", artifactsSeconds=60)
    rig.sweep()
    assert rig.there() == {"old", "forever"}
    rig.clock.advance(60)
    rig.sweep()
    assert rig.there() == {"forever"}
    assert verify(rig.layout.session(rig.ids["old"])).manifest.expiration_time == rig.clock()
    assert verify(rig.layout.session(rig.ids["old"])).intact
    (status,) = rig.kubernetes.statuses
    assert [(condition["type"], condition["status"], condition["reason"]) for condition in status["conditions"]] == [
        ("ArtifactsExpired", "True", "ArtifactsExpired")
    ]
    assert rig.events == ["ArtifactsExpired"]
    (condition,) = status["conditions"]
    at = f"{rig.clock():%Y-%m-%dT%H:%M:%SZ}"
    assert condition["message"] == f"the data of session {rig.ids['old']} was removed at {at}"
    assert (condition["lastTransitionTime"], condition["observedGeneration"]) == (at, 1)
    assert rig.said == [("old", "Normal", condition["message"])]
    rig.bodies["old"]["status"]["conditions"] = status["conditions"]
    rig.sweep()
    assert len(rig.kubernetes.statuses) == 1


@pytest.mark.parametrize("change", ["expiry", "resealing"])
def test_the_status_follows_the_digest_of_the_manifest(tmp_path: Path, change: str) -> None:
    """Any later change of manifest.json, also by the command line, updates status.session.manifestSha256 once."""
    rig = Rig(tmp_path, "old", "other", "another-session")
    for name in ("old", "other", "another-session"):
        digest = sha256(rig.layout.manifest(rig.ids[name]).read_bytes()).hexdigest()
        rig.bodies[name]["status"]["session"] = {"id": rig.ids[name], "path": "p", "manifestSha256": digest}
    rig.bodies["another-session"]["status"]["session"] = {"id": "INC-0000", "path": "p", "manifestSha256": "x"}
    rig.sweep()
    assert rig.kubernetes.statuses == []
    if change == "expiry":
        rig.retain("old", artifactsSeconds=1)
        rig.clock.advance(60)
    else:
        manifest = read_manifest(rig.layout, rig.ids["old"])
        rig.layout.manifest(rig.ids["old"]).write_bytes(manifest_bytes(manifest.model_copy(update={"operator_version": "2"})))
    rig.sweep()
    sessions = [status["session"] for status in rig.kubernetes.statuses if "session" in status]
    digest = sha256(rig.layout.manifest(rig.ids["old"]).read_bytes()).hexdigest()
    assert sessions == [{"id": rig.ids["old"], "path": "p", "manifestSha256": digest}]
    rig.bodies["old"]["status"] |= {"session": sessions[0], "conditions": [{"type": "ArtifactsExpired"}]}
    before = len(rig.kubernetes.statuses)
    rig.sweep()
    assert len(rig.kubernetes.statuses) == before


def test_the_digest_of_another_operators_manifest_is_left_alone(tmp_path: Path) -> None:
    """Its session has the same id on another volume. The digest of a predecessor on this volume is updated."""
    rig = Rig(tmp_path, "old")
    record_operator(rig.layout, "predecessor")
    record_operator(rig.layout, "us")
    rig.bodies["old"]["status"] |= {"operator": "another", "session": {"id": rig.ids["old"], "manifestSha256": "x"}}
    rig.sweep()
    assert rig.kubernetes.statuses == []
    rig.bodies["old"]["status"]["operator"] = "predecessor"
    rig.sweep()
    assert len(rig.kubernetes.statuses) == 1


def test_a_status_that_was_lost_is_written_again(tmp_path: Path) -> None:
    """If the process died between the removal and the status, the next pass writes it."""
    rig = Rig(tmp_path, "old")
    rig.retain("old", artifactsSeconds=1)
    rig.clock.advance(60)
    rig.sweep()
    rig.sweep()
    assert len(rig.kubernetes.statuses) == 2


def test_a_legal_hold_holds_against_everything(tmp_path: Path) -> None:
    """Expiry, caps and deletion of the resource leave the data. When the hold is lifted, the next pass removes it."""
    rig = Rig(tmp_path, "evidence", retention=Retention(1, 1, 0, 0))
    rig.hold("evidence")
    rig.retain("evidence", artifactsSeconds=1)
    rig.clock.advance(100)
    rig.sweep()
    rig.delete("evidence")
    rig.sweep()
    assert rig.there() == {"evidence"}
    assert read_retention_record(rig.layout, rig.ids["evidence"]).legal_hold == "case 4711"


def test_a_deleted_resource_takes_its_session_along(tmp_path: Path) -> None:
    """Its session is removed at once, and no other. With retention.keep the session stays."""
    rig = Rig(tmp_path, "gone", "kept", "other")
    rig.retain("kept", keep=True)
    rig.delete("gone")
    rig.delete("kept")
    assert rig.there() == {"kept", "other"}
    assert not rig.layout.session(rig.ids["gone"]).exists()
    rig.clock.advance(10**6)
    rig.sweep()
    assert rig.there() == {"kept", "other"}


def test_a_deletion_that_was_seen_is_remembered_until_it_is_settled(tmp_path: Path) -> None:
    """Later it would count for another session, and use more and more memory."""
    rig = Rig(tmp_path, "removed", "kept", "busy")
    seen = rig.sweeper._settler.observed_deletions
    rig.retain("kept", keep=True)
    with locked(rig.layout.session(rig.ids["busy"])):
        for name in ("removed", "kept", "busy"):
            rig.delete(name)
        rig.bodies["never captured"] = rig._body("never captured")
        rig.delete("never captured")
        assert seen == {"uid-busy"}
    rig.sweep()
    assert (seen, rig.there()) == (set(), {"kept"})


@pytest.mark.parametrize(("keep", "seen", "stays"), [(True, False, True), (True, True, False), (False, False, False)])
def test_keep_of_the_manifest_counts_if_the_deletion_was_not_seen(tmp_path: Path, keep: bool, seen: bool, stays: bool) -> None:
    """The resource's last settings are not known then, but those of the capture are."""
    rig = Rig(tmp_path)
    owner = InvestigationReference(namespace="shop", name="a", uid="uid-a")
    spec = {"retention": {"keep": keep}}
    rig.ids["a"] = capture(tmp_path, Memory({"a": [["x"]]}), spec, owner=owner, now=rig.clock).manifest.session_id
    if seen:
        rig.bodies["a"] = rig._body("a")
        rig.delete("a")
    rig.sweep()
    rig.clock.advance(Retention().orphan_grace_seconds)
    rig.sweep()
    assert rig.there() == ({"a"} if stays else set())


def test_a_session_in_use_is_removed_later(tmp_path: Path) -> None:
    """The session is in use when the resource is deleted. The next pass removes it, without the grace period."""
    rig = Rig(tmp_path, "gone")
    with locked(rig.layout.session(rig.ids["gone"])):
        rig.delete("gone")
    assert rig.there() == {"gone"}
    rig.sweep()
    assert rig.there() == set()


def test_an_orphan_is_listed_then_removed(tmp_path: Path) -> None:
    """An orphan is marked, and removed after the grace period. If its resource returns, the mark is removed."""
    rig = Rig(tmp_path, "orphan", "back", retention=Retention(orphan_grace_seconds=3600))
    bodies = dict(rig.bodies)
    rig.bodies.clear()
    rig.sweep()
    assert read_retention_record(rig.layout, rig.ids["orphan"]).orphaned_since is not None
    assert rig.there() == {"orphan", "back"}
    rig.bodies["back"] = bodies["back"]
    rig.clock.advance(3600)
    rig.sweep()
    assert rig.there() == {"back"}
    assert read_retention_record(rig.layout, rig.ids["back"]).orphaned_since is None


@pytest.mark.parametrize("error", [Unavailable("the Kubernetes API did not answer"), Rejected("forbidden"), "partial"])
def test_nothing_goes_on_a_failed_or_partial_list(error: Any, tmp_path: Path) -> None:
    """The list fails at once or after its first items: nothing is marked, expired or removed."""
    rig = Rig(tmp_path, "a", "b", retention=Retention(1, 1, 0, 0))
    rig.retain("a", artifactsSeconds=1)
    rig.clock.advance(10**6)
    listed = [rig.bodies["a"], Unavailable("410: the continue token expired")] if error == "partial" else [error]
    for _ in range(2):
        with pytest.raises(SourceError):
            rig.sweep(listed)
    assert rig.there() == {"a", "b"}
    assert read_retention_record(rig.layout, rig.ids["b"]).orphaned_since is None


def test_an_incomplete_list_that_looks_whole_does_no_harm(tmp_path: Path) -> None:
    """If a resource is not in the list but can be read by name, its session stays."""
    rig = Rig(tmp_path, "omitted", retention=Retention(orphan_grace_seconds=0))
    rig.sweep(listed=[])
    rig.sweep(listed=[])
    assert rig.there() == {"omitted"}


def test_what_was_imported_stays(tmp_path: Path) -> None:
    """An imported session has no resource here, so nothing removes it."""
    rig = Rig(tmp_path / "here", retention=Retention(orphan_grace_seconds=0))
    other = Rig(tmp_path / "there", "traveller")
    archive = tmp_path / "archive.tar"
    with archive.open("wb") as file:
        export_session(other.layout.session(other.ids["traveller"]), file.write)
    with archive.open("rb") as stream:
        manifest = import_session(rig.layout, stream)
    rig.sweep()
    rig.clock.advance(10**6)
    rig.sweep()
    assert verify(rig.layout.session(manifest.session_id)).intact


def test_the_oldest_go_first_where_a_cap_is_exceeded(tmp_path: Path) -> None:
    """As few as possible go, none within the grace period, and none on hold."""
    rig = Rig(tmp_path, "first", "second", "third", "last", retention=Retention(total_bytes=4 * SIZE, grace_seconds=10))
    rig.hold("second")
    rig.sweep()
    assert rig.there() == {"first", "second", "third", "last"}
    assert asyncio.run(rig.sweeper.exceeds_caps())
    rig.clock.advance(10)
    rig.sweep()
    assert rig.there() == {"second", "third", "last"}
    assert not asyncio.run(rig.sweeper.exceeds_caps(fresh=True))


def test_what_is_held_counts_for_the_caps(tmp_path: Path) -> None:
    """Other sessions of the namespace are removed for them. Alone they stay, whatever the cap."""
    rig = Rig(tmp_path, "held", "kept", "loose", retention=Retention(namespace_bytes=2 * SIZE, grace_seconds=0))
    rig.hold("held")
    rig.retain("kept", keep=True)
    rig.sweep()
    assert rig.there() == {"held", "kept"}
    rig.sweep()
    assert rig.there() == {"held", "kept"}


def test_by_default_a_share_of_the_volume_stays_free(tmp_path: Path) -> None:
    """The oldest sessions are removed for new ones, those on hold count too, and the status has the reason."""
    names = [f"n{number}" for number in range(6)]
    rig = Rig(tmp_path, *names, retention=Retention(grace_seconds=0))
    size = read_manifest(rig.layout, rig.ids["n0"]).size_bytes
    rig.sweep()
    assert rig.there() == set(names), "the file system is large"
    rig.sweeper.volume = VolumeShares(volume_bytes=5 * size)
    rig.hold("n0")
    rig.sweep()
    assert rig.there() == {"n0", "n3", "n4", "n5"}
    (message,) = {expiry["message"][expiry["message"].index(": ") :] for expiry in expiries(rig)}
    assert message == ": the evidence on the volume exceeded its cap; spec.retention.keep or a legal hold protects from that"
    rig.sweeper.volume = VolumeShares(volume_bytes=1, total_share=0)
    rig.sweep()
    assert rig.there() == {"n0", "n3", "n4", "n5"}


def expiries(rig: Rig) -> list[dict[str, Any]]:
    """The conditions ArtifactsExpired that were written."""
    conditions = [condition for status in rig.kubernetes.statuses for condition in status.get("conditions") or []]
    return [condition for condition in conditions if condition["type"] == "ArtifactsExpired"]


def test_a_capture_that_begins_during_a_pass_counts_for_the_caps(tmp_path: Path) -> None:
    """Its session was not there when the pass read the volume. Older sessions are removed."""
    rig = Rig(tmp_path, "first", "second", retention=Retention(total_bytes=2 * SIZE, grace_seconds=0))
    listing = rig.kubernetes.list

    async def list_late(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
        owner = InvestigationReference(namespace="shop", name="late", uid="uid-late")
        made = await asyncio.to_thread(capture, tmp_path, Memory({"a": [["x" * SIZE]]}), owner=owner, now=rig.clock)
        rig.ids["late"] = made.manifest.session_id
        async for item in listing(*arguments, **named):
            yield item

    rig.kubernetes.list = list_late  # type: ignore[method-assign]
    rig.sweep()
    assert rig.there() == {"late"}


def test_an_expiry_is_told_once_and_ends_no_pass(tmp_path: Path) -> None:
    """Many sessions expire in one pass, each with its Event, and later sessions are handled too."""
    rig = Rig(tmp_path, "a", "b", "c", "orphan", retention=Retention(orphan_grace_seconds=0))
    for name in "abc":
        rig.retain(name, artifactsSeconds=1)
    rig.bodies.pop("orphan")
    rig.clock.advance(60)
    rig.sweep()
    assert rig.there() == set()
    assert rig.events == ["ArtifactsExpired"] * 3


@pytest.mark.logs_errors("is not changed in this pass: ZeroDivisionError")
def test_a_fault_of_one_session_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For any exception over one session, the others are still expired or removed."""
    rig = Rig(tmp_path, "a", "b", "c")
    for name in "abc":
        rig.retain(name, artifactsSeconds=1)
    rig.clock.advance(60)

    def broken(layout: SessionLayout, session_id: str, now: datetime) -> Manifest:
        if session_id == rig.ids["a"]:
            raise ZeroDivisionError
        return expire(layout, session_id, now)

    monkeypatch.setattr(module, "expire", broken)
    rig.sweep()
    assert rig.there() == {"a"}


def test_a_hold_that_comes_after_the_list_holds(tmp_path: Path) -> None:
    """The resource is read again right before its data is removed, for an expiry and for a cap."""
    for number, retention in enumerate((Retention(), Retention(total_bytes=1, grace_seconds=0))):
        rig = Rig(tmp_path / str(number), "evidence", retention=retention)
        if retention.total_bytes is None:
            rig.retain("evidence", artifactsSeconds=1)
        rig.clock.advance(60)
        listed = copy.deepcopy(list(rig.bodies.values()))
        rig.hold("evidence")
        rig.sweep(listed)
        assert rig.there() == {"evidence"}
        assert rig.record("evidence").legal_hold == "case 4711"


@pytest.mark.parametrize("later", [{}, {"artifactsSeconds": 10**6}, {"keep": True}], ids=["none", "longer", "kept"])
@pytest.mark.parametrize("cap", [False, True], ids=["an expiry", "a cap"])
def test_a_retention_that_changes_after_the_list_counts(tmp_path: Path, cap: bool, later: dict[str, Any]) -> None:
    """Data is not removed because of an older state of the resource. For a cap only `keep` counts."""
    retention = Retention(total_bytes=1, grace_seconds=0) if cap else Retention()
    rig = Rig(tmp_path, "evidence", retention=retention)
    if not cap:
        rig.retain("evidence", artifactsSeconds=1)
    rig.clock.advance(60)
    listed = copy.deepcopy(list(rig.bodies.values()))
    rig.retain("evidence", **later)
    rig.sweep(listed)
    assert rig.there() == (set() if cap and not later.get("keep") else {"evidence"})


def test_a_hold_is_noted_at_once(tmp_path: Path) -> None:
    """It is recorded as soon as the watch shows it, since somebody may delete the session by hand. So is its end."""
    rig = Rig(tmp_path, "evidence")
    rig.hold("evidence")
    asyncio.run(rig.sweeper.observe(rig.bodies["evidence"]))
    with pytest.raises(PermissionError):
        remove(rig.layout, rig.ids["evidence"], by_hand=True)
    rig.hold("evidence", "false")
    asyncio.run(rig.sweeper.observe(rig.bodies["evidence"]))
    assert rig.record("evidence").legal_hold is None


def test_a_hold_that_cannot_be_noted_is_noted_when_it_is_shown_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hold that was recorded causes no further access to the volume."""
    rig = Rig(tmp_path, "evidence")
    rig.hold("evidence")
    updates: list[dict[str, Any]] = []
    update = update_retention_record

    def failing_once(*arguments: Any, **changes: Any) -> RetentionRecord:
        updates.append(changes)
        if len(updates) == 1:
            raise OSError(28, "No space left on device")
        return update(*arguments, **changes)

    monkeypatch.setattr(module, "update_retention_record", failing_once)
    for hold in (None, "case 4711", "case 4711"):
        asyncio.run(rig.sweeper.observe(rig.bodies["evidence"]))
        assert rig.record("evidence").legal_hold == hold
    assert len(updates) == 2


def test_an_imported_session_does_not_follow_an_investigation(tmp_path: Path) -> None:
    """The Investigation with its uid still exists. Neither its expiry nor its deletion affects the session."""
    rig = Rig(tmp_path, "traveller", retention=Retention(1, 1, 0, 0))
    rig.ids["traveller"] = rig.import_one("traveller")
    rig.retain("traveller", artifactsSeconds=1)
    rig.clock.advance(10**6)
    rig.sweep()
    rig.delete("traveller")
    rig.sweep()
    assert rig.there() == {"traveller"}


def test_the_volume_of_another_cluster_keeps_its_sessions(tmp_path: Path) -> None:
    """A restored cluster knows none of them: they are kept. Later sessions of this cluster are removed as usual."""
    rig = Rig(tmp_path, "old", "kept-up", retention=Retention(orphan_grace_seconds=0))
    rig.sweep()
    assert open_volume(rig.layout).cluster == "this-cluster"
    rig.cluster[CLUSTER] = {"metadata": {"uid": "restored-cluster"}}
    rig.bodies.pop("old")
    for _ in range(3):
        rig.sweep()
        rig.clock.advance(10**6)
    assert rig.there() == {"old", "kept-up"}
    assert rig.record("old").spared == "the session is of another cluster than this one"
    assert open_volume(rig.layout).cluster == "restored-cluster"
    rig.bodies.pop("kept-up")
    rig.sweep()
    rig.sweep()
    assert rig.there() == {"old"}


@pytest.mark.parametrize(
    "definition",
    [
        None,
        {"creationTimestamp": "2020-01-01T00:00:00Z", "deletionTimestamp": "x"},
        {"creationTimestamp": "2030-01-01T00:00:00Z"},
    ],
    ids=["gone", "being deleted", "made anew"],
)
def test_deleting_the_definition_removes_no_evidence(definition: Any, tmp_path: Path) -> None:
    """Every Investigation is deleted with it, watched or not. The sessions stay."""
    rig = Rig(tmp_path, "seen", "unseen", retention=Retention(orphan_grace_seconds=0))
    rig.sweep()
    rig.cluster.pop(paths.CRD)
    if definition is not None:
        rig.cluster[paths.CRD] = {"metadata": definition}
    rig.delete("seen")
    rig.bodies.clear()
    for _ in range(3):
        rig.sweep()
        rig.clock.advance(10**6)
    assert rig.there() == {"seen", "unseen"}
    assert rig.record("seen").spared == "the definition of Investigations was deleted, and every Investigation with it"


def test_many_that_vanish_at_once_keep_their_sessions(tmp_path: Path) -> None:
    """This happens after a restore from a backup. A session whose Investigation comes back follows it again."""
    names = [f"inv-{n}" for n in range(12)]
    rig = Rig(tmp_path, *names, retention=Retention(orphan_grace_seconds=0))
    rig.sweep()
    bodies = dict(rig.bodies)
    rig.bodies = {"inv-0": bodies["inv-0"]}
    for _ in range(3):
        rig.sweep()
        rig.clock.advance(10**6)
    assert rig.there() == set(names)
    rig.bodies["inv-1"] = bodies["inv-1"]
    rig.sweep()
    assert rig.record("inv-1").spared is None
    rig.delete("inv-1")
    assert rig.there() == set(names) - {"inv-1"}


@pytest.mark.parametrize(("there", "imported", "spared"), [(10, 0, False), (9, 0, True), (9, 5, True), (10, 5, False)])
def test_what_is_suspicious_is_more_than_half(tmp_path: Path, there: int, imported: int, spared: bool) -> None:
    """Sessions that follow an Investigation count; imported ones do not."""
    rig = Rig(tmp_path, retention=Retention(orphan_grace_seconds=0))
    for kind, number in (("gone", 10), ("there", there), ("imported", imported)):
        for name in (f"{kind}-{n}" for n in range(number)):
            owner = InvestigationReference(namespace="shop", name=name, uid=f"uid-{name}")
            ended = unfinished(owner).model_copy(update={"phase": "Completed", "completion_time": NOW})
            session_id = create_session(rig.layout, ended).session_id
            if kind == "there":
                rig.bodies[name] = rig._body(name)
            if kind == "imported":
                update_retention_record(rig.layout, session_id, imported=True)
    rig.sweep()
    assert len(list(rig.layout.sessions.glob("INC-*"))) == there + imported + (10 if spared else 0)


def test_many_that_are_seen_to_be_deleted_go(tmp_path: Path) -> None:
    """`kubectl delete --all` is intended."""
    names = [f"inv-{n}" for n in range(12)]
    rig = Rig(tmp_path, *names)
    for name in names:
        rig.delete(name)
    assert rig.there() == set()


@pytest.mark.parametrize("path", [CLUSTER, paths.CRD])
def test_a_cluster_that_cannot_be_looked_up_removes_nothing(path: str, tmp_path: Path) -> None:
    """A right is missing, or the API server is down: data still expires, and sessions are removed later."""
    rig = Rig(tmp_path, "orphan", "seen", "old", retention=Retention(orphan_grace_seconds=0))
    rig.retain("old", artifactsSeconds=1)
    known = rig.cluster[path]
    rig.cluster[path] = Rejected("forbidden", GapReason.FORBIDDEN)
    rig.bodies.pop("orphan")
    rig.delete("seen")
    rig.clock.advance(60)
    for _ in range(2):
        rig.sweep()
    assert rig.there() == {"orphan", "seen"}
    assert rig.record("orphan").spared is None
    rig.cluster[path] = known
    rig.sweep()
    assert rig.there() == set()


def test_a_finished_investigation_is_deleted_after_its_time(tmp_path: Path) -> None:
    """It is deleted like a Job with a TTL. A running one, or one on hold, stays. One already gone causes no error."""
    rig = Rig(tmp_path, "done", "held", "running")
    for name in rig.bodies:
        rig.bodies[name]["spec"]["ttlSecondsAfterFinished"] = 60
        rig.bodies[name]["status"]["completionTime"] = "2026-11-22T12:00:00Z"
    rig.bodies["running"]["status"]["phase"] = "Running"
    rig.hold("held")
    rig.sweep()
    assert rig.kubernetes.deleted == []
    rig.clock.advance(60)
    rig.sweep()
    assert rig.kubernetes.deleted == [(paths.investigation("shop", "done"), "uid-done")]
    listed = list(rig.bodies.values())
    rig.bodies.pop("done")
    rig.sweep(listed)
    assert len(rig.kubernetes.deleted) == 1


def test_a_finished_investigation_whose_deletion_fails_stays_until_the_next_pass(tmp_path: Path) -> None:
    """A hold may be added after the list, or the API server may be down. Others are still deleted."""
    rig = Rig(tmp_path, "away", "held", "done")
    for body in rig.bodies.values():
        body["spec"]["ttlSecondsAfterFinished"] = 60
        body["status"]["completionTime"] = "2026-11-22T12:00:00Z"
    rig.clock.advance(60)
    listed = copy.deepcopy(list(rig.bodies.values()))
    rig.hold("held")
    answer = rig.kubernetes.get

    async def get(path: str, *arguments: Any, **named: Any) -> Any:
        if path == paths.investigation("shop", "away"):
            raise Unavailable("away")
        return await answer(path, *arguments, **named)

    rig.kubernetes.get = get  # type: ignore[method-assign]
    rig.sweep(listed)
    assert rig.kubernetes.deleted == [(paths.investigation("shop", "done"), "uid-done")]


def test_a_namespace_keeps_a_number_of_finished_investigations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest above the limit are deleted, a few in each pass, unless one was put on hold or replaced since the list."""
    monkeypatch.setattr(sweeper, "MAX_OF_HISTORY", 3)
    names = ["a", "b", "c", "d", "e", "f"]
    rig = Rig(tmp_path, *names, retention=Retention(history_limit=1, grace_seconds=60))
    for number, name in enumerate(names):
        rig.bodies[name]["status"]["completionTime"] = f"2026-11-22T12:00:0{number}Z"
    rig.sweep()
    assert rig.kubernetes.deleted == [], "within the grace"
    rig.clock.advance(120)
    listed = copy.deepcopy(list(rig.bodies.values()))
    rig.hold("a")
    rig.bodies["b"]["metadata"]["uid"] = "another"
    rig.sweep(listed)
    assert rig.kubernetes.deleted == [(paths.investigation("shop", "c"), "uid-c")]
    rig.bodies.pop("c")
    rig.sweep()
    assert [uid for _, uid in rig.kubernetes.deleted] == ["uid-c", "another", "uid-d", "uid-e"], "f is the newest, a is on hold"


def test_a_session_in_use_ends_no_pass(tmp_path: Path) -> None:
    """A session that another process has open is left for the next pass. Other sessions are handled."""
    rig = Rig(tmp_path, "a", "b", "c")
    for name in "abc":
        rig.retain(name, artifactsSeconds=1)
    rig.clock.advance(60)
    busy = sorted(rig.ids, key=lambda name: rig.ids[name])[1]
    with locked(rig.layout.session(rig.ids[busy])):
        rig.sweep()
    assert rig.there() == {busy}
    rig.sweep()
    assert rig.there() == set()


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    """A pass removes partial sessions and partially removed ones, except those that a process works on."""
    rig = Rig(tmp_path, "a")
    left, busy = (rig.layout.sessions / f".new-{name}" for name in ("removed-INC-0001", "uid-b"))
    for directory in (left, busy):
        (directory / "data").mkdir(parents=True)
        (directory / "data" / "half").write_text("x")
    with locked(busy):
        rig.sweep()
        assert (left.exists(), busy.exists()) == (False, True)
    rig.sweep()
    assert not busy.exists()
    assert rig.there() == {"a"}


NEW_CLUSTER = {
    CLUSTER: {"metadata": {"uid": "new-cluster"}},
    paths.CRD: {"metadata": {"creationTimestamp": f"{NOW:%Y-%m-%dT23:59:59Z}"}},
}
"""Its definition of Investigations is newer than every restored session."""


class Restored(Rig):
    """A volume that was restored into a fresh cluster, with the Investigation `evidence` and its status."""

    def __init__(self, root: Path, **settings: Any) -> None:
        super().__init__(root, "evidence", retention=Retention(orphan_grace_seconds=0), **settings)
        self.sweep()
        self.restore()

    def restore(self, uid: str = "uid-restored", cluster: dict[str, Any] = NEW_CLUSTER) -> None:
        """Create the Investigation again, in another cluster, with the status that it had."""
        self.clock.advance(86_400)
        self.cluster |= cluster
        body = self._body("evidence")
        body["metadata"]["uid"] = uid
        body["status"]["session"] = {"id": self.ids["evidence"], "manifestSha256": self.digest()}
        self.bodies["evidence"] = body

    def digest(self) -> str:
        return sha256(self.layout.manifest(self.ids["evidence"]).read_bytes()).hexdigest()


def test_a_restored_investigation_gets_its_session_back(tmp_path: Path) -> None:
    """Its status names the session and the digest of its manifest. Then its retention, holds and deletion reach the session."""
    rig = Restored(tmp_path)
    rig.retain("evidence", keep=True)
    rig.sweep()
    record = rig.record("evidence")
    assert (record.adopted_by, record.keep, record.spared, record.orphaned_since) == ("uid-restored", True, None, None)
    rig.hold("evidence")
    asyncio.run(rig.sweeper.observe(rig.bodies["evidence"]))
    assert rig.record("evidence").legal_hold == "case 4711"
    rig.bodies["evidence"]["metadata"]["annotations"] = {}
    rig.retain("evidence")
    rig.sweep()
    assert rig.record("evidence") == RetentionRecord(adopted_by="uid-restored", adopted_at=record.adopted_at)
    rig.delete("evidence")
    assert rig.there() == set()


def test_the_data_of_a_restored_investigation_expires(tmp_path: Path) -> None:
    """Its status gets the condition and the new digest, as if it had not been restored."""
    rig = Restored(tmp_path)
    rig.retain("evidence", artifactsSeconds=1)
    rig.sweep()
    assert rig.there() == set()
    assert [status for status in rig.kubernetes.statuses if "conditions" in status]
    assert [status["session"]["manifestSha256"] for status in rig.kubernetes.statuses if "session" in status] == [rig.digest()]
    rig.bodies["evidence"]["status"]["session"]["manifestSha256"] = rig.digest()
    rig.sweep()
    assert rig.record("evidence").adopted_by == "uid-restored"


def test_a_restored_investigation_that_is_gone_takes_its_session_along(tmp_path: Path) -> None:
    """Also if its deletion was not seen, and although the cluster's definition of Investigations is newer than the session."""
    rig = Restored(tmp_path)
    rig.sweep()
    rig.bodies.clear()
    rig.sweep()
    rig.sweep()
    assert not rig.layout.session(rig.ids["evidence"]).exists()


def edited(*keys: str, value: Any) -> Any:
    """Return an edit of a body: set the value at `keys`."""

    def edit(body: dict[str, Any]) -> None:
        for key in keys[:-1]:
            body = body[key]
        body[keys[-1]] = value

    return edit


FORGED = {
    "created again by a tenant": edited("status", value={}),
    "captured again": edited("status", "session", value={"id": "INC-0000", "manifestSha256": "0" * 64}),
    "without a digest": edited("status", "session", "manifestSha256", value=None),
    "another digest": edited("status", "session", "manifestSha256", value="0" * 64),
    "an empty digest": edited("status", "session", "manifestSha256", value=""),
    "another session": edited("status", "session", "id", value="INC-0000"),
    "a path for a session": edited("status", "session", "id", value="../../etc"),
    "not ended": edited("status", "phase", value="Running"),
    "another name": edited("metadata", "name", value="evidence2"),
    "another namespace": edited("metadata", "namespace", value="bank"),
    "annotations that claim it": edited("metadata", "annotations", value={"uid": "uid-evidence"}),
}  # fmt: skip


KEPT: list[dict[str, Any]] = [{"legal_hold": "case"}, {"hold": "case"}, {"keep": True}, {"spared": "why"}]


@pytest.mark.parametrize(("way", "record"), list(zip(FORGED, cycle(KEPT), strict=False)))
def test_nobody_else_gets_a_session(tmp_path: Path, way: str, record: dict[str, Any]) -> None:
    """Who creates an Investigation with the name of one that is gone cannot delete, expire or release its session."""
    rig = Restored(tmp_path)
    update_retention_record(rig.layout, rig.ids["evidence"], **record)
    body = rig.bodies.pop("evidence")
    if way == "annotations that claim it":
        body["status"] = {}
    FORGED[way](body)
    body["spec"] = {"retention": {"keep": False, "artifactsSeconds": 1}}
    rig.bodies[body["metadata"]["name"]] = body
    for _ in range(2):
        rig.sweep()
        asyncio.run(rig.sweeper.observe(body))
    after = rig.record("evidence")
    assert after.adopted_by is None
    assert {name: getattr(after, name) for name in record} == record
    rig.delete(body["metadata"]["name"])
    rig.sweep()
    assert rig.there() == {"evidence"}


def test_a_restore_lifts_no_hold(tmp_path: Path) -> None:
    """A hold of the former Investigation that the restored one does not have becomes a hold of the volume."""
    rig = Restored(tmp_path)
    update_retention_record(rig.layout, rig.ids["evidence"], legal_hold="case 4711")
    rig.sweep()
    record = rig.record("evidence")
    assert (record.adopted_by, record.legal_hold, record.hold) == ("uid-restored", None, "case 4711")
    rig.delete("evidence")
    rig.sweep()
    assert rig.there() == {"evidence"}


def test_a_hold_that_was_restored_is_lifted_as_any(tmp_path: Path) -> None:
    """The API server decides who may take the annotation off. Then the volume has no hold either."""
    rig = Restored(tmp_path)
    update_retention_record(rig.layout, rig.ids["evidence"], legal_hold="case 4711")
    rig.hold("evidence")
    rig.sweep()
    assert (rig.record("evidence").legal_hold, rig.record("evidence").hold) == ("case 4711", None)
    rig.bodies["evidence"]["metadata"]["annotations"] = {}
    rig.sweep()
    assert rig.record("evidence").hold_reason is None


def test_an_imported_session_is_given_to_nobody(tmp_path: Path) -> None:
    """Even if a status names it with the right digest: no Investigation determines how long it is kept."""
    rig = Restored(tmp_path)
    rig.ids["evidence"] = rig.import_one("evidence")
    rig.retain("evidence", artifactsSeconds=1)
    rig.sweep()
    rig.delete("evidence")
    rig.sweep()
    assert rig.there() == {"evidence"}
    assert rig.record("evidence").adopted_by is None


def test_a_volume_goes_to_another_cluster_and_back(tmp_path: Path) -> None:
    """The session belongs to the Investigation of the cluster that has the volume, the first time and the third."""
    rig = Restored(tmp_path)
    first = rig._body("evidence")
    for body, cluster in ((rig.bodies["evidence"], "new-cluster"), (first, "this-cluster"), (None, "third-cluster")):
        if body is None:
            rig.restore("uid-third")
        else:
            rig.bodies["evidence"] = body
        rig.cluster[CLUSTER] = {"metadata": {"uid": cluster}}
        rig.hold("evidence", cluster)
        rig.sweep()
        assert rig.record("evidence").adopted_by == rig.bodies["evidence"]["metadata"]["uid"]
        assert (rig.record("evidence").legal_hold, rig.record("evidence").hold) == (cluster, None)


def test_an_investigation_that_is_restored_during_a_pass_keeps_its_session(tmp_path: Path) -> None:
    """The list did not have it yet. Before the removal it is looked up by its name again."""
    rig = Rig(tmp_path, "evidence", retention=Retention(orphan_grace_seconds=60))
    body = rig.bodies.pop("evidence")
    rig.sweep()
    rig.clock.advance(60)
    body["metadata"]["uid"] = "uid-restored"
    body["status"]["session"] = {"id": rig.ids["evidence"], "manifestSha256": "not compared"}
    rig.bodies["evidence"] = body
    rig.sweep(listed=[])
    assert rig.there() == {"evidence"}

"""How long sessions stay: expiry, caps, what holds them, and what becomes of them when their resource is gone."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.handlers.sweeper import Sweeper
from aletheia_operator.session import InvestigationReference, Manifest, SessionLayout
from aletheia_operator.session.archive import export_session, import_session
from aletheia_operator.session.lock import locked
from aletheia_operator.session.retention import over_caps, remove
from aletheia_operator.session.retention_record import read_retention_record, update_retention_record
from aletheia_operator.session.verify import verify
from aletheia_operator.settings import Retention
from tests.support.captures import NOW, Memory, capture
from tests.unit.fakes import Clock, FakeKubernetes

LISTED = "/apis/aletheia.dev/v1alpha1/investigations"
SIZE = 1000


class Rig:
    """A volume with the sessions of Investigations `names`, which exist, and a sweeper."""

    def __init__(self, root: Path, *names: str, **settings: Any) -> None:
        self.layout = SessionLayout(root)
        self.clock = Clock(NOW)
        self.bodies = {name: self._body(name) for name in names}
        self.kubernetes = FakeKubernetes(objects={}, lists={})
        self.events: list[str] = []
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

    def sweep(self, listed: list[Any] | None = None) -> None:
        bodies = list(self.bodies.values()) if listed is None else listed
        self.kubernetes.lists = {LISTED: bodies}
        self.kubernetes.objects = {
            f"/apis/aletheia.dev/v1alpha1/namespaces/shop/investigations/{name}": body for name, body in self.bodies.items()
        }
        asyncio.run(self.sweeper.sweep())

    def delete(self, name: str) -> None:
        """As the watch tells it."""
        body = self.bodies.pop(name)
        self.kubernetes.objects = {}
        asyncio.run(self.sweeper.deleted(body))

    def there(self) -> set[str]:
        """Names of the Investigations whose data is there."""
        return {name for name, id in self.ids.items() if list(self.layout.session(id).glob("data/logs/*"))}

    def hold(self, name: str, value: str = "case 4711") -> None:
        self.bodies[name]["metadata"]["annotations"] = {"aletheia.dev/legal-hold": value}

    def retain(self, name: str, **retention: Any) -> None:
        self.bodies[name]["spec"]["retention"] = retention


def test_data_expires_and_the_resource_stays(tmp_path: Path) -> None:
    """After artifactsSeconds the data goes, the manifest says so, and the status gains ArtifactsExpired, once."""
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
    assert [(one["type"], one["status"], one["reason"]) for one in status["conditions"]] == [
        ("ArtifactsExpired", "True", "ArtifactsExpired")
    ]
    assert rig.events == ["ArtifactsExpired"]
    rig.bodies["old"]["status"]["conditions"] = status["conditions"]
    rig.sweep()
    assert len(rig.kubernetes.statuses) == 1


def test_a_status_that_was_lost_is_written_again(tmp_path: Path) -> None:
    """Where the process died between the removal and the status, the next pass says it."""
    rig = Rig(tmp_path, "old")
    rig.retain("old", artifactsSeconds=1)
    rig.clock.advance(60)
    rig.sweep()
    rig.sweep()
    assert len(rig.kubernetes.statuses) == 2


def test_a_legal_hold_holds_against_everything(tmp_path: Path) -> None:
    """Expiry, caps and the resource's deletion leave the data; taken off, the deletion's sweep removes it."""
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
    """At once, and no other's; with retention.keep the session stays."""
    rig = Rig(tmp_path, "gone", "kept", "other")
    rig.retain("kept", keep=True)
    rig.delete("gone")
    rig.delete("kept")
    assert rig.there() == {"kept", "other"}
    assert not rig.layout.session(rig.ids["gone"]).exists()
    rig.clock.advance(10**6)
    rig.sweep()
    assert rig.there() == {"kept", "other"}


def test_a_session_in_use_is_removed_later(tmp_path: Path) -> None:
    """A deletion while something holds the session is made up for by the next pass, without the grace."""
    rig = Rig(tmp_path, "gone")
    with locked(rig.layout.session(rig.ids["gone"])):
        rig.delete("gone")
    assert rig.there() == {"gone"}
    rig.sweep()
    assert rig.there() == set()


def test_an_orphan_is_listed_then_removed(tmp_path: Path) -> None:
    """A session whose resource went unseen is marked first, and removed after the grace; marked no more when it is back."""
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
    """Whether the list fails at once or after its first items, nothing is marked, expired or removed."""
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
    """A resource that a list omits but that is there by name keeps its session."""
    rig = Rig(tmp_path, "omitted", retention=Retention(orphan_grace_seconds=0))
    rig.sweep(listed=[])
    rig.sweep(listed=[])
    assert rig.there() == {"omitted"}


def test_what_was_imported_stays(tmp_path: Path) -> None:
    """An imported session has no resource here and is none's to remove."""
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
    """As many as it takes, none within the grace, none that is held."""
    rig = Rig(tmp_path, "first", "second", "third", "last", retention=Retention(total_bytes=3 * SIZE, grace_seconds=10))
    rig.hold("second")
    rig.sweep()
    assert rig.there() == {"first", "second", "third", "last"}
    rig.clock.advance(10)
    rig.sweep()
    assert rig.there() == {"second", "third", "last"}


def manifest(name: str, namespace: str, minutes: int, size: int) -> Manifest:
    return Manifest.model_validate(
        {
            "sessionId": name,
            "investigation": {"namespace": namespace, "name": name, "uid": name},
            "spec": {},
            "window": ["a", "b"],
            "phase": "Completed",
            "startTime": NOW,
            "completionTime": NOW + timedelta(minutes=minutes),
            "operatorVersion": "0",
            "artifacts": [
                {
                    "path": "data/logs/a.json",
                    "fetcher": "f",
                    "target": "t",
                    "count": 1,
                    "summary": "",
                    "timeRange": ["a", "b"],
                    "sizeBytes": size,
                    "sha256": "0",
                    "complete": True,
                }
            ],
        }
    )


SESSIONS = [
    manifest("A", "shop", 1, 40),
    manifest("B", "shop", 2, 40),
    manifest("C", "bank", 3, 40),
    manifest("D", "shop", 300, 40),
]


@pytest.mark.parametrize(
    ("caps", "gone"),
    [
        pytest.param(Retention(), [], id="no cap"),
        pytest.param(Retention(namespace_bytes=120), [], id="just within the cap"),
        pytest.param(Retention(namespace_bytes=119), ["A"], id="a byte over it"),
        pytest.param(Retention(namespace_bytes=1), ["C", "A", "B"], id="a tiny cap spares what is within the grace"),
        pytest.param(Retention(total_bytes=100), ["A", "B"], id="all namespaces together, by age"),
        pytest.param(Retention(namespace_bytes=80, total_bytes=80), ["A", "B"], id="what one cap frees counts for the other"),
        pytest.param(Retention(total_bytes=0, grace_seconds=10**6), [], id="all within the grace"),
    ],
)
def test_which_go_for_a_cap(caps: Retention, gone: list[str]) -> None:
    """The oldest ended first, until the cap holds."""
    assert [one.session_id for one in over_caps(SESSIONS, caps, NOW + timedelta(minutes=310))] == gone


def test_an_imported_session_is_not_expired_by_the_investigation_of_its_uid(tmp_path: Path) -> None:
    """It was brought back by hand, perhaps after it expired: what the Investigation says is not about this copy."""
    rig = Rig(tmp_path / "here", "old", retention=Retention(1, 1, 0, 0))
    archive = tmp_path / "archive.tar"
    with archive.open("wb") as file:
        export_session(rig.layout.session(rig.ids["old"]), file.write)
    remove(rig.layout, rig.ids["old"], by_hand=True)
    with archive.open("rb") as stream:
        import_session(rig.layout, stream)
    rig.retain("old", artifactsSeconds=1)
    rig.clock.advance(10**6)
    rig.sweep()
    rig.delete("old")
    rig.sweep()
    assert rig.there() == {"old"}


def test_a_hold_by_hand_outlives_sweeps(tmp_path: Path) -> None:
    """What was said by `aletheia session hold` is not undone by what the Investigation says, nor by its deletion."""
    rig = Rig(tmp_path, "old", retention=Retention(1, 1, 0, 0))
    update_retention_record(rig.layout, rig.ids["old"], hold="case 4711")
    rig.retain("old", artifactsSeconds=1)
    rig.clock.advance(10**6)
    rig.sweep()
    rig.delete("old")
    rig.sweep()
    assert rig.there() == {"old"}
    update_retention_record(rig.layout, rig.ids["old"], hold=None)
    rig.sweep()
    assert rig.there() == set()

"""Decisions about sessions and finished resources: tables of cases, no I/O."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.handlers.policies import (
    Decision,
    Resource,
    SessionState,
    caps_of,
    caps_stay_exceeded,
    decision_for,
    has_outdated_digest,
    is_abandoned,
    is_mass_deletion,
    is_of_another,
    is_settled,
    is_to_be_deleted,
    to_delete_for_history,
    to_expire_for_caps,
)
from aletheia_operator.session import Manifest
from aletheia_operator.session.retention_record import RetentionRecord
from aletheia_operator.session.volume import Volume
from aletheia_operator.settings import Retention, VolumeShares
from tests.unit.fakes import NOW

HOUR = timedelta(hours=1)
SETTINGS = Retention(orphan_grace_seconds=3600)


def manifest(name: str = "A", namespace: str = "shop", age_minutes: float = 60, size: int = 40, **changes: Any) -> Manifest:
    """Return the manifest of a session that ended that many minutes ago."""
    artifact = {
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
    fields = {
        "sessionId": name,
        "investigation": {"namespace": namespace, "name": name, "uid": name},
        "spec": {},
        "window": ["a", "b"],
        "phase": "Completed",
        "startTime": NOW - timedelta(days=9),
        "completionTime": NOW - timedelta(minutes=age_minutes),
        "operatorVersion": "0",
        "artifacts": [artifact],
    }
    return Manifest.model_validate({**fields, **changes})


def resource(**changes: Any) -> Resource:
    fields: dict[str, Any] = {
        "namespace": "shop",
        "name": "A",
        "uid": "A",
        "generation": 1,
        "keep": False,
        "artifacts_seconds": None,
        "ttl_seconds": None,
        "legal_hold": None,
        "phase": "Completed",
        "completion_time": "2026-11-22T11:00:00Z",
        "condition_types": (),
    }
    return Resource(**{**fields, **changes})


LONG_AGO, JUST_NOW = NOW - HOUR, NOW - HOUR + timedelta(seconds=1)
ORPHAN = RetentionRecord(orphaned_since=LONG_AGO)
EXPIRED = manifest(expirationTime=NOW)


@pytest.mark.parametrize(
    ("session", "doubt", "decision"),
    [
        pytest.param(
            SessionState(manifest(), RetentionRecord(), resource()), None, Decision.KEEP, id="its Investigation is there"
        ),
        pytest.param(SessionState(manifest(), RetentionRecord(), resource()), "why", Decision.KEEP, id="whatever is in doubt"),
        pytest.param(
            SessionState(manifest(), RetentionRecord(), resource(artifacts_seconds=3600)),
            None,
            Decision.EXPIRE,
            id="its time is over",
        ),
        pytest.param(
            SessionState(manifest(), RetentionRecord(), resource(artifacts_seconds=3601)), None, Decision.KEEP, id="not yet"
        ),
        pytest.param(
            SessionState(manifest(completionTime=None), RetentionRecord(), resource(artifacts_seconds=1)),
            None,
            Decision.KEEP,
            id="a session that runs does not expire",
        ),
        pytest.param(
            SessionState(manifest(), RetentionRecord(), resource(artifacts_seconds=1, legal_hold="x")),
            None,
            Decision.KEEP,
            id="its Investigation is on hold",
        ),
        pytest.param(
            SessionState(manifest(), RetentionRecord(hold="x"), resource(artifacts_seconds=1)),
            None,
            Decision.KEEP,
            id="the session is on hold",
        ),
        pytest.param(
            SessionState(manifest(), RetentionRecord(keep=True), resource(artifacts_seconds=1)),
            None,
            Decision.EXPIRE,
            id="keep is about deletion, not about expiry",
        ),
        pytest.param(
            SessionState(EXPIRED, RetentionRecord(), resource()), None, Decision.EXPIRE, id="an expiry is brought to its end"
        ),
        pytest.param(
            SessionState(manifest(), RetentionRecord(imported=True), resource(artifacts_seconds=1)),
            None,
            Decision.KEEP,
            id="an imported one does not follow an Investigation",
        ),
        pytest.param(
            SessionState(manifest(), RetentionRecord(imported=True, orphaned_since=LONG_AGO), None),
            None,
            Decision.KEEP,
            id="an imported one has none",
        ),
        pytest.param(SessionState(manifest(), RetentionRecord(), None), None, Decision.ORPHAN, id="gone for the first time"),
        pytest.param(
            SessionState(manifest(), RetentionRecord(), None, True), None, Decision.ORPHAN, id="seen to go: noted first"
        ),
        pytest.param(
            SessionState(manifest(), RetentionRecord(orphaned_since=JUST_NOW), None),
            None,
            Decision.KEEP,
            id="gone within the grace",
        ),
        pytest.param(SessionState(manifest(), ORPHAN, None), None, Decision.REMOVE, id="gone for the grace"),
        pytest.param(
            SessionState(manifest(), RetentionRecord(orphaned_since=JUST_NOW), None, True),
            None,
            Decision.REMOVE,
            id="seen to go: without the grace",
        ),
        pytest.param(SessionState(manifest(), ORPHAN, None), "why", Decision.SPARE, id="perhaps nobody deleted it"),
        pytest.param(SessionState(manifest(), ORPHAN, None, True), "why", Decision.SPARE, id="also where it was seen to go"),
        *(
            pytest.param(
                SessionState(manifest(), ORPHAN.model_copy(update=held), None, True),
                None,
                Decision.KEEP,
                id=f"it stays: {next(iter(held))}",
            )
            for held in ({"keep": True}, {"hold": "x"}, {"legal_hold": "x"}, {"spared": "x"})
        ),
    ],
)
def test_what_happens_to_a_session(session: SessionState, doubt: str | None, decision: Decision) -> None:
    """It follows from its manifest, its record, its resource and the time."""
    assert decision_for(session, NOW, SETTINGS, doubt) is decision


DIGEST = {"session_id": "A", "manifest_sha256": "1"}


@pytest.mark.parametrize(
    ("session", "settled"),
    [
        pytest.param(SessionState(manifest(), RetentionRecord(), resource()), True, id="its Investigation is there"),
        pytest.param(SessionState(manifest(), RetentionRecord(), resource(artifacts_seconds=1)), False, id="it expires"),
        pytest.param(SessionState(EXPIRED, RetentionRecord(), resource()), False, id="an expiry is brought to its end"),
        pytest.param(SessionState(manifest(), RetentionRecord(), None), False, id="its Investigation is gone"),
        pytest.param(SessionState(manifest(), RetentionRecord(keep=True), None), False, id="also if it is kept"),
        pytest.param(SessionState(manifest(), RetentionRecord(), resource(keep=True)), False, id="keep is not recorded yet"),
        pytest.param(SessionState(manifest(), RetentionRecord(keep=True), resource(keep=True)), True, id="keep is recorded"),
        pytest.param(SessionState(manifest(), RetentionRecord(keep=True), resource()), False, id="keep was lifted"),
        pytest.param(
            SessionState(manifest(), RetentionRecord(), resource(legal_hold="x")), False, id="a hold is not recorded yet"
        ),
        pytest.param(SessionState(manifest(), ORPHAN, resource()), False, id="its Investigation is back"),
        pytest.param(
            SessionState(manifest(), RetentionRecord(imported=True), resource(keep=True)),
            True,
            id="imported: nothing is recorded",
        ),
        pytest.param(SessionState(manifest(completionTime=None), RetentionRecord(), resource()), False, id="it was abandoned"),
        pytest.param(
            SessionState(manifest(completionTime=None), RetentionRecord(), resource(phase="Running")), True, id="it is captured"
        ),
        pytest.param(
            SessionState(manifest(), RetentionRecord(), resource(**DIGEST), False, "2"),
            False,
            id="the status has another digest",
        ),
        pytest.param(SessionState(manifest(), RetentionRecord(), resource(**DIGEST), False, "1"), True, id="the right digest"),
        pytest.param(SessionState(manifest(), RetentionRecord(), resource(uid="new")), False, id="restored with a new uid"),
        pytest.param(
            SessionState(manifest(), RetentionRecord(adopted_by="new"), resource(uid="new")), True, id="the new uid is recorded"
        ),
        pytest.param(
            SessionState(manifest(), RetentionRecord(adopted_by="new"), resource()), False, id="the first uid is back"
        ),
    ],
)
def test_when_nothing_is_to_be_done_for_a_session(session: SessionState, settled: bool) -> None:
    """Only for such sessions may a pass skip the steps that wait for the disk or the API server."""
    assert is_settled(session, NOW, SETTINGS, Volume(id="v")) is settled


@pytest.mark.parametrize(
    ("gone", "all_sessions", "mass_deletion"), [(0, 0, False), (9, 9, False), (10, 10, True), (10, 20, False), (11, 20, True)]
)
def test_how_many_are_a_mass(gone: int, all_sessions: int, mass_deletion: bool) -> None:
    """At least ten, and more than half."""
    assert is_mass_deletion(gone, all_sessions) is mass_deletion


@pytest.mark.parametrize(
    ("changes", "deleted"),
    [
        ({"ttl_seconds": None}, False),
        ({"ttl_seconds": 3600}, True),
        ({"ttl_seconds": 3601}, False),
        ({"ttl_seconds": 0}, True),
        ({"ttl_seconds": 0, "phase": "Running"}, False),
        ({"ttl_seconds": 0, "phase": None}, False),
        ({"ttl_seconds": 0, "completion_time": None}, False),
        ({"ttl_seconds": 0, "legal_hold": "case"}, False),
        ({"ttl_seconds": 0, "phase": "Failed"}, True),
    ],
)
def test_when_a_finished_investigation_is_deleted(changes: dict[str, Any], deleted: bool) -> None:
    """It is deleted when the time of its spec has passed since its end, unless it is on hold."""
    assert is_to_be_deleted(resource(**changes), NOW) is deleted


FLUX = {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}}
TRACKED = {"argocd.argoproj.io/tracking-id": "apps:aletheia.dev/Investigation:shop/a"}


@pytest.mark.parametrize(
    ("metadata", "retention", "seconds"),
    [
        pytest.param({}, {}, (None, 60), id="by kubectl"),
        pytest.param(
            {"labels": {"app.kubernetes.io/name": "a"}, "annotations": {"team": "a"}}, {}, (None, 60), id="other marks"
        ),
        pytest.param(FLUX, {}, (60, None), id="Flux"),
        pytest.param({"labels": {"helm.toolkit.fluxcd.io/name": "apps"}}, {}, (60, None), id="Flux's Helm releases"),
        pytest.param({"annotations": {"meta.helm.sh/release-name": "apps"}}, {}, (60, None), id="Helm"),
        pytest.param({"annotations": TRACKED}, {}, (60, None), id="Argo CD"),
        pytest.param({"annotations": {**TRACKED, "argocd.argoproj.io/hook": "PreSync"}}, {}, (None, 60), id="hook of Argo CD"),
        pytest.param(FLUX, {"artifactsSeconds": 30}, (30, None), id="artifacts that expire before"),
        pytest.param(FLUX, {"artifactsSeconds": 90}, (60, None), id="artifacts that expire later"),
        pytest.param(FLUX, {"keep": True}, (None, None), id="kept"),
        pytest.param(FLUX, {"keep": True, "artifactsSeconds": 90}, (90, None), id="kept, with artifacts that expire"),
    ],
)
def test_a_time_to_live_deletes_nothing_that_a_tool_creates_again(
    metadata: dict[str, Any], retention: dict[str, Any], seconds: tuple[int | None, int | None]
) -> None:
    """Its artifacts expire instead. A hook of Argo CD is deleted: it is created by the next sync that needs it only."""
    spec = {"ttlSecondsAfterFinished": 60, "retention": retention}
    body = {"metadata": {"namespace": "shop", "name": "a", "uid": "1", **metadata}, "spec": spec}
    found = Resource.of(body)
    assert (found.artifacts_seconds, found.ttl_seconds) == seconds
    assert found.created_again is (found.ttl_seconds is None)


def ended(name: str, hours_ago: float, **changes: Any) -> Resource:
    return resource(name=name, completion_time=(NOW - hours_ago * HOUR).isoformat(), **changes)


HISTORY = [ended("B", 3), ended("A", 4), ended("C", 2), ended("bank", 9, namespace="bank")]


@pytest.mark.parametrize(
    ("resources", "limit", "gone"),
    [
        pytest.param(HISTORY, None, "", id="no limit"),
        pytest.param(HISTORY, 3, "", id="just within the limit"),
        pytest.param(HISTORY, 2, "A", id="the oldest of the namespace that has more"),
        pytest.param(HISTORY, 1, "AB", id="the oldest first"),
        pytest.param(
            [*HISTORY, ended("D", 0.9), ended("E", 0.5)], 1, "ABC", id="none that ended within the grace, but they count"
        ),
        pytest.param([*HISTORY, ended("H", 5, legal_hold="x")], 3, "A", id="none on hold, but it counts"),
        pytest.param([*HISTORY, ended("G", 5, created_again=True)], 3, "A", id="none that a tool creates again, but it counts"),
        pytest.param([*HISTORY, ended("R", 5, phase="Running")], 3, "", id="one that runs does not count"),
        pytest.param([*HISTORY, resource(name="N", completion_time=None)], 3, "", id="without a time of its end, neither"),
        pytest.param(
            [*HISTORY, ended("F", 5, phase="Failed", keep=True)], 3, "F", id="however it ended, and if its session stays"
        ),
    ],
)
def test_which_finished_investigations_are_too_many(resources: list[Resource], limit: int | None, gone: str) -> None:
    """In each namespace the oldest above the limit, if nothing protects them."""
    retention = Retention(history_limit=limit, grace_seconds=3600)
    assert "".join(found.name for found in to_delete_for_history(resources, retention, NOW)) == gone


def free(name: str, namespace: str, age_minutes: float, size: int = 40) -> SessionState:
    return SessionState(manifest(name, namespace, age_minutes, size), RetentionRecord(), None)


def kept(name: str, namespace: str, age_minutes: float, size: int = 40) -> SessionState:
    return SessionState(manifest(name, namespace, age_minutes, size), RetentionRecord(keep=True), None)


SESSIONS = [free("A", "shop", 309), free("B", "shop", 308), free("C", "bank", 307), free("D", "shop", 10)]
RUNNING = SessionState(manifest("R", "shop", completionTime=None, size=1000), RetentionRecord(), None)
LOUD = [free(f"L{n}", "loud", 100 - n) for n in range(9)]


@pytest.mark.parametrize(
    ("sessions", "caps", "gone"),
    [
        pytest.param(SESSIONS, Retention(), [], id="no cap"),
        pytest.param(SESSIONS, Retention(namespace_bytes=120), [], id="just within the cap"),
        pytest.param(SESSIONS, Retention(namespace_bytes=119), ["A"], id="a byte over it"),
        pytest.param(SESSIONS, Retention(namespace_bytes=1), ["C", "A", "B"], id="a tiny cap spares what is within the grace"),
        pytest.param(SESSIONS, Retention(total_bytes=100), ["A", "B"], id="the largest namespace first, there the oldest"),
        pytest.param(
            SESSIONS, Retention(namespace_bytes=80, total_bytes=80), ["A", "B"], id="what one cap frees counts for the other"
        ),
        pytest.param(SESSIONS, Retention(total_bytes=0, grace_seconds=10**6), [], id="all within the grace"),
        pytest.param([*SESSIONS, RUNNING], Retention(namespace_bytes=1040), ["A", "B"], id="one that runs counts, and stays"),
        pytest.param([free("A", "shop", 999), *LOUD], Retention(total_bytes=360), ["L0"], id="the loud pay, not the quiet"),
        pytest.param(
            [free("A", "shop", 999), kept("K", "loud", 1, 4000)],
            Retention(total_bytes=100),
            [],
            id="also for what they keep",
        ),
        pytest.param(
            [free("A", "shop", 999, 60), kept("K", "loud", 1, 4000)],
            Retention(total_bytes=100),
            ["A"],
            id="but for what is over their equal share",
        ),
        pytest.param([kept("K", "a", 99), free("F", "a", 98)], Retention(namespace_bytes=40), ["F"], id="what is kept counts"),
        pytest.param(
            [SessionState(EXPIRED, RetentionRecord(), None), free("F", "shop", 99)],
            Retention(total_bytes=40),
            [],
            id="expired",
        ),
        *(
            pytest.param(
                [SessionState(manifest("H"), RetentionRecord(), resource(**held)), free("F", "shop", 120)],
                Retention(total_bytes=0),
                ["F"],
                id=f"not noted yet: {next(iter(held))}",
            )
            for held in ({"legal_hold": "x"}, {"keep": True})
        ),
        pytest.param(SESSIONS, Retention(total_bytes=159, grace_seconds=309 * 60), ["A"], id="just past the grace"),
        pytest.param(SESSIONS, Retention(total_bytes=159, grace_seconds=309 * 60 + 1), [], id="a second before its end"),
        pytest.param([free("B", "a", 60), free("A", "a", 60)], Retention(total_bytes=40), ["A"], id="of one age by their ids"),
        pytest.param(
            [free("A", "a", 99), free("B", "b", 99), free("C", "a", 90), free("D", "b", 90)],
            Retention(total_bytes=80),
            ["B", "A"],
            id="of one size by their namespaces",
        ),
        pytest.param([*SESSIONS, RUNNING], Retention(total_bytes=1120), ["A"], id="one that runs counts for all namespaces"),
    ],
)
def test_which_go_for_a_cap(sessions: list[SessionState], caps: Retention, gone: list[str]) -> None:
    """Sessions of the largest namespace go first, of these the oldest, until the cap holds."""
    assert [session.session_id for session in to_expire_for_caps(sessions, caps, NOW)] == gone


@pytest.mark.parametrize(
    ("retention", "shares", "volume_bytes", "total_bytes"),
    [
        pytest.param(Retention(), VolumeShares(), 1000, 800, id="by default four fifths of the volume"),
        pytest.param(Retention(), VolumeShares(total_share=33), 1000, 330, id="a share"),
        pytest.param(Retention(), VolumeShares(total_share=0), 1000, None, id="no share"),
        pytest.param(Retention(), VolumeShares(), None, None, id="a volume of unknown size"),
        pytest.param(Retention(total_bytes=7), VolumeShares(), 1000, 7, id="what an admin set"),
        pytest.param(Retention(), VolumeShares(total_share=1), 3, 0, id="a volume of a few bytes"),
    ],
)
def test_the_cap_that_follows_from_the_volume(
    retention: Retention, shares: VolumeShares, volume_bytes: int | None, total_bytes: int | None
) -> None:
    """It is a share of the volume's size, unless an admin set a number. All other settings of the retention stay."""
    assert caps_of(retention, shares, volume_bytes) == replace(retention, total_bytes=total_bytes)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 100), st.integers(0, 300), st.booleans()), max_size=25),
    st.integers(0, 800),
    st.integers(0, 400),
)
def test_caps_hold_or_nothing_more_may_go(rows: list[tuple[str, int, int, bool]], total: int, namespace_cap: int) -> None:
    """For any sessions: none goes that must stay or is not needed, and a namespace within its equal share loses nothing."""
    sessions = [(kept if held else free)(str(n), namespace, age, size) for n, (namespace, size, age, held) in enumerate(rows)]
    caps = Retention(namespace_bytes=None, total_bytes=total, grace_seconds=3600)
    gone = to_expire_for_caps(sessions, caps, NOW)
    by_id = {session.manifest.session_id: session for session in sessions}
    assert len({manifest.session_id for manifest in gone}) == len(gone)
    for lost in gone:
        assert not by_id[lost.session_id].record.keep
        assert lost.completion_time is not None and NOW - lost.completion_time >= HOUR
    before = {namespace: sum(size for name, size, _, _ in rows if name == namespace) for namespace in "abc"}
    namespaces = {row[0] for row in rows}
    for lost in gone:
        assert before[lost.investigation.namespace] > total / len(namespaces)
    if gone:
        assert sum(before.values()) - sum(lost.size_bytes for lost in gone[:-1]) > total
    assert caps_stay_exceeded(sessions, gone, caps) == (sum(before.values()) - sum(lost.size_bytes for lost in gone) > total)
    alone = to_expire_for_caps(sessions, Retention(namespace_bytes=namespace_cap, grace_seconds=3600), NOW)
    for namespace in namespaces:
        left = before[namespace] - sum(lost.size_bytes for lost in alone if lost.investigation.namespace == namespace)
        may_go = [
            session
            for session in sessions
            if session.manifest not in alone
            and not session.record.keep
            and session.manifest.investigation.namespace == namespace
            and session.manifest.completion_time
            and NOW - session.manifest.completion_time >= HOUR
        ]
        assert left <= namespace_cap or not may_go


@pytest.mark.parametrize(
    ("sessions", "gone", "caps", "exceeded"),
    [
        pytest.param(SESSIONS, "", Retention(), False, id="no cap"),
        pytest.param(SESSIONS, "", Retention(total_bytes=160), False, id="just all within the cap"),
        pytest.param(SESSIONS, "", Retention(total_bytes=159), True, id="all, a byte over it"),
        pytest.param(SESSIONS, "C", Retention(total_bytes=120), False, id="all, with what goes"),
        pytest.param(SESSIONS, "", Retention(namespace_bytes=120), False, id="just one namespace within the cap"),
        pytest.param(SESSIONS, "", Retention(namespace_bytes=119), True, id="one namespace, a byte over it"),
        pytest.param(SESSIONS, "A", Retention(namespace_bytes=80), False, id="one namespace, with what goes"),
        pytest.param(SESSIONS, "", Retention(namespace_bytes=120, total_bytes=159), True, id="only the cap of all"),
        pytest.param(SESSIONS, "", Retention(namespace_bytes=119, total_bytes=160), True, id="only the cap of one namespace"),
        pytest.param([SessionState(EXPIRED, RetentionRecord(), None)], "", Retention(total_bytes=0), False, id="expired"),
    ],
)
def test_when_caps_are_exceeded(sessions: list[SessionState], gone: str, caps: Retention, exceeded: bool) -> None:
    """Everything that stays after the removal counts, also what is on hold."""
    leaving = [session.manifest for session in sessions if session.manifest.session_id in gone.split()]
    assert caps_stay_exceeded(sessions, leaving, caps) is exceeded


ENDLESS = manifest(completionTime=None, phase="Running")


@pytest.mark.parametrize(
    ("session", "doubt", "abandoned"),
    [
        (SessionState(ENDLESS, RetentionRecord(), None), None, True),
        (SessionState(ENDLESS, RetentionRecord(), None), "why", False),
        (SessionState(manifest(), RetentionRecord(), None), None, False),
        (SessionState(ENDLESS, RetentionRecord(imported=True), None), None, False),
        (SessionState(ENDLESS, RetentionRecord(), resource(phase="Running")), None, False),
        (SessionState(ENDLESS, RetentionRecord(), resource(phase=None)), None, False),
        (SessionState(ENDLESS, RetentionRecord(), resource(phase="Failed")), None, True),
        (SessionState(ENDLESS, RetentionRecord(), resource(phase="Failed")), "why", True),
        (SessionState(manifest(), RetentionRecord(), resource(phase="Failed")), None, False),
    ],
)
def test_which_captures_are_abandoned(session: SessionState, doubt: str | None, abandoned: bool) -> None:
    """Those in phase Running of Investigations that are deleted or have ended."""
    assert is_abandoned(session, doubt) is abandoned


VOLUME = Volume(id="this", operators=("first", "second"))


@pytest.mark.parametrize(
    ("operator", "other"), [(None, False), ("this", False), ("first", False), ("second", False), ("third", True)]
)
def test_which_operators_are_of_another_volume(operator: str | None, other: bool) -> None:
    """It is one that never worked on this volume. A status without a mark is ours."""
    assert is_of_another(resource(operator=operator), VOLUME) is other


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        pytest.param({}, True, id="another digest"),
        pytest.param({"resource": None}, False, id="no Investigation"),
        pytest.param({"digest": "old"}, False, id="the digest of the status"),
        pytest.param({"digest": ""}, False, id="the manifest was not read"),
        pytest.param({"operator": "third"}, False, id="another operator's session"),
        pytest.param({"operator": "second"}, True, id="the session of an operator of this volume"),
        pytest.param({"imported": True}, False, id="imported"),
        pytest.param({"manifest": ENDLESS}, False, id="the capture has not ended"),
        pytest.param({"phase": "Running"}, False, id="the status has not ended"),
        pytest.param({"session_id": "B"}, False, id="another session"),
        pytest.param({"session_id": None}, False, id="no session in the status"),
        pytest.param({"manifest_sha256": None}, True, id="no digest in the status"),
    ],
)
def test_when_the_status_has_another_digest(changes: dict[str, Any], wrong: bool) -> None:
    """It is written again only for the session that the status names, once both have ended."""
    found = resource(
        **{"session_id": "A", "manifest_sha256": "old"}
        | {name: value for name, value in changes.items() if name in Resource.__dataclass_fields__}
    )
    session = SessionState(
        changes.get("manifest", manifest()),
        RetentionRecord(imported=changes.get("imported", False)),
        changes.get("resource", found),
        manifest_sha256=changes.get("digest", "new"),
    )
    assert has_outdated_digest(session, VOLUME) is wrong


def test_a_resource_is_read_from_its_object() -> None:
    """Absent fields get their defaults."""
    metadata = {"namespace": "a", "name": "b", "uid": "c"}
    nothing = Resource("a", "b", "c", 1, False, None, None, None, None, None, ())
    for body in ({}, {"spec": None, "status": None}, {"spec": {"retention": None}, "status": {"session": None}}):
        assert Resource.of({"metadata": metadata, **body}) == nothing
    full = {
        "metadata": {**metadata, "generation": 4, "annotations": {"aletheia.dev/legal-hold": "case 1"}},
        "spec": {"retention": {"keep": True, "artifactsSeconds": 5}, "ttlSecondsAfterFinished": 6},
        "status": {
            "phase": "Completed",
            "completionTime": "2026-11-22T11:00:00Z",
            "conditions": [{"type": "Ready"}, {"type": "Stalled"}],
            "session": {"id": "INC-0001", "manifestSha256": "abc"},
            "operator": "me",
        },
    }
    assert Resource.of(full) == Resource(
        "a",
        "b",
        "c",
        4,
        True,
        5,
        6,
        "case 1",
        "Completed",
        "2026-11-22T11:00:00Z",
        ("Ready", "Stalled"),
        "INC-0001",
        "abc",
        "me",
    )
    assert Resource.of(full).record_changes() == {"keep": True, "legal_hold": "case 1", "orphaned_since": None, "spared": None}

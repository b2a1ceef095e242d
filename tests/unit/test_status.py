"""Status: phase, conditions and evidence, projected from the manifest; and the one writer of it."""

import asyncio
from datetime import timedelta
from itertools import repeat
from typing import Any

import pytest

from aletheia_operator.api import InvestigationStatus
from aletheia_operator.api.investigation import TERMINAL_PHASES
from aletheia_operator.api.reasons import ConditionReason, GapReason
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.handlers import status as module
from aletheia_operator.handlers.status import (
    MAX_ARTIFACTS,
    MAX_GAPS,
    MAX_MESSAGE,
    MAX_SUMMARY,
    StatusWriter,
    describe,
    of_phase,
    of_snapshot,
)
from aletheia_operator.investigate import Snapshot
from aletheia_operator.session import Artifact, Gap, InvestigationReference, Manifest
from aletheia_operator.text.sizes import readable_size
from tests.unit.fakes import LONGEST_TEST_SECONDS, NOW, UID, Clock, FakeKubernetes

PATH = "/apis/aletheia.dev/v1alpha1/namespaces/shop/investigations/incident"


def make_artifact(**changes: Any) -> Artifact:
    fields: dict[str, Any] = {
        "path": "data/logs/a.json",
        "fetcher": "KubernetesLogs",
        "target": "pod/web-0",
        "count": 3,
        "summary": "3 logs",
        "time_range": ["2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z"],
        "size_bytes": 2048,
        "sha256": "ab",
        "complete": True,
    }
    return Artifact(**{**fields, **changes})


def make_gap(**changes: Any) -> Gap:
    fields = {"fetcher": "Jaeger", "target": "service/shop", "reason": "Unavailable", "message": "down"}
    return Gap(**{**fields, **changes})


def make_snapshot(
    artifacts: list[Artifact] | None = None, gaps: list[Gap] | None = None, phase: str = "Completed", ended: bool = True
) -> Snapshot:
    manifest = Manifest(
        session_id="INC-7F3A",
        investigation=InvestigationReference(namespace="shop", name="incident", uid=UID),
        spec={},
        window=("2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z"),
        phase=phase,
        start_time=NOW,
        completion_time=NOW + timedelta(seconds=5) if ended else None,
        operator_version="1",
        artifacts=artifacts or [],
        gaps=gaps or [],
    )
    return Snapshot(manifest, "/sessions/INC-7F3A", 1, 2, "c0ffee" if ended else None)


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {one["type"]: one["status"] for one in status["conditions"]}


@pytest.mark.parametrize(
    ("phase", "ready", "reconciling", "stalled", "succeeded"),
    [
        ("Pending", "False", "True", "False", "Unknown"),
        ("Queued", "False", "True", "False", "Unknown"),
        ("Running", "False", "True", "False", "Unknown"),
        ("Completed", "True", "False", "False", "True"),
        ("PartiallyCompleted", "True", "False", "False", "False"),
        ("Failed", "False", "False", "True", "False"),
        ("TimedOut", "False", "False", "True", "False"),
        ("Cancelled", "False", "False", "True", "False"),
    ],
)
def test_conditions_follow_from_the_phase(phase: str, ready: str, reconciling: str, stalled: str, succeeded: str) -> None:
    """As kstatus reads them: in progress, current or failed; never ready and stalled at once."""
    status = of_phase(phase, "words", 3, {}, NOW)
    assert conditions(status) == {"Ready": ready, "Reconciling": reconciling, "Stalled": stalled, "Succeeded": succeeded}
    assert (status["phase"], status["observedGeneration"]) == (phase, 3)
    for one in status["conditions"]:
        assert (one["message"], one["observedGeneration"]) == ("words", 3)
        assert one["reason"] in set(ConditionReason)


def test_every_terminal_phase_is_a_phase_with_a_reason() -> None:
    """Each is documented among the reasons."""
    assert {reason.value for reason in ConditionReason} >= TERMINAL_PHASES


def test_a_transition_time_moves_only_with_its_status() -> None:
    """A new message is no transition."""
    later = NOW + timedelta(minutes=5)
    before = of_phase("Running", "1 of 2", 1, {}, NOW)
    running = of_phase("Running", "2 of 2", 2, before, later)
    assert {one["lastTransitionTime"] for one in running["conditions"]} == {"2026-11-22T12:00:00Z"}
    ended = of_phase("PartiallyCompleted", "done", 2, running, later)
    moved = {one["type"] for one in ended["conditions"] if one["lastTransitionTime"] == "2026-11-22T12:05:00Z"}
    assert moved == {"Ready", "Reconciling", "Succeeded"}


def test_a_snapshot_becomes_a_status_that_the_schema_knows() -> None:
    """Every field is the CRD's own; nothing is pruned."""
    status = of_snapshot(make_snapshot([make_artifact()], [make_gap()], "PartiallyCompleted"), 1, {}, NOW)
    assert InvestigationStatus.model_validate(status).to_json() == status
    assert status["session"] == {
        "id": "INC-7F3A",
        "path": "/sessions/INC-7F3A",
        "sizeBytes": 2048,
        "size": "2Ki",
        "manifestSha256": "c0ffee",
    }
    assert status["progress"] == {"done": 1, "total": 2, "text": "1/2"}
    assert (status["artifactCount"], status["gapCount"]) == (1, 1)
    assert (status["startTime"], status["completionTime"]) == ("2026-11-22T12:00:00Z", "2026-11-22T12:00:05Z")
    assert status["artifacts"] == [make_artifact().to_json()]
    assert status["gaps"] == [make_gap().to_json()]


def test_while_a_capture_runs_it_has_no_end() -> None:
    """Neither a completion time nor a digest."""
    status = of_snapshot(make_snapshot(phase="Running", ended=False), 1, {}, NOW)
    assert "completionTime" not in status
    assert "manifestSha256" not in status["session"]


def test_lists_are_capped_and_counted() -> None:
    """An object in etcd holds about a megabyte: the first stand in status, the manifest has all."""
    artifacts = [make_artifact(path=f"data/logs/{n:03}.json") for n in range(MAX_ARTIFACTS + 5)]
    gaps = [make_gap(target=f"{n:03}") for n in range(MAX_GAPS + 7)]
    status = of_snapshot(make_snapshot(artifacts, gaps), 1, {}, NOW)
    assert (status["artifactCount"], status["gapCount"]) == (MAX_ARTIFACTS + 5, MAX_GAPS + 7)
    assert [one["path"] for one in status["artifacts"]] == [one.path for one in artifacts[:MAX_ARTIFACTS]]
    assert [one["target"] for one in status["gaps"]] == [one.target for one in gaps[:MAX_GAPS]]


def test_what_logs_and_servers_say_is_short_and_inert() -> None:
    """A summary or a message cannot move a terminal's cursor, nor fill the object."""
    hostile = "\x1b[2J\u202e" + "x" * 10_000
    status = of_snapshot(make_snapshot([make_artifact(summary=hostile)], [make_gap(message=hostile)]), 1, {}, NOW)
    for text, limit in ((status["artifacts"][0]["summary"], MAX_SUMMARY), (status["gaps"][0]["message"], MAX_MESSAGE)):
        assert len(text) == limit
        assert text.isprintable()


def test_a_target_is_short_and_inert_too() -> None:
    """`pods KEY=VALUE,...` has the keys and values of the spec, up to hundreds of kilobytes."""
    status = of_snapshot(make_snapshot(gaps=[make_gap(target="pods \x1b[2J" + "x" * 10_000)]), 1, {}, NOW)
    assert len(status["gaps"][0]["target"]) <= MAX_MESSAGE
    assert status["gaps"][0]["target"].isprintable()


@pytest.mark.parametrize(
    ("snapshot", "text"),
    [
        (make_snapshot(phase="Running", ended=False), "1 of 2 questions done"),
        (make_snapshot([make_artifact()]), "1 artifact in session INC-7F3A"),
        (make_snapshot(), "0 artifacts in session INC-7F3A"),
        (
            make_snapshot([make_artifact()] * 2, [make_gap(), make_gap(reason="Forbidden"), make_gap()]),
            "2 artifacts in session INC-7F3A; 3 gaps (Forbidden, Unavailable): see status.gaps",
        ),
        (make_snapshot(gaps=[make_gap()]), "0 artifacts in session INC-7F3A; 1 gap (Unavailable): see status.gaps"),
        (Snapshot(make_snapshot(ended=False).manifest, "", 0, 0), "finding out what there is to ask"),
    ],
    ids=["running", "one artifact", "nothing", "gaps", "one gap", "planning"],
)
def test_a_capture_is_described_in_one_line(snapshot: Snapshot, text: str) -> None:
    """What `kubectl describe` shows of the conditions."""
    assert describe(snapshot) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0"), (1023, "1023"), (1024, "1Ki"), (81_234, "79.33Ki"), (2**20, "1Mi"), (3 * 2**30, "3Gi"), (2**41, "2Ti")],
)
def test_sizes_are_readable(size_bytes: int, text: str) -> None:
    """In the units of Kubernetes' quantities."""
    assert readable_size(size_bytes) == text


def make_writer(kubernetes: FakeKubernetes, status: dict[str, Any] | None = None, generation: int = 1) -> StatusWriter:
    metadata = {"namespace": "shop", "name": "incident", "uid": UID, "generation": generation}
    return StatusWriter(kubernetes.real(), {"metadata": metadata, "status": status or {}}, Clock())


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer tries again at once."""
    monkeypatch.setattr(module, "retry_delays", lambda: repeat(0.0))


async def test_a_status_is_written_until_it_is_taken() -> None:
    """An API server that is away for a while loses nothing."""
    kubernetes = FakeKubernetes(refusals=[Unavailable("away"), Unavailable("away")])
    await make_writer(kubernetes).phase("Queued", ConditionReason.QUEUED)
    ((path, status, uid),) = kubernetes.patches
    assert (path, status["phase"], uid) == (PATH, "Queued", UID)
    assert "completionTime" not in status


async def test_a_resource_that_is_gone_is_let_go() -> None:
    """A refusal is final."""
    kubernetes = FakeKubernetes(refusals=[Rejected("gone", GapReason.NOT_FOUND)])
    await make_writer(kubernetes).phase("Queued", ConditionReason.QUEUED)
    assert kubernetes.patches == []


async def test_an_end_without_a_session_has_its_time() -> None:
    """Such as that of a spec that was refused."""
    kubernetes = FakeKubernetes()
    await make_writer(kubernetes).phase("Failed", ConditionReason.INVALID_SPEC, "spec.window: no")
    (status,) = kubernetes.statuses
    assert status["completionTime"] == "2026-11-22T12:00:00Z"
    assert {one["message"] for one in status["conditions"]} == {"spec.window: no"}
    assert {one["reason"] for one in status["conditions"]} == {"InvalidSpec"}


async def test_later_writes_keep_the_transition_times_of_earlier_ones() -> None:
    """The writer remembers what it said last."""
    kubernetes, clock = FakeKubernetes(), Clock()
    writer = make_writer(kubernetes)
    writer._now = clock
    await writer.phase("Queued", ConditionReason.QUEUED)
    clock.advance(60)
    await writer.snapshot(make_snapshot(phase="Running", ended=False))
    assert {one["lastTransitionTime"] for one in kubernetes.statuses[1]["conditions"]} == {"2026-11-22T12:00:00Z"}


async def test_a_change_after_the_end_is_acknowledged() -> None:
    """The generation is observed; the conditions stay as they are now, not as an older view had them."""
    ended = of_snapshot(make_snapshot([make_artifact()]), 1, {}, NOW)
    kubernetes = FakeKubernetes({PATH: {"status": ended}})
    await make_writer(kubernetes, {"phase": "Running"}, generation=4).acknowledge()
    (status,) = kubernetes.statuses
    assert status["observedGeneration"] == 4
    assert status["conditions"] == [{**one, "observedGeneration": 4} for one in ended["conditions"]]
    assert set(status) == {"observedGeneration", "conditions"}


async def test_of_many_reports_the_latest_is_written() -> None:
    """A flood of progress does not become a flood of patches, and the last word comes after them."""
    kubernetes = FakeKubernetes()
    writer = make_writer(kubernetes)
    snapshots = [Snapshot(make_snapshot(ended=False, phase="Running").manifest, "", n, 100) for n in range(100)]
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        async with writer.following() as report:
            for snapshot in snapshots[:50]:
                report(snapshot)
            while not kubernetes.patches:  # noqa: ASYNC110 (bounded by the time-out above)
                await asyncio.sleep(0)
            for snapshot in snapshots[50:]:
                report(snapshot)
        await writer.snapshot(make_snapshot())
    assert [status["progress"]["done"] for status in kubernetes.statuses] == [49, 1]
    assert kubernetes.statuses[-1]["phase"] == "Completed"

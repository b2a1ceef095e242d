"""Status: phase, conditions and evidence, derived from the manifest; and the only code that writes it."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from itertools import repeat
from typing import Any

import pytest

from aletheia_operator.api import InvestigationStatus
from aletheia_operator.api.reasons import ConditionReason, GapReason
from aletheia_operator.api.status import TERMINAL_PHASES, FindingObject, FindingStatus, UploadStatus
from aletheia_operator.clients.errors import SourceError, Unavailable, error_of
from aletheia_operator.handlers import progress as progress_module
from aletheia_operator.handlers import status_writer as module
from aletheia_operator.handlers.progress import following
from aletheia_operator.handlers.status import (
    MAX_ARTIFACTS,
    MAX_FINDING,
    MAX_GAPS,
    MAX_HEADLINE,
    MAX_MESSAGE,
    MAX_SUMMARY,
    SHORTENED,
    condition,
    describe,
    minimal,
    of_phase,
    of_snapshot,
    shortened,
    without_words,
)
from aletheia_operator.handlers.status_writer import Claim, StatusWriter, WriteResult
from aletheia_operator.investigate import Snapshot
from aletheia_operator.session import Artifact, Gap, InvestigationReference, Manifest
from aletheia_operator.text.sizes import readable_size
from tests.unit.fakes import LONGEST_TEST_SECONDS, NOW, UID, Clock, FakeKubernetes, forever

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
    return {condition["type"]: condition["status"] for condition in status["conditions"]}


def test_words_of_logs_can_be_left_out() -> None:
    """Counts and levels stay, and each gap has the meaning of its reason. The manifest has everything else."""
    artifacts = [
        make_artifact(summary="9 logs (2 ERROR), top error: 'card CANARY' (2x)", counts="9 logs (2 ERROR)"),
        make_artifact(summary="3 events"),
    ]
    gaps = [make_gap(message="the server said CANARY"), make_gap(reason="OfANewerVersion", message="CANARY")]
    made = make_snapshot(artifacts, gaps, "PartiallyCompleted")
    finding = {"rule": "Crash", "severity": "critical", "confidence": "certain", "object": {"kind": "Pod", "name": "web-0"}}
    findings = [FindingStatus.model_validate({**finding, "message": "panic: CANARY"})]
    verdict = {"headline": "web-0: panic: CANARY", "findings": findings}
    snapshot = without_words(replace(made, manifest=made.manifest.model_copy(update=verdict)))
    status = of_snapshot(snapshot, 1, {}, NOW)
    assert "CANARY" not in json.dumps(status) + describe(snapshot)
    assert [artifact["summary"] for artifact in status["artifacts"]] == ["9 logs (2 ERROR)", "3 events"]
    assert GapReason.UNAVAILABLE.text in status["gaps"][0]["message"]
    assert status["headline"].startswith("Crash of pod/web-0")


def test_counts_are_of_the_manifest_alone() -> None:
    """The CRD does not have this field."""
    status = of_snapshot(make_snapshot([make_artifact(counts="3 logs")]), 1, {}, NOW)
    assert InvestigationStatus.from_json(status).artifacts is not None
    assert "counts" not in status["artifacts"][0]


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
    """kstatus reads them as in progress, current or failed. A resource is never ready and stalled at once."""
    reason = ConditionReason.SUSPENDED if phase == "Pending" else None  # what is pending always has a reason of its own
    status = of_phase(phase, "words", 3, {}, NOW, reason)
    assert conditions(status) == {"Ready": ready, "Reconciling": reconciling, "Stalled": stalled, "Succeeded": succeeded}
    assert (status["phase"], status["observedGeneration"]) == (phase, 3)
    for written in status["conditions"]:
        assert (written["message"], written["observedGeneration"]) == ("words", 3)
        assert written["reason"] in set(ConditionReason)


def test_every_terminal_phase_is_a_phase_with_a_reason() -> None:
    """Each is documented among the reasons."""
    assert {reason.value for reason in ConditionReason} >= TERMINAL_PHASES


def test_a_transition_time_moves_only_with_its_status() -> None:
    """A new message is no transition."""
    later = NOW + timedelta(minutes=5)
    before = of_phase("Running", "1 of 2", 1, {}, NOW)
    running = of_phase("Running", "2 of 2", 2, before, later)
    assert {condition["lastTransitionTime"] for condition in running["conditions"]} == {"2026-11-22T12:00:00Z"}
    ended = of_phase("PartiallyCompleted", "done", 2, running, later)
    moved = {
        condition["type"] for condition in ended["conditions"] if condition["lastTransitionTime"] == "2026-11-22T12:05:00Z"
    }
    assert moved == {"Ready", "Reconciling", "Succeeded"}


def test_a_snapshot_becomes_a_status_that_the_schema_knows() -> None:
    """Every field is in the CRD, so nothing is pruned."""
    status = of_snapshot(make_snapshot([make_artifact()], [make_gap()], "PartiallyCompleted"), 1, {}, NOW)
    assert InvestigationStatus.model_validate(status).to_json() == status
    assert status["session"] == {
        "id": "INC-7F3A",
        "path": "/sessions/INC-7F3A",
        "sizeBytes": 2048,
        "size": "2Ki",
        "redactions": 0,
        "manifestSha256": "c0ffee",
    }
    assert status["progress"] == {"done": 1, "total": 2, "text": "1/2"}
    assert (status["artifactCount"], status["gapCount"]) == (1, 1)
    assert (status["startTime"], status["completionTime"]) == ("2026-11-22T12:00:00Z", "2026-11-22T12:00:05Z")
    assert status["artifacts"] == [make_artifact().to_status()]
    assert status["gaps"] == [make_gap().to_json()]


FINDINGS = [
    FindingStatus(
        rule="CrashLoop",
        severity="critical",
        confidence="certain",
        object=FindingObject(kind="Pod", name="web-0"),
        message=message,
        first_seen=None,
    )
    for message in ("\x1b[2Jit broke", "w" * 400)
]


def test_all_that_a_status_has_of_an_uploaded_capture() -> None:
    """It has the headline, the findings and the copy's place. Texts are inert and short, and notes do not count as gaps."""
    made = make_snapshot([make_artifact(redactions={"password": 2})], [make_gap(), make_gap(severity="note", target="x" * 900)])
    manifest = made.manifest.model_copy(
        update={
            "headline": "h" * 200,
            "findings": FINDINGS,
            "upload": UploadStatus(data_source="archive", url="s3://incidents/a/"),
        }
    )
    status = of_snapshot(replace(made, manifest=manifest), 7, {}, NOW)
    assert status["window"] == list(manifest.window)
    assert (status["session"]["redactions"], status["session"]["uploaded"]) == (
        2,
        manifest.upload and manifest.upload.to_json(),
    )
    assert (status["gapCount"], len(status["gaps"]), len(status["gaps"][1]["target"])) == (1, 2, 120)
    assert (len(status["headline"]), len(status["findings"][1]["message"])) == (MAX_HEADLINE, MAX_FINDING)
    assert status["findings"][0] == FINDINGS[0].to_json() | {"message": status["findings"][0]["message"]}
    assert status["findings"][0]["message"].isprintable()
    assert status["findings"][0]["message"].endswith("it broke")
    assert status["conditions"][0]["message"].endswith("(Unavailable): see status.gaps; uploaded to s3://incidents/a/")
    assert {condition["observedGeneration"] for condition in status["conditions"]} == {status["observedGeneration"]} == {7}


@pytest.mark.parametrize(
    ("total", "ended", "progress"),
    [
        (0, False, None),
        (2, False, {"done": 0, "total": 2, "text": "0/2"}),
        (0, True, {"done": 0, "total": 0, "text": "0/0"}),
    ],
)
def test_when_there_is_progress(total: int, ended: bool, progress: Any) -> None:
    """Progress is there once there is a plan, and always at the end."""
    made = replace(make_snapshot(ended=ended), done=0, total=total)
    assert of_snapshot(made, 1, {}, NOW).get("progress") == progress


def test_the_reason_of_a_phase() -> None:
    """The phase itself, unless another one is given; messages are bounded, and times have whole seconds."""
    now = NOW.replace(microsecond=5)
    status = of_phase("Running", "x" * 9000, 3, {"conditions": None}, now)
    assert {condition["reason"] for condition in status["conditions"]} == {"Running"}
    assert {len(condition["message"]) for condition in status["conditions"]} == {4000}
    assert {condition["lastTransitionTime"] for condition in status["conditions"]} == {"2026-11-22T12:00:00Z"}
    status = of_phase("Pending", "m", 3, {}, now, ConditionReason.SUSPENDED)
    assert {condition["reason"] for condition in status["conditions"]} == {"Suspended"}


def test_a_condition_that_is_of_another_status_is_no_earlier_one() -> None:
    """If the status changes, the transition is now. Conditions of another type do not matter."""
    before = [
        {"type": "Ready", "status": "False", "lastTransitionTime": "a"},
        {"type": "Stalled", "status": "True", "lastTransitionTime": "b"},
        {"type": "Ready", "status": "True", "lastTransitionTime": "c"},
        {"status": "True"},
    ]
    found = condition("Ready", True, "Why", "m", 2, before, NOW)
    assert found == {
        "type": "Ready",
        "status": "True",
        "reason": "Why",
        "message": "m",
        "observedGeneration": 2,
        "lastTransitionTime": "c",
    }
    assert condition("Ready", None, "Why", "m", 2, before, NOW)["status"] == "Unknown"
    assert condition("Succeeded", True, "Why", "m", 2, before, NOW)["lastTransitionTime"] == "2026-11-22T12:00:00Z"


def test_what_a_smaller_status_keeps() -> None:
    """It keeps the first items of each list, with short texts. The smallest has phase and conditions, and removes the rest."""
    made = make_snapshot([make_artifact(summary="s" * 500)] * 5, [make_gap(message="m" * 500)] * 5)
    made = replace(made, manifest=made.manifest.model_copy(update={"findings": [FINDINGS[1]] * 5}))
    whole = of_snapshot(made, 1, {}, NOW) | {"operator": "me"}
    small = shortened(whole)
    assert {name: value for name, value in small.items() if name not in ("artifacts", "gaps", "findings")} == {
        name: value for name, value in whole.items() if name not in ("artifacts", "gaps", "findings")
    }
    for name, text in (("artifacts", "summary"), ("gaps", "message"), ("findings", "message")):
        assert [len(item[text]) for item in small[name]] == [120] * 3
        assert [{**item, text: ""} for item in small[name]] == [{**item, text: ""} for item in whole[name][:3]]
    smallest = minimal(whole)
    assert {len(condition["message"]) for condition in smallest["conditions"]} == {
        len(whole["conditions"][0]["message"]) + len(SHORTENED)
    }
    assert {condition["message"][-len(SHORTENED) :] for condition in smallest["conditions"]} == {SHORTENED}
    assert [{**condition, "message": ""} for condition in smallest["conditions"]] == [
        {**condition, "message": ""} for condition in whole["conditions"]
    ]
    assert {name: value for name, value in smallest.items() if name != "conditions"} == {
        "observedGeneration": 1,
        "phase": "Completed",
        "operator": "me",
        "completionTime": "2026-11-22T12:00:05Z",
        "session": {"id": "INC-7F3A", "path": "/sessions/INC-7F3A", "manifestSha256": "c0ffee", "uploaded": None},
        **dict.fromkeys(("artifacts", "gaps", "findings", "window", "progress")),
    }
    assert "session" not in minimal(of_phase("Failed", "m", 1, {}, NOW))
    assert shortened({"phase": "Failed", "gaps": [], "artifacts": None}) == {"phase": "Failed", "gaps": [], "artifacts": None}


def test_while_a_capture_runs_it_has_no_end() -> None:
    """There is neither a completion time nor a digest."""
    status = of_snapshot(make_snapshot(phase="Running", ended=False), 1, {}, NOW)
    assert "completionTime" not in status
    assert "manifestSha256" not in status["session"]


def test_lists_are_capped_and_counted() -> None:
    """An object in etcd holds about a megabyte: status has the first items, and the manifest has all."""
    artifacts = [make_artifact(path=f"data/logs/{n:03}.json") for n in range(MAX_ARTIFACTS + 5)]
    gaps = [make_gap(target=f"{n:03}") for n in range(MAX_GAPS + 7)]
    status = of_snapshot(make_snapshot(artifacts, gaps), 1, {}, NOW)
    assert (status["artifactCount"], status["gapCount"]) == (MAX_ARTIFACTS + 5, MAX_GAPS + 7)
    assert [artifact["path"] for artifact in status["artifacts"]] == [artifact.path for artifact in artifacts[:MAX_ARTIFACTS]]
    assert [gap["target"] for gap in status["gaps"]] == [gap.target for gap in gaps[:MAX_GAPS]]


def test_what_logs_and_servers_say_is_short_and_inert() -> None:
    """A summary or a message cannot move a terminal's cursor, nor fill the object."""
    hostile = "\x1b[2J\u202e" + "x" * 10_000
    status = of_snapshot(make_snapshot([make_artifact(summary=hostile)], [make_gap(message=hostile)]), 1, {}, NOW)
    for text, limit in ((status["artifacts"][0]["summary"], MAX_SUMMARY), (status["gaps"][0]["message"], MAX_MESSAGE)):
        assert len(text) == limit
        assert text.isprintable()


def test_a_target_is_short_and_inert_too() -> None:
    """A target `pods KEY=VALUE,...` has keys and values of the spec, which may have hundreds of kilobytes."""
    status = of_snapshot(make_snapshot(gaps=[make_gap(target="pods \x1b[2J" + "x" * 10_000)]), 1, {}, NOW)
    assert len(status["gaps"][0]["target"]) <= MAX_MESSAGE
    assert status["gaps"][0]["target"].isprintable()


def with_headline(headline: str) -> Snapshot:
    made = make_snapshot([make_artifact()])
    return replace(made, manifest=made.manifest.model_copy(update={"headline": headline}))


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
        (with_headline("web: out of memory"), "web: out of memory; 1 artifact in session INC-7F3A"),
        (replace(make_snapshot([make_artifact()] * 2), uploaded=1), "captured; 1 of 2 artifacts uploaded"),
    ],
    ids=["running", "one artifact", "nothing", "gaps", "one gap", "planning", "a headline", "uploading"],
)
def test_a_capture_is_described_in_one_line(snapshot: Snapshot, text: str) -> None:
    """`kubectl describe` shows this line in the conditions."""
    assert describe(snapshot) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0"), (1023, "1023"), (1024, "1Ki"), (81_234, "79.33Ki"), (2**20, "1Mi"), (3 * 2**30, "3Gi"), (2**41, "2Ti")],
)
def test_sizes_are_readable(size_bytes: int, text: str) -> None:
    """They have the units of Kubernetes' quantities."""
    assert readable_size(size_bytes) == text


def make_writer(kubernetes: FakeKubernetes, status: dict[str, Any] | None = None, generation: int = 1) -> StatusWriter:
    metadata = {"namespace": "shop", "name": "incident", "uid": UID, "generation": generation}
    return StatusWriter(kubernetes.real(), {"metadata": metadata, "status": status or {}}, Clock())


def answered(code: int) -> SourceError:
    """Return the exception of the client for an answer with this status."""
    return error_of(code, f"the Kubernetes API answered {code}: no")


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a writer try again at once."""
    monkeypatch.setattr(module, "retry_delays", lambda: repeat(0.0))


async def test_a_status_is_written_until_it_is_taken() -> None:
    """An API server that is away for a while loses nothing."""
    kubernetes = FakeKubernetes(refusals=[Unavailable("away"), Unavailable("away")])
    await make_writer(kubernetes).phase("Queued", ConditionReason.QUEUED)
    ((path, status, uid),) = kubernetes.patches
    assert (path, status["phase"], uid) == (PATH, "Queued", UID)
    assert "completionTime" not in status


async def test_a_resource_that_is_gone_is_let_go() -> None:
    """The writer stops once the API server says so when asked for the resource itself."""
    kubernetes = FakeKubernetes(refusals=[answered(404)])
    assert await make_writer(kubernetes).phase("Queued", ConditionReason.QUEUED) is WriteResult.GONE
    kubernetes = FakeKubernetes({PATH: {"metadata": {"uid": "another"}}}, refusals=[answered(409)])
    assert await make_writer(kubernetes).phase("Queued", ConditionReason.QUEUED) is WriteResult.GONE
    assert kubernetes.patches == []


@pytest.mark.parametrize("code", [401, 403, 404, 409, 429, 500, 502, 503, 504])
async def test_a_passing_refusal_loses_no_status(code: int) -> None:
    """While the resource exists, its last status is written until it is stored."""
    kubernetes = FakeKubernetes({PATH: {"metadata": {"uid": UID}}}, refusals=[answered(code), answered(code)])
    assert await make_writer(kubernetes).snapshot(make_snapshot([make_artifact()])) is WriteResult.DONE
    (status,) = kubernetes.statuses
    assert len(status["artifacts"]) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        error_of(500, "the Kubernetes API answered 500: etcdserver: request is too large"),
        error_of(500, "the Kubernetes API answered 500: rpc error: trying to send message larger than max (2 vs. 1)"),
        error_of(413, "the Kubernetes API answered 413: Request entity too large: limit is 3145728"),
        error_of(422, "the Kubernetes API answered 422: Investigation is invalid: metadata.annotations: Too long"),
        error_of(400, "the Kubernetes API answered 400: no"),
    ],
)
async def test_a_status_that_is_refused_is_written_smaller(refusal: SourceError) -> None:
    """It is first written with few artifacts and gaps, then with none and a note that says so. Then the writer gives up."""
    artifacts, gaps = [make_artifact()] * 9, [make_gap(message="x" * 500)] * 9
    snapshot = make_snapshot(artifacts, gaps, "PartiallyCompleted")
    sizes = []
    for refusals in ([refusal], [refusal] * 2):
        kubernetes = FakeKubernetes(refusals=list(refusals))
        assert await make_writer(kubernetes).snapshot(snapshot) is WriteResult.DONE
        (status,) = kubernetes.statuses
        assert (status["phase"], status["completionTime"]) == ("PartiallyCompleted", "2026-11-22T12:00:05Z")
        sizes.append(len(json.dumps(status)))
    assert sizes[1] < sizes[0] < len(json.dumps(of_snapshot(snapshot, 1, {}, NOW)))
    assert all("shortened" in condition["message"] for condition in status["conditions"])
    assert (status["artifacts"], status["gaps"], status["session"]["id"]) == (None, None, "INC-7F3A")
    kubernetes = FakeKubernetes(refusals=[refusal] * 3)
    assert await make_writer(kubernetes).snapshot(snapshot) is WriteResult.REFUSED


async def test_a_fault_that_lasts_is_taken_for_a_status_that_is_too_large() -> None:
    """Some API servers only answer 500. After a few tries the status is written smaller."""
    kubernetes = FakeKubernetes(refusals=[answered(500)] * 6)
    assert await make_writer(kubernetes).snapshot(make_snapshot([make_artifact()])) is WriteResult.DONE
    assert kubernetes.statuses[0]["artifacts"] is None


async def test_a_status_that_is_never_taken_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller is informed, and may try again later."""
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.01)
    kubernetes = FakeKubernetes(refusals=[Unavailable("away")] * 10**6)
    writer = make_writer(kubernetes)
    assert await writer.snapshot(make_snapshot()) is WriteResult.UNWRITTEN
    kubernetes.refusals.clear()
    writer.generation = 3
    assert await writer.again() is WriteResult.DONE
    assert (kubernetes.statuses[0]["phase"], kubernetes.statuses[0]["observedGeneration"]) == ("Completed", 3)
    assert await writer.again() is WriteResult.DONE
    assert len(kubernetes.statuses) == 1


def test_smaller_statuses_are_of_the_same_schema() -> None:
    """They have fields of the schema only, without those left out."""
    whole = of_snapshot(make_snapshot([make_artifact()] * 9, [make_gap()] * 9, "PartiallyCompleted"), 1, {}, NOW)
    for smaller in (shortened(whole), minimal(whole), minimal(of_phase("Failed", "x" * 9999, 1, {}, NOW))):
        InvestigationStatus.model_validate({name: value for name, value in smaller.items() if name != "session"})
    assert len(json.dumps(minimal(of_phase("Failed", "x" * 9999, 1, {}, NOW)))) < 2500


def test_the_status_of_a_large_investigation_stays_small() -> None:
    """A full status has a few kilobytes: thousands of finished ones are in memory while they are listed."""
    artifact = make_artifact(path=f"data/logs/{'x' * 100}.json", summary="s" * 900, target="t" * 200, sha256="0" * 64)
    gap = make_gap(target="t" * 200, message="m" * 150)
    status = of_snapshot(make_snapshot([artifact] * 500, [gap] * 500), 1, {}, NOW)
    assert len(json.dumps(status)) < 24_000


OTHERS = {"type": "Mine", "status": "True", "reason": "Why", "message": "", "lastTransitionTime": "2026-11-22T12:00:00Z"}


async def test_conditions_of_others_stay() -> None:
    """They do not follow from the phase. They stay even if they are added meanwhile."""
    kubernetes = FakeKubernetes()
    writer = make_writer(kubernetes)
    metadata = {"namespace": "shop", "name": "incident", "uid": UID, "generation": 2}
    writer.observe({"metadata": metadata, "status": {"conditions": [OTHERS]}})
    for ended in (False, True):
        await writer.snapshot(make_snapshot(ended=ended))
        assert kubernetes.statuses[-1]["conditions"][-1] == OTHERS
        assert [condition["type"] for condition in kubernetes.statuses[-1]["conditions"]].count("Ready") == 1
    assert kubernetes.statuses[-1]["observedGeneration"] == 2


async def test_a_restart_moves_no_transition_time() -> None:
    """The next process begins with the conditions that the last one wrote."""
    first, second = FakeKubernetes(), FakeKubernetes()
    await make_writer(first).phase("Queued", ConditionReason.QUEUED)
    writer = make_writer(second, first.statuses[0])
    writer._now = Clock(NOW + timedelta(hours=1))
    await writer.snapshot(make_snapshot(phase="Running", ended=False))
    assert {condition["lastTransitionTime"] for condition in second.statuses[0]["conditions"]} == {"2026-11-22T12:00:00Z"}


def claimable(**status: Any) -> FakeKubernetes:
    return FakeKubernetes({PATH: {"metadata": {"uid": UID, "resourceVersion": "7"}, "status": status}})


async def test_an_investigation_is_claimed_once() -> None:
    """The first claim writes Running. Any later claim gets the mark of the first, also another operator's."""
    kubernetes = claimable()
    assert await make_writer(kubernetes).claim("a") == "a"
    (status,) = kubernetes.statuses
    assert (status["operator"], status["phase"]) == ("a", "Running")
    for operator in ("a", "b"):
        assert await make_writer(claimable(operator="a")).claim(operator) == "a"


async def test_of_two_claims_at_once_one_holds() -> None:
    """The API server refuses the patch of a changed resource, and the other operator's mark is read."""
    kubernetes = claimable()

    async def overtaken(path: str, status: Any, uid: str, resource_version: str | None = None) -> None:
        assert resource_version == "7"
        kubernetes.objects = {PATH: {"metadata": {"uid": UID, "resourceVersion": "8"}, "status": {"operator": "b"}}}
        raise answered(409)

    kubernetes.patch_status = overtaken  # type: ignore[method-assign]
    assert await make_writer(kubernetes).claim("a") == "b"


async def test_what_cannot_be_claimed_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is gone, being deleted, replaced by another of its name or refused, or the API server is down."""
    assert await make_writer(FakeKubernetes()).claim("a") is Claim.GONE
    deleted = FakeKubernetes({PATH: {"metadata": {"uid": UID, "deletionTimestamp": "2026-11-22T12:00:00Z"}}})
    assert await make_writer(deleted).claim("a") is Claim.GONE
    assert await make_writer(FakeKubernetes({PATH: {"metadata": {"uid": "another"}}})).claim("a") is Claim.GONE
    refusing = claimable()
    refusing.refusals = [error_of(500, "the Kubernetes API answered 500: etcdserver: request is too large")]
    assert await make_writer(refusing).claim("a") is Claim.REFUSED
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.01)
    assert await make_writer(FakeKubernetes({PATH: Unavailable("away")})).claim("a") is Claim.UNAVAILABLE


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_claim_that_is_refused_is_not_tried_again(status: int) -> None:
    """An invalid patch stays invalid."""
    kubernetes = claimable()
    kubernetes.refusals = [answered(status)]
    assert await make_writer(kubernetes).claim("a") is Claim.REFUSED


@pytest.mark.parametrize("status", [401, 403, 409, 429, 500, 503])
async def test_a_claim_that_fails_in_passing_is_tried_again(status: int) -> None:
    """A right may be granted soon, and a server come back."""
    kubernetes = claimable()
    kubernetes.refusals = [answered(status)]
    assert await make_writer(kubernetes).claim("a") == "a"


@pytest.mark.parametrize(
    ("found", "goes_on", "written"),
    [
        ({"status": {"operator": "a", "phase": "Running"}}, True, True),
        ({"status": {"phase": "Running"}}, True, True),
        ({"status": None}, True, True),
        ({"status": {"operator": "b", "phase": "Running"}}, False, False),
        ({"status": {"operator": "b", "phase": "Completed"}}, True, False),
        ({"status": {"operator": "a", "phase": "Failed"}}, True, False),
        ({"metadata": {"uid": "another"}, "status": {"operator": "b"}}, True, False),
        (answered(404), True, False),
        (Unavailable("away"), True, False),
        (None, True, False),
    ],
    ids=[
        "its own",
        "no mark",
        "no status",
        "of another operator",
        "ended by another operator",
        "ended",
        "another of its name",
        "gone",
        "the API server is away",
        "the API server is silent",
    ],
)
async def test_a_capture_writes_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, found: Any, goes_on: bool, written: bool
) -> None:
    """Only the time is written, while the Investigation is still the same. Only another operator's mark ends the capture."""
    monkeypatch.setattr(module, "PROGRESS_SECONDS", 0.05)
    kubernetes = claimable()
    writer = make_writer(kubernetes)
    assert await writer.claim("a") == "a"
    writer._now = Clock(NOW + timedelta(minutes=1))
    kubernetes.patches.clear()
    kubernetes.objects = {PATH: {"metadata": {"uid": UID}, **found} if isinstance(found, dict) else found}
    if found is None:
        kubernetes.get = lambda *_, **__: forever()  # type: ignore[method-assign]
    assert await writer.beat() is goes_on
    assert kubernetes.patches == ([(PATH, {"operatorTime": "2026-11-22T12:01:00Z"}, UID)] if written else [])


async def test_what_was_not_claimed_gives_no_sign_of_life() -> None:
    """Its resource is neither read nor written."""
    kubernetes = claimable()
    assert await make_writer(kubernetes).beat()
    assert (kubernetes.asked, kubernetes.patches) == ([], [])


@pytest.mark.parametrize(
    ("severities", "headline"),
    [
        (["critical"], "Crash of pod/web-0; details are in data/findings.json"),
        (["info", "warning"], "Crash of pod/web-1; details are in data/findings.json"),
        (["info"], "no cause found; details are in data/findings.json"),
        ([], "no cause found; details are in data/findings.json"),
    ],
)
def test_a_headline_without_words_names_the_first_cause(severities: list[str], headline: str) -> None:
    """It has the rule and the object. Findings that only inform are no cause."""
    finding = {"rule": "Crash", "confidence": "certain", "message": "panic: CANARY"}
    findings = [
        FindingStatus.model_validate({**finding, "severity": severity, "object": {"kind": "Pod", "name": f"web-{number}"}})
        for number, severity in enumerate(severities)
    ]
    made = make_snapshot([make_artifact()])
    quoting = made.manifest.model_copy(update={"headline": "web-0: panic: CANARY", "findings": findings})
    assert without_words(replace(made, manifest=quoting)).manifest.headline == headline
    assert without_words(made).manifest.headline is None


async def test_an_end_without_a_session_has_its_time() -> None:
    """The spec was refused, for example."""
    kubernetes = FakeKubernetes()
    await make_writer(kubernetes).phase("Failed", ConditionReason.INVALID_SPEC, "spec.window: no")
    (status,) = kubernetes.statuses
    assert status["completionTime"] == "2026-11-22T12:00:00Z"
    assert {condition["message"] for condition in status["conditions"]} == {"spec.window: no"}
    assert {condition["reason"] for condition in status["conditions"]} == {"InvalidSpec"}


async def queued_a_minute_ago(kubernetes: FakeKubernetes) -> StatusWriter:
    """Return a writer that wrote the phase Queued 60 seconds ago."""
    clock, writer = Clock(), make_writer(kubernetes)
    writer._now = clock
    await writer.phase("Queued", ConditionReason.QUEUED)
    clock.advance(60)
    return writer


async def test_later_writes_keep_the_transition_times_of_earlier_ones() -> None:
    """The writer remembers the conditions that it wrote last."""
    writer = await queued_a_minute_ago(kubernetes := FakeKubernetes())
    await writer.snapshot(make_snapshot(phase="Running", ended=False))
    assert {condition["lastTransitionTime"] for condition in kubernetes.statuses[1]["conditions"]} == {"2026-11-22T12:00:00Z"}


async def test_what_others_write_moves_no_transition_time() -> None:
    """Own conditions are those written last, not those of an older view. Others' conditions are the current ones."""
    writer = await queued_a_minute_ago(kubernetes := FakeKubernetes())
    for conditions in (None, [{**OTHERS, "type": "Ready", "lastTransitionTime": "2020-01-01T00:00:00Z"}, OTHERS]):
        writer.observe({"metadata": {"generation": 2}, "status": {"conditions": conditions}})
    await writer.snapshot(make_snapshot(phase="Running", ended=False))
    *own, last = kubernetes.statuses[1]["conditions"]
    assert (last, {condition["lastTransitionTime"] for condition in own}) == (OTHERS, {"2026-11-22T12:00:00Z"})


async def test_a_change_after_the_end_is_acknowledged() -> None:
    """The generation is observed. The conditions are the current ones, not those of an older view."""
    ended = of_snapshot(make_snapshot([make_artifact()]), 1, {}, NOW)
    kubernetes = FakeKubernetes({PATH: {"metadata": {"uid": UID}, "status": ended}})
    await make_writer(kubernetes, {"phase": "Running"}, generation=4).acknowledge()
    (status,) = kubernetes.statuses
    assert status["observedGeneration"] == 4
    assert status["conditions"] == [{**condition, "observedGeneration": 4} for condition in ended["conditions"]]
    assert set(status) == {"observedGeneration", "conditions"}


CHANGE = ("ArtifactsExpired", ConditionReason.ARTIFACTS_EXPIRED, "removed")


@pytest.mark.parametrize("code", [400, 413, 422])
async def test_a_change_that_is_refused_is_not_tried_again(code: int) -> None:
    """An invalid patch stays invalid."""
    kubernetes = claimable()
    kubernetes.refusals = [answered(code)]
    assert await make_writer(kubernetes).add_condition(*CHANGE) is WriteResult.REFUSED
    assert kubernetes.patches == []


@pytest.mark.parametrize("code", [401, 403, 409, 429, 500, 503])
async def test_a_change_that_fails_in_passing_is_tried_again(code: int) -> None:
    """The current status is patched until the change is stored."""
    kubernetes = claimable()
    kubernetes.refusals = [answered(code)]
    assert await make_writer(kubernetes).add_condition(*CHANGE) is WriteResult.DONE
    ((path, status, uid),) = kubernetes.patches
    assert (path, uid, [condition["type"] for condition in status["conditions"]]) == (PATH, UID, ["ArtifactsExpired"])


async def test_a_change_of_what_is_gone_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resource is deleted, another has its name, or the API server is away for too long."""
    another, away = FakeKubernetes({PATH: {"metadata": {"uid": "another"}}}), FakeKubernetes({PATH: Unavailable("away")})
    assert await make_writer(FakeKubernetes()).add_condition(*CHANGE) is WriteResult.GONE
    assert await make_writer(another).add_condition(*CHANGE) is WriteResult.GONE
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.01)
    assert await make_writer(away).add_condition(*CHANGE) is WriteResult.UNWRITTEN


async def test_of_many_reports_the_latest_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of progress does not become a flood of patches. The last status is written after them."""
    monkeypatch.setattr(progress_module, "PROGRESS_INTERVAL_SECONDS", 0.01)
    kubernetes = FakeKubernetes()
    writer = make_writer(kubernetes)
    snapshots = [Snapshot(make_snapshot(ended=False, phase="Running").manifest, "", n, 100) for n in range(100)]
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        async with following(writer, lambda: 1) as report:
            for snapshot in snapshots[:50]:
                report(snapshot)
            while not kubernetes.patches:  # noqa: ASYNC110 (bounded by the time-out above)
                await asyncio.sleep(0)
            for snapshot in snapshots[50:]:
                report(snapshot)
        await writer.snapshot(make_snapshot())
    assert [status["progress"]["done"] for status in kubernetes.statuses] == [49, 1]
    assert kubernetes.statuses[-1]["phase"] == "Completed"


@pytest.mark.parametrize(("running", "seconds"), [(0, 1), (1, 1), (8, 1), (20, 2.5), (80, 10)])
def test_progress_is_written_less_often_while_many_run(running: int, seconds: float) -> None:
    """All together write at most eight times a second."""
    assert progress_module.interval_seconds(running) == seconds


@pytest.mark.parametrize("seconds", [3600.0, 0.0])
async def test_a_capture_that_ends_at_once_has_one_status(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Its progress is not written: the last status follows within the interval. Without an interval, too, it ends."""
    monkeypatch.setattr(progress_module, "PROGRESS_INTERVAL_SECONDS", seconds)
    kubernetes = FakeKubernetes()
    writer = make_writer(kubernetes)
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        async with following(writer, lambda: 1) as report:
            report(make_snapshot(ended=False, phase="Running"))
            await asyncio.sleep(0)
        await writer.snapshot(make_snapshot())
    assert [status["phase"] for status in kubernetes.statuses] == ["Completed"]


async def test_late_progress_never_overtakes_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of the capture the writer waits for a running patch: the API server might apply it after the last one."""
    monkeypatch.setattr(progress_module, "PROGRESS_INTERVAL_SECONDS", 0.01)
    kubernetes = FakeKubernetes()
    go_on, begun = asyncio.Event(), asyncio.Event()

    async def slow(path: str, status: Any, uid: str, resource_version: str | None = None) -> None:
        async def apply() -> None:
            begun.set()
            await go_on.wait()
            kubernetes.patches.append((path, status, uid))

        await asyncio.shield(asyncio.create_task(apply()))  # the server goes on though the client gives up

    kubernetes.patch_status = slow  # type: ignore[method-assign]
    writer = make_writer(kubernetes)
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        async with following(writer, lambda: 1) as report:
            report(make_snapshot(ended=False, phase="Running"))
            await begun.wait()
            asyncio.get_running_loop().call_soon(go_on.set)
        await writer.snapshot(make_snapshot())
    assert [status["phase"] for status in kubernetes.statuses] == ["Running", "Completed"]

"""From events, objects and log lines to the most important moments."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from aletheia_operator.text.batches import SEPARATOR, SERIOUS_CODE, Encoded
from aletheia_operator.timeline import Timeline
from aletheia_operator.timeline.bursts import ErrorWatch
from aletheia_operator.timeline.moments import of_event, of_object
from aletheia_operator.timeline.timeline import MAX_MOMENTS

START, END = datetime(2026, 11, 22, 11, tzinfo=UTC), datetime(2026, 11, 22, 12, tzinfo=UTC)


def event(reason: str, message: str = "", kind: str = "Pod", type: str = "Warning", **more: Any) -> dict[str, Any]:
    found = {"reason": reason, "message": message, "type": type, "count": 1, "object": {"kind": kind, "name": "web-0"}}
    return {"first": "2026-11-22T11:30:00Z", "last": "2026-11-22T11:30:00Z", **found, **more}


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (event("ScalingReplicaSet", "Scaled up replica set web-1 from 0 to 2", "Deployment", "Normal"), "Scaling"),
        (event("SuccessfulRescale", "New size: 3", "HorizontalPodAutoscaler", "Normal"), "Scaling"),
        (event("Unhealthy", "Readiness probe failed"), "ProbeFailure"),
        (event("BackOff", "Back-off restarting failed container app in pod web-0"), "CrashLoop"),
        (event("BackOff", 'Back-off pulling image "shop:1"', type="Normal"), "ImagePull"),
        (event("Failed", 'Failed to pull image "shop:1"'), "ImagePull"),
        (event("Failed", "Error: configmap not found"), "Warning"),
        (event("Evicted", "The node was low on resource: memory"), "Eviction"),
        (event("FailedScheduling", "0/1 nodes are available"), "Scheduling"),
        (event("FailedMount", "MountVolume.SetUp failed"), "Volume"),
        (event("Killing", "Stopping container app", type="Normal"), "PodStopped"),
        (event("NodeNotReady", "", "Node", "Normal"), "NodeTrouble"),
        (event("NodeHasInsufficientMemory", "", "Node", "Normal"), "NodeTrouble"),
        (event("NodeHasDiskPressure", "", "Node", "Normal"), "NodeTrouble"),
        (event("NodeReady", "", "Node", "Normal"), "NodeReady"),
        (event("CgroupV1", "is in maintenance mode", "Node"), "Warning"),
        (event("SystemOOM", "victim process: java", "Node"), "OOMKill"),
        (event("NodeHasSufficientMemory", "", "Node", "Normal"), None),
        (event("NodeHasNoDiskPressure", "", "Node", "Normal"), None),
        (event("Pulled", "Container image already present", type="Normal"), None),
        (event("SomethingNew", "of a controller nobody knows"), "Warning"),
    ],
)
def test_what_an_event_is_on_the_timeline(entry: dict[str, Any], kind: str | None) -> None:
    """Every warning is on it, and any other event that changes a workload, a pod or a node."""
    assert [moment.kind for moment in of_event(entry)] == ([kind] if kind else [])


def test_a_repeated_event_is_one_moment_with_its_count() -> None:
    """Fifty failing probes are a single line to read."""
    involved = {"kind": "Pod", "name": "web-0", "fieldPath": "spec.containers{app}"}
    (moment,) = of_event(event("Unhealthy", "failed\x1b[2J", last="2026-11-22T11:40:00Z", count=50, object=involved))
    assert moment.to_json() == {
        "timestamp": "2026-11-22T11:30:00Z",
        "end": "2026-11-22T11:40:00Z",
        "kind": "ProbeFailure",
        "object": "pod/web-0",
        "container": "app",
        "count": 50,
        "message": "Unhealthy: failed\\x1b[2J",
        "artifact": "",
    }


def a_pod(**status: Any) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": "web-0"}, "status": status}


def ended(code: int, reason: str) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": "2026-11-22T11:30:00Z"}}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (
            {"containerStatuses": [{"name": "app", "restartCount": 2, "lastState": ended(1, "Error")}]},
            [("Restart", "exit code 1 (Error); restarted 2 times until now")],
        ),
        (
            {"containerStatuses": [{"name": "app", "restartCount": 1, "lastState": ended(137, "OOMKilled")}]},
            [("OOMKill", "exit code 137 (OOMKilled); restarted once until now")],
        ),
        ({"containerStatuses": [{"name": "app", "state": ended(2, "Error")}]}, [("ContainerExit", "exit code 2 (Error)")]),
        ({"containerStatuses": [{"name": "app", "state": ended(0, "Completed")}]}, []),
        (
            {
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/1 nodes",
                        "lastTransitionTime": "2026-11-22T11:30:00Z",
                    }
                ]
            },
            [("Scheduling", "Unschedulable: 0/1 nodes")],
        ),
        (
            {
                "conditions": [
                    {
                        "type": "DisruptionTarget",
                        "status": "True",
                        "reason": "TerminationByKubelet",
                        "message": "low on memory",
                        "lastTransitionTime": "2026-11-22T11:30:00Z",
                    }
                ]
            },
            [("Eviction", "TerminationByKubelet: low on memory")],
        ),
    ],
)
def test_what_a_pod_is_on_the_timeline(status: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """It shows how the containers ended, and what keeps the pod from running."""
    assert [(moment.kind, moment.message) for moment in of_object(a_pod(**status))] == expected


def test_a_node_with_trouble() -> None:
    """A condition Ready is good, and one of pressure is not. A healthy node has no moments."""
    at = {"lastTransitionTime": "2026-11-22T11:30:00Z", "message": "m"}
    conditions = [
        {"type": "Ready", "status": "Unknown", **at},
        {"type": "DiskPressure", "status": "True", **at},
        {"type": "MemoryPressure", "status": "False", **at},
    ]
    node = {"kind": "Node", "metadata": {"name": "n1"}, "status": {"conditions": conditions}}
    assert [moment.message for moment in of_object(node)] == ["Ready is Unknown: m", "DiskPressure is True: m"]


def errors(minute: int, count: int, container: str = "app") -> list[dict[str, Any]]:
    stamp = f"2026-11-22T11:{minute:02}:05.000000001Z"
    return [{"timestamp": stamp, "container": container, "level": "ERROR", "line": f"ERROR no {n}"} for n in range(count)]


def test_the_first_error_and_a_burst_of_each_container() -> None:
    """Few errors are no burst; the burst links to its own first error."""
    watch = ErrorWatch(START, END)
    entries = [
        {"timestamp": None, "container": "app", "level": "ERROR"},
        *errors(1, 2),
        *errors(30, 40),
        *errors(31, 3, "side"),
    ]
    for index, entry in enumerate(entries):
        watch.add(entry, index)
    found = [(moment.kind, moment.container, moment.count, moment.entry, moment.message) for moment in watch.moments("pod/a")]
    assert found == [
        ("FirstError", "app", 42, 1, "ERROR no 0"),
        ("ErrorBurst", "app", 40, 3, "40 errors until 11:30:05"),
        ("FirstError", "side", 3, 43, "ERROR no 0"),
    ]


def test_a_burst_begins_with_its_first_error() -> None:
    """It does not begin earlier, since readers compare it with other changes. Neighbouring buckets are one burst."""
    watch = ErrorWatch(START, END)
    stamps = [f"2026-11-22T11:30:{second:02}.5Z" for second in range(7, 27) for _ in range(3)]
    for index, stamp in enumerate(stamps):
        watch.add({"timestamp": stamp, "container": "app", "level": "ERROR", "line": "x"}, index)
    (burst,) = [moment for moment in watch.moments("pod/a") if moment.kind == "ErrorBurst"]
    assert (burst.timestamp, burst.end, burst.entry) == ("2026-11-22T11:30:10.5Z", "2026-11-22T11:30:26.5Z", 9)


@pytest.mark.parametrize("in_order", [True, False])
def test_errors_of_a_block_count_as_each_of_them(in_order: bool) -> None:
    """The result is the same for blocks of one run, whether their times are in order or not."""
    seconds = [second for second in range(7, 47) for _ in range(4)]
    entries: list[dict[str, Any]] = [
        {"timestamp": f"2026-11-22T11:30:{second:02}.{number:09}Z", "container": "app", "level": "ERROR", "line": "x"}
        for number, second in enumerate(seconds if in_order else seconds[80:] + seconds[:80])
    ]
    each, whole = ErrorWatch(START, END), ErrorWatch(START, END)
    for index, entry in enumerate(entries):
        each.add(entry, index)
    for at in range(0, len(entries), 50):
        some = entries[at : at + 50]
        block = SEPARATOR.join(map(orjson.dumps, some))
        whole.read(Encoded(block, bytes([SERIOUS_CODE]) * len(some), alike=[1] * len(some)), at)
    assert [*whole.moments("pod/a")] == [*each.moments("pod/a")]


def test_errors_that_never_stop_are_no_burst() -> None:
    """For a container that fails evenly through the whole window, only the first error with its count is shown."""
    watch = ErrorWatch(START, END)
    stamps = (f"2026-11-22T11:{second // 60:02}:{second % 60:02}Z" for second in range(3600) for _ in range(2))
    for index, stamp in enumerate(stamps):
        watch.add({"timestamp": stamp, "container": "app", "level": "FATAL", "line": "x"}, index)
    assert [(moment.kind, moment.count) for moment in watch.moments("pod/a")] == [("FirstError", 7200)]


def test_the_timeline_is_in_order_within_the_window_and_linked() -> None:
    """Entries of several artifacts become one list, each with a link, without moments before the window."""
    timeline = Timeline(START, END)
    events = timeline.reader("kubernetes", "events")
    objects = timeline.reader("kubernetes", "objects")
    assert events and objects and timeline.reader("prometheus", "metrics") is None
    before = "2026-11-22T10:00:00Z"
    events.read([event("Evicted", first=before, last=before), event("Unhealthy")])
    events.read([event("BackOff", "Back-off restarting", first=before, last="2026-11-22T11:00:00Z")])
    early = {"name": "app", "restartCount": 1, "lastState": ended(1, "Error")}
    objects.read([orjson.Fragment(orjson.dumps(a_pod(containerStatuses=[early])))])
    events.close("data/events/e.json", {})
    rollout = {"created": "2026-11-22T11:10:00Z", "in_window": True, "summary": "revision 2 rolled out"}
    lasting = [rollout, {**rollout, "in_window": False}]
    objects.close("data/objects/o.json", {"kind": "Deployment", "name": "web", "rollouts": lasting})
    entries = timeline.entries()
    assert [(entry["kind"], entry["artifact"], entry.get("entry")) for entry in entries] == [
        ("CrashLoop", "data/events/e.json", 2),
        ("Rollout", "data/objects/o.json", None),
        ("Restart", "data/objects/o.json", 0),
        ("ProbeFailure", "data/events/e.json", 1),
    ]
    assert timeline.summary().startswith("4 moments: 1 Rollout, 1 Restart, 1 CrashLoop, 1 ProbeFailure; first: 10:00:00")
    assert timeline.metadata()["left_out"] == 0


def test_of_too_many_moments_the_weightier_stay() -> None:
    """Memory and file stay small, and the dropped moments are counted."""
    timeline = Timeline(START, END)
    reader = timeline.reader("kubernetes", "events")
    assert reader
    reader.read([event("Unhealthy") for _ in range(MAX_MOMENTS)] + [event("Evicted")])
    reader.close("data/events/e.json", {})
    kinds = [entry["kind"] for entry in timeline.entries()]
    assert len(kinds) == MAX_MOMENTS
    assert "Eviction" in kinds
    assert timeline.metadata()["left_out"] == 1


def test_a_quiet_session_says_so() -> None:
    """A session without any moment has a timeline that says so."""
    assert Timeline(START, END).summary() == "nothing out of the ordinary"

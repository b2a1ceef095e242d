"""Which pods are gone, and which events: derived from names, controllers' events, and objects."""

from datetime import timedelta
from typing import Any

import pytest

from aletheia_operator.api import Target
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.base import Missing, Window
from aletheia_operator.fetchers.kubernetes.event_list import Events
from aletheia_operator.fetchers.kubernetes.expired_events import expected_events, expired
from aletheia_operator.fetchers.kubernetes.gone_pods import GonePod
from aletheia_operator.fetchers.kubernetes.members import Member
from aletheia_operator.fetchers.kubernetes.subjects import Subjects
from aletheia_operator.fetchers.spill import Spill
from tests.unit.fakes import make_scratch
from tests.unit.kubernetes_api import NOW, Object, a_pod, an_event, deployment, replica_set

DAY = Window(NOW - timedelta(days=1), NOW)


def find(events: list[Object], *targets: tuple[str, str], members: list[Object] | None = None) -> dict[str, GonePod]:
    """The pods of workloads that are gone."""
    parsed = [Target.model_validate({"workload": {"kind": kind, "name": name}}) for kind, name in targets]
    subjects = Subjects(parsed)
    subjects.add_members([Member.of(item, Spill(make_scratch)) for item in members or []])
    found = Events(DAY)
    for event in events:
        kind, name = event["involvedObject"]["kind"], event["involvedObject"]["name"]
        if subjects.may_know((kind, name)):
            found.add(event)
    return subjects.find_gone_pods(found)


LONG = "checkout-of-the-large-shop-in-the-north-of-the-land-with-many-aisles"  # 68 characters
FIFTY = "checkout-of-the-large-shop-in-the-north-of-the-lan"


@pytest.mark.parametrize(
    ("target", "pod"),
    [
        (("ReplicaSet", "web"), "web-bcdfg"),
        (("ReplicaSet", LONG), f"{LONG[:58]}bcdfg"),
        (("ReplicaSet", "a" * 57), f"{'a' * 57}-bcdfg"),
        (("ReplicaSet", "a" * 58), f"{'a' * 58}bcdfg"),
        (("DaemonSet", LONG), f"{LONG[:58]}bcdfg"),
        (("Deployment", LONG), f"{LONG[:58]}bcdfg"),
        (("Job", "load"), "load-bcdfg"),
        (("Job", "load"), "load-17-bcdfg"),
        (("Job", "a" * 63), f"{'a' * 54}-17-bcdfg"),
        (("Job", "a" * 63), f"{'a' * 58}bcdfg"),
        (("StatefulSet", "db"), "db-12"),
    ],
    ids=lambda case: case if isinstance(case, str) else f"{case[0]} of {len(case[1])}",
)
def test_pods_are_known_by_the_names_that_controllers_give(target: tuple[str, str], pod: str) -> None:
    """The generated part follows the controller's name, which is cut at 58 characters."""
    gone = find([an_event(pod, "Killing")], target)
    assert [pod.owner for pod in gone.values()] == [f"{target[0].lower()}/{target[1]}"]


@pytest.mark.parametrize(("owner", "known"), [("ReplicaSet", True), ("StatefulSet", True), ("Job", False)])
def test_a_pod_whose_end_no_event_tells(owner: str, known: bool) -> None:
    """It may have run into the window, unless it belongs to a Job and completed; then it was removed without an event."""
    pod = "web-0" if owner == "StatefulSet" else "web-bcdfg"
    subjects = Subjects([Target.model_validate({"workload": {"kind": owner, "name": "web"}})])
    found = Events(Window(NOW, NOW + timedelta(minutes=1)))
    found.add(an_event(pod, "Started", at="11:30:00"))
    assert bool(subjects.find_gone_pods(found)) is known


@pytest.mark.parametrize("pod", ["web-api-bcdfg", "web", "web-", "web-0-1-bcdfg", "website-bcdfg", "web-BCDFG", "web-bcdf"])
def test_other_names_are_strangers(pod: str) -> None:
    """A similar name is not sufficient."""
    assert find([an_event(pod, "Killing")], ("ReplicaSet", "web")) == {}


def test_pods_of_a_long_named_deployment_and_its_vanished_revision() -> None:
    """The ReplicaSet is known by the Deployment's event; of the pod's name nothing but its beginning is left."""
    old = f"{FIFTY}-7d4b9c6f58"
    events = [
        an_event(f"{old[:58]}bcdfg", "Killing"),
        an_event(FIFTY, "ScalingReplicaSet", "Deployment", message=f"Scaled down replica set {old} from 1 to 0"),
    ]
    assert [pod.owner for pod in find(events, ("Deployment", FIFTY)).values()] == [f"deployment/{FIFTY}"]


def test_of_two_revisions_with_the_same_beginning_none_is_named() -> None:
    """A revision is known from the controller's own event, or from a name that only it can have made."""
    first, second = (replica_set(f"{LONG}-{number}", number, f"shop:{number}", LONG) for number in (1, 2))
    members = [deployment(LONG) | {"kind": "Deployment"}, first | {"kind": "ReplicaSet"}, second | {"kind": "ReplicaSet"}]
    killed = an_event(f"{LONG[:58]}bcdfg", "Killing")
    (pod,) = find([killed], ("Deployment", LONG), members=members).values()
    assert (pod.owner, pod.revision) == (f"deployment/{LONG}", None)
    created = an_event(f"{LONG}-1", "SuccessfulCreate", "ReplicaSet", message=f"Created pod: {LONG[:58]}bcdfg")
    (pod,) = find([killed, created], ("Deployment", LONG), members=members).values()
    assert pod.revision == "revision 1 (app shop:1)"


@pytest.mark.parametrize(
    ("controller", "message", "pod"),
    [
        (("ReplicaSet", "web"), "Deleted pod: web-bcdfg", "web-bcdfg"),
        (("Job", "load"), "Created pod: load-bcdfg", "load-bcdfg"),
        (("StatefulSet", "db"), "delete Pod db-3 in StatefulSet db successful", "db-3"),
    ],
)
def test_a_pod_without_events_is_known_by_its_controllers(controller: tuple[str, str], message: str, pod: str) -> None:
    """Its own events may have expired, or never been written."""
    gone = find([an_event(controller[1], "Successful", controller[0], message=message)], controller)
    assert gone.keys() == {pod}
    assert gone[pod].reasons == {"Successful": 1}


def test_a_controllers_word_outweighs_a_name() -> None:
    """A pod that another controller created does not belong to the target, for any name."""
    stranger = an_event("web-api", "SuccessfulCreate", "ReplicaSet", message="Created pod: web-bcdfg")
    assert find([an_event("web-bcdfg", "Killing"), stranger], ("ReplicaSet", "web")) == {}


def test_ten_thousand_strangers_are_looked_at_once_each() -> None:
    """The cost of an event does not grow with the number of controllers that are followed."""
    targets = [("ReplicaSet", f"web-{number}") for number in range(200)]
    events = [an_event(f"other-{number}-bcdfg-x-y-z-0-bcdfg", "Killing") for number in range(5000)]
    assert find(events, *targets) == {}


def scheduled(pod: Object, at: str) -> Object:
    """The pod, scheduled at a time of the day."""
    conditions = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": f"2026-11-22T{at}Z"}]
    return pod | {"kind": "Pod", "status": {"conditions": conditions}}


def started(pod: Object, *runs: str) -> Object:
    """The pod, with a container that started at these times of the day. The last run runs, the one before has ended."""
    states = [{"terminated": {"startedAt": f"2026-11-22T{at}Z"}} for at in runs[:-1]]
    container: dict[str, Any] = {"name": "app", "state": {"running": {"startedAt": f"2026-11-22T{runs[-1]}Z"}}}
    if states:
        container["lastState"] = states[-1]
    return pod | {"kind": "Pod", "status": {"containerStatuses": [container]}}


def scaled(item: Object) -> Object:
    """The ReplicaSet of a Deployment that wants pods."""
    item["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"] = "2"
    return item | {"kind": "ReplicaSet"}


POD = a_pod("web-0", "none")
LONG_AGO = an_event("web-0", "Started", at="08:00:00", lastTimestamp="2026-11-22T11:59:00Z")


UNSCHEDULED = {"type": "PodScheduled", "status": "False", "lastTransitionTime": "2026-11-22T08:00:00Z"}


def seen(at: str) -> Object:
    """An event of the pod that was first written at a time of the day, and is repeated until now."""
    return an_event("web-0", "Unhealthy", at=at, lastTimestamp="2026-11-22T11:59:00Z")


def judged(events: list[Object], *items: Object, hours: int = 6) -> list[Missing]:
    """Return what a window of so many hours reports about expired events."""
    found = Events(Window(NOW - timedelta(hours=hours), NOW))
    for event in events:
        found.update_oldest(event)
        found.add(event)
    return expired(
        found, [expected_event for item in items for expected_event in expected_events(item)], NOW + timedelta(seconds=5)
    )


@pytest.mark.parametrize(
    ("events", "items", "severity"),
    [
        pytest.param([], [], "note", id="nobody can tell"),
        pytest.param([an_event("any", "Pulled")], [scheduled(POD, "03:00:00")], "note", id="the pod is older than the window"),
        pytest.param([an_event("web-0", "Scheduled")], [scheduled(POD, "11:30:00")], "note", id="its events are there"),
        pytest.param([], [scheduled(POD, "11:30:00")], "note", id="it is younger than events live, so none was written"),
        pytest.param(
            [an_event("any", "Pulled")], [scheduled(POD, "08:00:00")], "gap", id="scheduled in the window, without an event"
        ),
        pytest.param([LONG_AGO], [started(POD, "08:00:00")], "note", id="an event that lives on as it repeats"),
        pytest.param([LONG_AGO], [started(POD, "08:00:00", "11:59:00")], "note", id="restarts, seen in one event"),
        pytest.param([], [started(POD, "09:00:00", "11:59:00")], "gap", id="a restart in the window, without an event"),
        pytest.param(
            [an_event("web-0", "Unhealthy", at="08:00:30", lastTimestamp="2026-11-22T11:59:00Z")],
            [started(POD, "08:00:00")],
            "gap",
            id="a probe that fails does not tell of a start",
        ),
        pytest.param(
            [an_event("web-0", "Started", uid="another", at="08:00:00", lastTimestamp="2026-11-22T11:59:00Z")],
            [started(POD, "08:00:00")],
            "gap",
            id="an event of another pod of that name",
        ),
        pytest.param([seen("08:00:01")], [scheduled(POD, "08:00:00")], "note", id="seen a second later, and still repeated"),
        pytest.param([seen("08:05:00")], [scheduled(POD, "08:00:00")], "gap", id="the first that is left came minutes later"),
        pytest.param([seen("07:59:00")], [scheduled(POD, "08:00:00")], "gap", id="of before it was scheduled"),
        pytest.param(
            [an_event("any", "Pulled")],
            [a_pod("web-0", "none") | {"kind": "Pod", "status": {"conditions": [UNSCHEDULED]}}],
            "note",
            id="never scheduled",
        ),
        pytest.param([], [replica_set("web-1", 1, "shop:1") | {"kind": "ReplicaSet"}], "note", id="scaled to none"),
    ],
)
def test_what_is_known_to_be_lost(events: list[Object], items: list[Object], severity: str) -> None:
    """A gap if the targets report something without an event for it; else a note."""
    (missing,) = judged(events, *items)
    assert (missing.target, missing.reason, missing.severity) == ("events", GapReason.EVENTS_EXPIRED, severity)


def test_a_rollout_whose_events_are_gone() -> None:
    """The pods that it replaced cannot be known any more, so the gap names it."""
    item = scaled(replica_set("web-1", 1, "shop:1"))
    item["metadata"]["creationTimestamp"] = "2026-11-22T08:00:00Z"
    (missing,) = judged([], item)
    assert missing.severity == "gap"
    assert "replicaset/web-1 (rolled out at 2026-11-22T08:00:00Z)" in missing.message


def test_many_lost_events_are_counted() -> None:
    """The oldest are named."""
    pods = [scheduled(a_pod(f"web-{number}", "none"), f"0{number + 6}:30:00") for number in range(4)]
    (missing,) = judged([], *reversed(pods))
    assert "of pod/web-0 (scheduled at 2026-11-22T06:30:00Z)" in missing.message
    assert "and 1 more" in missing.message


@pytest.mark.parametrize(
    ("hours", "oldest", "reported"),
    [(1, "11:30:00", False), (2, "11:30:00", True), (2, None, True), (2, "09:59:00", False), (2, "10:00:00", False)],
    ids=[
        "events live an hour",
        "the window is older",
        "no event is left to tell",
        "this cluster keeps them longer",
        "one is left of the very moment at which the window begins",
    ],
)
def test_when_events_may_have_expired(hours: int, oldest: str | None, reported: bool) -> None:
    """By the default of an hour, unless an older event shows that they live longer."""
    events = [an_event("any", "Pulled", at=oldest)] if oldest else []
    assert [gap.severity for gap in judged(events, hours=hours)] == (["note"] if reported else [])


def test_static_pods_owe_no_events() -> None:
    """Their events have the uid of a file, so none is expected."""
    pod = scheduled(a_pod("etcd", "none"), "08:00:00")
    pod["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    assert expected_events(pod) == []


def test_events_of_a_service_with_the_workloads_name_belong_to_it() -> None:
    """Its load balancer may fail. Other Services' events do not."""
    subjects = Subjects([Target.model_validate({"workload": {"kind": "Deployment", "name": "web"}})])
    assert (subjects.may_know(("Service", "web")), subjects.may_know(("Service", "other"))) == (True, False)

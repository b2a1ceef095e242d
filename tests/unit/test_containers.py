"""From a pod's status to the runs of its containers, and to those of them that are lost."""

from typing import Any

import pytest

from aletheia_operator.api import LogsRequest
from aletheia_operator.fetchers.kubernetes.containers import (
    ContainerState,
    Run,
    container_states,
    lost_runs,
    requested_containers,
    wanted_runs,
)
from tests.unit.fakes import PULLING, RUNNING, make_pod, make_window

WINDOW = make_window()  # 11:00 to 12:00
EARLIER, BEFORE, WITHIN, LATER, AFTER = (
    f"2026-11-22T{time}Z" for time in ("10:00:00", "10:30:00", "11:30:00", "11:40:00", "12:30:00")
)


def status(restarts: int = 0, last: tuple[str, str] | None = None, **state: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"restartCount": restarts, "state": state}
    if last is not None:
        found["lastState"] = {"terminated": {"startedAt": last[0], "finishedAt": last[1], "exitCode": 1}}
    return found


def running(since: str) -> Any:
    return {"running": {"startedAt": since}}


WAITING: Any = {"waiting": {"reason": "CrashLoopBackOff"}}


def state_of(container: dict[str, Any] | None) -> ContainerState:
    return container_states(make_pod(app=container))["app"]


@pytest.mark.parametrize(
    ("container", "by_api", "lost"),
    [
        pytest.param(status(**running(WITHIN)), [0], [], id="its first run"),
        pytest.param(status(**running(AFTER)), [], [], id="begun after the window"),
        pytest.param(status(terminated={"startedAt": EARLIER, "finishedAt": BEFORE}), [], [], id="ended before the window"),
        pytest.param(status(1, (EARLIER, WITHIN), **running(LATER)), [0, 1], [], id="restarted once"),
        pytest.param(status(1, (EARLIER, BEFORE), **running(WITHIN)), [1], [], id="restarted, the run before ended too early"),
        pytest.param(status(7, (WITHIN, LATER), **running(LATER)), [6, 7], [0, 1, 2, 3, 4, 5], id="restarted seven times"),
        pytest.param(
            status(7, (BEFORE, LATER), **running(LATER)), [6, 7], [], id="seven times, five of them before the window"
        ),
        pytest.param(status(7, (WITHIN, LATER), **WAITING), [7], [0, 1, 2, 3, 4, 5, 6], id="waiting after seven restarts"),
        pytest.param(status(1, (EARLIER, BEFORE), **WAITING), [], [], id="waiting since before the window"),
        pytest.param(status(1, (BEFORE, AFTER), **WAITING), [1], [], id="waiting, its last run lasted all of the window"),
        pytest.param(status(0, (AFTER, AFTER), **WAITING), [], [], id="waiting, its only run began after the window"),
        pytest.param(status(7, **WAITING), [], list(range(8)), id="waiting, and the node has removed the last run"),
        pytest.param(status(7, **running(WITHIN)), [6, 7], [0, 1, 2, 3, 4, 5], id="running, the run before removed"),
        pytest.param(status(7, **running(BEFORE)), [7], [], id="running since before the window"),
        pytest.param(status(1, (WITHIN, LATER), **running(AFTER)), [0], [], id="restarted again after the window"),
        pytest.param(PULLING, [], [], id="never started"),
        pytest.param(None, [], [], id="no status"),
    ],
)
def test_every_run_of_the_window_is_read_or_lost(container: dict[str, Any] | None, by_api: list[int], lost: list[int]) -> None:
    """The runs that the API has, and the numbers of other known runs."""
    state = state_of(container)
    wanted = wanted_runs(state.by_api, WINDOW, previous=True, first_number=0)
    assert [run.number for run in wanted] == by_api
    known = state.restarts + 1 if state.ran else 0
    assert lost_runs(known, wanted, state.runs, WINDOW, 0) == lost
    assert (state.not_started is not None) == (not state.ran)
    assert ContainerState.from_json(state.to_json()) == state


@pytest.mark.parametrize(
    ("container", "times"),
    [
        pytest.param(status(**running(WITHIN)), {0: (WITHIN, None)}, id="running"),
        pytest.param(
            status(2, (EARLIER, BEFORE), terminated={"startedAt": WITHIN, "finishedAt": LATER}),
            {1: (EARLIER, BEFORE), 2: (WITHIN, LATER)},
            id="ended, and its run before that",
        ),
        pytest.param(status(2, **running(WITHIN)), {1: (None, WITHIN), 2: (WITHIN, None)}, id="the run before removed"),
        pytest.param(status(2, (BEFORE, LATER), **WAITING), {1: (None, BEFORE), 2: (BEFORE, LATER)}, id="waiting"),
    ],
)
def test_when_runs_began_and_ended(container: dict[str, Any], times: dict[int, tuple[str | None, str | None]]) -> None:
    """As the status says; a run of which it says nothing ended when the next one began, or before."""
    assert {run.number: (run.started_at, run.finished_at) for run in state_of(container).runs} == times


def test_without_previous_only_the_latest_run_is_read() -> None:
    """`logs.previous: false`: earlier runs are no gap; a run after a restart during the read is read too."""
    state = state_of(status(3, (WITHIN, LATER), **running(LATER)))
    assert [run.number for run in wanted_runs(state.by_api, WINDOW, previous=False, first_number=3)] == [3]
    assert lost_runs(4, state.runs, state.runs, WINDOW, first_number=3) == []
    again = state_of(status(4, (WITHIN, LATER), **running(LATER)))
    assert [run.number for run in wanted_runs(again.by_api, WINDOW, previous=False, first_number=3)] == [3, 4]
    waiting = state_of(status(3, (WITHIN, LATER), **WAITING))
    assert [run.number for run in wanted_runs(waiting.by_api, WINDOW, previous=False, first_number=3)] == [3]


def test_a_run_between_two_that_were_read_is_lost() -> None:
    """For example a run that began and ended while the others were read."""
    had = [Run("app", 1), Run("app", 3)]
    assert lost_runs(5, had, [], WINDOW, 0) == [0, 2, 4]


@pytest.mark.parametrize(
    ("state", "containers"),
    [
        pytest.param({"app": RUNNING, "proxy": RUNNING}, ["app", "proxy"], id="plain ones"),
        pytest.param({"app": RUNNING, "init_db": RUNNING, "debug_sh": RUNNING}, ["init_db", "app", "debug_sh"], id="by kind"),
    ],
)
def test_containers_come_in_the_pods_order(state: dict[str, Any], containers: list[str]) -> None:
    """Init, then plain, then ephemeral containers."""
    assert [container.container for container in requested_containers(make_pod(**state), None, LogsRequest())] == containers


def test_only_wanted_containers_are_read_and_unknown_ones_are_said() -> None:
    """A name that the pod does not have is reported."""
    proxy, typo = requested_containers(make_pod(app=RUNNING, proxy=RUNNING), {"proxy", "typo"}, LogsRequest())
    assert proxy.container == "proxy"
    assert typo == ContainerState("typo", not_started="the pod has no container typo")


@pytest.mark.parametrize(
    ("request_", "containers"),
    [
        (LogsRequest(init_containers=False), ["app", "sidecar"]),
        (LogsRequest(container="^side"), ["sidecar"]),
        (LogsRequest(exclude_container=["car$", "^init"]), ["app"]),
        (LogsRequest(container_states=["waiting"]), ["sidecar"]),
    ],
)
def test_kinds_of_containers_can_be_left_out(request_: LogsRequest, containers: list[str]) -> None:
    """By kind, name and state."""
    pod = make_pod(init_db=RUNNING, app=RUNNING, sidecar=PULLING)
    assert [container.container for container in requested_containers(pod, None, request_)] == containers


@pytest.mark.parametrize(
    ("pod_status", "words"),
    [
        pytest.param({"phase": "Pending"}, "Pending", id="not scheduled"),
        pytest.param(
            {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, "Evicted: low on memory", id="evicted"
        ),
        pytest.param({}, "no status yet", id="brand-new"),
    ],
)
def test_a_pod_without_container_statuses_says_why(pod_status: dict[str, str], words: str) -> None:
    """The pod's own reason stands in for the container's."""
    (state,) = requested_containers({**make_pod(), "status": pod_status}, None, LogsRequest())
    assert state.not_started == f"the container never started: {words}"


def test_a_container_that_never_started_says_why() -> None:
    """Its own reason and message precede the pod's."""
    pod = make_pod(app=PULLING, proxy={"state": {"waiting": {"reason": "PodInitializing"}}})
    pod["status"] |= {"reason": "Other", "message": "of the pod"}
    app, proxy = requested_containers(pod, None, LogsRequest())
    assert app.not_started == "the container never started: ImagePullBackOff: no such image"
    assert proxy.not_started == "the container never started: PodInitializing: of the pod"


def test_a_gap_names_its_runs() -> None:
    """As its entries do."""
    assert str(Run("app", 3, previous=True)) == "container/app (run 3, previous)"
    assert str(Run("app", 0)) == "container/app (run 0)"
    assert str(Run("app")) == "container/app"

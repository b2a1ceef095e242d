"""Selects the containers of a pod and those runs of them that belong to a window. Pure.

A run of a container has the number of its restart, which is also the name of its log file on the node: the first is run 0. The
API server knows the times of two runs at most: `state` and `lastState` (core/v1 ContainerStatus).
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from aletheia_operator.api import LogsRequest
from aletheia_operator.api.expressions import compile_expression
from aletheia_operator.fetchers.base import Window
from aletheia_operator.text.timestamps import parse_time

_SECOND = timedelta(seconds=1)  # times of a status have whole seconds
_KINDS = (
    ("initContainers", "initContainerStatuses"),
    ("containers", "containerStatuses"),
    ("ephemeralContainers", "ephemeralContainerStatuses"),
)


@dataclass(frozen=True)
class Run:
    """One run of a container. `number`: None if the container's status does not have it. Times: None if not known."""

    container: str
    number: int | None = None
    previous: bool = False
    """Whether it is older than the latest run that the API server knows."""
    started_at: str | None = None
    finished_at: str | None = None
    """Latest time at which it can have ended. None: not known."""

    def __str__(self) -> str:
        number = "" if self.number is None else f"run {self.number}"
        notes = ", ".join(note for note in (number, "previous" if self.previous else "") if note)
        return f"container/{self.container}" + (f" ({notes})" if notes else "")

    def ended_before(self, moment: datetime) -> bool:
        """Return whether it certainly ended before `moment`."""
        finished = parse_time(self.finished_at)
        return finished is not None and finished + _SECOND < moment

    def began_after(self, moment: datetime) -> bool:
        """Return whether it certainly began after `moment`."""
        started = parse_time(self.started_at)
        return started is not None and started > moment


@dataclass(frozen=True)
class ContainerState:
    """What the API server knows of a container's runs.

    `latest`: the run that pods/log shows. `before`: the run that it shows with `previous=true`, if the node still has its log.
    """

    container: str
    restarts: int = 0
    latest: Run | None = None
    before: Run | None = None
    waits: bool = False
    """Whether it waits to be started. The API then has no log of the run before the latest."""
    not_started: str | None = None
    """Why it never ran; None if it ran."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ContainerState":
        runs = {name: value[name] and Run(**value[name]) for name in ("latest", "before")}
        return cls(**{**value, **runs})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def runs(self) -> list[Run]:
        """The runs with known times, oldest first."""
        return [run for run in (self.before, self.latest) if run is not None]

    @property
    def ran(self) -> bool:
        """Whether it ever ran."""
        return self.latest is not None or self.restarts > 0

    def run(self, number: int | None) -> Run | None:
        """Return the run with this number; None if the API does not have its log."""
        return next((run for run in self.by_api if run.number == number), None)

    @property
    def by_api(self) -> list[Run]:
        """Return the runs with logs in the API, according to the status."""
        return [run for run in self.runs if not (self.waits and run is self.before)]

    def same_runs(self, other: "ContainerState") -> bool:
        """Return whether the API shows the same runs in the same places as in `other`."""
        return (self.restarts, self.ran, self.waits) == (other.restarts, other.ran, other.waits)


def wanted_runs(runs: Iterable[Run], window: Window, *, previous: bool, first_number: int) -> list[Run]:
    """Return the runs that may have lines in the window. Without `previous`: only runs from number `first_number` on."""
    return [
        run
        for run in runs
        if not run.ended_before(window.start)
        and not run.began_after(window.end)
        and (previous or (not run.previous if run.number is None else run.number >= first_number))
    ]


def lost_runs(known: int, captured: Iterable[Run], dated: Iterable[Run], window: Window, first_number: int) -> list[int]:
    """Return the numbers of runs that may belong to the window and are not in `captured`.

    Numbers begin at `first_number` and are below `known`. `dated`: runs with known times.
    """
    runs = [*dated, *captured]
    begun = [run.number for run in runs if run.number is not None and _began_before(run, window.start)]
    over = [run.number for run in runs if run.number is not None and run.ended_before(window.start)]
    later = [run.number for run in runs if run.number is not None and run.began_after(window.end)]
    first = max([first_number, *begun, *(number + 1 for number in over)])
    end = min([known, *later])
    numbers = {run.number for run in captured}
    return [number for number in range(first, end) if number not in numbers]


def _began_before(run: Run, moment: datetime) -> bool:
    started = parse_time(run.started_at)
    return started is not None and started + _SECOND <= moment


def requested_containers(pod: Mapping[str, Any], wanted: set[str] | None, request: LogsRequest) -> list[ContainerState]:
    """Return the pod's requested containers, in the pod's order. `wanted`: names that a target gives; None: all."""
    found, known = [], set()
    states = container_states(pod)
    for specs, _ in _KINDS:
        of_kind = {"initContainers": request.init_containers, "ephemeralContainers": request.ephemeral_containers}.get(
            specs, True
        )
        for container in pod["spec"].get(specs) or []:
            name = container["name"]
            known.add(name)
            requested = of_kind if wanted is None else name in wanted
            if requested and is_selected(name, _status_of(pod, name), request):
                found.append(states[name])
    missing = sorted((wanted or set()) - known)
    return found + [ContainerState(name, not_started=f"the pod has no container {name}") for name in missing]


def is_selected(name: str, status: Mapping[str, Any] | None, request: LogsRequest) -> bool:
    """Return whether the request selects a container by its name and state."""
    if request.container is not None and not compile_expression(request.container).search(name):
        return False
    if any(compile_expression(expression).search(name) for expression in request.exclude_container or ()):
        return False
    state = next(iter((status or {}).get("state") or {}), "waiting")
    return request.container_states is None or state in request.container_states


def container_states(pod: Mapping[str, Any]) -> dict[str, ContainerState]:
    """Return the state of each container in a pod's status, by name."""
    names = [container["name"] for specs, _ in _KINDS for container in pod["spec"].get(specs) or []]
    return {name: _state_of(name, _status_of(pod, name), pod.get("status") or {}) for name in names}


def _status_of(pod: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    status = pod.get("status") or {}
    return next((container for _, kind in _KINDS for container in status.get(kind) or [] if container["name"] == name), None)


def _state_of(name: str, container: Mapping[str, Any] | None, pod_status: Mapping[str, Any]) -> ContainerState:
    restarts = int((container or {}).get("restartCount") or 0)
    state = (container or {}).get("state") or {}
    last = ((container or {}).get("lastState") or {}).get("terminated")
    present = state["running"] if "running" in state else state.get("terminated")
    before = Run(name, restarts - 1 if restarts else None, previous=True)
    if present is not None:
        latest = Run(name, restarts, False, present.get("startedAt"), present.get("finishedAt"))
        if last is not None:
            before = replace(before, started_at=last.get("startedAt"), finished_at=last.get("finishedAt"))
        elif restarts:  # the node has removed that container, and perhaps its log
            before = replace(before, finished_at=present.get("startedAt"))
        return ContainerState(name, restarts, latest, before if last is not None or restarts else None)
    if last is not None:  # it waits to be restarted: the log that the API has is that of the last run
        latest = Run(name, restarts, False, last.get("startedAt"), last.get("finishedAt"))
        before = replace(before, finished_at=last.get("startedAt"))
        return ContainerState(name, restarts, latest, before if restarts else None, waits=True)
    if restarts:
        return ContainerState(name, restarts, waits=True)
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason") or pod_status.get("reason") or pod_status.get("phase") or "no status yet"
    detail = waiting.get("message") or pod_status.get("message")
    return ContainerState(name, not_started=f"the container never started: {reason}" + (f": {detail}" if detail else ""))

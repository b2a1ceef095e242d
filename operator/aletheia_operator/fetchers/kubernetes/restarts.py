"""Follows containers that restart while a pod's logs are read by the API, so that each run has its own log.

The API shows two runs of a container, and a restart moves both. So states are read again after the logs, and logs that may
show another run are read again. If that can no longer be determined, a gap is added.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.kubernetes.container_logs import ContainerLogs
from aletheia_operator.fetchers.kubernetes.containers import ContainerState
from aletheia_operator.fetchers.kubernetes.run_identity import UNKNOWN_RUN, may_be_later, of_other_runs
from aletheia_operator.logs.framing import SECOND_LENGTH

MAX_ROUNDS = 4  # reads of a container that restarts meanwhile
STALE_TRIES = 25
STALE_SECONDS = 0.2  # between two tries: a kubelet tells the API server within a second or two

States = dict[str, ContainerState]
"""States of a pod's containers, by their names."""


@dataclass
class Restarts:
    """The restarts of a pod's containers since `states`, which are updated. `read_states` returns None if it fails."""

    containers: Sequence[ContainerLogs]
    states: States
    read_states: Callable[[], Awaitable[States | None]]

    async def follow(self) -> bool:
        """Read the runs again that a restart has moved to another place in the API, and the new runs.

        Returns whether the states could be read. If not, logs are kept by what is known of the runs.
        """
        for rounds in range(MAX_ROUNDS + 1):
            containers = [container for container in self.containers if container.by_api or not container.planned.ran]
            if not containers:
                return True
            changed = await self._changed(containers)
            if changed is None:
                return False
            if not changed:
                break
            if rounds == MAX_ROUNDS:
                for container in changed:
                    _add_gap_of_unknown_run(container)
                break
            async with asyncio.TaskGroup() as group:
                for container in changed:
                    group.create_task(container.guarded(container.read_by_api(self.states[container.planned.container])))
        return True

    def drop_other_runs(self, *, pod_gone: bool) -> None:
        """Drop logs that show other runs than requested, by the last known states. `pod_gone`: whether the pod is gone.

        If a log has no line from before its run's end, whether it is that of the next run is not known any more.
        """
        for container in self.containers:
            state = self.states[container.planned.container]
            for number in of_other_runs(container.logs, state):
                container.logs[number].give_up(GapReason.LOG_UNAVAILABLE, "the API showed a later run's log in its place")
            if pod_gone and any(may_be_later(log, state, container.window) for log in container.logs.values()):
                _add_gap_of_unknown_run(container)

    async def _changed(self, containers: Sequence[ContainerLogs]) -> list[ContainerLogs] | None:
        """Return the containers that restarted since `states`, and update these; None if they cannot be read."""
        now = await self.read_states()
        if now is None:
            return None
        stale = await self._stale(containers, now)
        for _ in range(STALE_TRIES):
            if not stale:
                break
            await asyncio.sleep(STALE_SECONDS)
            if (now := await self.read_states()) is None:
                return None
            stale = await self._stale(containers, now)
        for container in stale:
            _add_gap_of_unknown_run(container)
        changed = [container for container in containers if not self._same_runs(container, now)]
        self.states |= {container.planned.container: now[container.planned.container] for container in containers}
        return changed

    async def _stale(self, containers: Sequence[ContainerLogs], now: States) -> list[ContainerLogs]:
        """Return the containers that restarted since `states` by their logs, but not by the API server's states."""
        same = [container for container in containers if self._same_runs(container, now)]
        return [container for container in same if await container.is_stale(now[container.planned.container])]

    def _same_runs(self, container: ContainerLogs, now: States) -> bool:
        return now[container.planned.container].same_runs(self.states[container.planned.container])


def add_gaps_of_incomplete_runs(containers: Sequence[ContainerLogs], replaced_at: str | None) -> None:
    """Add the gaps of runs that could not be read to their end. `replaced_at`: when another pod took the name of this one.

    Logs of that other pod are dropped.
    """
    for log in (log for container in containers for log in container.logs.values()):
        if replaced_at is not None and log.via == "api" and log.position.latest >= replaced_at[:SECOND_LENGTH]:
            log.give_up(GapReason.LOG_UNAVAILABLE, "another pod of the same name was there before this run was read")
        elif not log.complete:
            log.add_gap(GapReason.LOG_INCOMPLETE, "the container restarted, or its pod was replaced, while this run was read")


def _add_gap_of_unknown_run(container: ContainerLogs) -> None:
    for log in container.logs.values():
        if log.via == "api":
            log.add_gap(GapReason.LOG_INCOMPLETE, f"{UNKNOWN_RUN}: it restarts")

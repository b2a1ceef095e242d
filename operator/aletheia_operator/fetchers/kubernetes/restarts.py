"""Follows containers that restart while a pod's logs are read by the API, so that each run has its own log.

The API shows two runs of a container, and a restart moves both. So states are read again after the logs, and logs that are of
other runs by then are read again. Where that can no longer be told, a gap says so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.kubernetes.container_logs import ContainerLogs
from aletheia_operator.fetchers.kubernetes.containers import ContainerState
from aletheia_operator.fetchers.kubernetes.run_identity import may_be_later, of_other_runs
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

        Returns whether the states could be read. If not, what is known of the runs decides which logs are kept.
        """
        for rounds in range(MAX_ROUNDS + 1):
            containers = [one for one in self.containers if one.by_api or not one.planned.ran]
            if not containers:
                return True
            changed = await self._changed(containers)
            if changed is None:
                return False
            if not changed:
                break
            if rounds == MAX_ROUNDS:
                for one in changed:
                    _say_unsure(one)
                break
            async with asyncio.TaskGroup() as group:
                for one in changed:
                    group.create_task(one.guarded(one.read_by_api(self.states[one.planned.container])))
        return True

    def settle(self, *, gone: bool) -> None:
        """Drop logs of other runs than they were asked for, by the last states that are known. `gone`: the pod is.

        A log of a running container that began lately may be of its next run, and nobody can tell any more.
        """
        for one in self.containers:
            for number in of_other_runs(one.logs, self.states[one.planned.container]):
                one.logs[number].give_up(GapReason.LOG_UNAVAILABLE, "the API showed a later run's log in its place")
            if gone and any(may_be_later(run, one.window) for run in one.logs.values()):
                _say_unsure(one)

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
            now = await self.read_states() or now
            stale = await self._stale(containers, now)
        for one in stale:
            _say_unsure(one)
        changed = [one for one in containers if not self._same_runs(one, now)]
        self.states |= {one.planned.container: now[one.planned.container] for one in containers}
        return changed

    async def _stale(self, containers: Sequence[ContainerLogs], now: States) -> list[ContainerLogs]:
        """Return the containers that did not restart since `states`, by the API server, but did by their logs."""
        same = [one for one in containers if self._same_runs(one, now)]
        return [one for one in same if await one.is_stale(now[one.planned.container])]

    def _same_runs(self, one: ContainerLogs, now: States) -> bool:
        return now[one.planned.container].same_runs(self.states[one.planned.container])


def conclude(containers: Sequence[ContainerLogs], replaced_at: str | None) -> None:
    """Add the gaps of runs that could not be read to their end. `replaced_at`: when another pod took the name of this one.

    What the API then showed of that pod is dropped.
    """
    for one in (log for container in containers for log in container.logs.values()):
        if replaced_at is not None and one.via == "api" and one.position.latest >= replaced_at[:SECOND_LENGTH]:
            one.give_up(GapReason.LOG_UNAVAILABLE, "another pod of the same name was there before this run was read")
        elif not one.complete:
            one.say(GapReason.LOG_INCOMPLETE, "the container restarted, or its pod was replaced, while this run was read")


def _say_unsure(container: ContainerLogs) -> None:
    for one in container.logs.values():
        if one.via == "api":
            one.say(GapReason.LOG_INCOMPLETE, "it cannot be told which of the container's last runs was read: it restarts")

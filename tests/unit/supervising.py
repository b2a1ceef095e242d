"""Shared parts of tests of the supervisor: a supervisor with fakes, and resources to show it."""

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api import paths
from aletheia_operator.clients.fair_slots import FairSlots
from aletheia_operator.handlers import progress
from aletheia_operator.handlers import run as module
from aletheia_operator.handlers import status_writer as status_module
from aletheia_operator.handlers.identity import OperatorIdentity
from aletheia_operator.handlers.placement import JobRunner
from aletheia_operator.handlers.run import Shared
from aletheia_operator.handlers.supervisor import Supervisor
from aletheia_operator.handlers.trust import Trust
from aletheia_operator.settings import Rights
from tests.unit.fakes import LONGEST_TEST_SECONDS, UID, Clock, FakeFetcher, FakeInvestigations, make_tools, until


def make_body(uid: str = UID, generation: int = 1, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "shop",
            "name": "incident" if uid == UID else uid,
            "uid": uid,
            "generation": generation,
            "creationTimestamp": "2026-11-22T12:00:00Z",
        },
        "spec": {"targets": [{"pod": "web-0"}], **spec},
        "status": status or {},
    }


@dataclass
class Rig:
    """A supervisor, what it wrote and what it announced."""

    root: Path
    fetcher: FakeFetcher = field(default_factory=lambda: FakeFetcher({"a": [[1]]}))
    kubernetes: FakeInvestigations = field(default_factory=FakeInvestigations)
    clock: Clock = field(default_factory=Clock)
    max_investigations: int = 20
    max_of_one: int = 20
    max_queued: int = 200
    rights: Rights = field(default_factory=Rights)
    identity: str = "flight"
    log_text: bool = True
    runner: JobRunner | None = None
    events: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        tools = make_tools(self.root, self.fetcher, kubernetes=self.kubernetes, now=self.clock)
        shared = Shared(
            tools=tools,
            emit=self._emit,
            slots=FairSlots(self.max_investigations, self.max_of_one) if self.runner is None else self.runner.first_slots,
            runner=self.runner,
            trust=Trust(self.kubernetes.real(), self.rights, sleep=lambda seconds: asyncio.sleep(0)),
            identity=OperatorIdentity(tools.layout, self.identity),
            max_timeout_seconds=3600,
            max_queued=self.max_queued,
            log_text=self.log_text,
        )
        self.supervisor = Supervisor(shared)

    def observe(self, body: dict[str, Any]) -> None:
        """Apply the resource, and show it on the watch."""
        self.kubernetes.put(body)
        self.supervisor.observe(body)

    def show(self, name: str = "incident", uid: str = UID) -> dict[str, Any]:
        """Show the resource on the watch, as the API server has it. Returns the resource."""
        body = copy.deepcopy(self.kubernetes.stored[paths.investigation("shop", name)])
        assert body["metadata"]["uid"] == uid
        self.supervisor.observe(body)
        return body

    def _emit(self, body: Any, kind: str, reason: str, message: str) -> None:
        assert body["metadata"]["uid"], "an Event is about an Investigation"
        assert message.strip(), "an Event has words"
        self.events.append((kind, reason, message))

    async def until(self, true: Callable[[], object]) -> None:
        """Wait, for a bounded time, until the condition is true."""
        await until(true)

    async def settled(self) -> None:
        """Wait until nothing runs."""
        async with asyncio.timeout(LONGEST_TEST_SECONDS):
            while tasks := list(self.supervisor._tasks.values()):
                await asyncio.wait(tasks)

    @property
    def phases(self) -> list[str]:
        """The phases that were written, without repetitions."""
        written = [status.get("phase", "-") for status in self.kubernetes.statuses]
        return [phase for i, phase in enumerate(written) if i == 0 or phase != written[i - 1]]

    @property
    def last(self) -> dict[str, Any]:
        return self.kubernetes.statuses[-1]


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without delays, and write progress at once."""
    monkeypatch.setattr(progress, "PROGRESS_INTERVAL_SECONDS", 0.001)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)
    for place in (status_module, module):
        monkeypatch.setattr(place, "retry_delays", lambda: repeat(0.0))

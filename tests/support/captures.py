"""Captures without a cluster: the real `investigate` with fetchers that answer from memory."""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.clients.fair_slots import FairSlots
from aletheia_operator.fetchers.base import Document, Entries, Outcome, Plan, Question, Sources
from aletheia_operator.handlers.identity import OperatorIdentity
from aletheia_operator.handlers.run import Shared
from aletheia_operator.handlers.supervisor import Supervisor
from aletheia_operator.handlers.trust import Trust
from aletheia_operator.investigate import Order, Snapshot, Tools, investigate
from aletheia_operator.logs.pool import Parsers
from aletheia_operator.session import InvestigationReference, Manifest, SessionLayout
from aletheia_operator.settings import Rights
from tests.support.faults import Fault
from tests.support.merging import merged

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OWNER = InvestigationReference(namespace="production", name="payments-500s", uid="6f9619ff-8b86-d011-b42d-00cf4fc964ff")


class NoWorkers(Parsers):
    """Starts no worker processes, because their descriptors would outlive a capture."""

    def warm(self) -> None:
        pass


@dataclass
class Memory:
    """A fetcher with given answers: name of a question → batches of entries.

    `asked` counts the questions. A `source` named `kubernetes` gets a timeline.
    """

    answers: Mapping[str, Sequence[Entries]]
    source: str = "memory"
    name: str = "Memory"
    asked: list[str] = field(default_factory=list)

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        return Plan(tuple(Question(self.name, key, f"pod/{key}", {}) for key in self.answers))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        self.asked.append(question.key)
        outcome = Outcome(summary=f"the words of {question.key}")

        async def batches() -> AsyncGenerator[Entries, None]:
            for batch in self.answers[question.key]:
                yield batch

        yield Document("logs", self.source, ("kubernetes", question.key), {"pod": question.key}, batches(), outcome)


def capture(
    root: Path,
    fetcher: Memory,
    spec: Mapping[str, Any] | None = None,
    now: Callable[[], datetime] = lambda: NOW,
    owner: InvestigationReference = OWNER,
    cancel: bool = False,
    report: Callable[[Snapshot], None] = lambda snapshot: None,
    **tools: Any,
) -> Snapshot:
    """Run one capture to its end, questions in order. `cancel`: the fetcher's `cancel` cancels the Investigation.

    `report`: called with its progress.
    """
    order = Order(owner, NOW, InvestigationSpec.model_validate({"targets": [{"pod": "any"}], **(spec or {})}))
    if cancel:
        fetcher.cancel = order.cancelled.set  # type: ignore[attr-defined]
    kubernetes = tools.pop("kubernetes", None)
    shared = _tools(root, kubernetes, fetcher, now=now, parsers=NoWorkers(), **tools)
    return asyncio.run(investigate(order, shared, report))


def _tools(root: Path, kubernetes: Any, fetcher: Any, **more: Any) -> Tools:
    """Return tools for one question at a time, without HTTP."""
    return Tools(
        SessionLayout(root), kubernetes, cast("Any", None), fetchers=(fetcher,), max_fetches=1, sleep=_no_sleep, **more
    )


async def _no_sleep(seconds: float) -> None:
    """Do not wait for the end of the window."""


def unfinished(owner: InvestigationReference = OWNER) -> Manifest:
    """Return the first manifest of a capture, without an id."""
    return Manifest(
        session_id="",
        investigation=owner,
        spec={"targets": [{"pod": "any"}]},
        window=("2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z"),
        phase="Running",
        start_time=NOW,
        operator_version="1",
    )


@dataclass
class StoredResource:
    """An Investigation in an API server that outlives the operator: its status is a file, patched in one step.

    `fault` counts a step before each patch, and one after it before the operator gets the answer.
    """

    file: Path
    fault: Fault | None = None

    @property
    def status(self) -> dict[str, Any]:
        return json.loads(self.file.read_bytes()) if self.file.exists() else {}

    def body(self) -> dict[str, Any]:
        metadata = {"namespace": OWNER.namespace, "name": OWNER.name, "uid": OWNER.uid, "generation": 1}
        metadata["creationTimestamp"] = NOW.isoformat()
        return {"metadata": metadata, "spec": {"targets": [{"pod": "any"}]}, "status": self.status}

    async def get(self, path: str) -> dict[str, Any]:
        return self.body()

    async def patch_status(self, path: str, status: Mapping[str, Any], uid: str, resource_version: str | None = None) -> None:
        if uid != OWNER.uid:
            raise Rejected("another has its name")
        if self.fault:
            self.fault.passes("before patch")
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(merged(self.status, status)))
        new.replace(self.file)  # in one step: a kill in another thread may come at any moment
        if self.fault:
            self.fault.passes("after patch")


def operate(root: Path, fetcher: Memory, resource: StoredResource) -> None:
    """Run an operator that starts and finds the resource, until it is finished."""
    tools = _tools(root, resource, fetcher, now=lambda: NOW)

    async def run() -> None:
        shared = Shared(
            tools=tools,
            emit=lambda body, kind, reason, message: None,
            slots=FairSlots(1, 1),
            trust=Trust(tools.kubernetes, Rights()),
            identity=OperatorIdentity(tools.layout, "flight"),
            max_timeout_seconds=3600,
        )
        supervisor = Supervisor(shared)
        supervisor.observe(resource.body())
        while tasks := list(supervisor._tasks.values()):
            await asyncio.wait(tasks)

    asyncio.run(run())


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

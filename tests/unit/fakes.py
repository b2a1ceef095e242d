"""Fakes that several tests share: the Kubernetes API, fetchers, clocks."""

import asyncio
import copy
import gc
import json
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

from aletheia_operator.api import InvestigationSpec, paths
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, error_of
from aletheia_operator.clients.http import Http
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.base import Document, Outcome, Plan, Question, Sources, Window, parts_of
from aletheia_operator.fetchers.kubernetes.containers import Run
from aletheia_operator.fetchers.kubernetes.run_log import LogLimits, RunLog
from aletheia_operator.investigate import Order, Tools
from aletheia_operator.investigate.threads import to_the_end
from aletheia_operator.logs.pool import ParsedRun, Parsers
from aletheia_operator.logs.position import Position
from aletheia_operator.logs.run import Operation, RunOrder, RunResult
from aletheia_operator.logs.run_spooler import RunSpooler
from aletheia_operator.scratch import Scratch
from aletheia_operator.session import InvestigationReference, SessionLayout
from aletheia_operator.text.batches import Encoded
from tests.support.fetching import build_sources
from tests.unit.kubernetes_api import is_selected

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"
LONGEST_TEST_SECONDS = 60.0
"""Limit of a wait for what comes at once on an idle machine. Only a hang reaches it, so a busy machine must not."""

Script = Sequence[bytes | Exception]
"""What a log stream yields: chunks, and errors between them. Its end is a clean end of file."""


async def until(true: Callable[[], object]) -> None:
    """Wait, for a bounded time, until the condition is true."""
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        while not true():  # noqa: ASYNC110 (what is waited for is of several kinds)
            await asyncio.sleep(0.001)


class Seconds:
    """A monotonic clock that stands still until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeKubernetes:
    """The Kubernetes API from tables: `objects` and `lists` by path (an Exception is raised), `logs` as scripts, one a read."""

    objects: Mapping[str, Any] = field(default_factory=dict)
    lists: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    logs: list[Script] = field(default_factory=list)
    log_head: bytes = b""
    """Beginning of the log, for reads with `limitBytes`."""
    user: str | None = None
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    patches: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)
    refusals: list[SourceError] = field(default_factory=list)
    """Errors of the next patches."""
    created: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    deleted: list[tuple[str, str]] = field(default_factory=list)
    _tail: list[bytes] = field(default_factory=list)
    """Last lines of the log that was read last."""

    @property
    def statuses(self) -> list[dict[str, Any]]:
        return [status for _, status, _ in self.patches]

    def as_service_account(self, namespace: str, name: str) -> "FakeKubernetes":
        user = f"system:serviceaccount:{namespace}:{name}"
        return FakeKubernetes(self.objects, self.lists, self.logs, self.log_head, user, self.asked)

    def sharing(self, since: float) -> "FakeKubernetes":
        return self

    def counted(self, namespace: str) -> "FakeKubernetes":
        return self

    async def get(self, path: str, query: Mapping[str, str] | None = None, accept: str = "") -> Any:
        self.asked.append((path, dict(query or {})))
        found = self.objects.get(path, Rejected("the Kubernetes API answered 404: not found", GapReason.NOT_FOUND))
        if isinstance(found, Exception):
            raise found
        if isinstance(found, dict) and "PartialObjectMetadata" in accept:
            return {"metadata": copy.deepcopy(found["metadata"])}
        return copy.deepcopy(found)

    async def list(
        self, path: str, query: Mapping[str, str] | None = None, *, metadata_only: bool = False
    ) -> AsyncIterator[Any]:
        self.asked.append((path, dict(query or {})))
        for item in self.lists.get(path, ()):
            if isinstance(item, Exception):
                raise item
            if is_selected(item, query or {}):
                yield {"metadata": copy.deepcopy(item["metadata"])} if metadata_only else copy.deepcopy(item)

    async def read(
        self, path: str, work: Callable[[Any], Any], query: Mapping[str, str] | None = None, accept: str = ""
    ) -> Any:
        found = await self.get(path, query, accept)
        return await asyncio.to_thread(work, found)

    async def pages(
        self, path: str, work: Callable[[Sequence[Any]], Any], query: Mapping[str, str] | None = None
    ) -> AsyncIterator[Any]:
        items: list[Any] = []
        error: Exception | None = None
        try:
            async for item in self.list(path, query):
                items.append(item)
        except SourceError as e:
            error = e
        yield await asyncio.to_thread(work, items)
        if error is not None:
            raise error

    async def close(self) -> None:
        pass

    async def patch_status(self, path: str, status: Mapping[str, Any], uid: str, resource_version: str | None = None) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.patches.append((path, dict(status), uid))

    async def create(self, path: str, body: Mapping[str, Any]) -> Any:
        self.created.append((path, dict(body)))
        return body

    async def delete(self, path: str, uid: str, propagation: str | None = None) -> None:
        self.deleted.append((path, uid))

    @asynccontextmanager
    async def stream(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[Any]:
        self.asked.append((path, dict(query or {})))
        script: Script = self._log_answers(query or {})
        if script and isinstance(script[0], Exception):
            raise script[0]
        lines = b"".join(chunk for chunk in script if isinstance(chunk, bytes)).splitlines(keepends=True)
        self._tail = lines[-2:] or self._tail
        yield Response(Content(script))

    def _log_answers(self, query: Mapping[str, str]) -> Script:
        if "limitBytes" in query:
            return [self.log_head[: int(query["limitBytes"])]]
        return list(self._tail) if "tailLines" in query else self.logs.pop(0)

    def real(self) -> Kubernetes:
        """Return this fake, typed as the class that it replaces."""
        return cast("Kubernetes", self)


class WithoutLogs(FakeKubernetes):
    """Answers every request for a log with this error."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def _log_answers(self, query: Mapping[str, str]) -> Script:
        return [self.error]


@dataclass
class FakeInvestigations(FakeKubernetes):
    """Investigations as an API server keeps them: each has a resource version, and its status takes merge patches."""

    stored: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The objects by path."""

    def put(self, body: Mapping[str, Any]) -> None:
        """Store an object, as `kubectl apply` does: its status is kept."""
        metadata = body["metadata"]
        path = paths.investigation(metadata["namespace"], metadata["name"])
        before = self.stored.get(path, {"metadata": {}})
        same = before["metadata"].get("uid") == metadata["uid"]
        status = {**(body.get("status") or {}), **(before.get("status") or {} if same else {})}
        version = str(int(before["metadata"].get("resourceVersion", 0)) + 1)
        self.stored[path] = {**body, "metadata": {**metadata, "resourceVersion": version}, "status": status}

    async def get(self, path: str, query: Mapping[str, str] | None = None, accept: str = "") -> Any:
        if path not in self.stored:
            return await super().get(path, query, accept)
        self.asked.append((path, dict(query or {})))
        return copy.deepcopy(self.stored[path])

    async def patch_status(self, path: str, status: Mapping[str, Any], uid: str, resource_version: str | None = None) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        if path not in self.stored:
            raise error_of(404, "the Kubernetes API answered 404: not found")
        metadata = self.stored[path]["metadata"]
        if metadata["uid"] != uid or resource_version not in (None, metadata["resourceVersion"]):
            raise error_of(409, "the Kubernetes API answered 409: the object has been modified")
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        merged = {**self.stored[path]["status"], **copy.deepcopy(dict(status))}
        self.stored[path]["status"] = {name: value for name, value in merged.items() if value is not None}
        self.patches.append((path, dict(status), uid))


@dataclass
class FakeKubernetesLogs(FakeKubernetes):
    """Answers logs as the kubelet does: all lines with a time of at least sinceTime."""

    lines: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    """The log of each container."""
    breaks: Sequence[tuple[int, Exception | None]] = ()
    """The size at which each of the first answers breaks off, and the error. None: it ends cleanly, as when a node is lost."""

    @asynccontextmanager
    async def stream(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[Any]:
        asked = dict(query or {})
        since = asked.get("sinceTime", "").removesuffix("Z").encode()
        answer: Script = [line for line in self.lines[asked["container"]] if line >= since]
        reads = sum(path.endswith("/log") and not {"tailLines", "limitBytes"} & set(query) for path, query in self.asked)
        if "tailLines" in asked:
            answer = answer[-int(asked["tailLines"]) :]
        elif "limitBytes" in asked:
            answer = [b"".join(line for line in answer if isinstance(line, bytes))[: int(asked["limitBytes"])]]
        elif reads < len(self.breaks):
            size_bytes, error = self.breaks[reads]
            whole = b"".join(chunk for chunk in answer if isinstance(chunk, bytes))
            answer = [whole[:size_bytes], *([error] if error else [])]
        self.asked.append((path, asked))
        yield Response(Content(answer))


@dataclass
class Response:
    content: "Content"


@dataclass
class Content:
    script: Script

    async def iter_any(self) -> AsyncIterator[bytes]:
        for step in self.script:
            if isinstance(step, Exception):
                raise step
            yield step

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        async for chunk in self.iter_any():
            for at in range(0, len(chunk), size):
                yield chunk[at : at + size]


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    moment: datetime = NOW

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


Step = Sequence[Any] | Exception | Callable[[], Any]
"""A batch of entries, an exception to raise, or an async function to wait for."""


@dataclass
class FakeFetcher:
    """Asks one question for each key of `answers`; its document yields the steps of each."""

    answers: Mapping[str, Iterable[Step]]
    name: str = "Fake"
    plan_error: Exception | None = None
    asked: list[str] = field(default_factory=list)
    planned: int = 0

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        self.planned += 1
        if self.plan_error is not None:
            raise self.plan_error
        return Plan(tuple(Question(self.name, f"{self.name}/{key}", f"thing/{key}", {"key": key}) for key in self.answers))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        key = question.arguments["key"]
        self.asked.append(key)
        outcome = Outcome()
        yield Document("logs", "fake", ("fake", key), {"thing": key}, self._batches(key, outcome), outcome)

    async def _batches(self, key: str, outcome: Outcome) -> AsyncGenerator[list[Any], None]:
        count = 0
        try:
            for step in self.answers[key]:
                if isinstance(step, Exception):
                    raise step
                if callable(step):
                    await step()
                else:
                    count += len(step)
                    yield list(step)
        finally:
            outcome.summary = f"{count} entries"


def descriptors() -> int:
    """Return how many descriptors this process has open. Those of garbage that earlier tests left do not count."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


async def forever() -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()


async def no_sleep(seconds: float) -> None:
    """Return at once."""


def make_tools(root: Path, *fetchers: Any, **changes: Any) -> Tools:
    """Tools with a session volume at `root`, these fetchers and a clock that stands still at NOW."""
    kubernetes = changes.pop("kubernetes", None) or FakeKubernetes()
    settings: dict[str, Any] = {"now": Clock(), "sleep": no_sleep, "parsers": InlineParsers(), **changes}
    return Tools(
        layout=SessionLayout(root), kubernetes=cast("Any", kubernetes), http=Http(), fetchers=tuple(fetchers), **settings
    )


def make_order(uid: str = UID, **spec: Any) -> Order:
    asked: dict[str, Any] = {"targets": [{"pod": "web-0"}], **spec}
    reference = InvestigationReference(namespace="shop", name="incident", uid=uid)
    return Order(reference, NOW, InvestigationSpec.model_validate(asked))


def make_window(start: str = "2026-11-22T11:00:00+00:00", end: str = "2026-11-22T12:00:00+00:00") -> Window:
    return Window(datetime.fromisoformat(start), datetime.fromisoformat(end))


async def entries_of(document: Document) -> list[Any]:
    """All entries of a document, as they are read from its file later."""
    entries: list[Any] = []
    async for batch in document.batches:
        for part in parts_of(batch):
            entries += json.loads(b"[" + part.block + b"]") if isinstance(part, Encoded) else part
    return entries


MOST_ON_THE_LOOP_BYTES = 16 * 1024
"""Of lines that are parsed on the event loop. More could block it for too long on a busy machine: a thread parses them."""


class InlineRun:
    """A run that is parsed in this process instead of a worker. `faults`: exceptions that the next calls of `feed` raise."""

    def __init__(self, order: RunOrder, faults: list[Exception]) -> None:
        self.spooler = RunSpooler(order)
        self.position = Position()
        self.faults = faults

    async def feed(self, lines: bytes) -> None:
        if self.faults:
            raise self.faults.pop(0)
        if len(lines) < MOST_ON_THE_LOOP_BYTES:
            self.position = self.spooler.feed(lines)
        else:
            self.position = await to_the_end(asyncio.to_thread(self.spooler.feed, lines))

    async def drain(self) -> None:
        pass

    async def call(self, operation: Operation) -> None:
        self.position = self.spooler.call(operation)

    async def end(self) -> RunResult:
        result = self.spooler.end()
        self.position = result.position
        return result

    def close(self) -> None:
        self.spooler.spool.close()


@dataclass
class InlineParsers(Parsers):
    """Parsers without processes. `opened`: for each run, whether it was opened alone, and whether it is plain."""

    faults: list[Exception] = field(default_factory=list)
    opened: list[tuple[bool, bool]] = field(default_factory=list)

    def warm(self) -> None:
        pass

    async def open(self, order: RunOrder, namespace: str = "", *, alone: bool = False) -> ParsedRun:
        self.opened.append((alone, order.settings.plain))
        return cast("ParsedRun", InlineRun(order, self.faults))


make_scratch = partial(Scratch, Path(tempfile.gettempdir()), False)


def make_run_log(
    run: Run, window: Window | None = None, max_line_bytes: int = 2**20, parsers: Parsers | None = None, **more: Any
) -> RunLog:
    """Return the log of a run of pod web-0. It may have any size."""
    limits = LogLimits(2**30, 2**30, max_line_bytes)
    settings: dict[str, Any] = {"scratch": make_scratch, "parsers": parsers or InlineParsers(), "target": "pod/web-0", **more}
    return RunLog(run=run, window=window or make_window(), limits=limits, **settings)


def make_sources(kubernetes: FakeKubernetes | None = None, **changes: Any) -> Sources:
    fake = kubernetes or FakeKubernetes()

    async def identity() -> Kubernetes:
        return fake.real()

    span = changes.pop("window", None) or make_window()
    settings: dict[str, Any] = {"kubernetes": identity, "parsers": InlineParsers(), **changes}
    return build_sources("shop", span, **settings)


RUNNING: dict[str, Any] = {"state": {"running": {}}}
PULLING = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}


def make_pod(name: str = "web-0", owner: str | None = None, uid: str | None = None, **containers: Any) -> dict[str, Any]:
    """A pod with these containers (`init_`, `debug_` prefixes make them init and ephemeral) and their statuses."""
    spec: dict[str, Any] = {"nodeName": "node-1", "containers": []}
    status: dict[str, Any] = {"phase": "Running"}
    for container, state in (containers or {"app": RUNNING}).items():
        kind, statuses = "containers", "containerStatuses"
        if container.startswith("init_"):
            kind, statuses = "initContainers", "initContainerStatuses"
        elif container.startswith("debug_"):
            kind, statuses = "ephemeralContainers", "ephemeralContainerStatuses"
        spec.setdefault(kind, []).append({"name": container})
        if state is not None:
            status.setdefault(statuses, []).append({"name": container, **state})
    owners = {"ownerReferences": [{"uid": owner}]} if owner else {}
    labels = {"app": "shop"}
    return {"metadata": {"name": name, "uid": uid or f"uid-{name}", "labels": labels, **owners}, "spec": spec, "status": status}

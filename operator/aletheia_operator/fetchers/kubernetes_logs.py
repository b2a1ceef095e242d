"""Kubernetes logs: one document a pod, all its containers in time order.

Speaks GET /api/v1/namespaces/{namespace}/pods/{pod}/log (core/v1, with `timestamps=true`). The API knows no
end of a log's window and only whole seconds of its start: both are cut here.
"""

import asyncio
import base64
import heapq
from bisect import bisect_left, bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.base import Document, Findings, Missing, Plan, Question, Sources, Window
from aletheia_operator.fetchers.kubernetes_targets import describe, find_pods
from aletheia_operator.text.levels import LevelCount, one_line
from aletheia_operator.text.timestamps import NANOSECONDS, format_nanoseconds, parse_nanoseconds, to_nanoseconds

MAX_LINE_BYTES = 16 * 1024 * 1024
SECONDS_LOOKED_BACK = 2
MAX_BROKEN_READS = 3  # in a row, without a new line
DISORDER_NANOSECONDS = NANOSECONDS  # stdout and stderr are stamped apart: a line may stand behind a later one
_CANONICAL_LENGTH = len(b"2026-11-22T15:21:11.072842937Z")
_SECOND_LENGTH = len(b"2026-11-22T15:21:11")

Line = tuple[bytes, dict[str, Any]]  # sort key (UTC, nine digits), entry


class KubernetesLogsFetcher:
    """Logs of the pods that the targets select."""

    name = "KubernetesLogs"

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        """One question a pod; a target that selects nothing, or may not be read, is missing."""
        if spec.targets is None or not spec.of_targets("logs"):
            return Plan()
        kubernetes = await sources.kubernetes()
        previous = spec.logs.previous if spec.logs else True
        pods: dict[str, dict[str, Any]] = {}
        wanted: dict[str, set[str] | None] = {}
        missing: list[Missing] = []
        for target in spec.targets:
            try:
                found = await find_pods(kubernetes, sources.namespace, target)
            except SourceError as e:
                missing.append(Missing(describe(target), e.reason, _with_remedy(e, sources.namespace)))
                continue
            if not found:
                missing.append(Missing(describe(target), GapReason.NO_PODS, f"{describe(target)} selects no pod at present"))
            for pod in found:
                uid = pod["metadata"]["uid"]
                pods.setdefault(uid, pod)
                names = set(target.containers) if target.containers else None
                before = wanted.get(uid, set())
                wanted[uid] = None if names is None or before is None else before | names
        questions = [self._question(pod, wanted[uid], previous) for uid, pod in pods.items()]
        return Plan(tuple(questions), tuple(missing))

    def _question(self, pod: dict[str, Any], wanted: set[str] | None, previous: bool) -> Question:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        arguments = {
            "pod": name,
            "uid": uid,
            "node": pod["spec"].get("nodeName"),
            "runs": [run.__dict__ for run in container_runs(pod, wanted, previous)],
        }
        return Question(self.name, f"{self.name}/{uid}", f"pod/{name}", arguments)

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Yield the pod's document.

        Entries: {"timestamp": RFC 3339 UTC with nanoseconds, "container", "line"}, and where they hold: "previous": true (the
        run before the last restart), "level", "line_base64" (the exact bytes of a line that is not UTF-8), "partial": true
        (the last line had no end yet), "truncated": true, "timestamp_raw" (as the node wrote it, when not in UTC).
        """
        kubernetes = await sources.kubernetes()
        findings = Findings()
        pod = question.arguments["pod"]
        runs = [Run(**run) for run in question.arguments["runs"]]
        yield Document(
            category="logs",
            source="kubernetes",
            name=("kubernetes", pod, sources.namespace),
            metadata={
                "pod": pod,
                "namespace": sources.namespace,
                "pod_uid": question.arguments["uid"],
                "node": question.arguments["node"],
                "containers": sorted({run.container for run in runs}),
            },
            batches=self._batches(kubernetes, sources, question, runs, findings),
            findings=findings,
        )

    async def _batches(
        self, kubernetes: Kubernetes, sources: Sources, question: Question, runs: list["Run"], findings: Findings
    ) -> AsyncGenerator[list[Any], None]:
        count = LevelCount()
        streams = []
        for run in runs:
            if run.not_started is None:
                path = f"/api/v1/namespaces/{sources.namespace}/pods/{question.arguments['pod']}/log"
                streams.append(LogReader(kubernetes, path, run, sources.window, question.target, findings, count).batches())
            else:
                findings.missing.append(Missing(f"{question.target} {run}", GapReason.CONTAINER_NOT_STARTED, run.not_started))
        try:
            async for batch in merge(streams):
                yield [entry for _, entry in batch]
        finally:
            findings.summary = count.summary()
            findings.metadata["levels"] = dict(count.levels)
            for stream in streams:
                await stream.aclose()


@dataclass(frozen=True)
class Run:
    """One run of a container: the present one, or the one before the last restart."""

    container: str
    previous: bool = False
    not_started: str | None = None  # why there is no log

    def __str__(self) -> str:
        return f"container/{self.container}" + (" (previous)" if self.previous else "")


def container_runs(pod: dict[str, Any], wanted: set[str] | None, previous: bool) -> list[Run]:
    """Every run of the pod's containers that has, or should have, a log."""
    runs = []
    status = pod.get("status") or {}
    for specs, statuses in (
        ("initContainers", "initContainerStatuses"),
        ("containers", "containerStatuses"),
        ("ephemeralContainers", "ephemeralContainerStatuses"),
    ):
        states = {state["name"]: state for state in status.get(statuses) or []}
        for container in pod["spec"].get(specs) or []:
            name = container["name"]
            if wanted is None or name in wanted:
                runs += _runs_of(name, states.get(name), status, previous)
    known = {run.container for run in runs}
    runs += [Run(name, not_started=f"the pod has no container {name}") for name in sorted((wanted or set()) - known)]
    return runs


def _runs_of(name: str, container: dict[str, Any] | None, pod_status: dict[str, Any], previous: bool) -> list[Run]:
    state = (container or {}).get("state") or {}
    ran_before = "terminated" in ((container or {}).get("lastState") or {})
    if "running" in state or "terminated" in state:
        return [Run(name, previous=True), Run(name)] if previous and ran_before else [Run(name)]
    if ran_before:
        return [Run(name)]  # waits to be restarted: the API's present log is that of the last run
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason") or pod_status.get("reason") or pod_status.get("phase") or "no status yet"
    detail = waiting.get("message") or pod_status.get("message")
    return [Run(name, not_started=f"the container never started: {reason}" + (f": {detail}" if detail else ""))]


def _with_remedy(error: SourceError, namespace: str) -> str:
    if error.reason != GapReason.FORBIDDEN:
        return error.message
    return (
        f"{error.message}. A Role in namespace {namespace} with get and list on pods, get on pods/log, and get and list on the"
        " target's workload kinds, bound to that user, would allow it"
    )


@dataclass
class LogReader:
    """Reads one run of one container within the window, again from its last line until no new line comes.

    A connection that breaks off between the node and the API server ends like a log that is over: only a second look tells.
    """

    kubernetes: Kubernetes
    path: str
    run: Run
    window: Window
    target: str
    findings: Findings
    count: LevelCount
    _last: bytes = field(init=False, default=b"")  # greatest sort key so far
    _seen: dict[bytes, int] = field(init=False, default_factory=dict)  # lines by second, for the next look to skip
    _unended: tuple[bytes, bytes, bytes] | None = field(init=False, default=None)  # key, stamp and line without its end
    _news: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._start = format_nanoseconds(to_nanoseconds(self.window.start)).encode()
        self._end = format_nanoseconds(to_nanoseconds(self.window.end) + 999).encode()  # the window has whole microseconds
        self._stop = format_nanoseconds(to_nanoseconds(self.window.end) + DISORDER_NANOSECONDS).encode()

    async def batches(self) -> AsyncGenerator[list[Line], None]:
        """The lines, in the log's order. What is missing is added to the findings; nothing is raised."""
        broken = 0
        while True:
            self._news = False
            error: SourceError | None = None
            try:
                async with aclosing(self._read_once()) as read:
                    async for batch in read:
                        if batch:
                            yield batch
                        if self._last > self._stop:
                            return
            except Unavailable as e:
                error = e
            except Rejected as e:
                self._missing(*_explain(e, self.run))
                return
            broken = 0 if self._news else broken + 1
            if self._news or (error is not None and broken < MAX_BROKEN_READS):
                continue
            if self._unended is not None and self._start <= self._unended[0] <= self._end:
                key = max(self._last, self._unended[0])
                yield [(key, self._entry(*self._unended) | {"partial": True})]
            if error is not None:
                reason = GapReason.LOG_INCOMPLETE if self._last else error.reason
                after = f" after {self._last.decode()}" if self._last else ""
                self._missing(reason, f"the log broke off{after}: {error.message}")
            return

    async def _read_once(self) -> AsyncGenerator[list[Line], None]:
        since = min(self._seen, default=self._start[:_SECOND_LENGTH])
        query = {"container": self.run.container, "timestamps": "true", "sinceTime": since.decode() + "Z"}
        if self.run.previous:
            query["previous"] = "true"
        skip = sum(self._seen.values())
        async with self.kubernetes.stream(self.path, query) as response:
            async for lines in _lines(response.content.iter_any()):
                batch = []
                for raw, whole in lines:
                    stamp, _, line = raw.partition(b" ")
                    key = _sort_key(stamp)
                    if key is None and (whole or not raw[:1].isdigit()):  # else it is the beginning of a time
                        batch += self._words_of_the_node(raw)
                    elif key is None:
                        continue
                    elif not whole:
                        if not skip:  # else it was whole before
                            self._hold_back(key, stamp, line)
                    elif skip:
                        skip -= 1
                    else:
                        self._advance(key)
                        if self._start <= key <= self._end:
                            batch.append((self._last, self._entry(key, stamp, line)))
                yield batch
                if self._last > self._stop:
                    return

    def _advance(self, key: bytes) -> None:
        """Note a whole line. Lines may come a little late: the next look starts a second before the latest."""
        self._news = True
        self._unended = None
        self._last = max(self._last, key)
        second = key[:_SECOND_LENGTH]
        self._seen[second] = self._seen.get(second, 0) + 1
        if len(self._seen) > SECONDS_LOOKED_BACK:
            del self._seen[min(self._seen)]

    def _hold_back(self, key: bytes, stamp: bytes, line: bytes) -> None:
        """A line without its end was cut, or is still being written: a further look tells."""
        self._news = self._news or self._unended != (key, stamp, line)
        self._unended = key, stamp, line

    def _entry(self, key: bytes, stamp: bytes, line: bytes) -> dict[str, Any]:
        entry: dict[str, Any] = {"timestamp": key.decode(), "container": self.run.container}
        if stamp != key:
            entry["timestamp_raw"] = stamp.decode()
        if self.run.previous:
            entry["previous"] = True
        if len(line) > MAX_LINE_BYTES:
            line = line[:MAX_LINE_BYTES]
            entry["truncated"] = True
            self._missing(GapReason.LINE_TRUNCATED, f"a line at {key.decode()} was cut at {MAX_LINE_BYTES} bytes")
        try:
            text = line.decode()
        except UnicodeDecodeError:
            text = line.decode("utf-8", "replace")
            entry["line_base64"] = base64.b64encode(line).decode()
        level = self.count.add(text)
        if level is not None:
            entry["level"] = level
        entry["line"] = text
        return entry

    def _words_of_the_node(self, raw: bytes) -> list[Line]:
        """A line without a time is no log: the node says why it has none, under HTTP 200. Kept once."""
        words = raw.decode("utf-8", "replace")
        if not self._missing(GapReason.LOG_UNAVAILABLE, one_line(words, 300)):
            return []
        return [(self._last or self._start, {"timestamp": None, "container": self.run.container, "line": words})]

    def _missing(self, reason: GapReason, message: str) -> bool:
        """Say once what is missing; whether it was news."""
        gap = Missing(f"{self.target} {self.run}", reason, message)
        news = all((known.target, known.reason) != (gap.target, gap.reason) for known in self.findings.missing)
        if news:
            self.findings.missing.append(gap)
        return news


def _sort_key(stamp: bytes) -> bytes | None:
    """A line's time as UTC text with nine digits, which sorts; None if it is not a time."""
    if len(stamp) == _CANONICAL_LENGTH and stamp[-1:] == b"Z" and stamp[10:11] == b"T" and stamp[19:20] == b".":
        return stamp
    moment = parse_nanoseconds(stamp)
    return None if moment is None else format_nanoseconds(moment).encode()


def _explain(error: Rejected, run: Run) -> tuple[GapReason, str]:
    if "is waiting to start" in error.message:
        return GapReason.CONTAINER_NOT_STARTED, error.message
    if run.previous and "previous terminated container" in error.message:
        return GapReason.LOG_UNAVAILABLE, f"the run before the last restart is gone from the node: {error.message}"
    return error.reason, error.message


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[tuple[bytes, bool]]]:
    """Lines without their end, as they arrive, each with whether it had one.

    Of a line over MAX_LINE_BYTES the rest is dropped as it comes, so that memory stays flat.
    """
    rest: list[bytes] = []
    size = 0
    async for chunk in chunks:
        *whole, last = chunk.split(b"\n")
        if whole:
            first = b"".join((*rest, whole[0])) if rest else whole[0]
            rest, size = [], 0
            yield [(first, True), *((line, True) for line in whole[1:])]
        if last and size <= MAX_LINE_BYTES + _CANONICAL_LENGTH + 16:
            rest.append(last)
            size += len(last)
    if rest:
        yield [(b"".join(rest), False)]


async def merge(streams: Sequence[AsyncIterator[list[Line]]]) -> AsyncIterator[list[Line]]:
    """Merge streams that are each in order into one in order; equal keys keep the order of the streams."""
    buffers: list[list[Line]] = [[] for _ in streams]
    live = list(range(len(streams)))
    while live:
        for i in await _fill(streams, buffers, live):
            live.remove(i)
        if not live:
            break
        bound = min(buffers[i][-1][0] for i in live)
        first = next(i for i in live if buffers[i][-1][0] == bound)  # may go on with the same key, before later streams'
        ready: list[Iterable[Line]] = []
        for i in live:
            cut = (bisect_right if i <= first else bisect_left)(buffers[i], bound, key=itemgetter(0))
            ready.append(buffers[i][:cut])
            buffers[i] = buffers[i][cut:]
        yield list(ready[0]) if len(ready) == 1 else list(heapq.merge(*ready, key=itemgetter(0)))


async def _fill(streams: Sequence[AsyncIterator[list[Line]]], buffers: list[list[Line]], live: list[int]) -> list[int]:
    """Read on where a buffer is empty, all at once; the streams that are over."""
    empty = [i for i in live if not buffers[i]]

    async def read(i: int) -> bool:
        async for batch in streams[i]:
            buffers[i] = batch
            return True
        return False

    return [i for i, more in zip(empty, await asyncio.gather(*map(read, empty)), strict=True) if not more]

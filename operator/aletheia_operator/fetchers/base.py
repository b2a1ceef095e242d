"""What every fetcher is: a plan (what to ask) and a fetch (one answer as documents).

A fetcher is one module with one class, listed in `fetchers.FETCHERS`. Fetchers do not know each other, nor the session.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.http import Http
from aletheia_operator.clients.kubelet import Kubelets
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.logs.pool import Parsers
from aletheia_operator.scratch import Scratch
from aletheia_operator.text.batches import Encoded
from aletheia_operator.text.timestamps import format_time, to_nanoseconds


@dataclass(frozen=True)
class Window:
    """A closed span of time, UTC."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()

    @property
    def end_nanoseconds(self) -> int:
        """The last nanosecond of the window since the Unix epoch: all of its last microsecond belongs to it."""
        return to_nanoseconds(self.end) + 999

    def as_texts(self) -> tuple[str, str]:
        return format_time(self.start), format_time(self.end)


class DataSources(Protocol):
    """Finds the endpoint that a request may use."""

    async def find(self, kind: str, name: str | None) -> Endpoint:
        """The endpoint of the DataSource of that type and name, or of the default one.

        Raises Rejected with NoDataSource or NotAllowed.
        """
        ...


T = TypeVar("T")


class Memo:
    """Answers that several questions of one capture share: each is made once."""

    def __init__(self) -> None:
        self._answers: dict[Hashable, Any] = {}
        self._locks: dict[Hashable, asyncio.Lock] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """Return the answer for `key`, made by the first caller; others wait for it.

        Where making it fails or is cancelled, nothing is remembered, and the next caller makes it.
        """
        async with self._locks.setdefault(key, asyncio.Lock()):
            if key not in self._answers:
                self._answers[key] = await make()
        answer: T = self._answers[key]
        return answer


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Sources:
    """The sources that a fetcher may ask, with the identity to use.

    `kubernetes()` is the API as the Investigation's identity; it raises Rejected where that identity may not be used.
    `scratch()` makes a file for an answer that does not fit into memory. The fetcher closes it once it is read; files
    that are left are closed with the question.
    """

    namespace: str
    window: Window
    kubernetes: Callable[[], Awaitable[Kubernetes]]
    http: Http
    data_sources: DataSources
    parsers: Parsers
    scratch: Callable[[], Scratch]
    """Makes a scratch file on the session volume. Raises OSError if the quota is spent or the question is over."""
    interrupted: Callable[[], bool]
    """Whether a cancelled fetch should still yield what it has: the Investigation is over, but the process goes on."""
    kubelets: Kubelets | None = None
    """None: an admin has not allowed log files to be read from nodes."""
    now: Callable[[], datetime] = utc_now
    memo: Memo = field(default_factory=Memo)
    """What the questions of this capture share."""
    trace_ids: Callable[[int], tuple[list[str], bool]] = lambda limit: ([], False)
    """At most so many trace ids out of the captured logs, and whether there are more; for questions that are `after_logs`."""


@dataclass(frozen=True)
class Question:
    """One thing to ask. Plain values, kept in the session: a capture that is taken up again asks the same.

    `key` is unique in an Investigation; `target` is what status shows; `arguments` is what `fetch` needs, as JSON; `node` is
    whose kubelet has to answer, if one has. A question `after_logs` is asked when all questions that give logs are done.
    """

    fetcher: str
    key: str
    target: str
    arguments: Mapping[str, Any]
    gives_logs: bool = False
    after_logs: bool = False
    node: str | None = None


@dataclass(frozen=True)
class Missing:
    """A gap before it is sanitised for status: something of a question's target that could not be had.

    `severity` is `note` for what no Investigation could have had, and for optional extras: it leaves the phase alone.
    """

    target: str
    reason: GapReason
    message: str
    severity: Literal["gap", "note"] = "gap"


@dataclass(frozen=True)
class Plan:
    """What a fetcher is going to ask, and what it already knows it cannot have."""

    questions: tuple[Question, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass
class Findings:
    """What is known of a document once its entries were read."""

    summary: str = ""
    missing: list[Missing] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)


Entries = list[Any] | Encoded


@dataclass
class Document:
    """An answer on its way to becoming an artifact.

    `name` are the parts of the file's name, `metadata` says what was asked. `batches` yields the raw entries; `findings` is
    complete when they are through, or broke off with a SourceError (what came before is kept). `target` is what status
    shows, where it is not the question's.
    """

    category: str
    source: str
    name: tuple[str, ...]
    metadata: dict[str, Any]
    batches: AsyncGenerator[Entries, None]
    findings: Findings
    target: str | None = None


class Fetcher(Protocol):
    """One kind of source, asked one kind of question."""

    name: str

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        """Find out what there is to ask. Raises SourceError where even that cannot be known."""
        ...

    def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Ask one question. Raises SourceError."""
        ...


@runtime_checkable
class RemoteFetcher(Fetcher, Protocol):
    """A fetcher whose source is a DataSource."""

    source_type: str
    """`spec.type` of its DataSources."""

    async def probe(self, endpoint: Endpoint, http: Http) -> str | None:
        """Ask a trivial question: the server's version, where it tells. Raises SourceError where it does not answer."""
        ...

"""The interface of fetchers: `plan` returns questions, `fetch` asks one of them and yields the answer as documents.

A fetcher is one module or package with one class. Fetchers import neither each other nor the session.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.http import Http
from aletheia_operator.clients.kubelet import Kubelets
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.logs.pool import Parsers
from aletheia_operator.redact import Redactor
from aletheia_operator.scratch import Scratch
from aletheia_operator.text.batches import Encoded
from aletheia_operator.text.display import one_line
from aletheia_operator.text.timestamps import format_time, to_nanoseconds, utc_now


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
        """Last nanosecond of the window since the Unix epoch. The whole last microsecond belongs to the window."""
        return to_nanoseconds(self.end) + 999

    def as_texts(self) -> tuple[str, str]:
        return format_time(self.start), format_time(self.end)


class DataSources(Protocol):
    """Finds the endpoint that a question may use."""

    async def find(self, kind: str, name: str | None) -> Endpoint:
        """Return the endpoint of a DataSource. `kind`: its type. `name` None: the default DataSource of that type.

        Raises Rejected with NoDataSource or NotAllowed.
        """
        ...


T = TypeVar("T")


class Memo:
    """Caches answers that several questions of one capture share."""

    def __init__(self) -> None:
        self._answers: dict[Hashable, Any] = {}
        self._locks: dict[Hashable, asyncio.Lock] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """Return the answer for `key`. The first caller makes it with `make`; others wait for it.

        If `make` fails or is cancelled, nothing is cached, and the next caller makes it.
        """
        async with self._locks.setdefault(key, asyncio.Lock()):
            if key not in self._answers:
                self._answers[key] = await make()
        answer: T = self._answers[key]
        return answer


@dataclass(frozen=True)
class Sources:
    """All that a fetcher may use for one Investigation: sources, limits and shared answers."""

    namespace: str
    window: Window
    kubernetes: Callable[[], Awaitable[Kubernetes]]
    """Returns the Kubernetes API with the Investigation's identity. Raises Rejected if that identity may not be used."""
    http: Http
    data_sources: DataSources
    parsers: Parsers
    scratch: Callable[[], Scratch]
    """Makes a scratch file on the session volume, for an answer that does not fit into memory.

    The fetcher closes it after reading it; the rest is closed with the question. Raises OSError if the quota is spent or the
    question is over.
    """
    interrupted: Callable[[], bool]
    """Returns whether a cancelled fetch should still yield what it has: the Investigation ended, not the process."""
    kubelets: Kubelets | None = None
    """Reads log files from nodes. None: an admin has not allowed it."""
    redactor: Redactor = field(default_factory=Redactor)
    """Removes secrets. A fetcher uses a new one (`another`) for each document, before anything reaches the disk."""
    now: Callable[[], datetime] = utc_now
    memo: Memo = field(default_factory=Memo)
    """Answers that the questions of this capture share."""
    memo_scratch: Callable[[], Scratch] | None = None
    """Makes a scratch file for these answers, which is closed with the capture. None: `scratch` does."""
    trace_ids: Callable[[int], tuple[list[str], bool]] = lambda limit: ([], False)
    """Returns trace ids of the captured logs, at most `limit`, and whether there are more. For questions `after_logs`."""


@dataclass(frozen=True)
class Question:
    """One question to a source, as plain values. It is stored in the session: a resumed capture asks the same.

    `key` is unique in an Investigation. `target` is shown in status. `arguments` is plain JSON for `fetch`. `gives_logs`: its
    entries are log lines. `after_logs`: ask it when all questions that give logs are done. `node`: name of the node if
    its kubelet is asked; else None.
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
    """A gap before it is sanitised for status: evidence of `target` that could not be captured.

    `severity` is `note` for evidence that no Investigation could have captured, and for optional extras: a note does not change
    the phase.
    """

    target: str
    reason: GapReason
    message: str
    severity: Literal["gap", "note"] = "gap"


INTERNAL_ERROR = "a fault of the operator's own; its log has the details"


def internal_error(target: str) -> Missing:
    """Return the gap for an error in the operator itself. The caller logs the error."""
    return Missing(target, GapReason.INTERNAL_ERROR, INTERNAL_ERROR)


@dataclass(frozen=True)
class Plan:
    """The questions of a fetcher, and the gaps that are known before anything is asked."""

    questions: tuple[Question, ...] = ()
    missing: tuple[Missing, ...] = ()


def plan_queries(spec: InvestigationSpec, fetcher: str, source_type: str, *, gives_logs: bool = False) -> Plan:
    """Return one question for each query of `spec.queries` to this type of DataSource.

    Arguments: `request`, a QueryRequest as JSON, and `data_source`, the name of the DataSource, or None for the default.
    """
    questions = []
    for number, request in enumerate(query for query in spec.queries or [] if query.type == source_type):
        data_source = request.data_source_ref.name if request.data_source_ref else None
        arguments = {"request": request.to_json(), "data_source": data_source}
        title = one_line(request.query)
        questions.append(Question(fetcher, f"{fetcher}/{number}", title, arguments, gives_logs=gives_logs))
    return Plan(tuple(questions))


@dataclass
class Outcome:
    """What reading a document's entries showed: its summary, gaps and further metadata. Complete when the entries were read."""

    summary: str = ""
    missing: list[Missing] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    redactions: Counter[str] = field(default_factory=Counter)
    """How many secrets were removed from the entries, by rule."""
    unscanned: list[str] = field(default_factory=list)
    """Parts of the entries that were not searched for secrets."""
    counts: str = ""
    """A summary that quotes no content. Empty: `summary` quotes none, either."""


Entries = list[Any] | Encoded
Batch = Entries | Iterator[Encoded]
"""Entries, or an iterator that reads them from a file: it blocks the thread."""


def parts_of(batch: Batch) -> Iterator[Entries]:
    """Yield the entries of a batch."""
    if isinstance(batch, Iterator):
        yield from batch
    else:
        yield batch


@dataclass
class Document:
    """An answer before it is saved as an artifact.

    `name`: the parts of the file's name. `metadata`: what was asked. `batches` yields the raw entries; the entries before a
    SourceError are kept. An iterator of entries is read in the thread that saves them, before the next is requested.
    `outcome` is complete once `batches` ended. `target`: shown in status; None: the question's target. `is_stored`: all was
    read, and put on the session volume, before the first batch. It is saved even if the Investigation ends meanwhile.
    """

    category: str
    source: str
    name: tuple[str, ...]
    metadata: dict[str, Any]
    batches: AsyncGenerator[Batch, None]
    outcome: Outcome
    target: str | None = None
    is_stored: bool = False


class Fetcher(Protocol):
    """Asks one kind of source one kind of question."""

    name: str

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        """Return the questions for `spec`, and the gaps known so far. Raises SourceError if the questions cannot be found."""
        ...

    def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Ask one question and yield the answer's documents. Raises SourceError."""
        ...


@runtime_checkable
class FetcherWithSmaller(Fetcher, Protocol):
    """A fetcher that can ask for the most important part of an answer alone."""

    def smaller(self, question: Question) -> Question | None:
        """Return what to ask in place of a question that is given up: a question with a key of its own; None for nothing."""
        ...


@runtime_checkable
class RemoteFetcher(Fetcher, Protocol):
    """A fetcher that asks a DataSource."""

    source_type: str
    """`spec.type` of its DataSources."""

    async def probe(self, endpoint: Endpoint, http: Http) -> str | None:
        """Check that the server answers. Returns its version, None if it reports none. Raises SourceError if it fails."""
        ...

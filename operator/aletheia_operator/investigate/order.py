"""What goes into a capture and what comes out: the order, the snapshots of how it stands, and the process' shared tools."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.clients.http import Http
from aletheia_operator.clients.kubelet import Kubelets
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers import FETCHERS, Fetcher
from aletheia_operator.investigate.budget import Budget
from aletheia_operator.logs.pool import Parsers
from aletheia_operator.session import InvestigationReference, Manifest, SessionLayout
from aletheia_operator.settings import Limits

SAVING_THREADS = 16
UPLOAD_THREADS = 4  # each holds a part of a file in memory


def utc_now() -> datetime:
    return datetime.now(UTC)


def saving_threads() -> Executor:
    return ThreadPoolExecutor(SAVING_THREADS, "save")


def upload_threads() -> Executor:
    return ThreadPoolExecutor(UPLOAD_THREADS, "upload")


@dataclass(frozen=True)
class Tools:
    """What every capture of this process shares."""

    layout: SessionLayout
    kubernetes: Kubernetes
    http: Http
    fetchers: Sequence[Fetcher] = FETCHERS
    default_service_account: str | None = None
    kubelets: Kubelets | None = None
    """None: log files are not read from nodes."""
    parsers: Parsers = field(default_factory=Parsers)
    writing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    """Limits concurrent artifact writes."""
    suspects: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """Lets one question at a time be asked, of all captures, of those during which the process died before."""
    max_fetches: int = Limits.max_fetches
    """Questions of one Investigation that are asked at the same time."""
    max_artifact_bytes: int = Limits.max_artifact_bytes
    """A larger artifact is cut there, with a gap."""
    budget: Budget = field(default_factory=Budget)
    operator_namespace: str | None = None
    """Where the Secrets of DataSources are."""
    saving: Executor = field(default_factory=saving_threads)
    """Threads that use the session volume. No source is asked in them: one that hangs must not keep others from saving."""
    uploads: Executor = field(default_factory=upload_threads)
    """Threads that send files: a bucket that hangs must not keep others from saving."""
    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass
class Order:
    """One Investigation as it was applied. Set `cancelled` to end it early; what was captured is kept."""

    owner: InvestigationReference
    created: datetime
    spec: InvestigationSpec
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Snapshot:
    """How a capture stands. `manifest_sha256` is known at the end, unless the manifest could not be saved."""

    manifest: Manifest
    path: str
    done: int
    total: int
    manifest_sha256: str | None = None
    uploaded: int | None = None
    """Artifacts that lie in object storage; None while none is to be sent yet. The capture is over then."""


Report = Callable[[Snapshot], None]

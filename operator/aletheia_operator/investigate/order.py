"""Input and output of a capture: the order, the process' shared tools, and snapshots of its progress."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.findings import FindingRule
from aletheia_operator.clients.http import Http
from aletheia_operator.clients.kubelet import Kubelets
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.clients.pace import Pace
from aletheia_operator.fetchers import FETCHERS, Fetcher
from aletheia_operator.investigate.budget import Budget
from aletheia_operator.logs.pool import Parsers
from aletheia_operator.session import InvestigationReference, Manifest, SessionLayout
from aletheia_operator.settings import Limits, Proxy, Redaction
from aletheia_operator.text.timestamps import utc_now

SAVING_THREADS = 16
UPLOAD_THREADS = 4  # each holds a part of a file in memory


def saving_threads() -> Executor:
    return ThreadPoolExecutor(SAVING_THREADS, thread_name_prefix="save")


def upload_threads() -> Executor:
    return ThreadPoolExecutor(UPLOAD_THREADS, thread_name_prefix="upload")


@dataclass(frozen=True)
class Tools:
    """Settings and resources that all captures of this process share."""

    layout: SessionLayout
    kubernetes: Kubernetes
    http: Http
    fetchers: Sequence[Fetcher] = FETCHERS
    default_service_account: str | None = None
    kubelets: Kubelets | None = None
    """Reads log files from nodes. None: they are not read."""
    parsers: Parsers = field(default_factory=Parsers)
    writing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    """Limits concurrent writes of artifacts that are not small."""
    reporting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """Limits concurrent reports."""
    suspects: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """Limits concurrent questions during which the process died before."""
    max_fetches: int = Limits.max_fetches
    """Questions of one Investigation that are asked at the same time."""
    max_artifact_bytes: int = Limits.max_artifact_bytes
    """A larger artifact is cut there, with a gap."""
    redaction: Redaction = field(default_factory=Redaction)
    """What is removed from captured data."""
    budget: Budget = field(default_factory=Budget)
    operator_namespace: str | None = None
    """Namespace of the Secrets of DataSources. None: DataSources can have no Secrets."""
    ca_bundle: Path | None = None
    """PEM file with CAs that DataSources are verified with besides the public ones. None: the public ones alone."""
    proxy: Proxy = field(default_factory=Proxy)
    """The proxy of DataSources that name none."""
    source_pace: Pace = field(default_factory=Pace)
    """Limits the requests per second to DataSources."""
    finding_rules: Sequence[FindingRule] = ()
    """An admin's own rules for findings."""
    saving: Executor = field(default_factory=saving_threads)
    """Threads for the session volume. Sources are not asked in them: a source that hangs must not keep others from saving."""
    uploads: Executor = field(default_factory=upload_threads)
    """Threads for uploads: a bucket that hangs must not keep others from saving."""
    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep


@dataclass
class Order:
    """One Investigation as it was applied. Set `cancelled` to end it early; what was captured is kept."""

    owner: InvestigationReference
    created: datetime
    spec: InvestigationSpec
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set if this process was asked to end: if it is killed before it has ended, no question is to blame."""
    seen_at: float = field(default_factory=time.monotonic)
    """Monotonic time at which this process first saw it."""


@dataclass(frozen=True)
class Snapshot:
    """The progress of a capture. `manifest_sha256`: at its end, None before, or if the manifest could not be saved."""

    manifest: Manifest
    path: str
    done: int
    total: int
    manifest_sha256: str | None = None
    uploaded: int | None = None
    """Number of artifacts that are uploaded; None before the upload, which begins after the capture."""


Report = Callable[[Snapshot], None]

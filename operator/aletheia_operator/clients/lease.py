"""A Lease (coordination.k8s.io/v1), which one process at a time holds. If it cannot renew, it stops before another takes over.

The algorithm is that of client-go's tools/leaderelection. Clocks of different machines are never compared: a process considers
a Lease expired if it has seen it unchanged for the Lease's duration by its own clock. Writes carry the resource version, so the
API server accepts only one of two that take the Lease at once.
"""

import asyncio
import logging
import math
import random
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import CONFLICT, MISSING, Rejected, SourceError
from aletheia_operator.clients.kubernetes import Kubernetes, Object

JITTER = 0.2
"""Most that a wait between two tries is lengthened, as a share of it: processes that wait must not ask in step."""
RELEASE_SECONDS = 3.0

log = logging.getLogger(__name__)


def boot_time() -> float:
    """Return seconds of a clock that nobody sets, and that goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class LeaseTimes:
    """Times of a Lease in seconds, in client-go's proportions (15, 10, 2)."""

    duration: float = 15.0
    """After the last renewal, until another process may take the Lease."""

    @property
    def renew_deadline(self) -> float:
        """After the last renewal, until the holder gives up."""
        return self.duration * 2 / 3

    @property
    def end(self) -> float:
        """After the last renewal, until the holder's process must have ended."""
        return self.duration * 5 / 6

    @property
    def retry(self) -> float:
        """Between two renewals, and between two tries to take the Lease."""
        return self.duration * 2 / 15


class Lease:
    """One process' part in a Lease. Each process has a name of its own, so a restarted one waits as any other does.

    `on_renewal` is called after each renewal, with the seconds after which this process must have ended if no other follows.
    """

    def __init__(
        self,
        kubernetes: Kubernetes,
        namespace: str,
        name: str,
        times: LeaseTimes = LeaseTimes(),
        on_renewal: Callable[[float], None] = lambda seconds: None,
        clock: Callable[[], float] = boot_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.holder = f"{socket.gethostname()}_{uuid4()}"
        self.leader = ""
        """The last known holder; empty if there is none, or if the API server has not answered yet."""
        self._kubernetes = kubernetes
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._times = times
        self._on_renewal = on_renewal
        self._clock = clock
        self._sleep = sleep
        self._stored: Object | None = None  # the object after the last renewal, unless another process may have changed it
        self._renewed = -math.inf
        self._seen: dict[str, Any] = {}  # the last seen spec, since `_seen_at`
        self._seen_at = -math.inf
        self._fault = ""

    @property
    def is_held(self) -> bool:
        """Whether this process holds the Lease, by its own clock."""
        return self._left() > 0

    async def acquire(self) -> None:
        """Wait until this process holds the Lease. Raises Rejected if it has no right to it: waiting would not help."""
        while not await self._try(self._times.renew_deadline):
            await self._sleep(self._times.retry * (1 + JITTER * random.random()))  # noqa: S311 (no secret)

    async def keep(self) -> float:
        """Renew the Lease until it is lost. Returns the seconds until another process may take it; 0: one may have it."""
        while True:
            await self._sleep(self._times.retry)
            while not await self._renewed_within(min(self._left(), self._times.renew_deadline / 2)):
                if self._left() <= 0 or self.leader != self.holder:
                    return self._margin()
                await self._sleep(min(self._times.retry, self._left()))

    async def release(self) -> None:
        """Give the Lease back, so that another process need not wait. Call it when nothing that it protects is written."""
        was_held, stored = self._renewed > -math.inf, self._stored
        self._stored, self._renewed = None, -math.inf
        if not was_held:
            return
        path = f"{self._collection}/{self.name}"
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                if stored is None:  # a renewal was cancelled, or another process has changed it
                    stored = await self._kubernetes.get(path)
                if stored["spec"].get("holderIdentity") == self.holder:
                    spec = stored["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
                    await self._kubernetes.replace(path, stored | {"spec": spec})
        except (SourceError, TimeoutError) as e:
            log.warning("Lease %s is not released, and expires: %s", self.name, getattr(e, "message", "no answer"))

    def _left(self) -> float:
        return self._renewed + self._times.renew_deadline - self._clock()

    def _margin(self) -> float:
        if self.leader != self.holder:
            return 0.0
        return max(0.0, self._renewed + self._times.duration - self._clock())

    async def _renewed_within(self, seconds: float) -> bool:
        try:
            return await self._try(seconds)
        except Rejected as e:  # rights may come back before the deadline
            self._warn_once(e.message)
            return False

    async def _try(self, seconds: float) -> bool:
        """Take or renew the Lease. Returns False if another process holds it, or after `seconds` without an answer.

        Raises Rejected without the right to.
        """
        if seconds <= 0:
            return False
        requested_at = self._clock()
        stored, self._stored = self._stored, None
        try:
            async with asyncio.timeout(seconds):
                self._stored = await (self._take() if stored is None else self._renew(stored))
        except TimeoutError:
            self._warn_once(f"no answer within {seconds:.0f} s")
        except SourceError as e:
            if e.reason == GapReason.FORBIDDEN:
                raise
            self._warn_once(e.message)
        if self._stored is None:
            return False
        self._renewed, self.leader, self._fault = requested_at, self.holder, ""
        self._on_renewal(self._times.end - (self._clock() - requested_at))
        return self.is_held  # False: this process was stopped meanwhile

    async def _take(self) -> Object | None:
        """Take the Lease if it is free, expired or this process'. Returns it as it is stored then; None if another holds it."""
        path = f"{self._collection}/{self.name}"
        try:
            found = await self._kubernetes.get(path)
        except SourceError as e:
            if e.reason != GapReason.NOT_FOUND:
                raise
            found = None
        before = self._seen if found is None else found.get("spec") or {}  # somebody may have deleted it from its holder
        self._observe(before)
        if not self._is_free(before):
            return None
        now = _now()
        spec = {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": math.ceil(self._times.duration),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + bool(before),
        }
        if before.get("holderIdentity") == self.holder:
            spec |= {"acquireTime": before.get("acquireTime"), "leaseTransitions": before.get("leaseTransitions")}
        if found is not None:
            return await self._kubernetes.replace(path, found | {"spec": spec})
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self.name}, "spec": spec}
        return await self._kubernetes.create(self._collection, lease)

    async def _renew(self, stored: Object) -> Object | None:
        spec = stored["spec"] | {"renewTime": _now()}
        try:
            return await self._kubernetes.replace(f"{self._collection}/{self.name}", stored | {"spec": spec})
        except SourceError as e:
            if e.status not in CONFLICT | MISSING:
                raise
            return await self._take()  # somebody has changed or deleted it

    def _observe(self, spec: dict[str, Any]) -> None:
        if spec != self._seen or self._seen_at == -math.inf:
            self._seen, self._seen_at = spec, self._clock()
        self.leader = str(spec.get("holderIdentity") or "")

    def _is_free(self, spec: dict[str, Any]) -> bool:
        duration = max(self._times.duration, float(spec.get("leaseDurationSeconds") or 0))
        return self.leader in ("", self.holder) or self._clock() >= self._seen_at + duration

    def _warn_once(self, fault: str) -> None:
        """Log a fault, unless it is the same as the last one since a renewal."""
        if fault != self._fault:
            log.warning("Lease %s cannot be written: %s", self.name, fault)
        self._fault = fault


def _now() -> str:
    """Return the current time as a MicroTime. It is for people: no process compares it with its own clock."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

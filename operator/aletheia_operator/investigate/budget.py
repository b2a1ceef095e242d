"""Limits the bytes of evidence of a session and of a namespace. What exceeds them becomes a gap."""

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aletheia_operator.investigate.in_flight import InFlight
from aletheia_operator.scratch import Scratches
from aletheia_operator.session import SessionLayout
from aletheia_operator.session.index import SessionIndex
from aletheia_operator.session.volume import usable_bytes


class QuotaExceeded(OSError):
    """A scratch file would exceed the quota of its session or namespace."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.EDQUOT, message)


@dataclass
class Budget:
    """The limits and the accounts of the captures that run in this process."""

    max_session_bytes: int | None = None
    """Quota of a session. None: no limit."""
    max_namespace_bytes: int | None = None
    """Quota of a namespace. None: its share of the volume."""
    namespace_share: int = 0
    """Percent of the volume that a namespace may take. 0: no limit."""
    volume_bytes: int | None = None
    """Size of the volume. None, or more than its file system has: the size of the file system."""
    in_flight: InFlight = field(default_factory=InFlight)
    """What the questions that are being asked have not saved yet."""
    index: SessionIndex | None = None
    """Index of the volume. None: made with the first account."""
    _running: dict[str, "Account"] = field(init=False, default_factory=dict)
    _guard: threading.Lock = field(init=False, default_factory=threading.Lock)
    """Held while accounts are opened and closed, so that each session counts once."""

    def open(self, layout: SessionLayout, namespace: str, session_id: str, kept_bytes: int) -> "Account":
        """Open the account of a capture that keeps `kept_bytes` already.

        Blocks: looks at the volume's sessions if namespaces are limited. The caller must `close` the account.
        """
        others, quota = 0, self._quota(layout)
        with self._guard:
            if quota is not None:
                self.index = self.index or SessionIndex(layout)
                others = self.index.kept_bytes(namespace, {session_id, *self._running}, quota)
            account = self._running[session_id] = Account(self, namespace, session_id, kept_bytes, others, quota)
        return account

    def _quota(self, layout: SessionLayout) -> int | None:
        """Return the bytes that a namespace may keep; None without a limit. Raises OSError."""
        if self.max_namespace_bytes is not None or not self.namespace_share:
            return self.max_namespace_bytes
        size = usable_bytes(layout, self.volume_bytes)
        return None if size is None else max(1, size * self.namespace_share // 100)

    def close(self, account: "Account") -> None:
        """Close the account of a capture that has ended. Running captures count what it kept. May block, as `open` does."""
        with self._guard:
            if self._running.pop(account.session_id, None) is None:
                return
            if self.index is not None:
                self.index.note(account.session_id, account.namespace, account.kept_bytes)
            for other in self._running.values():
                if other.namespace == account.namespace:
                    other.others_bytes += account.kept_bytes

    def namespace_bytes(self, account: "Account") -> int:
        running = sum(other.used_bytes for other in list(self._running.values()) if other.namespace == account.namespace)
        return account.others_bytes + running


@dataclass(eq=False)
class Usage:
    """Bytes of one question on the disk that are not an artifact yet: scratch files, and entries to be written.

    Entries come from the scratch files, so only the larger of both counts.
    """

    scratches: Scratches | None = None
    waiting_bytes: int = 0

    @property
    def bytes(self) -> int:
        return max(self.waiting_bytes, self.scratches.size_bytes if self.scratches else 0)


@dataclass(eq=False)
class Account:
    """The bytes that one capture keeps, and those of ended captures of its namespace."""

    budget: Budget
    namespace: str
    session_id: str
    kept_bytes: int
    """Bytes of its artifacts."""
    others_bytes: int
    """Bytes of the namespace's other sessions, those that are kept or on hold included."""
    namespace_quota: int | None
    """Bytes that the namespace may keep. None: no limit."""
    _usages: list[Usage] = field(init=False, default_factory=list)

    @property
    def used_bytes(self) -> int:
        return self.kept_bytes + sum(usage.bytes for usage in list(self._usages))

    @contextmanager
    def using(self, usage: Usage) -> Iterator[Usage]:
        """Count a question's usage within the context."""
        self._usages.append(usage)
        try:
            with self.budget.in_flight.counted(self.namespace, usage):
                yield usage
        finally:
            self._usages.remove(usage)

    async def wait_for_room(self) -> None:
        """Wait until the namespace may have more bytes in flight."""
        await self.budget.in_flight.room(self.namespace)

    def require_room(self, size_bytes: int) -> None:
        """Raise QuotaExceeded if `size_bytes` more would exceed a quota."""
        if spent := self.exceeded(size_bytes - 1):
            raise QuotaExceeded(spent)

    def exceeded(self, more_bytes: int = 0) -> str | None:
        """Return why `more_bytes` would exceed a quota; None if there is room."""
        session, namespace = self.budget.max_session_bytes, self.namespace_quota
        if session is not None and self.used_bytes + more_bytes >= session:
            return f"the session reached its quota of {session} bytes: ask for less, or have an admin raise it"
        if namespace is not None and self.budget.namespace_bytes(self) + more_bytes >= namespace:
            share = "" if self.budget.max_namespace_bytes is not None else f" ({self.budget.namespace_share} % of the volume)"
            return (
                f"the sessions of namespace {self.namespace} reached their quota of {namespace} bytes{share}:"
                " delete Investigations that are no longer needed, or have an admin raise it (chart value"
                " volume.namespaceShare or maxNamespaceBytes); data that is kept or on hold counts, too"
            )
        return None

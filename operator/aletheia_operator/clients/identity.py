"""The Kubernetes API with the rights of an Investigation: its service account's, or the operator's if it names none."""

import asyncio
from dataclasses import dataclass, field

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.clients.kubernetes import Kubernetes


@dataclass
class Identity:
    """Makes the client for one Investigation. Checks once that the service account exists: the API server does not."""

    operator: Kubernetes
    namespace: str
    service_account: str | None
    since: float
    """Least monotonic time of answers that are shared with other captures."""
    _lock: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _checked: Kubernetes | None = field(init=False, default=None)
    _refused: Rejected | None = field(init=False, default=None)

    async def kubernetes(self) -> Kubernetes:
        """Return the client. Raises Rejected (ServiceAccountMissing) if the service account does not exist, and SourceError."""
        if self.service_account is None:
            return self.operator.counted(self.namespace).sharing(self.since)
        async with self._lock:
            if self._refused is not None:
                raise self._refused
            if self._checked is None:
                await self._check(self.service_account)
                client = self.operator.as_service_account(self.namespace, self.service_account)
                self._checked = client.counted(self.namespace).sharing(self.since)
        return self._checked

    async def _check(self, name: str) -> None:
        try:
            client = self.operator.counted(self.namespace).sharing(self.since)
            await client.read(f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{name}", lambda account: None)
        except Rejected as e:
            if e.reason != GapReason.NOT_FOUND:
                raise
            message = f"service account {name} does not exist in namespace {self.namespace}: create it, or name another"
            self._refused = Rejected(message, GapReason.SERVICE_ACCOUNT_MISSING)
            raise self._refused from e

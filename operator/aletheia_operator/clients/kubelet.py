"""Reads log files from kubelets: GET https://NODE:10250/logs/pods/..., which needs only the right `nodes/log`.

The operator's own token is sent to the addresses in Node objects, which admins and kubelets write, and nowhere else.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import CREDENTIALS_REFUSED, PARTIAL_CONTENT, WHOLE_BODY, Rejected, SourceError, error_of
from aletheia_operator.clients.fair_slots import FairSlots
from aletheia_operator.clients.kubernetes import Kubernetes, connection_errors

CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 30  # between two chunks of an answer
ADDRESS_TYPES = ("InternalIP", "Hostname", "ExternalIP")
LOGS_AT_ONCE = 3  # read from one node: files arrive faster than they are parsed, so more would only take memory


@dataclass
class Kubelets:
    """The kubelets of the cluster, read with the operator's own identity."""

    kubernetes: Kubernetes
    certificate_authority: Path | None = None
    """PEM file that signs the kubelets' serving certificates; None: certificates are not verified."""
    _session: aiohttp.ClientSession | None = field(init=False, default=None)
    _slots: dict[str, FairSlots] = field(init=False, default_factory=dict)

    def slot(self, address: str, namespace: str) -> AbstractAsyncContextManager[None]:
        """Limit concurrent log reads from one kubelet, fairly among namespaces: the context has one of its slots."""
        return self._slots.setdefault(address, FairSlots(LOGS_AT_ONCE, LOGS_AT_ONCE)).place(namespace)

    async def address(self, node: str) -> str:
        """Return `https://HOST:PORT` of a node's kubelet. Raises SourceError; Rejected (NotFound) if it has no address."""
        found = await self.kubernetes.get(f"/api/v1/nodes/{node}")
        status = found.get("status") or {}
        addresses = status.get("addresses") or []
        # a dual-stack node has two of a type: the first is that of the cluster's primary family
        host = next((address["address"] for kind in ADDRESS_TYPES for address in addresses if address["type"] == kind), None)
        if not host:
            raise Rejected(f"node {node} has no address", GapReason.NOT_FOUND)
        port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or 10250
        return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

    @asynccontextmanager
    async def open(
        self, address: str, path: str, first: int | None = None, last: int | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open the answer for a file. Raises SourceError.

        `first` and `last` are the byte range, both included. `first` None: the whole file. `last` None: to its end.
        """
        headers = await self._authorization()
        if first is not None:
            headers["Range"] = f"bytes={first}-{'' if last is None else last}"
        with connection_errors("the kubelet"):
            async with self._client().get(f"{address}{path}", headers=headers, allow_redirects=False) as response:
                if response.status not in WHOLE_BODY | PARTIAL_CONTENT:
                    raise _error(response.status, path)
                if not _is_requested_part(response, first):
                    raise Rejected(f"the kubelet returned another part of {path} than requested", GapReason.INVALID_RESPONSE)
                yield response

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _authorization(self) -> dict[str, str]:
        configuration = self.kubernetes.client.configuration
        token = await configuration.get_api_key_with_prefix("BearerToken")
        return {"Authorization": token} if token else {}

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = ssl.create_default_context(cafile=self.certificate_authority and str(self.certificate_authority))
            if self.certificate_authority is None:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=READ_TIMEOUT_SECONDS)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=100),
                timeout=timeout,
                trust_env=False,
                auto_decompress=False,
                read_bufsize=2**16,
            )
        return self._session


def _is_requested_part(response: aiohttp.ClientResponse, first: int | None) -> bool:
    """Return whether the body begins at the byte `first` of the file; None: whether it is the whole file.

    A server may ignore a range and return the whole file (RFC 9110, section 14.2).
    """
    if response.status in WHOLE_BODY:
        return not first
    return first is not None and response.headers.get("Content-Range", "").startswith(f"bytes {first}-")


def _error(status: int, path: str) -> SourceError:
    message = f"the kubelet answered {status} for {path}"
    if status in CREDENTIALS_REFUSED:
        message += ": a ClusterRole with the verb get on nodes/log, bound to the operator, would allow it"
    return error_of(status, message)

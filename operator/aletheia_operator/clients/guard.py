"""Connections that go only where a DataSource may listen: checked on the peer that was reached, so no name can lie.

Refused are link-local addresses (https://www.rfc-editor.org/rfc/rfc3927, /rfc4291), where clouds serve the node's credentials,
other clouds' metadata addresses, and multicast, also where IPv6 wraps them.
"""

import socket
import ssl
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected

METADATA = tuple(
    ip_address(address) for address in ("168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)  # Azure, Alibaba, Oracle, AWS, Google
_NAT64 = ip_network("64:ff9b::/96")


def is_refused(text: str) -> bool:
    """Whether a DataSource may not listen at this IP address. Raises ValueError where it is none."""
    address: IPv4Address | IPv6Address = ip_address(text.split("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address in _NAT64:
            address = IPv4Address(int(address) & 0xFFFFFFFF)
    return address.is_link_local or address.is_multicast or address in METADATA


def _checked(sock: socket.socket) -> socket.socket:
    if is_refused(str(sock.getpeername()[0])):
        sock.close()
        raise Rejected("the DataSource's address is link-local or a cloud's metadata service", GapReason.REJECTED)
    return sock


class GuardedAdapter(HTTPAdapter):
    """The transport of a session: checked peers, no retries of its own, certificates from this context."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._connections: list[HTTPConnection] = []
        super().__init__()

    def cut(self) -> None:
        """End every connection, also one whose answer is being waited for in another thread."""
        for connection in self._connections:
            with suppress(OSError):
                if connection.sock is not None:
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        opened = self._connections

        class Connection(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                opened.append(self)
                return _checked(super()._new_conn())

        class TLSConnection(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                opened.append(self)
                return _checked(super()._new_conn())

        class Pool(HTTPConnectionPool):
            ConnectionCls = Connection

        class TLSPool(HTTPSConnectionPool):
            ConnectionCls = TLSConnection

        self.poolmanager.pool_classes_by_scheme = {"http": Pool, "https": TLSPool}

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> tuple[Any, Any]:
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if self._context is not None:
            pool = {**pool, "ssl_context": self._context}
        return host, pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        if self._context is None:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]

"""Checks the IP address of a DataSource before connecting to it: metadata services and link-local addresses are refused."""

import socket
import ssl
import sys
import time
from contextlib import suppress
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from aletheia_operator.api.addresses import POD_IDENTITY_AGENT, is_refused
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected

MIN_CONNECT_SECONDS = 0.5


def connect(connection: HTTPConnection, is_on_node: bool = False) -> socket.socket:
    """Open a socket to the first address of the connection's host that answers, as urllib3 does, with the check added.

    `is_on_node`: whether it may also be the address of the EKS Pod Identity Agent. Raises Rejected for a refused address, and
    urllib3's errors, caused by an OSError with `IP:port` as its `filename`.
    """
    host, port = connection._dns_host, connection.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as e:
        cause = e if isinstance(e, socket.gaierror) else socket.gaierror(socket.EAI_NONAME, "not a host name")
        cause.filename = host
        raise NameResolutionError(connection.host, connection, cause) from cause
    seconds = connection.timeout if isinstance(connection.timeout, int | float) else None
    deadline = None if seconds is None else time.monotonic() + seconds
    last: OSError | None = None
    for number, (family, kind, protocol, _, address) in enumerate(found):
        if is_refused(str(address[0])) and not (is_on_node and address[0] in POD_IDENTITY_AGENT):
            raise Rejected("the DataSource's address is link-local or a cloud's metadata service", GapReason.REJECTED)
        try:
            left = None if deadline is None else (deadline - time.monotonic()) / (len(found) - number)
            return _open(family, kind, protocol, address, left, connection.socket_options)
        except OSError as e:
            last = _with_address(e, address)
    if isinstance(last, TimeoutError):
        raise ConnectTimeoutError(connection, f"connecting to {connection.host} timed out") from last
    raise NewConnectionError(connection, "no address of the host can be connected to") from last


def _open(family: int, kind: int, protocol: int, address: Any, seconds: float | None, options: Any) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        for option in options or ():
            sock.setsockopt(*option)
        sock.settimeout(None if seconds is None else max(MIN_CONNECT_SECONDS, seconds))
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    sys.audit("http.client.connect", None, address[0], address[1])
    return sock


def _with_address(error: OSError, address: Any) -> OSError:
    host, port = address[:2]
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return type(error)(error.errno or 0, error.strerror or "timed out", where)


class GuardedAdapter(HTTPAdapter):
    """Transport of a requests session: checks addresses, does not retry, takes certificates from `context`."""

    def __init__(self, context: ssl.SSLContext | None, is_on_node: bool) -> None:
        self._context = context
        self._is_on_node = is_on_node
        self._connections: list[HTTPConnection] = []
        self.is_stopped = False
        """Whether new connections are refused."""
        super().__init__()

    def stop(self) -> None:
        """Close every connection and refuse new ones."""
        self.is_stopped = True
        self.cut()

    def cut(self) -> None:
        """Close every connection, also those that another thread is reading from."""
        for connection in list(self._connections):
            with suppress(OSError):
                if connection.sock is not None:
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        adapter = self

        class Connection(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                adapter._connections.append(self)
                return connect(self, adapter._is_on_node)

            def connect(self) -> None:
                super().connect()
                adapter.require_going(self)

        class TLSConnection(Connection, HTTPSConnection):  # HTTPSConnection is an HTTPConnection, so it comes next
            pass

        class Pool(HTTPConnectionPool):
            ConnectionCls = Connection

        class TLSPool(HTTPSConnectionPool):
            ConnectionCls = TLSConnection

        self._pools = {"http": Pool, "https": TLSPool}
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return the proxy's connections, which are checked and closed as the others: the address is the proxy's."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def require_going(self, connection: HTTPConnection) -> None:
        """Close a connection that was opened while `stop` was called, and raise OSError."""
        if self.is_stopped:
            connection.close()
            raise ConnectionAbortedError("stopped")

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> tuple[Any, Any]:
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if self._context is not None:
            pool = {**pool, "ssl_context": self._context}
        return host, pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        if self._context is None:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]

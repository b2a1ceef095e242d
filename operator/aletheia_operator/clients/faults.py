"""One table from exceptions of the client libraries and the system to our errors, with messages that say what to check.

Classes are named by text, so that the table loads no library. A test fails if aiohttp, requests, urllib3 or minio has an
exception that the table lacks.
"""

import errno
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable

MAX_CAUSES = 20


@dataclass(frozen=True)
class Fault:
    """The meaning of a class of exceptions: a message, and the error to raise with its reason."""

    words: str
    kind: type[SourceError] = Unavailable
    reason: GapReason = GapReason.UNAVAILABLE


BROKE_OFF = Fault("the connection broke off")
CLOSED = Fault("closed the connection without an answer")
NO_CONNECTION = Fault("cannot be reached")
SILENT = Fault("did not answer in time", reason=GapReason.TIMED_OUT)
NO_SUCH_HOST = Fault("no such host")
NOT_HTTP = Fault("does not speak HTTP as expected", reason=GapReason.INVALID_RESPONSE)
GARBLED = Fault("the answer cannot be decoded", reason=GapReason.INVALID_RESPONSE)
BAD_TLS = Fault("TLS failed")
BAD_CERTIFICATE = Fault("its certificate is not accepted")
REDIRECT = Fault("answered with a redirect, which is not followed", Rejected, GapReason.INVALID_RESPONSE)
BAD_URL = Fault("its URL cannot be used", Rejected)
REFUSED = Fault("refused the request", Rejected)
OURS = Fault("a fault of the operator's own", Rejected, GapReason.INTERNAL_ERROR)

FAULTS: dict[str, Fault] = {
    "builtins.OSError": NO_CONNECTION,
    "builtins.ConnectionError": BROKE_OFF,
    "builtins.ConnectionRefusedError": Fault("connection refused"),
    "builtins.ConnectionResetError": Fault("reset the connection"),
    "builtins.BrokenPipeError": BROKE_OFF,
    "builtins.TimeoutError": SILENT,
    "builtins.EOFError": BROKE_OFF,
    "socket.gaierror": NO_SUCH_HOST,
    "ssl.SSLError": BAD_TLS,
    "ssl.SSLEOFError": Fault("closed the connection during the TLS handshake"),
    "ssl.SSLZeroReturnError": BROKE_OFF,
    "ssl.SSLCertVerificationError": BAD_CERTIFICATE,
    "http.client.HTTPException": NOT_HTTP,
    "http.client.BadStatusLine": NOT_HTTP,
    "http.client.RemoteDisconnected": CLOSED,
    "http.client.IncompleteRead": BROKE_OFF,
    # aiohttp
    "aiohttp.client_exceptions.ClientError": NO_CONNECTION,
    "aiohttp.client_exceptions.ClientResponseError": NOT_HTTP,
    "aiohttp.client_exceptions.ContentTypeError": GARBLED,
    "aiohttp.client_exceptions.WSServerHandshakeError": NOT_HTTP,
    "aiohttp.client_exceptions.ClientHttpProxyError": NO_CONNECTION,
    "aiohttp.client_exceptions.TooManyRedirects": REDIRECT,
    "aiohttp.client_exceptions.ClientConnectionError": NO_CONNECTION,
    "aiohttp.client_exceptions.ClientConnectionResetError": BROKE_OFF,
    "aiohttp.client_exceptions.ClientOSError": BROKE_OFF,
    "aiohttp.client_exceptions.ClientConnectorError": NO_CONNECTION,
    "aiohttp.client_exceptions.ClientConnectorDNSError": NO_SUCH_HOST,
    "aiohttp.client_exceptions.ClientProxyConnectionError": NO_CONNECTION,
    "aiohttp.client_exceptions.UnixClientConnectorError": NO_CONNECTION,
    "aiohttp.client_exceptions.ServerConnectionError": NO_CONNECTION,
    "aiohttp.client_exceptions.ServerDisconnectedError": CLOSED,
    "aiohttp.client_exceptions.ServerTimeoutError": SILENT,
    "aiohttp.client_exceptions.ConnectionTimeoutError": SILENT,
    "aiohttp.client_exceptions.SocketTimeoutError": SILENT,
    "aiohttp.client_exceptions.ServerFingerprintMismatch": BAD_CERTIFICATE,
    "aiohttp.client_exceptions.ClientPayloadError": BROKE_OFF,
    "aiohttp.client_exceptions.UploadAbortedError": BROKE_OFF,
    "aiohttp.client_exceptions.InvalidURL": BAD_URL,
    "aiohttp.client_exceptions.InvalidUrlClientError": BAD_URL,
    "aiohttp.client_exceptions.RedirectClientError": REDIRECT,
    "aiohttp.client_exceptions.NonHttpUrlClientError": BAD_URL,
    "aiohttp.client_exceptions.InvalidUrlRedirectClientError": REDIRECT,
    "aiohttp.client_exceptions.NonHttpUrlRedirectClientError": REDIRECT,
    "aiohttp.client_exceptions.ClientSSLError": BAD_TLS,
    "aiohttp.client_exceptions.ClientConnectorSSLError": BAD_TLS,
    "aiohttp.client_exceptions.ClientConnectorCertificateError": BAD_CERTIFICATE,
    "aiohttp.client_exceptions.WSMessageTypeError": OURS,
    "aiohttp.http_exceptions.HttpProcessingError": NOT_HTTP,
    "aiohttp.http_exceptions.BadHttpMessage": NOT_HTTP,
    "aiohttp.http_exceptions.HttpBadRequest": NOT_HTTP,
    "aiohttp.http_exceptions.PayloadEncodingError": GARBLED,
    "aiohttp.http_exceptions.ContentEncodingError": GARBLED,
    "aiohttp.http_exceptions.TransferEncodingError": BROKE_OFF,
    "aiohttp.http_exceptions.ContentLengthError": BROKE_OFF,
    "aiohttp.http_exceptions.DecompressSizeError": GARBLED,
    "aiohttp.http_exceptions.LineTooLong": NOT_HTTP,
    "aiohttp.http_exceptions.InvalidHeader": NOT_HTTP,
    "aiohttp.http_exceptions.BadStatusLine": NOT_HTTP,
    "aiohttp.http_exceptions.BadHttpMethod": NOT_HTTP,
    "aiohttp.http_exceptions.InvalidURLError": NOT_HTTP,
    # requests
    "requests.exceptions.RequestException": NO_CONNECTION,
    "requests.exceptions.InvalidJSONError": GARBLED,
    "requests.exceptions.JSONDecodeError": GARBLED,
    "requests.exceptions.HTTPError": REFUSED,
    "requests.exceptions.ConnectionError": NO_CONNECTION,
    "requests.exceptions.ProxyError": NO_CONNECTION,
    "requests.exceptions.SSLError": BAD_TLS,
    "requests.exceptions.Timeout": SILENT,
    "requests.exceptions.ConnectTimeout": SILENT,
    "requests.exceptions.ReadTimeout": SILENT,
    "requests.exceptions.URLRequired": BAD_URL,
    "requests.exceptions.TooManyRedirects": REDIRECT,
    "requests.exceptions.MissingSchema": BAD_URL,
    "requests.exceptions.InvalidSchema": BAD_URL,
    "requests.exceptions.InvalidURL": BAD_URL,
    "requests.exceptions.InvalidHeader": OURS,
    "requests.exceptions.InvalidProxyURL": BAD_URL,
    "requests.exceptions.ChunkedEncodingError": BROKE_OFF,
    "requests.exceptions.ContentDecodingError": GARBLED,
    "requests.exceptions.StreamConsumedError": OURS,
    "requests.exceptions.RetryError": NO_CONNECTION,
    "requests.exceptions.UnrewindableBodyError": OURS,
    # urllib3
    "urllib3.exceptions.HTTPError": NO_CONNECTION,
    "urllib3.exceptions.PoolError": NO_CONNECTION,
    "urllib3.exceptions.RequestError": NO_CONNECTION,
    "urllib3.exceptions.SSLError": BAD_TLS,
    "urllib3.exceptions.ProxyError": NO_CONNECTION,
    "urllib3.exceptions.DecodeError": GARBLED,
    "urllib3.exceptions.ProtocolError": BROKE_OFF,
    "urllib3.exceptions.MaxRetryError": NO_CONNECTION,
    "urllib3.exceptions.HostChangedError": REDIRECT,
    "urllib3.exceptions.TimeoutStateError": OURS,
    "urllib3.exceptions.TimeoutError": SILENT,
    "urllib3.exceptions.ReadTimeoutError": SILENT,
    "urllib3.exceptions.ConnectTimeoutError": SILENT,
    "urllib3.exceptions.NewConnectionError": NO_CONNECTION,
    "urllib3.exceptions.NameResolutionError": NO_SUCH_HOST,
    "urllib3.exceptions.EmptyPoolError": OURS,
    "urllib3.exceptions.FullPoolError": OURS,
    "urllib3.exceptions.ClosedPoolError": OURS,
    "urllib3.exceptions.LocationValueError": BAD_URL,
    "urllib3.exceptions.LocationParseError": BAD_URL,
    "urllib3.exceptions.URLSchemeUnknown": BAD_URL,
    "urllib3.exceptions.ResponseError": NOT_HTTP,
    "urllib3.exceptions.ResponseNotChunked": OURS,
    "urllib3.exceptions.BodyNotHttplibCompatible": OURS,
    "urllib3.exceptions.IncompleteRead": BROKE_OFF,
    "urllib3.exceptions.InvalidChunkLength": BROKE_OFF,
    "urllib3.exceptions.InvalidHeader": NOT_HTTP,
    "urllib3.exceptions.ProxySchemeUnknown": OURS,
    "urllib3.exceptions.ProxySchemeUnsupported": OURS,
    "urllib3.exceptions.HeaderParsingError": NOT_HTTP,
    "urllib3.exceptions.UnrewindableBodyError": OURS,
    # minio
    "minio.error.MinioException": NOT_HTTP,
    "minio.error.InvalidResponseError": NOT_HTTP,
    "minio.error.ServerError": Fault("answered with a server error"),
    "minio.error.S3Error": REFUSED,
    "minio.error.MinioAdminException": NOT_HTTP,
}
"""Meaning of each class, by its full name. A subclass that is not listed has the meaning of its nearest listed base."""

_CERTIFICATE_WORDS = {
    10: "its certificate has expired",  # X509_V_ERR_CERT_HAS_EXPIRED, https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/
    9: "its certificate is not valid yet",
    18: "its certificate is self-signed, and not by a CA that is known here: name the CA in tls.caSecretRef",
    19: "its certificate is signed by a CA that is not known here: name the CA in tls.caSecretRef",
    20: "its certificate is signed by a CA that is not known here: name the CA in tls.caSecretRef",
    21: "its certificate is signed by a CA that is not known here: name the CA in tls.caSecretRef",
    62: "its certificate is for another host name",
    64: "its certificate is for another IP address",
}
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
_NO_ROUTE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL)


def fault_of(error: BaseException, peer: str, remedy: str = "") -> SourceError:
    """Return the error for an exception of a client library or the system; raise it `from` that.

    `peer` names the server in the message. `remedy` is added if the server cannot be reached. The exception's own text is not
    used, only its class, numbers and addresses: the text may contain what was sent.
    """
    causes = list(islice(_causes(error), MAX_CAUSES))
    for cause in reversed(causes):  # the innermost is the most exact
        if isinstance(cause, SourceError):
            return cause
        exact = _exact(cause, causes, remedy)
        if exact is not None:
            return exact.kind(f"{peer}: {exact.words}", exact.reason)
    fault = next((known for cause in reversed(causes) if (known := _known(cause)) not in (None, NO_CONNECTION)), None)
    fault = fault or NO_CONNECTION
    return fault.kind(f"{peer}: {fault.words}", fault.reason)


def _exact(error: BaseException, causes: list[BaseException], remedy: str) -> Fault | None:
    """Return a more exact fault for an exception of the system, with its address; None for other exceptions."""
    if isinstance(error, ssl.SSLError):
        return _of_tls(error)
    help_ = f": {remedy}" if remedy else ""
    if isinstance(error, socket.gaierror):
        passing = error.errno == socket.EAI_AGAIN
        words = "the name server does not answer for" if passing else "no such host:"
        return Fault(f"{words} {error.filename or _host(causes) or 'its name'}{help_}")
    if not isinstance(error, OSError):
        return None
    address = _address(error, causes)
    if isinstance(error, ConnectionRefusedError):
        return Fault(f"connection refused by {address or 'it'}{help_}")
    if error.errno in _NO_ROUTE:
        return Fault(f"no route to {address or 'its host'}{help_}")
    if isinstance(error, TimeoutError) and isinstance(error.filename, str):
        words = f"no connection to {address} in time: a firewall or a network policy may be between"
        return Fault(words, reason=GapReason.TIMED_OUT)
    return None


def _of_tls(error: ssl.SSLError) -> Fault | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Fault(_CERTIFICATE_WORDS.get(getattr(error, "verify_code", 0), BAD_CERTIFICATE.words))
    reason = getattr(error, "reason", None) or ""
    if reason in _NOT_TLS:
        return Fault("it does not speak TLS: the endpoint may be http, not https")
    if "ALERT" in reason:
        words = reason.lower().replace("_", " ")
        return Fault(f"it broke the TLS handshake off: it may want a client certificate ({words})")
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and its causes, the outermost first. Libraries keep causes in several attributes."""
    waiting, seen = [error], set[int]()
    while waiting:
        cause = waiting.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = [cause.__cause__, None if cause.__suppress_context__ else cause.__context__, getattr(cause, "os_error", None)]
        inner += [getattr(cause, "reason", None), *cause.args, getattr(cause, "certificate_error", None)]
        waiting += [each for each in inner if isinstance(each, BaseException)]


def _known(error: BaseException) -> Fault | None:
    for kind in type(error).__mro__:
        module = "ssl" if kind.__module__ == "_ssl" else kind.__module__
        fault = FAULTS.get(f"{module}.{kind.__name__}")
        if fault is not None:
            return fault
    return None


def _address(error: OSError, causes: list[BaseException]) -> str | None:
    """Return the peer as `IP:port` (recorded by our transport), else as `host:port` (aiohttp); None if neither is known."""
    if isinstance(error.filename, str):
        return error.filename
    host = _host(causes)
    ports = (getattr(cause, "port", None) for cause in causes)
    port = next((port for port in ports if isinstance(port, int)), None)
    return f"{host}:{port}" if host and port else host


def _host(causes: list[BaseException]) -> str | None:
    hosts = (getattr(cause, "host", None) for cause in causes)
    return next((host for host in hosts if isinstance(host, str)), None)

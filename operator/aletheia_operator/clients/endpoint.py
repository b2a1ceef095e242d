"""One DataSource: its URL, limits and credentials, and the errors that requests to it can raise."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlsplit

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.types import Model
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable, error_of, is_redirect
from aletheia_operator.clients.faults import fault_of
from aletheia_operator.clients.quoting import Quoter

Options = TypeVar("Options", bound=Model)
_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: ([0-9]{3})")
"""What http.client says if a proxy answers CONNECT with an error. The proxy's own text is left out."""


@dataclass(frozen=True)
class Credentials:
    """Headers, certificates and keys that authenticate the operator. No field is part of `repr`, so none is printed."""

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """HTTP headers, as (name, value)."""
    ca_pem: str | None = field(default=None, repr=False)
    """PEM certificates of the CAs to trust for the endpoint. None: the public CAs, and those of the endpoint's `ca_bundle`."""
    client_pem: str | None = field(default=None, repr=False)
    """PEM client certificate chain and key. None: no client certificate is sent."""
    proxy: tuple[str, str] | None = field(default=None, repr=False)
    """User and password for the proxy. None: the proxy needs none."""
    access_key: tuple[str, str, str | None] | None = field(default=None, repr=False)
    """S3 access key: id, secret, and session token (None for a permanent key). None: not an S3 endpoint."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Secret values: error messages must not contain them, even if the server's answer does."""


@dataclass(frozen=True)
class Endpoint:
    """One DataSource with all that a request to it needs."""

    name: str
    url: str
    timeout_seconds: int
    """Limit for one answer, retries included."""
    max_response_bytes: int
    """Limit for all answers to one question together, counted after decompression."""
    max_series: int = 10_000
    options: Model | None = None
    """Options of the DataSource's type, see `options_of`. None: the DataSource sets none."""
    ca_bundle: Path | None = None
    """PEM file with CAs to trust besides the public ones, if the credentials name none. None: only the public ones."""
    proxy: str | None = None
    """URL of the HTTP proxy, without credentials. None: the endpoint is connected to directly."""
    is_on_node: bool = False
    """Whether the endpoint is no DataSource but the node's own server of credentials: its addresses are not refused."""
    identity: "Endpoint | None" = field(default=None, repr=False)
    """Server with the temporary keys for the operator's cloud identity. None: the credentials are those of a Secret."""
    turn: Callable[[Callable[[float], bool]], None] | None = field(default=None, repr=False, compare=False)
    """Waits until a request may be sent, see `Pace.turn_in_thread`. None: there is no limit."""
    namespace: str = field(default="", compare=False)
    """Namespace of the Investigation. Empty: the operator asks for itself, to check the DataSource."""
    credentials: Credentials = field(default_factory=Credentials, repr=False)
    """The credentials as they were when the question began."""
    renew: Callable[[], Credentials] | None = field(default=None, repr=False, compare=False)
    """Reads the credentials again. Blocks; raises SourceError. None: they cannot be read again."""
    renewed: list[Credentials] = field(default_factory=list, repr=False, compare=False)
    """Results of `renew`, the latest last. Copies of this endpoint share the list."""

    @property
    def base(self) -> str:
        """Return the URL without a trailing slash, with an ASCII host name. Raises Rejected if the host name is not valid."""
        url = self.url.rstrip("/")
        if url.isascii():
            return url
        import requests  # imported late, see `http`

        try:
            host = urlsplit(str(requests.Request("GET", url).prepare().url)).netloc
        except requests.RequestException as e:
            message = f"DataSource {self.name}: its endpoint's host name is not valid"
            raise Rejected(message, GapReason.NO_DATA_SOURCE) from e
        return urlsplit(url)._replace(netloc=host).geturl()

    def options_of(self, model: type[Options]) -> Options:
        """Return the options of the DataSource's type, with defaults for those that it does not set.

        `model`: the type's model in `api/source_types`. Raises TypeError if the DataSource is of another type.
        """
        if self.options is None:
            return model()
        if not isinstance(self.options, model):
            raise TypeError(f"DataSource {self.name} has {type(self.options).__name__}, not {model.__name__}")
        return self.options

    @property
    def origin(self) -> tuple[str, str, int]:
        """Return scheme, host and port. Credentials are sent nowhere else."""
        return origin_of(self.base)

    @property
    def proxies(self) -> dict[str, str]:
        """Return the proxy with its current credentials, by scheme, as requests takes it; {} for a direct connection."""
        if self.proxy is None:
            return {}
        url = self.proxy
        if self.current.proxy is not None:
            user, password = (quote(part, safe="") for part in self.current.proxy)
            url = url.replace("://", f"://{user}:{password}@", 1)
        return {"http": url, "https": url}

    @property
    def quoter(self) -> Quoter:
        """Return the Quoter that removes all of this endpoint's credentials from text."""
        shown = (self.credentials, *self.renewed)
        return Quoter(tuple({secret for credentials in shown for secret in credentials.secrets}))

    @property
    def current(self) -> Credentials:
        """Return the credentials that were read last."""
        return self.renewed[-1] if self.renewed else self.credentials

    def renewed_headers(self) -> tuple[tuple[str, str], ...] | None:
        """Read the credentials again and return their headers; None if they cannot be read. Blocks."""
        if self.renew is None:
            return None
        try:
            self.renewed.append(self.renew())
        except SourceError:
            return None
        return self.current.headers

    def too_large(self) -> Rejected:
        """Return the error for answers that together exceed `max_response_bytes`."""
        return Rejected(
            f"DataSource {self.name}: the answer is larger than {self.max_response_bytes} bytes;"
            " ask for less, or ask an admin to raise maxResponseBytes",
            GapReason.TOO_LARGE,
        )

    def timed_out(self) -> Unavailable:
        """Return the error for an answer that took longer than `timeout_seconds`."""
        return Unavailable(f"DataSource {self.name} did not answer within {self.timeout_seconds} s", GapReason.TIMED_OUT)

    def unreachable(self, error: BaseException) -> SourceError:
        """Return the error for an exception of a client library or the system."""
        checked = "endpoint and port"
        if self.proxy is not None:
            checked = f"proxy, {checked}"
            if refused := _TUNNEL_REFUSED.search(str(error)):
                message = f"DataSource {self.name}: its proxy {self.proxy} refuses the connection: {refused[1]}"
                return Rejected(message, GapReason.UNAVAILABLE)
        return fault_of(error, f"DataSource {self.name}", f"check the DataSource's {checked}")

    def not_json(self) -> Unavailable:
        """Return the error for an answer that is not JSON."""
        return Unavailable(f"DataSource {self.name}: the answer is not JSON", GapReason.INVALID_RESPONSE)

    def too_deep(self) -> Unavailable:
        """Return the error for an answer with too many levels of JSON."""
        return Unavailable(f"DataSource {self.name}: the answer's JSON is nested too deep", GapReason.INVALID_RESPONSE)

    def not_of(self, api: str) -> Unavailable:
        """Return the error for an answer that does not have the form that `api` promises."""
        return Unavailable(f"DataSource {self.name}: the answer is not that of {api}", GapReason.INVALID_RESPONSE)

    def failed(self, status: int, text: str | bytes) -> SourceError:
        """Return the error for an HTTP status that is not a success. `text`: the server's own error text, uncut."""
        if is_redirect(status):
            return error_of(status, f"DataSource {self.name} answered {status}: redirects are not followed")
        quoted = self.quoter(text) or "it gives no reason"
        return error_of(status, f"DataSource {self.name} answered {status}: {quoted}")


def origin_of(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL; the scheme's default port if it names none."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

"""One DataSource: its URL, limits, credentials, and the errors that asking it can cause."""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests

from aletheia_operator.api.datasource import S3Bucket
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable, error_of
from aletheia_operator.clients.faults import fault_of
from aletheia_operator.clients.words import Quoter


@dataclass(frozen=True)
class Credentials:
    """What authenticates us to the endpoint. Never printed: no field is part of the representation."""

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Name and value, such as Authorization."""
    ca_pem: str | None = field(default=None, repr=False)
    """Certificates of the CAs that sign the endpoint's. None: the system's."""
    client_pem: str | None = field(default=None, repr=False)
    """Our certificate chain and key. None: we show none."""
    access_key: tuple[str, str, str | None] | None = field(default=None, repr=False)
    """Of S3: the key's id, its secret, and the token of a temporary one."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Values that no message may repeat, although the server may."""


@dataclass(frozen=True)
class Endpoint:
    """One DataSource, ready to be asked."""

    name: str
    url: str
    timeout_seconds: int
    """For one answer, its retries included."""
    max_response_bytes: int
    """Of one question, decoded."""
    max_series: int = 10_000
    namespace_label: str | None = None
    """The label that every PromQL selector must match with the namespace of the Investigation."""
    namespace: str = field(default="", compare=False)
    """That the asking Investigation is in; empty: the operator asks for itself."""
    api: str | None = None
    """Which of its APIs the source is asked by; None: whichever answers."""
    bucket: S3Bucket | None = None
    """Of S3: where sessions go."""
    credentials: Credentials = field(default_factory=Credentials, repr=False)
    """As they were when the question began."""
    renew: Callable[[], Credentials] | None = field(default=None, repr=False, compare=False)
    """Reads the credentials again and blocks meanwhile; raises SourceError. None: they stay as they are."""
    renewed: list[Credentials] = field(default_factory=list, repr=False, compare=False)
    """What `renew` gave, the latest last; copies of this endpoint share it."""

    @property
    def base(self) -> str:
        """The URL without a slash at its end, its host name in ASCII. Raises Rejected if it has no such form."""
        url = self.url.rstrip("/")
        if url.isascii():
            return url
        try:
            host = urlsplit(str(requests.Request("GET", url).prepare().url)).netloc
        except requests.RequestException as e:
            message = f"DataSource {self.name}: its endpoint's host name is not valid"
            raise Rejected(message, GapReason.NO_DATA_SOURCE) from e
        return urlsplit(url)._replace(netloc=host).geturl()

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: the only place that credentials go to."""
        return origin_of(self.base)

    @property
    def quoter(self) -> Quoter:
        """Repeats the server's words without the credentials."""
        shown = (self.credentials, *self.renewed)
        return Quoter(tuple({secret for one in shown for secret in one.secrets}))

    @property
    def current(self) -> Credentials:
        """The credentials as they were last read."""
        return self.renewed[-1] if self.renewed else self.credentials

    def renewed_headers(self) -> tuple[tuple[str, str], ...] | None:
        """Read the credentials again, since the endpoint refused them; None if they cannot be read. Blocks."""
        if self.renew is None:
            return None
        try:
            self.renewed.append(self.renew())
        except SourceError:
            return None
        return self.current.headers

    def too_large(self) -> Rejected:
        return Rejected(
            f"DataSource {self.name}: the answer is larger than {self.max_response_bytes} bytes;"
            " ask for less, or have maxResponseBytes raised",
            GapReason.TOO_LARGE,
        )

    def timed_out(self) -> Unavailable:
        return Unavailable(f"DataSource {self.name} did not answer within {self.timeout_seconds} s", GapReason.TIMED_OUT)

    def unreachable(self, error: BaseException) -> SourceError:
        """The error for what a client library or the system raised."""
        return fault_of(error, f"DataSource {self.name}", "check the DataSource's endpoint and port")

    def not_json(self) -> Unavailable:
        return Unavailable(f"DataSource {self.name}: the answer is not JSON", GapReason.INVALID_RESPONSE)

    def not_of(self, what: str) -> Unavailable:
        return Unavailable(f"DataSource {self.name}: the answer is not that of {what}", GapReason.INVALID_RESPONSE)

    def failed(self, status: int, said: str | bytes) -> SourceError:
        """The error for an answer with this HTTP status and these words of the server, as it wrote them, uncut."""
        if 300 <= status < 400:
            return error_of(status, f"DataSource {self.name} answered {status}: redirects are not followed")
        words = self.quoter(said) or "it gives no reason"
        return error_of(status, f"DataSource {self.name} answered {status}: {words}")


def origin_of(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

"""Where a DataSource listens, what it may cost, what it is told of us, and the errors that it can cause."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aletheia_operator.api.datasource import S3Bucket
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable

RETRY_STATUSES = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Credentials:
    """What the endpoint is shown. Never printed: no field has a representation."""

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Name and value, such as Authorization."""
    ca_pem: str | None = field(default=None, repr=False)
    """Certificates that sign the endpoint's. None: the system's."""
    client_pem: str | None = field(default=None, repr=False)
    """Certificate chain and key that we show."""
    access_key: tuple[str, str, str | None] | None = field(default=None, repr=False)
    """Of S3: the key's id, its secret, and the token of a temporary one."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Every value that must not be repeated, also where the server does."""


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
    api: str | None = None
    """Which of its APIs the source is asked by; None: whichever answers."""
    bucket: S3Bucket | None = None
    """Of S3: where sessions go."""
    credentials: Credentials = field(default_factory=Credentials, repr=False)

    @property
    def base(self) -> str:
        return self.url.rstrip("/")

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: the only place that credentials go to."""
        return origin_of(self.url)

    def too_large(self) -> Rejected:
        return Rejected(
            f"DataSource {self.name}: the answer is larger than {self.max_response_bytes} bytes;"
            " ask for less, or have maxResponseBytes raised",
            GapReason.TOO_LARGE,
        )

    def timed_out(self) -> Unavailable:
        return Unavailable(f"DataSource {self.name} did not answer within {self.timeout_seconds} s", GapReason.TIMED_OUT)

    def unreachable(self, error: Exception) -> Unavailable:
        return Unavailable(f"DataSource {self.name} cannot be reached: {type(error).__name__}")

    def not_json(self) -> Unavailable:
        return Unavailable(f"DataSource {self.name}: the answer is not JSON", GapReason.INVALID_RESPONSE)

    def not_of(self, what: str) -> Unavailable:
        return Unavailable(f"DataSource {self.name}: the answer is not that of {what}", GapReason.INVALID_RESPONSE)

    def without_secrets(self, said: str) -> str:
        """Words of the server, which may repeat what it was shown."""
        for secret in self.credentials.secrets:
            said = said.replace(secret, "***")
        return said

    def failed(self, status: int, said: str) -> SourceError:
        """The error for an answer with this HTTP status and these words of the server."""
        message = f"DataSource {self.name} answered {status}: {self.without_secrets(said[:2000])[:500]}"
        if 300 <= status < 400:
            return Rejected(f"DataSource {self.name} answered {status}: redirects are not followed", GapReason.INVALID_RESPONSE)
        if status in (401, 403):
            return Rejected(message, GapReason.FORBIDDEN)
        if status == 404:
            return Rejected(message, GapReason.NOT_FOUND)
        if status in RETRY_STATUSES or status >= 500:
            return Unavailable(message)
        return Rejected(message)


def origin_of(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

"""The errors of requests to sources, the one table from an HTTP status to them, and what single statuses mean.

SourceError
├── Unavailable   trying again later may help
└── Rejected      trying again will not help

`faults.py` has the table from exceptions of the client libraries.
"""

from collections.abc import Awaitable, Iterator
from itertools import chain, repeat
from typing import TypeVar

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.text.display import one_line

MAX_MESSAGE = 1000

T = TypeVar("T")


class SourceError(Exception):
    """A source did not answer a question.

    `reason` becomes the gap's reason. `message` is for people and holds no secret. `status` is the HTTP status of the answer;
    None if there was no answer, or if its status does not matter.
    """

    default_reason = GapReason.INTERNAL_ERROR

    def __init__(self, message: str, reason: GapReason | None = None, status: int | None = None) -> None:
        self.message = one_line(message, MAX_MESSAGE)  # it may quote a server
        super().__init__(self.message)
        self.reason = reason or self.default_reason
        self.status = status


class Unavailable(SourceError):
    """The source did not answer. Trying again later may help."""

    default_reason = GapReason.UNAVAILABLE


class Rejected(SourceError):
    """The source refused the question. Trying again will not help."""

    default_reason = GapReason.REJECTED


STATUSES: dict[int, tuple[type[SourceError], GapReason]] = {
    401: (Rejected, GapReason.FORBIDDEN),
    403: (Rejected, GapReason.FORBIDDEN),
    404: (Rejected, GapReason.NOT_FOUND),
    405: (Rejected, GapReason.NOT_FOUND),  # a kubelet without log files; a server without this API
    407: (Rejected, GapReason.FORBIDDEN),
    408: (Unavailable, GapReason.TIMED_OUT),
    410: (Unavailable, GapReason.UNAVAILABLE),  # a continue token of the Kubernetes API that expired
    413: (Rejected, GapReason.TOO_LARGE),
    425: (Unavailable, GapReason.UNAVAILABLE),
    429: (Unavailable, GapReason.UNAVAILABLE),
    501: (Rejected, GapReason.REJECTED),
    505: (Rejected, GapReason.REJECTED),
    504: (Unavailable, GapReason.TIMED_OUT),
}
"""Statuses with another meaning than the rest of their class (3xx, 4xx, 5xx)."""

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Transient statuses: the request is repeated at once."""
FORBIDDEN = frozenset({403})
"""The caller is known, and lacks the right."""
CREDENTIALS_REFUSED = frozenset({401, 403})
"""The credentials are not accepted, or do not suffice."""
MISSING = frozenset({404})
"""There is no such object, or the server has no such path."""
CONFLICT = frozenset({409})
"""The object has changed since it was read, or it exists already."""
EXPIRED = frozenset({410})
"""The resource version or the continue token of the Kubernetes API is too old."""
BODY_REFUSED = frozenset({400, 413, 422})
"""The server does not accept the body: it is invalid or too large."""
OVERLOADED = frozenset({429})
"""The server did not begin with the request: also a change may be repeated."""
SERVER_FAULT = frozenset({500})
"""The server failed while it handled the request."""
DOWN = frozenset({503})
"""The server, or the one behind it, does not run."""
WHOLE_BODY = frozenset({200})
"""The body is what was requested, whole."""
PARTIAL_CONTENT = frozenset({206})
"""The body is the requested range."""
REQUEST_REFUSED = frozenset({400, 422})
"""The server does not accept a parameter of the request."""
POST_REFUSED = frozenset({403, 405, 501})
"""The server, or a proxy, does not accept POST."""


def is_success(status: int) -> bool:
    """Return whether a status is a success (2xx)."""
    return 200 <= status < 300


def is_redirect(status: int) -> bool:
    """Return whether the server names another address (3xx)."""
    return 300 <= status < 400


def is_refusal(status: int) -> bool:
    """Return whether the server refuses the request, or failed (4xx, 5xx)."""
    return status >= 400


def is_temporary(status: int) -> bool:
    """Return whether trying again later may help."""
    return isinstance(error_of(status, ""), Unavailable)


def error_of(status: int, message: str) -> SourceError:
    """Return the error for an HTTP status that is not a success (2xx)."""
    if status in STATUSES:
        kind, reason = STATUSES[status]
    elif status >= 500:
        kind, reason = Unavailable, GapReason.UNAVAILABLE
    elif status < 400:
        kind, reason = Rejected, GapReason.INVALID_RESPONSE
    else:
        kind, reason = Rejected, GapReason.REJECTED
    return kind(message, reason, status)


async def if_found(reading: Awaitable[T]) -> T | None:
    """Return what a request returns; None if the object does not exist. Raises SourceError for other refusals and faults."""
    try:
        return await reading
    except SourceError as e:
        if e.reason == GapReason.NOT_FOUND:
            return None
        raise


def retry_delays() -> Iterator[float]:
    """Yield the seconds to wait before each further try, without end."""
    return chain((0.5, 1.0, 2.0, 5.0), repeat(10.0))

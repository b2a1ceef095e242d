"""The errors of requests to sources, and the one table from an HTTP status to them.

SourceError
├── Unavailable   trying again later may help
└── Rejected      trying again will not help

`faults.py` has the table from exceptions of the client libraries.
"""

from collections.abc import Iterator
from itertools import chain, repeat

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.text.display import one_line

MAX_MESSAGE = 1000


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


def retry_delays() -> Iterator[float]:
    """Yield the seconds to wait before each further try, without end."""
    return chain((0.5, 1.0, 2.0, 5.0), repeat(10.0))

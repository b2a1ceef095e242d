"""What can go wrong when a source is asked.

SourceError
├── Unavailable   trying again later may help
└── Rejected      trying again will not help
"""

from collections.abc import Iterator
from itertools import chain, repeat

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.text.display import one_line

MAX_MESSAGE = 1000


class SourceError(Exception):
    """A question was not answered. `reason` is a GapReason, `message` is for people and holds no secret."""

    default_reason = GapReason.INTERNAL_ERROR

    def __init__(self, message: str, reason: GapReason | None = None) -> None:
        self.message = one_line(message, MAX_MESSAGE)  # it may quote a server, and will be shown
        super().__init__(self.message)
        self.reason = reason or self.default_reason


class Unavailable(SourceError):
    """The source did not answer; trying again later may help."""

    default_reason = GapReason.UNAVAILABLE


class Rejected(SourceError):
    """The source refused; trying again will not help."""

    default_reason = GapReason.REJECTED


def retry_delays() -> Iterator[float]:
    """Seconds to wait before each further try, without end."""
    return chain((0.5, 1.0, 2.0, 5.0), repeat(10.0))

"""Gaps as they are kept and shown."""

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import MAX_MESSAGE
from aletheia_operator.fetchers.base import Missing
from aletheia_operator.investigate.budget import QuotaExceeded
from aletheia_operator.session import Gap
from aletheia_operator.text.display import one_line

MAX_TARGET = 300
OWN = "Investigation"
"""In place of a fetcher, in gaps of the capture itself."""
INTERNAL_ERROR = "a fault of the operator's own; its log has the details"


def gap_of(fetcher: str, missing: Missing) -> Gap:
    """Make what the gap quotes safe to show. `fetcher` is a fetcher's name, or that of a step."""
    return Gap(
        fetcher=fetcher,
        target=one_line(missing.target, MAX_TARGET),
        reason=missing.reason.value,
        message=one_line(missing.message, MAX_MESSAGE),
        severity=missing.severity,
    )


def save_failed(target: str, error: OSError) -> Missing:
    """The gap of what the session volume, or a quota, refused."""
    words = error.strerror or str(error) or type(error).__name__
    if isinstance(error, QuotaExceeded):
        return Missing(target, GapReason.BUDGET_EXCEEDED, words)
    return Missing(target, GapReason.SAVE_FAILED, f"the session volume refused the write: {words}")


def internal_error(target: str) -> Missing:
    """The gap of a fault of our own, which the caller logs."""
    return Missing(target, GapReason.INTERNAL_ERROR, INTERNAL_ERROR)

"""Makes gaps for the manifest and status."""

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import MAX_MESSAGE
from aletheia_operator.fetchers.base import Missing
from aletheia_operator.investigate.budget import QuotaExceeded
from aletheia_operator.redact import Redactor
from aletheia_operator.session import Gap
from aletheia_operator.text.display import for_status

MAX_TARGET = 300
_MAX_REDACTED = 8192  # characters; clients cut quotes to less than that
_UNKEYED = Redactor()
OWN = "Investigation"
"""Fetcher in gaps of the capture itself."""


def gap_of(fetcher: str, missing: Missing, redactor: Redactor | None = None) -> Gap:
    """Make a gap with text that is safe to show. `fetcher`: name of a fetcher, or of a step of the capture.

    `redactor`: the capture's. None: the tokens do not show which secrets are equal.
    """
    redactor = (redactor or _UNKEYED).another()
    return Gap(
        fetcher=fetcher,
        target=for_status(redactor.text(missing.target[:_MAX_REDACTED]), MAX_TARGET),
        reason=missing.reason.value,
        message=for_status(redactor.text(missing.message[:_MAX_REDACTED]), MAX_MESSAGE),
        severity=missing.severity,
    )


def save_failed(target: str, error: OSError) -> Missing:
    """Return the gap for a write that the session volume, or a quota, refused."""
    words = error.strerror or str(error) or type(error).__name__
    if isinstance(error, QuotaExceeded):
        return Missing(target, GapReason.BUDGET_EXCEEDED, words)
    return Missing(target, GapReason.SAVE_FAILED, f"the session volume refused the write: {words}")

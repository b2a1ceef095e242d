"""Messages of gaps: inert, short, and with the reason of the refusal."""

import errno

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import MAX_MESSAGE
from aletheia_operator.fetchers.base import Missing
from aletheia_operator.investigate.budget import QuotaExceeded
from aletheia_operator.investigate.gaps import MAX_TARGET, gap_of, save_failed

REFUSED = "the session volume refused the write: "


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), GapReason.SAVE_FAILED, f"{REFUSED}No space left on device"),
        (OSError("the session is closed"), GapReason.SAVE_FAILED, f"{REFUSED}the session is closed"),
        (BrokenPipeError(), GapReason.SAVE_FAILED, f"{REFUSED}BrokenPipeError"),
        (QuotaExceeded("the session reached its quota"), GapReason.BUDGET_EXCEEDED, "the session reached its quota"),
    ],
    ids=["the system's words", "our own words", "no words", "a quota"],
)
def test_a_refused_write_says_who_refused_it(error: OSError, reason: GapReason, message: str) -> None:
    """The volume, with the best available message, or a quota."""
    assert save_failed("pod/web-0", error) == Missing("pod/web-0", reason, message)


@pytest.mark.parametrize("severity", ["gap", "note"])
def test_what_a_gap_quotes_is_inert_and_short(severity: str) -> None:
    """Neither target nor message can break a terminal, or the limit of a status."""
    missing = Missing("pod/\x1b[2J" + "x" * 400, GapReason.NOT_FOUND, "gone\n" + "y" * 5000, severity)  # type: ignore[arg-type]
    gap = gap_of("Fake", missing)
    assert (gap.fetcher, gap.reason, gap.severity) == ("Fake", "NotFound", severity)
    assert (len(gap.target), len(gap.message)) == (MAX_TARGET, MAX_MESSAGE)
    assert gap.target.startswith("pod/")
    assert gap.message.startswith("gone ")
    assert (gap.target + gap.message).isprintable()

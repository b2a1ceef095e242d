"""What follows from what: the window from the spec, the phase from the evidence. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from aletheia_operator.api import WindowSpec, parse_duration
from aletheia_operator.api.investigation import EARLIEST
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.base import Missing, Window
from aletheia_operator.session import Artifact, Gap
from aletheia_operator.text.timestamps import format_time


def fix_window(spec: WindowSpec, created: datetime) -> tuple[Window, Missing | None]:
    """The window of an Investigation created at `created`; an end in the future is cut there, and said.

    A window that looks back further than 1970 begins there.
    """
    if spec.lookback is not None:
        return Window(max(EARLIEST, created - timedelta(seconds=parse_duration(spec.lookback))), created), None
    start, end = spec.start or created, spec.end or created
    window = Window(min(start, created), min(end, created))
    last = max(start, end)
    if last <= created:
        return window, None
    message = (
        f"the window reaches to {format_time(last)}, but the resource was created at {format_time(created)}:"
        " what came later is not captured; create another Investigation for it"
    )
    return window, Missing("window", GapReason.WINDOW_IN_FUTURE, message)


def conclude(artifacts: Sequence[Artifact], gaps: Sequence[Gap], interruption: GapReason | None) -> str:
    """The final phase. Notes (gaps of severity `note`) do not count."""
    if interruption is GapReason.CANCELLED:
        return "Cancelled"
    if interruption is GapReason.TIMED_OUT:
        return "TimedOut"
    if all(gap.severity == "note" for gap in gaps):
        return "Completed"
    return "PartiallyCompleted" if artifacts else "Failed"

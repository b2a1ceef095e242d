"""Decides the window from the spec, and the phase from the evidence. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from aletheia_operator.api import WindowSpec, parse_duration
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.times import EARLIEST
from aletheia_operator.fetchers.base import Missing, Window
from aletheia_operator.session import Artifact, Gap, is_report_path
from aletheia_operator.text.timestamps import format_time


def last_moment(created: datetime) -> datetime:
    """Return the last possible moment of a window: `created` has whole seconds, so it may mean any moment of its second."""
    return created.replace(microsecond=0) + timedelta(microseconds=999_999)


def fix_window(spec: WindowSpec, created: datetime) -> tuple[Window, Missing | None]:
    """Return the window of an Investigation created at `created` (whole seconds), and a gap if its end was cut, else None.

    It begins in 1970 at the earliest, and ends with the second of `created` at the latest: a later end is cut there.
    """
    last = last_moment(created)
    if spec.lookback is not None:
        lookback = min(timedelta(seconds=parse_duration(spec.lookback)), created - EARLIEST)
        return _window(created - lookback, last), None
    start, end = spec.start or created, spec.end or last
    window = _window(min(start, last), min(end, last))
    if max(start, end) <= last:
        return window, None
    message = (
        f"the window reaches to {max(start, end).isoformat()}, but the resource was created at {format_time(created)}:"
        " what came later is not captured; create another Investigation for it"
    )
    return window, Missing("window", GapReason.WINDOW_IN_FUTURE, message)


def _window(start: datetime, end: datetime) -> Window:
    return Window(max(start, EARLIEST), max(end, EARLIEST))


def interruption_of(text: str | None) -> GapReason | None:
    """Return the reason for a capture's early end from its journal; None if it was not ended early."""
    return next((reason for reason in (GapReason.TIMED_OUT, GapReason.CANCELLED) if reason.value == text), None)


def conclude(artifacts: Sequence[Artifact], gaps: Sequence[Gap], interruption: GapReason | None) -> str:
    """Return the final phase. Notes (gaps of severity `note`) do not count."""
    if interruption is GapReason.CANCELLED:
        return "Cancelled"
    if interruption is GapReason.TIMED_OUT:
        return "TimedOut"
    if all(gap.severity == "note" for gap in gaps):
        return "Completed"
    return "PartiallyCompleted" if any(not is_report_path(artifact.path) for artifact in artifacts) else "Failed"

"""Parses times that a user writes: durations before the end of the window, times of day, and RFC 3339. Pure.

A bound is the beginning of an RFC 3339 time in UTC without its Z. Only as many characters of a timestamp are compared
with it, so that `--until 14:02` includes that whole minute.
"""

import re
from datetime import UTC, datetime, timedelta

from aletheia_operator.api import parse_duration
from aletheia_operator.show.captured import NotShown
from aletheia_operator.text.timestamps import NANOSECONDS, format_nanoseconds, parse_nanoseconds

_CLOCK = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,9})?)?")
_DATED = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?Z?")
_ZONED = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d)(:\d\d(?:\.\d{1,9})?)?([+-]\d\d:\d\d)")


def bound(text: str | None, window: tuple[str, str]) -> str | None:
    """Return `text` as a bound; None for None. Raises NotShown if it is no time."""
    if text is None:
        return None
    end = parse_nanoseconds(window[1].encode()) or 0
    if _CLOCK.fullmatch(text):
        return _on_a_day(text, window)
    if _DATED.fullmatch(text):
        return text.replace(" ", "T").removesuffix("Z")
    if (zoned := _ZONED.fullmatch(text)) and (moment := _in_utc(zoned)) is not None:
        return moment
    try:
        return format_nanoseconds(end - parse_duration(text) * NANOSECONDS).removesuffix("Z")
    except (ValueError, OverflowError) as e:
        raise NotShown(
            f"{text[:100]!r} is no time: write a time of day (14:02 or 14:02:11, UTC), a time such as 2026-11-22T14:02:11Z,"
            " or how long before the end of the window (10m)"
        ) from e


def is_within(stamp: str, since: str | None, until: str | None) -> bool:
    """Return whether a timestamp lies between two bounds. An unknown one ('') does only if there are no bounds."""
    if since is not None and stamp.removesuffix("Z") < since:
        return False
    return until is None or (bool(stamp) and stamp[: len(until)] <= until)


def _on_a_day(clock: str, window: tuple[str, str]) -> str:
    """Return the time of day on the last day of the window that has it."""
    day = datetime.fromisoformat(window[1][:10]).replace(tzinfo=UTC)
    found = f"{day:%Y-%m-%d}T{clock}"
    before = f"{day - timedelta(days=1):%Y-%m-%d}T{clock}"
    return before if found > window[1] and before >= window[0][: len(before)] else found


def _in_utc(zoned: re.Match[str]) -> str | None:
    minute, seconds, zone = zoned.groups()
    moment = parse_nanoseconds(f"{minute.replace(' ', 'T')}{seconds or ':00'}{zone}".encode())
    if moment is None:
        return None
    return format_nanoseconds(moment)[: len(minute) + len(seconds or "")]

"""Reads and writes RFC 3339 times with nanoseconds. A moment is an int: nanoseconds since the Unix epoch."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

NANOSECONDS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


def utc_now() -> datetime:
    return datetime.now(UTC)


def parse_time(text: object) -> datetime | None:
    """Return a time of the Kubernetes API, which has whole seconds or microseconds; None if `text` is no time."""
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def parse_nanoseconds(text: bytes) -> int | None:
    """Return the moment of an RFC 3339 time, for example `2026-11-22T15:21:11.072842937Z`; None if `text` is not one."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    second, fraction, zone = match.groups()
    whole = _seconds(second + zone)
    return None if whole is None else whole * NANOSECONDS + (int(fraction.ljust(9, b"0")) if fraction else 0)


@lru_cache(maxsize=4096)
def _seconds(text: bytes) -> int | None:
    try:
        return (datetime.fromisoformat(text.decode()) - _EPOCH) // timedelta(seconds=1)
    except ValueError:
        return None


def to_nanoseconds(moment: datetime) -> int:
    """Return a time as nanoseconds since the Unix epoch."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def format_nanoseconds(moment: int) -> str:
    """Return a moment as RFC 3339 UTC with nine digits of a second, which sorts as text."""
    seconds, fraction = divmod(moment, NANOSECONDS)
    return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]}.{fraction:09d}Z"  # strftime does not pad years


def format_time(moment: datetime) -> str:
    """Return a time as RFC 3339 UTC, with a fraction of a second only if it has one."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def to_the_second(stamp: object) -> str:
    """Return an RFC 3339 time in UTC without the fraction of its second."""
    whole, point, _ = str(stamp).partition(".")
    return whole + "Z" if point else whole

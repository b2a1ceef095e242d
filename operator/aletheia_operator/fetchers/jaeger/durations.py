"""Reads and writes durations of Jaeger's APIs, for example 1.5ms or 10s."""

import re

_UNITS = {"us": 1, "ms": 10**3, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6}


def microseconds(duration: str) -> int:
    """Return the microseconds of a duration. The model has checked its form."""
    number, unit = re.fullmatch(r"([0-9.]+)(us|ms|s|m|h)", duration).groups()  # type: ignore[union-attr]
    return int(float(number) * _UNITS[unit])


def at_least(requested: str | None, least_microseconds: int | None) -> str | None:
    """Return the greater of two durations, either of which may be None; None if both are."""
    if least_microseconds is None:
        return requested
    return f"{max(least_microseconds, microseconds(requested) if requested else 0)}us"

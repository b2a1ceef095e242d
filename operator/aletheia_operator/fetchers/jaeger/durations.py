"""Durations as Jaeger writes them, in both of its APIs: 1.5ms, 10s."""

import re

_UNITS = {"us": 1, "ms": 10**3, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6}


def microseconds(duration: str) -> int:
    """Of a duration whose form the model has checked."""
    number, unit = re.fullmatch(r"([0-9.]+)(us|ms|s|m|h)", duration).groups()  # type: ignore[union-attr]
    return int(float(number) * _UNITS[unit])


def at_least(asked: str | None, least_microseconds: int | None) -> str | None:
    """The greater of what was asked and of so many microseconds."""
    if least_microseconds is None:
        return asked
    return f"{max(least_microseconds, microseconds(asked) if asked else 0)}us"

"""Reads how long a server asks to wait before a request is repeated."""

import time
from email.utils import mktime_tz, parsedate_tz


def retry_after(header: str | None) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110 10.2.3); None if there is no header, or it is not understood."""
    if header is None:
        return None
    text = header.strip()
    try:
        if text.isascii() and text.isdecimal():
            return float(int(text))
        date = parsedate_tz(text)
        return None if date is None else max(0.0, mktime_tz(date) - time.time())
    except (OverflowError, ValueError):
        return None

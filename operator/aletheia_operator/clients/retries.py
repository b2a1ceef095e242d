"""Reads how long a server asks to wait before a request is repeated."""

from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry


def retry_after(header: str | None) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110 10.2.3); None if there is no header, or it is not understood."""
    try:
        return None if header is None else max(0.0, float(Retry().parse_retry_after(header)))
    except (HTTPError, OverflowError, ValueError):
        return None

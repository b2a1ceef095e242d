"""How long to wait before a request is repeated."""

from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header (RFC 9110 10.2.3) asks to wait; None if there is none, or none that is understood."""
    try:
        return None if header is None else max(0.0, float(Retry().parse_retry_after(header)))
    except (HTTPError, OverflowError, ValueError):
        return None

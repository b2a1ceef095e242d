"""Which endpoints of DataSources are reached through the operator's HTTP proxy. Pure."""

import ipaddress
from contextlib import suppress
from urllib.parse import urlsplit

from aletheia_operator.settings import Proxy


def proxy_of(endpoint: str, own: str | None, default: Proxy) -> str | None:
    """Return the proxy's URL for an endpoint's URL; None if it is connected to directly.

    `own`: the proxy that the DataSource names; None: `default` applies, unless it exempts the endpoint's host.
    """
    if own is not None or default.url is None:
        return own
    host = (urlsplit(endpoint).hostname or "").rstrip(".")
    return None if any(_matches(host, pattern.lower().strip(".")) for pattern in default.no_proxy) else default.url


def _matches(host: str, pattern: str) -> bool:
    """Return whether a host is `pattern`, or below it (a domain), or in it (a range of addresses)."""
    with suppress(ValueError):
        return ipaddress.ip_address(host) in ipaddress.ip_network(pattern, strict=False)
    return host == pattern or host.endswith(f".{pattern}")

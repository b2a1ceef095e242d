"""Parses values of the operator's flags. Each function raises argparse.ArgumentTypeError, or ValueError, for another text."""

import argparse
import re
from ipaddress import ip_address

from aletheia_operator.api.connection import PROXY_URL
from aletheia_operator.api.types import parse_duration

MAX_PORT = 65535
MAX_WEIGHT = 1000


def proxy_url(text: str) -> str:
    """Return the URL of an HTTP proxy: http://HOST:PORT."""
    if not re.match(PROXY_URL, text):
        raise argparse.ArgumentTypeError("must be http://HOST:PORT, without user and path")
    return text


def address(text: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT. Without a host: all addresses of IPv4."""
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > MAX_PORT:
        raise argparse.ArgumentTypeError(f"must be HOST:PORT, with a port up to {MAX_PORT}")
    host = host.strip("[]") or "0.0.0.0"  # noqa: S104 - the container has its own network
    try:
        if ":" in host:
            ip_address(host)
        host.encode("idna")  # as when the name is looked up
    except ValueError:
        raise argparse.ArgumentTypeError("must be HOST:PORT, with an address of IPv6 in brackets") from None
    if re.search(r"[\s/?#@]", host):
        raise argparse.ArgumentTypeError("must be HOST:PORT, without other parts of a URL")
    return host, int(port)


def listen(text: str) -> str:
    """Return HOST:PORT, always with a host, and with an address of IPv6 in brackets: it becomes a part of a URL.

    Port 0 is refused: nobody would know the port.
    """
    host, port = address(text)
    if not port:
        raise argparse.ArgumentTypeError("must be HOST:PORT, with a port of at least 1")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def rule(text: str) -> tuple[str, str]:
    """Return name and pattern of NAME=PATTERN."""
    name, _, pattern = text.partition("=")
    if not name or not pattern:
        raise argparse.ArgumentTypeError("must be NAME=PATTERN")
    return name, pattern


def weight(text: str) -> tuple[str, int]:
    """Return name and number of NAME=NUMBER."""
    name, _, number = text.partition("=")
    if not name or not number.isdecimal() or not 1 <= int(number) <= MAX_WEIGHT:
        raise argparse.ArgumentTypeError(f"must be NAME=NUMBER, with a number from 1 to {MAX_WEIGHT}")
    return name, int(number)


def seconds(text: str) -> int:
    """Return a number of seconds, also of a duration with units, for example `1h30m`."""
    try:
        number = int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else parse_duration(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from e
    return _at_least(0, number)


def duration(text: str) -> int:
    """Return a number of seconds, at least 1, also of a duration with units."""
    return _at_least(1, seconds(text), " second")


def percent(text: str) -> int:
    """Return a number from 0 to 100."""
    number = int(text)
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError("must be a number of percent from 0 to 100")
    return number


def positive(text: str) -> int:
    """Return a number of at least 1."""
    return _at_least(1, int(text))


def count(text: str) -> int:
    """Return a number of at least 0."""
    return _at_least(0, int(text))


def _at_least(minimum: int, number: int, unit: str = "") -> int:
    """Return the number. Raises argparse.ArgumentTypeError if it is too small."""
    if number < minimum:
        raise argparse.ArgumentTypeError(f"must be at least {minimum}{unit}")
    return number

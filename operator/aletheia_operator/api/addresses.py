"""Refuses IP addresses that a DataSource may not have. Pure.

Refuses link-local addresses (RFC 3927, RFC 4291), because clouds serve the node's credentials there, other metadata addresses
of clouds, multicast addresses, and IPv6 addresses that contain one of these as an IPv4 address.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

METADATA = tuple(
    ip_network(network)
    for network in (
        "168.63.129.16",  # Azure
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "192.80.8.124",  # Equinix
        "fd00:ec2::/32",  # AWS: metadata, and the credentials of EKS pods
        "fd20:ce::254",  # Google
        "fd00:c1::a9fe:a9fe",  # Oracle
        "fd00:42::42",  # Scaleway
        "fd00:a9fe:a9fe::1",  # Linode
    )
)
POD_IDENTITY_AGENT = frozenset({"169.254.170.23", "fd00:ec2::23"})
"""Addresses at which each node of EKS has its Pod Identity Agent. No DataSource may have them."""
_MAPPED_OR_TRANSLATED = (  # the last 32 bits are an IPv4 address
    ip_network("::/96"),  # IPv4-compatible, RFC 4291 2.5.5.1
    ip_network("::ffff:0:0/96"),  # IPv4-mapped, RFC 4291 2.5.5.2
    ip_network("::ffff:0:0:0/96"),  # IPv4-translated, RFC 2765
    ip_network("64:ff9b::/96"),  # NAT64, RFC 6052
)
_LOCAL_NAT64 = ip_network("64:ff9b:1::/48")  # RFC 8215: the prefix may be longer
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214: the interface's id before the IPv4 address
_NAT64_LENGTHS = (48, 56, 64)  # and 96; RFC 6052 2.2
_NODE_CREDENTIALS = frozenset(int(IPv4Address(text)) for text in ("169.254.169.254", "169.254.170.2", "169.254.170.23"))


def is_refused(text: str) -> bool:
    """Return whether a DataSource may not have this IP address. Raises ValueError if `text` is not an IP address."""
    address = ip_address(text.split("%")[0])
    if address.is_unspecified:
        return True
    if isinstance(address, IPv6Address) and int(address) & 0xFFFFFFFF in _NODE_CREDENTIALS:
        return True  # behind the network's own NAT64 prefix
    return any(_is_dangerous(candidate) for candidate in (address, *_embedded(address)))


def _is_dangerous(address: IPv4Address | IPv6Address) -> bool:
    if address.is_link_local or address.is_multicast:
        return True
    return any(address.version == network.version and address in network for network in METADATA)


def _embedded(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses that a packet to this IPv6 address may reach."""
    if isinstance(address, IPv4Address) or address.is_loopback:
        return
    value = int(address)
    last = IPv4Address(value & 0xFFFFFFFF)
    if any(address in network for network in _MAPPED_OR_TRANSLATED) or (value >> 32) & 0xFFFFFFFF in _ISATAP:
        yield last
    if address in _LOCAL_NAT64:
        yield last
        for length in _NAT64_LENGTHS:
            yield _of_nat64(value, length)
    if address.sixtofour is not None:  # RFC 3056
        yield address.sixtofour
    if address.teredo is not None:  # RFC 4380
        yield from address.teredo


def _of_nat64(value: int, prefix_length: int) -> IPv4Address:
    """Return the IPv4 address after a prefix of `prefix_length` bits; bits 64 to 71 are not part of it (RFC 6052 2.2)."""
    bits = f"{value:0128b}"
    return IPv4Address(int((bits[prefix_length:64] + bits[72:])[:32], 2))

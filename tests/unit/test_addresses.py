"""Which addresses a DataSource may not listen at, in every form in which IPv6 carries IPv4."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest

from aletheia_operator.api.addresses import is_refused

IPV4 = ("169.254.169.254", "169.254.170.23", "169.254.1.2", "168.63.129.16", "100.100.100.200", "192.0.0.192", "224.0.0.1")
ALLOWED_IPV4 = ("10.0.0.1", "192.168.1.1", "172.16.0.1", "127.0.0.1", "8.8.8.8", "100.64.0.1")


def rfc6052(prefix: int, length: int, address: str) -> str:
    """An IPv4 address behind a NAT64 prefix (RFC 6052 2.2): bits 64 to 71 stay empty."""
    value = int(IPv4Address(address))
    bits = f"{value:032b}"
    before = max(0, 64 - length)
    tail = (bits[:before] + "0" * 8 + bits[before:] if length < 96 else bits).ljust(128 - length, "0")
    return str(IPv6Address(prefix | int(tail, 2)))


NAT64 = int(IPv6Address("64:ff9b::"))
LOCAL_NAT64 = int(IPv6Address("64:ff9b:1::"))
FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda address: address,
    "mapped": lambda address: f"::ffff:{address}",
    "compatible": lambda address: f"::{address}",
    "translated": lambda address: f"::ffff:0:{address}",
    "NAT64": lambda address: rfc6052(NAT64, 96, address),
    "local NAT64 of 48 bits": lambda address: rfc6052(LOCAL_NAT64, 48, address),
    "local NAT64 of 56 bits": lambda address: rfc6052(LOCAL_NAT64, 56, address),
    "local NAT64 of 64 bits": lambda address: rfc6052(LOCAL_NAT64, 64, address),
    "local NAT64 of 96 bits": lambda address: rfc6052(LOCAL_NAT64, 96, address),
    "6to4": lambda address: str(IPv6Address((0x2002 << 112) | int(IPv4Address(address)) << 80)),
    "Teredo, the server": lambda address: str(IPv6Address((0x20010000 << 96) | int(IPv4Address(address)) << 64)),
    "Teredo, the client": lambda address: str(
        IPv6Address((0x20010000 << 96) | int(IPv4Address("8.8.8.8")) << 64 | int(IPv4Address(address)) ^ 0xFFFFFFFF)
    ),
    "ISATAP": lambda address: str(IPv6Address(int(IPv6Address("2001:db8::5efe:0:0")) | int(IPv4Address(address)))),
    "ISATAP, a global id": lambda address: str(
        IPv6Address(int(IPv6Address("2001:db8::200:5efe:0:0")) | int(IPv4Address(address)))
    ),
}


@pytest.mark.parametrize("address", IPV4)
@pytest.mark.parametrize("form", FORMS)
def test_a_refused_ipv4_address_is_refused_in_every_form(form: str, address: str) -> None:
    """A packet to the form may reach the address."""
    assert is_refused(FORMS[form](address))


@pytest.mark.parametrize("address", ALLOWED_IPV4)
@pytest.mark.parametrize("form", [form for form in FORMS if not form.startswith("local NAT64 of")])
def test_another_ipv4_address_is_not(form: str, address: str) -> None:
    """DataSources may be in private networks and on loopback."""
    assert not is_refused(FORMS[form](address))


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("fe80::1", True),
        ("fe80::1%eth0", True),
        ("febf::1", True),
        ("ff02::1", True),
        ("fd00:ec2::254", True),
        ("fd00:ec2::23", True),
        ("fd20:ce::254", True),
        ("fd00:42::42", True),
        ("fd00:c1::a9fe:a9fe", True),
        ("fd00:a9fe:a9fe::1", True),
        ("64:ff9b:1::a9fe:a9fe", True),
        ("2002:a9fe:a9fe::", True),
        ("::a9fe:a9fe", True),
        ("::ffff:0:a9fe:a9fe", True),
        ("2001:db8:64::a9fe:a9fe", True),
        ("0.0.0.0", True),
        ("::", True),
        ("::1", False),
        ("fd00:10:96::10", False),
        ("2001:db8::1", False),
        ("64:ff9b:1::a00:1", False),
        ("fec0::1", False),
    ],
)
def test_addresses_of_ipv6(address: str, refused: bool) -> None:
    """Link-local, multicast and metadata addresses are refused, also behind a NAT64 prefix of the network's own."""
    assert is_refused(address) is refused


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "::g"])
def test_what_is_not_an_address(text: str) -> None:
    """Names are resolved later."""
    with pytest.raises(ValueError, match="address"):
        is_refused(text)

"""Refuses public keys that protect nothing, or that crash the age library, before anything is sealed to them.

An X25519 point of low order makes every shared secret zero (RFC 7748, section 6.1). An RSA exponent of 0 or 1 encrypts nothing.
"""

import base64
import binascii

_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_PRIME = 2**255 - 19
_RSA_BITS = range(2048, 16_385)
_RSA_EXPONENTS = range(3, 2**33, 2)


def require_protection(recipient: str) -> None:
    """Raise ValueError if a file sealed to this age or SSH public key could be opened without the private one."""
    try:
        if recipient.startswith("ssh-rsa "):
            _require_rsa(*_ssh_fields(recipient, 2))
        elif recipient.startswith("ssh-ed25519 "):
            (point,) = _ssh_fields(recipient, 1)
            _require_x25519(_montgomery(point))
        elif recipient.lower().startswith("age1"):
            _require_x25519(_bech32_bytes(recipient.lower()))
    except (IndexError, binascii.Error) as e:
        raise ValueError("it is cut off or damaged") from e


def _ssh_fields(recipient: str, count: int) -> list[bytes]:
    """Return the fields of an SSH public key after its type (RFC 4253, section 6.6). Raises ValueError."""
    blob = base64.b64decode(recipient.split()[1], validate=True)
    fields = []
    while blob:
        size = int.from_bytes(blob[:4], "big")
        fields.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    if len(fields) != 1 + count:
        raise ValueError("it is cut off or damaged")
    return fields[1:]


def _require_rsa(exponent: bytes, modulus: bytes) -> None:
    if int.from_bytes(exponent, "big") not in _RSA_EXPONENTS:
        raise ValueError("its RSA exponent is not an odd number from 3 to 2^33, so that it protects nothing")
    if int.from_bytes(modulus, "big").bit_length() not in _RSA_BITS:
        raise ValueError(f"its RSA modulus has not {_RSA_BITS.start} to {_RSA_BITS.stop - 1} bits")


def _require_x25519(point: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(point))
    except ValueError as e:
        raise ValueError("it is a point of low order: anybody can compute the key") from e


def _montgomery(point: bytes) -> bytes:
    """Convert an Ed25519 point to X25519: u = (1 + y) / (1 - y) (RFC 7748, section 4.1); 0 for the neutral element."""
    y = int.from_bytes(point, "little") & (2**255 - 1)
    u = (1 + y) * pow(1 - y, _PRIME - 2, _PRIME) % _PRIME
    return u.to_bytes(32, "little")


def _bech32_bytes(text: str) -> bytes:
    """Decode a Bech32 text. The age library checks its checksum. Raises ValueError."""
    bits = "".join(f"{_BECH32.index(character):05b}" for character in text.partition("1")[2][:-6])
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))

"""Seals sessions: encrypts files before they are written to the disk.

Each sealed session has its own key pair. Files are encrypted to its public key and to the recipients, if any. The secret key
is in the manifest, encrypted by the password or to the recipients. So a session needs one password derivation, `age -d`
decrypts the files, and resealing replaces only the manifest.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from aletheia_operator.api.types import Model
from aletheia_operator.session import age

SEALED_SUFFIX = ".age"


class Encryption(Model):
    """How a session is sealed: its public keys, its encrypted secret key, and what decrypts that."""

    recipients: list[str] = Field(min_length=1)
    """Public keys that every file is encrypted to; the first is the session's own."""
    identity: str
    """The session's secret key: an armored age file."""
    locked_by: Literal["password", "recipients"]


def seal_by_password(password: str) -> Encryption:
    """Make a session key, encrypted by the password."""
    secret, public = age.new_identity()
    return Encryption(recipients=[public], identity=age.lock(secret.encode(), password), locked_by="password")


def seal_to_recipients(recipients: Sequence[str]) -> Encryption:
    """Make a session key, encrypted to these public keys. Raises ValueError if one of them cannot be used."""
    secret, public = age.new_identity()
    return Encryption(recipients=[public, *recipients], identity=_lock_to(recipients, secret), locked_by="recipients")


def reseal(encryption: Encryption, key: str, *, password: str | None = None, recipients: Sequence[str] = ()) -> Encryption:
    """Encrypt the same session key (from `open_by_...`) again: by a password, or to recipients if that is None."""
    if password is not None:
        return encryption.model_copy(update={"identity": age.lock(key.encode(), password), "locked_by": "password"})
    return encryption.model_copy(update={"identity": _lock_to(recipients, key), "locked_by": "recipients"})


def open_by_password(encryption: Encryption, password: str) -> str:
    """Return the session's secret key. Raises age.AgeError."""
    if encryption.locked_by != "password":
        raise age.WrongKey("the session is sealed to recipients, not by a password: name a key file")
    return age.unlock(encryption.identity, password).decode()


def open_by_identities(encryption: Encryption, identities: Sequence[Any]) -> str:
    """Return the session's secret key. `identities`: the user's private keys. Raises age.AgeError."""
    if encryption.locked_by != "recipients":
        raise age.WrongKey("the session is sealed by a password, not to recipients: name a password file")
    plain = bytearray()
    age.decrypt(io.BytesIO(age.dearmor(encryption.identity)), plain.extend, identities)
    return plain.decode()


def _lock_to(recipients: Sequence[str], secret: str) -> str:
    cipher = bytearray()
    age.encrypt([secret.encode()], cipher.extend, recipients)
    return age.armor(bytes(cipher))


@dataclass(frozen=True)
class Seal:
    """Encrypts files of a sealed session to its recipients."""

    recipients: tuple[str, ...]

    def encrypt(self, plain: Iterable[bytes | memoryview], write: age.Write) -> None:
        """Encrypt the blocks of `plain`, and pass the result to `write` in blocks. Raises what these raise."""
        age.encrypt(plain, write, self.recipients)

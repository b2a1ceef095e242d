"""The age format (https://age-encryption.org/v1): encrypts to public keys, decrypts with secret ones, locks keys by passwords.

Files are encrypted and decrypted by pyrage (the Rust implementation). Locking by a password is our own code, with a fixed work
factor: the library chooses one by the machine's speed, and may take a gigabyte of memory.

AgeError
├── WrongKey    the given keys or password do not open it
├── Damaged     not an age file, or altered: a flipped bit, a cut or moved chunk, a work factor out of bounds
└── Unsealable  the library failed on a public key (also a ValueError)
"""

import base64
import hashlib
import hmac
import os
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, BinaryIO

from aletheia_operator.session.public_keys import require_protection

WORK_FACTOR = 17  # log2 of scrypt's N: 128 MiB
MAX_WORK_FACTOR = 18  # what `age -p` writes: 256 MiB
MAX_HEADER_BYTES = 64 * 1024
_BLOCK_BYTES = 256 * 1024
_VERSION = b"age-encryption.org/v1"
_BEGIN, _END = b"-----BEGIN AGE ENCRYPTED FILE-----", b"-----END AGE ENCRYPTED FILE-----"
_SCRYPT = re.compile(rb"^-> scrypt \S+ ([1-9]\d{0,2})$", re.MULTILINE)
_one_password_at_a_time = threading.Lock()  # each derivation takes the memory of the work factor

Write = Callable[[bytes], object]


class AgeError(Exception):
    """An age file cannot be decrypted. The message contains nothing of its content or key."""


class WrongKey(AgeError):
    """The given keys or password do not open the file."""


class Damaged(AgeError):
    """The file is cut off, was altered, or is not an age file."""


class Unsealable(AgeError, ValueError):
    """Nothing can be encrypted to these public keys."""


def new_identity() -> tuple[str, str]:
    """Make an X25519 key. Returns the secret and the public key as text."""
    from pyrage import x25519

    identity = x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def check_recipient(text: str) -> None:
    """Raise ValueError if the text is not an age (X25519) or SSH public key, or is one that protects nothing."""
    _recipient(text)


def encrypt(plain: Iterable[bytes | memoryview], write: Write, recipients: Sequence[str]) -> None:
    """Encrypt a stream to public keys with flat memory. Errors of `plain` and `write` are raised unchanged.

    Raises ValueError for a text that is not a public key, Unsealable if the library crashes.
    """
    import pyrage

    source, sink = _Source(plain), _Sink(write)
    try:
        pyrage.encrypt_io(source, sink, [_recipient(text) for text in recipients])
    except BaseException as e:
        if _is_panic(e):
            e = Unsealable("the age library cannot encrypt to one of the public keys")
        raise (source.error or sink.error or e) from None
    _raise_swallowed(source, sink)


def decrypt(cipher: BinaryIO, write: Write, identities: Sequence[Any]) -> None:
    """Decrypt a stream with identities (from `parse_identities`), flat memory; only authenticated bytes are written.

    Raises AgeError. What was written before it is genuine but incomplete: discard it.
    """
    import pyrage

    source, sink = _Source(_with_checked_header(cipher)), _Sink(write)
    try:
        pyrage.decrypt_io(source, sink, list(identities))
    except BaseException as e:
        if error := source.error or sink.error:
            raise error from None
        if not isinstance(e, pyrage.DecryptError | OSError) and not _is_panic(e):
            raise
        if "No matching keys" in str(e):
            raise WrongKey("none of the keys opens it") from e
        raise Damaged("it was altered or is not whole") from e
    _raise_swallowed(source, sink)


def _raise_swallowed(source: "_Source", sink: "_Sink") -> None:
    """Raise an error of the disk that the library ignored: it does not look at the outcome of its last write."""
    if error := source.error or sink.error:
        raise error


def parse_identities(text: str) -> list[Any]:
    """Parse a key file: lines of AGE-SECRET-KEY-1..., or an unencrypted SSH private key. Raises ValueError."""
    import pyrage

    if "PRIVATE KEY-----" in text:
        try:
            return [pyrage.ssh.Identity.from_buffer(text.encode())]
        except BaseException as e:
            if not isinstance(e, pyrage.IdentityError) and not _is_panic(e):
                raise
            raise ValueError("not an SSH key that age can use (ed25519 or rsa, without a passphrase)") from e
    lines = [line.strip() for line in text.splitlines()]
    try:
        found = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except pyrage.IdentityError as e:
        raise ValueError("not a key file: lines of AGE-SECRET-KEY-1... or an SSH private key are expected") from e
    if not found:
        raise ValueError("the key file holds no key")
    return found


def lock(secret: bytes, password: str) -> str:
    """Encrypt a small secret by a password. Returns an armored age file.

    The age specification's scrypt recipient: https://github.com/C2SP/C2SP/blob/main/age.md#the-scrypt-recipient-type
    """
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    file_key, salt, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    wrapped = ChaCha20Poly1305(_scrypt(password, salt)).encrypt(bytes(12), file_key, None)
    header = b"%s\n-> scrypt %s %d\n%s\n---" % (_VERSION, _base64(salt), WORK_FACTOR, _base64(wrapped))
    mac = hmac.digest(_hkdf(file_key, b"", b"header"), header, "sha256")
    last_chunk = bytes(11) + b"\x01"
    payload = ChaCha20Poly1305(_hkdf(file_key, nonce, b"payload")).encrypt(last_chunk, secret, None)
    return armor(b"%s %s\n%s%s" % (header, _base64(mac), nonce, payload))


def unlock(armored: str, password: str) -> bytes:
    """Decrypt a file of `lock` or `age -p`. Raises AgeError."""
    import pyrage

    cipher = dearmor(armored)
    factors = _SCRYPT.findall(cipher[:MAX_HEADER_BYTES])
    if len(factors) != 1:
        raise Damaged("it is not locked by one password")
    if int(factors[0]) > MAX_WORK_FACTOR:
        raise Damaged(f"its work factor {int(factors[0])} is above {MAX_WORK_FACTOR}: opening it would take too much memory")
    with _one_password_at_a_time:
        try:
            return bytes(pyrage.passphrase.decrypt(cipher, password))
        except pyrage.DecryptError as e:
            raise WrongKey("the password does not open it, or it was altered") from e
        except BaseException as e:
            if not isinstance(e, OSError) and not _is_panic(e):
                raise
            raise Damaged("it was altered or is not whole") from e


def armor(cipher: bytes) -> str:
    """Return age's PEM-like text form."""
    text = base64.b64encode(cipher)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return b"\n".join([_BEGIN, *lines, _END, b""]).decode()


def dearmor(text: str) -> bytes:
    """Return the bytes of the text form, which must be canonical. Raises Damaged."""
    lines = text.strip().replace("\r\n", "\n").split("\n")
    try:
        cipher = base64.b64decode("".join(lines[1:-1]), validate=True)
    except ValueError as e:
        raise Damaged("it is not an armored age file") from e
    if armor(cipher).rstrip().split("\n") != lines:
        raise Damaged("it is not an armored age file")
    return cipher


def _recipient(text: str) -> Any:
    import pyrage

    shown = f"{text[:12]!r}... is not an age public key"
    try:
        if text.startswith("ssh-"):
            require_protection(text)
            return pyrage.ssh.Recipient.from_str(text)
        recipient = pyrage.x25519.Recipient.from_str(text)
        require_protection(text)
        return recipient
    except ValueError as e:
        raise ValueError(f"{shown} that protects anything: {e}") from e
    except BaseException as e:
        if not isinstance(e, pyrage.RecipientError) and not _is_panic(e):
            raise
        raise ValueError(f"{shown} (age1...) nor an ssh-ed25519 or ssh-rsa key") from e


def _is_panic(error: BaseException) -> bool:
    """Return whether the library's Rust code panicked: a BaseException that is not an Exception, of a private class."""
    return type(error).__module__ == "pyo3_runtime"


def _with_checked_header(cipher: BinaryIO) -> Iterable[bytes]:
    """Yield the stream, after a check that its header is of bounded size: the library would read any size into memory."""
    head = b""
    while b"\n--- " not in head and len(head) < MAX_HEADER_BYTES and (more := cipher.read(4096)):
        head += more
    if not head.startswith(_VERSION) or b"\n--- " not in head:
        raise Damaged("it is not an age file")
    yield head
    while more := cipher.read(_BLOCK_BYTES):
        yield more


def _scrypt(password: str, salt: bytes) -> bytes:
    with _one_password_at_a_time:
        return hashlib.scrypt(
            password.encode(), salt=_VERSION + b"/scrypt" + salt, n=2**WORK_FACTOR, r=8, p=1, maxmem=2**28, dklen=32
        )


def _hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 (RFC 5869), 32 bytes."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), 32, salt, info).derive(key)


def _base64(content: bytes) -> bytes:
    return base64.b64encode(content).rstrip(b"=")


class _Source:
    """Lets the library read blocks as a file. `error`: the exception of the blocks; the library would keep only its text."""

    def __init__(self, blocks: Iterable[bytes | memoryview]) -> None:
        self._blocks = iter(blocks)
        self._rest = memoryview(b"")
        self.error: BaseException | None = None

    def read(self, size: int) -> bytes:
        try:
            while not self._rest:
                self._rest = memoryview(next(self._blocks))
        except StopIteration:
            return b""
        except BaseException as e:
            self.error = e
            raise
        part, self._rest = self._rest[:size], self._rest[size:]
        return bytes(part)


class _Sink:
    """Lets the library write to a function as to a file. `error`: the exception of the function."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self.error: BaseException | None = None

    def write(self, block: bytes) -> int:
        if self.error is not None:  # the library goes on after an error
            raise self.error
        try:
            self._write(block)
        except BaseException as e:
            self.error = e
            raise
        return len(block)

    def flush(self) -> None:
        pass

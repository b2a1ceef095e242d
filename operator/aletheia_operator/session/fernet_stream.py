"""Writes a Fernet token of any size with flat memory. `cryptography`'s own code takes and returns it whole.

Format: https://github.com/fernet/spec/blob/master/Spec.md
"""

import base64
import hmac
import os
import time
from collections.abc import Callable
from typing import Any


class FernetStream:
    """A writable file: its content is encrypted and passed to `write` in pieces. `close` writes the end of the token."""

    def __init__(self, key: bytes, write: Callable[[bytes], object]) -> None:
        """`key`: 32 bytes in URL-safe base64, as for `Fernet`."""
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from cryptography.hazmat.primitives.padding import PKCS7

        secret, vector = base64.urlsafe_b64decode(key), os.urandom(16)
        self._write = write
        self._mac = hmac.new(secret[:16], digestmod="sha256")
        self._encryptor: Any = Cipher(algorithms.AES(secret[16:]), modes.CBC(vector)).encryptor()
        self._padder: Any = PKCS7(128).padder()
        self._rest = b""  # up to 2 bytes that wait for more: base64 encodes 3 bytes as 4 letters
        self._put(b"\x80" + int(time.time()).to_bytes(8, "big") + vector)

    def write(self, plain: bytes | memoryview) -> int:
        self._put(self._encryptor.update(self._padder.update(bytes(plain))))
        return len(plain)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self._put(self._encryptor.update(self._padder.finalize()) + self._encryptor.finalize())
        self._write(base64.urlsafe_b64encode(self._rest + self._mac.digest()))

    def _put(self, token: bytes) -> None:
        self._mac.update(token)
        token = self._rest + token
        whole = len(token) - len(token) % 3
        self._rest = token[whole:]
        self._write(base64.urlsafe_b64encode(token[:whole]))

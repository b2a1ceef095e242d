"""Derives the key of a session's redaction: equal secrets in a session have equal tokens, also after a restart.

It is derived from a secret of the volume (`redaction.key`, outside of all sessions) and a salt in the session's journal,
which is removed when the capture ends. So the key cannot be derived from a session's files or the volume's secret alone.
"""

import errno
import hmac
import os

from aletheia_operator.session.files import replace
from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.session.volume import locked_volume

KEY_BYTES = 32


def new_salt() -> bytes:
    return os.urandom(KEY_BYTES)


def redaction_key(layout: SessionLayout, salt: bytes) -> bytes:
    """Return the key for a salt. Creates the volume's secret if it does not exist. Raises OSError."""
    return hmac.digest(_secret(layout), salt, "sha256")


def _secret(layout: SessionLayout) -> bytes:
    path = layout.redaction_secret
    if not path.exists():
        with locked_volume(layout):  # concurrent captures must get the same secret
            if not path.exists():
                replace(path, os.urandom(KEY_BYTES), mode=0o600)
    secret = path.read_bytes()
    if len(secret) != KEY_BYTES:
        raise OSError(
            errno.EINVAL,
            "the file with the secret for redaction is damaged: delete it, and the operator makes a new one",
            str(path),
        )
    return secret

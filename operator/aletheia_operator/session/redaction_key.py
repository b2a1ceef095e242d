"""The key of a session's redaction: the same secret gets the same token in one session, also after a restart.

It is derived from a secret of the volume (`redaction.key`, outside of all sessions) and a salt in the session's journal,
which is removed when the capture ends. So neither a session's files nor the volume's secret alone make it again.
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
    """Return the key for a salt. Makes the volume's secret if there is none. Raises OSError."""
    return hmac.digest(_secret(layout), salt, "sha256")


def _secret(layout: SessionLayout) -> bytes:
    path = layout.redaction_secret
    if not path.exists():
        with locked_volume(layout):  # captures that begin at once must get the same secret
            if not path.exists():
                replace(path, os.urandom(KEY_BYTES), mode=0o600)
    secret = path.read_bytes()
    if len(secret) != KEY_BYTES:
        raise OSError(errno.EINVAL, "the secret of redaction is damaged: delete it, and a new one is made", str(path))
    return secret

"""Makes the keys of a sealed session as its spec asks. The password is read once and never stored."""

import asyncio
import base64
import binascii

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.session import EncryptionSpec, PasswordReference
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.clients.identity import Identity
from aletheia_operator.session.seal import Encryption, seal_by_password, seal_to_recipients


async def encryption_for(spec: EncryptionSpec, identity: Identity) -> Encryption:
    """Return the keys for a new session. Raises SourceError: then nothing may be captured, since it would not be sealed."""
    if spec.password_secret_ref is not None:
        password = await _read_password(spec.password_secret_ref, identity)
        return await asyncio.to_thread(seal_by_password, password)
    try:
        return await asyncio.to_thread(seal_to_recipients, spec.recipients or [])
    except ValueError as e:
        raise Rejected(f"spec.session.encryption.recipients: {e}", GapReason.SEALING_FAILED) from e


async def _read_password(reference: PasswordReference, identity: Identity) -> str:
    if identity.service_account is None:
        message = (
            f"Secret {reference.name} is not read with the operator's rights: name a serviceAccountName, and grant it the verb"
            f" get on secrets with resourceNames [{reference.name}]; or seal to recipients"
        )
        raise Rejected(message, GapReason.FORBIDDEN)
    kubernetes = await identity.kubernetes()
    secret = await kubernetes.get(f"/api/v1/namespaces/{identity.namespace}/secrets/{reference.name}")
    encoded = (secret.get("data") or {}).get(reference.key)
    if encoded is None:
        raise Rejected(f"Secret {reference.name} has no key {reference.key}", GapReason.SEALING_FAILED)
    try:
        password = base64.b64decode(encoded).decode().removesuffix("\n").removesuffix("\r")
    except (binascii.Error, UnicodeDecodeError):
        password = ""
    if not password or "\0" in password:
        message = f"key {reference.key} of Secret {reference.name} is empty or no text: a password of UTF-8 is needed"
        raise Rejected(message, GapReason.SEALING_FAILED)
    return password

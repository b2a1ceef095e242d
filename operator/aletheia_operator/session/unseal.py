"""Decrypts sealed sessions, and changes what opens them."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aletheia_operator.session import age
from aletheia_operator.session.files import make_directory, open_file_below, open_new, replace, sync_directory, sync_tree
from aletheia_operator.session.layout import MANIFEST, SessionLayout
from aletheia_operator.session.lock import locked
from aletheia_operator.session.manifest import Artifact, Manifest
from aletheia_operator.session.manifest_file import manifest_bytes, read_manifest
from aletheia_operator.session.seal import SEALED_SUFFIX, Encryption, open_by_identities, open_by_password


def open_key(encryption: Encryption, *, password: str | None, identities: Sequence[Any]) -> str:
    """Decrypt the session's secret key with the password; `password` None: with the identities. Raises age.AgeError."""
    if password is not None:
        return open_by_password(encryption, password)
    return open_by_identities(encryption, identities)


def plain_path(artifact: Artifact) -> str:
    """Return the artifact's path after decryption."""
    return artifact.path.removesuffix(SEALED_SUFFIX)


def decrypt_artifact(directory: Path, artifact: Artifact, key: str, write: Callable[[bytes], object]) -> None:
    """Decrypt one file of a session with its secret key, flat memory. Raises age.AgeError, OSError.

    If it fails, what was written before is genuine but incomplete.
    """
    with open_file_below(directory, artifact.path) as file:
        try:
            age.decrypt(file, write, age.parse_identities(key))
        except age.AgeError as e:
            raise type(e)(f"{artifact.path}: {e}") from e


def decrypt_session(directory: Path, manifest: Manifest, key: str, target: Path) -> None:
    """Write the manifest and every file, decrypted, into a new folder. Raises age.AgeError, OSError.

    The folder appears when it is complete. If one file cannot be decrypted to its end, nothing is left.
    """
    made = target.with_name(f"{target.name}.part")
    try:
        made.mkdir(mode=0o700)
    except FileExistsError as e:
        raise FileExistsError(e.errno, "left by a decryption that was broken off: remove it first", str(made)) from e
    try:
        for artifact in manifest.artifacts:
            path = made / plain_path(artifact)
            make_directory(path.parent)
            with os.fdopen(open_new(path), "wb") as file:
                decrypt_artifact(directory, artifact, key, file.write)
                file.flush()
                os.fsync(file.fileno())
        replace(made / MANIFEST, (directory / MANIFEST).read_bytes())
        sync_tree(made)
        os.rename(made, target)
        sync_directory(target.parent)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def replace_encryption(layout: SessionLayout, before: Manifest, encryption: Encryption) -> Manifest:
    """Replace what opens a session, in one atomic step, and return the new manifest. The files stay as they are.

    `before`: the manifest that `encryption` was made from. Raises SessionBusy, Unreadable, OSError; PermissionError if the
    capture has not ended, the data has expired, or another process resealed the session meanwhile.
    """
    session_id = before.session_id
    with locked(layout.session(session_id)):
        manifest = read_manifest(layout, session_id)
        if not manifest.finished:
            raise PermissionError(f"{session_id} is not resealed: its capture has not ended; try again when it has")
        if manifest.expiration_time is not None:
            raise PermissionError(f"{session_id} is not resealed: its data has expired and was removed")
        if manifest.encryption != before.encryption:
            raise PermissionError(f"{session_id} was resealed by somebody else meanwhile: try again with the new key")
        changed = manifest.model_copy(update={"encryption": encryption})
        replace(layout.manifest(session_id), manifest_bytes(changed))
    return changed

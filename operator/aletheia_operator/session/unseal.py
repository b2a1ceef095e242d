"""Opening sealed sessions: the key, then each file, whole or not at all."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aletheia_operator.session import age
from aletheia_operator.session.files import make_directory, open_new, replace
from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.session.manifest import Artifact, Manifest
from aletheia_operator.session.manifest_file import manifest_bytes
from aletheia_operator.session.seal import SEALED_SUFFIX, Encryption, open_by_identities, open_by_password


def open_key(encryption: Encryption, *, password: str | None, identities: Sequence[Any]) -> str:
    """The session's secret key. Raises age.AgeError."""
    if password is not None:
        return open_by_password(encryption, password)
    return open_by_identities(encryption, identities)


def plain_path(artifact: Artifact) -> str:
    """The artifact's path once it is decrypted."""
    return artifact.path.removesuffix(SEALED_SUFFIX)


def decrypt_artifact(directory: Path, artifact: Artifact, key: str, write: Callable[[bytes], object]) -> None:
    """Decrypt one file of a session with its secret key, flat memory. Raises age.AgeError, OSError.

    What was written before a fault showed is genuine but not whole.
    """
    descriptor = os.open(directory / artifact.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        try:
            age.decrypt(file, write, age.parse_identities(key))
        except age.AgeError as e:
            raise type(e)(f"{artifact.path}: {e}") from e


def decrypt_session(directory: Path, manifest: Manifest, key: str, target: Path) -> None:
    """Write the manifest and every file, decrypted, into a new directory. Raises age.AgeError, OSError.

    Where one file cannot be opened to its end, nothing is left of any.
    """
    target.mkdir(mode=0o750)
    try:
        for artifact in manifest.artifacts:
            path = target / plain_path(artifact)
            make_directory(path.parent)
            with os.fdopen(open_new(path), "wb") as file:
                decrypt_artifact(directory, artifact, key, file.write)
        replace(target / "manifest.json", (directory / "manifest.json").read_bytes())
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def replace_encryption(layout: SessionLayout, manifest: Manifest, encryption: Encryption) -> Manifest:
    """The same session under another lock, in one atomic step: the files stay as they are."""
    changed = manifest.model_copy(update={"encryption": encryption})
    replace(layout.manifest(manifest.session_id), manifest_bytes(changed))
    return changed

"""Writes the archive that Aletheia's command line imports: `{id}.tar.gz.enc`.

It is a Fernet token over a gzipped tar of the session directory, with a key from a password and a fixed salt. Inside, metadata
and scratchpad are Fernet tokens with a key from the password and a random salt; data files are plain JSON. Writing needs little
memory. `MAX_BYTES` limits the archive, since Aletheia reads it into memory. The fixed salt makes the encryption weak: use the
archive to transfer a session, not to store one.
"""

import base64
import gzip
import hashlib
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from aletheia_operator.session.archive import write_checked
from aletheia_operator.session.fernet_stream import FernetStream
from aletheia_operator.session.manifest import Artifact, Manifest
from aletheia_operator.session.manifest_file import is_report_path
from aletheia_operator.session.tar_stream import END, ArchiveError, file_header, folder_header, padding
from aletheia_operator.session.unseal import decrypt_artifact, plain_path
from aletheia_operator.session.verify import verify

Write = Callable[[bytes | memoryview], object]
MAX_BYTES = 256 * 1024 * 1024
ROUNDS = 100_000
ARCHIVE_SALT = b"aletheia-archive"
CANARY = b"ALETHEIA_CHECK"
_STATUSES = {"Completed": "completed", "PartiallyCompleted": "completed"}


def export_for_aletheia(directory: Path, password: str, key: str | None, write: Write) -> Manifest:
    """Write the archive of a finished session; `key` opens a sealed one. Raises ArchiveError, Unreadable, AgeError, OSError."""
    verification = verify(directory)
    manifest = verification.manifest
    if not verification.intact or manifest.expiration_time is not None:
        raise ArchiveError("the session is not complete: `aletheia session verify` says what is wrong")
    if manifest.size_bytes > MAX_BYTES:
        raise ArchiveError(f"the session is larger than the {MAX_BYTES} bytes that this format can hold: use --format tar")
    token = FernetStream(_derive(password, ARCHIVE_SALT), write)
    with gzip.GzipFile("", "wb", fileobj=token, mtime=0) as packed:
        _pack(directory, manifest, password, key, packed.write)
    token.close()
    return manifest


def _pack(directory: Path, manifest: Manifest, password: str, key: str | None, write: Write) -> None:
    """Write the tar archive: folders, Aletheia's own files, then the artifacts, decrypted."""
    root, when = manifest.session_id, manifest.start_time
    for folder in ("", "/data", "/data/logs", "/data/metrics", "/data/traces"):
        write(folder_header(root + folder, when))
    for name, content in _own_files(manifest, password).items():
        write(file_header(f"{root}/{name}", len(content), when) + content + padding(len(content)))
    for artifact in manifest.artifacts:
        size = _plain_size(directory, artifact, key)
        write(file_header(f"{root}/{plain_path(artifact)}", size, when))
        _write_plain(directory, artifact, key, write)
        write(padding(size))
    write(END)


def _own_files(manifest: Manifest, password: str) -> dict[str, bytes]:
    """Return Aletheia's own files by name: metadata and scratchpad, for two versions of Aletheia."""
    from cryptography.fernet import Fernet

    salt = os.urandom(32)
    fernet = Fernet(_derive(password, salt))
    ended = manifest.completion_time or manifest.start_time
    metadata = {
        "id": manifest.session_id,
        "name": f"{manifest.investigation.namespace}/{manifest.investigation.name}",
        "created": _naive(manifest.start_time),
        "updated": _naive(ended),
        "status": _STATUSES.get(manifest.phase, "failed"),
        "salt": base64.b64encode(salt).decode(),
        "verbose": False,
    }
    scratchpad = {"updated_at": _naive(ended), "sections": {"DATA_COLLECTED": _collected(manifest)}}
    return {
        "salt": base64.b64encode(salt),
        "metadata.encrypted": fernet.encrypt(orjson.dumps(metadata)),
        "metadata.json": orjson.dumps({**metadata, "unsafe": False, "total_input_tokens": 0, "total_output_tokens": 0}),
        "scratchpad.encrypted": fernet.encrypt(orjson.dumps(scratchpad)),
        ".canary": fernet.encrypt(CANARY),
    }


def _collected(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Return an entry for each artifact. The key is the source's name, with a number for further artifacts of a source."""
    collected: dict[str, dict[str, Any]] = {}
    for artifact in manifest.artifacts:
        if is_report_path(artifact.path):
            continue  # Aletheia reads JSON
        source = Path(artifact.path).name.split("_")[0].split(".")[0]
        name, number = source, 2
        while name in collected:
            name, number = f"{source}-{number}", number + 1
        collected[name] = {"path": plain_path(artifact), "summary": artifact.summary, "count": artifact.count}
    return collected


def _plain_size(directory: Path, artifact: Artifact, key: str | None) -> int:
    """Return the artifact's size after decryption. tar needs it first, so a sealed artifact is decrypted twice."""
    if plain_path(artifact) == artifact.path:
        return artifact.size_bytes
    sizes: list[int] = []
    _write_plain(directory, artifact, key, lambda block: sizes.append(len(block)))
    return sum(sizes)


def _write_plain(directory: Path, artifact: Artifact, key: str | None, write: Write) -> None:
    if plain_path(artifact) == artifact.path:
        write_checked(directory / artifact.path, artifact, write)
        return
    if key is None:
        raise ArchiveError("the session is sealed: open it with --identity or --password-file")
    decrypt_artifact(directory, artifact, key, write)


def _derive(password: str, salt: bytes) -> bytes:
    return base64.urlsafe_b64encode(hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ROUNDS))


def _naive(moment: datetime) -> str:
    """Format a time as Aletheia does: ISO 8601 without a zone."""
    return moment.replace(tzinfo=None).isoformat()

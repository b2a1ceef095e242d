"""The archive that Aletheia's command line imports: `{id}.tar.gz.enc`.

A Fernet token over a gzipped tar of the session directory, its key from a password and a fixed salt; inside, metadata and
scratchpad are Fernet tokens under the password and a random salt, data files are plain JSON. A Fernet token is one message
held in memory, there and here, and the fixed salt is weak by today's measure: a format to hand over, not one to keep.
"""

import base64
import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from aletheia_operator.session.archive import ArchiveError
from aletheia_operator.session.manifest import Artifact, Manifest
from aletheia_operator.session.unseal import decrypt_artifact, plain_path
from aletheia_operator.session.verify import verify

MAX_BYTES = 256 * 1024 * 1024
ROUNDS = 100_000
ARCHIVE_SALT = b"aletheia-archive"
CANARY = b"ALETHEIA_CHECK"
_STATUSES = {"Completed": "completed", "PartiallyCompleted": "completed"}


def export_for_aletheia(directory: Path, password: str, key: str | None, write: Callable[[bytes], object]) -> Manifest:
    """Write the archive of a finished session; `key` opens a sealed one. Raises ArchiveError, Unreadable, AgeError, OSError."""
    from cryptography.fernet import Fernet

    verification = verify(directory)
    manifest = verification.manifest
    if not verification.intact or manifest.expiration_time is not None:
        raise ArchiveError("the session is not whole: `aletheia session verify` says what is wrong")
    if manifest.size_bytes > MAX_BYTES:
        raise ArchiveError(f"the session is larger than the {MAX_BYTES} bytes that this format can hold: use --format tar")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in ("", "/data", "/data/logs", "/data/metrics", "/data/traces"):
            tar.addfile(_member(manifest, name, None))
        for name, content in _own_files(manifest, password).items():
            tar.addfile(_member(manifest, f"/{name}", len(content)), io.BytesIO(content))
        for artifact in manifest.artifacts:
            content = _plain(directory, artifact, key)
            tar.addfile(_member(manifest, f"/{plain_path(artifact)}", len(content)), io.BytesIO(content))
    write(Fernet(_derive(password, ARCHIVE_SALT)).encrypt(packed.getvalue()))
    return manifest


def _own_files(manifest: Manifest, password: str) -> dict[str, bytes]:
    """Metadata and scratchpad, as two generations of Aletheia read them."""
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
    """One entry an artifact: the first of a source under its name, the others numbered."""
    collected: dict[str, dict[str, Any]] = {}
    for artifact in manifest.artifacts:
        source = Path(artifact.path).name.split("_")[0].split(".")[0]
        name, number = source, 2
        while name in collected:
            name, number = f"{source}-{number}", number + 1
        collected[name] = {"path": plain_path(artifact), "summary": artifact.summary, "count": artifact.count}
    return collected


def _plain(directory: Path, artifact: Artifact, key: str | None) -> bytes:
    if plain_path(artifact) == artifact.path:
        return (directory / artifact.path).read_bytes()
    if key is None:
        raise ArchiveError("the session is sealed: name what opens it")
    plain = bytearray()
    decrypt_artifact(directory, artifact, key, plain.extend)
    return bytes(plain)


def _member(manifest: Manifest, path: str, size: int | None) -> tarfile.TarInfo:
    info = tarfile.TarInfo(f"{manifest.session_id}{path}")
    info.mtime = int(manifest.start_time.timestamp())
    if size is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o750
    else:
        info.size, info.mode = size, 0o640
    return info


def _derive(password: str, salt: bytes) -> bytes:
    return base64.urlsafe_b64encode(hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ROUNDS, 32))


def _naive(moment: datetime) -> str:
    """As Aletheia writes times: ISO 8601 without a zone."""
    return moment.replace(tzinfo=None).isoformat()

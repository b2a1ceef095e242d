"""Compares a session with its manifest: which files are missing, extra, or altered."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from aletheia_operator.session.copying import copy_hashed
from aletheia_operator.session.files import open_file, temporary
from aletheia_operator.session.layout import MANIFEST, RETENTION_RECORD
from aletheia_operator.session.manifest import Artifact, Manifest
from aletheia_operator.session.manifest_file import read_session

_KEPT = (MANIFEST, RETENTION_RECORD)
OWN_FILES = frozenset({*_KEPT, *(temporary(Path(name)).name for name in _KEPT)})
"""Files of a session that the manifest does not list, and the temporary files that a killed process may leave."""


@dataclass(frozen=True)
class Verification:
    """The outcome for one session; paths are relative to its directory, sorted."""

    manifest: Manifest
    manifest_sha256: str
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    altered: tuple[str, ...]

    @property
    def intact(self) -> bool:
        return self.manifest.finished and not (self.missing or self.extra or self.altered)


def verify(directory: Path) -> Verification:
    """Check every file of the session in a directory, with its digest. Raises Unreadable.

    An expired session must have no data file. While a capture runs, every data file counts as extra.
    """
    manifest, content = read_session(directory)
    artifacts = {} if manifest.expiration_time else {artifact.path: artifact for artifact in manifest.artifacts}
    present = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_symlink() or not path.is_dir()}
    shared = sorted(present & set(artifacts))
    return Verification(
        manifest,
        hashlib.sha256(content).hexdigest(),
        missing=tuple(sorted(set(artifacts) - present)),
        extra=tuple(sorted(present - set(artifacts) - OWN_FILES)),
        altered=tuple(path for path in shared if not _as_listed(directory / path, artifacts[path])),
    )


def _as_listed(path: Path, artifact: Artifact) -> bool:
    try:
        file = open_file(path, buffering=0)
    except OSError:
        return False
    with file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size != artifact.size_bytes:
            return False
        _, digest = copy_hashed(file, artifact.size_bytes, lambda block: None)
    return digest == artifact.sha256

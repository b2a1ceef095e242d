"""Holds a session against its manifest: what is missing, what is there besides, what was altered."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pydantic import ValidationError

from aletheia_operator.session.copying import copy_hashed
from aletheia_operator.session.files import temporary
from aletheia_operator.session.layout import CATEGORIES
from aletheia_operator.session.manifest import Artifact, Manifest

MAX_MANIFEST_BYTES = 64 * 1024 * 1024
_KEPT = ("manifest.json", "custody.json")
OWN_FILES = frozenset({*_KEPT, *(temporary(Path(name)).name for name in _KEPT)})
"""Also what a killed process left of writing one of them anew."""
_FOLDERS = frozenset({"data", *(f"data/{category}" for category in CATEGORIES)})


class Unreadable(Exception):
    """There is no manifest that can be read."""


@dataclass(frozen=True)
class Verification:
    """What holding a session against its manifest showed; paths below its directory, sorted."""

    manifest: Manifest
    manifest_sha256: str
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    altered: tuple[str, ...]

    @property
    def intact(self) -> bool:
        return self.manifest.finished and not (self.missing or self.extra or self.altered)


def parse_manifest(content: bytes) -> Manifest:
    """The manifest, of which every path lies in `data/` and none is named twice. Raises Unreadable."""
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as e:
        fault = e.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the whole"
        raise Unreadable(f"manifest.json is not a manifest: {where}: {fault['msg']}") from e
    paths = [artifact.path for artifact in manifest.artifacts]
    for path in paths:
        if not is_data_path(path):
            raise Unreadable(f"manifest.json names {path[:200]!r}, which is no path of a data file")
    if len(set(paths)) < len(paths):
        raise Unreadable("manifest.json names a path twice")
    return manifest


def is_data_path(path: str) -> bool:
    """Whether it is `data/{category}/{file}` or `data/{file}`, with a visible, printable file name."""
    folder, _, name = path.rpartition("/")
    return (
        folder in _FOLDERS
        and name.isprintable()
        and name[:1] not in ("", ".")
        and name not in CATEGORIES
        and "\\" not in name
        and len(name.encode()) <= 255
    )


def read_session(directory: Path) -> tuple[Manifest, bytes]:
    """The manifest of the session in a directory, and its bytes. Raises Unreadable."""
    try:
        descriptor = os.open(directory / "manifest.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as e:
        raise Unreadable(f"{directory}: manifest.json cannot be read: {e.strerror}") from e
    if len(content) > MAX_MANIFEST_BYTES:
        raise Unreadable(f"{directory}: manifest.json is larger than {MAX_MANIFEST_BYTES} bytes")
    return parse_manifest(content), content


def verify(directory: Path) -> Verification:
    """Prove every hash of the session in a directory. Raises Unreadable."""
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
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size != artifact.size_bytes:
            return False
        _, digest = copy_hashed(cast("BinaryIO", file), artifact.size_bytes, lambda block: None)
    return digest == artifact.sha256

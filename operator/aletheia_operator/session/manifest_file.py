"""Reads and writes manifest.json, with the same limit for capture, export, import and sweep.

A manifest is accepted only if the operator could have written every value in it: the rest of the code trusts it.

Unreadable
├── NoManifest     there is none
└── NewerManifest  a newer version wrote it
"""

import errno
import hashlib
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from aletheia_operator.session.files import open_file
from aletheia_operator.session.layout import CATEGORIES, MANIFEST, REPORT, SessionLayout
from aletheia_operator.session.manifest import Artifact, Gap, Manifest
from aletheia_operator.session.names import is_session_id
from aletheia_operator.session.seal import SEALED_SUFFIX
from aletheia_operator.text.sizes import counted

MAX_MANIFEST_BYTES = 16 * 1024 * 1024
"""Some 30,000 artifacts; parsing it takes about 0.2 s and 200 MB."""
MAX_GAPS_IN_A_LARGE_MANIFEST = 1000
SCHEMA_VERSION = 1
_FOLDERS = frozenset({"data", *(f"data/{category}" for category in CATEGORIES)})
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OWNER = re.compile(r"[A-Za-z0-9]([-.A-Za-z0-9]{0,251}[A-Za-z0-9])?")  # of a namespace, a name, a uid: it goes into URLs
_YEARS = range(1970, 9000)  # of times that retention can be added to


class Unreadable(Exception):
    """The manifest cannot be read. The message says why."""


class NoManifest(Unreadable):
    """The session or its manifest does not exist."""


class NewerManifest(Unreadable):
    """A newer version of the operator wrote the manifest. `uid`: of its Investigation; '' if not known."""

    def __init__(self, message: str, uid: str) -> None:
        super().__init__(message)
        self.uid = uid


def read_manifest(layout: SessionLayout, session_id: str) -> Manifest:
    """Read the manifest of a session of the volume. Raises Unreadable."""
    return read_session(layout.session(session_id))[0]


def read_session(directory: Path) -> tuple[Manifest, bytes]:
    """Read the manifest, and its bytes, of a session in the directory of its id. Raises Unreadable."""
    manifest, content = read_copy(directory)
    if manifest.session_id != directory.name:
        raise Unreadable(
            f"{directory}: manifest.json is of session {manifest.session_id!a}: give the directory its name, or import it"
        )
    return manifest, content


def read_copy(directory: Path) -> tuple[Manifest, bytes]:
    """Read the manifest, and its bytes, in a directory of any name. Raises Unreadable."""
    try:
        with open_file(directory / MANIFEST) as file:
            content = file.read(MAX_MANIFEST_BYTES + 1)
    except FileNotFoundError as e:
        raise NoManifest(f"{directory}: manifest.json cannot be read: {e.strerror}") from e
    except OSError as e:
        raise Unreadable(f"{directory}: manifest.json cannot be read: {e.strerror}") from e
    try:
        return parse_manifest(content), content
    except NewerManifest as e:
        raise NewerManifest(f"{directory}: {e}", e.uid) from e
    except Unreadable as e:
        raise Unreadable(f"{directory}: {e}") from e


def parse_manifest(content: bytes) -> Manifest:
    """Parse a manifest. Raises Unreadable."""
    if len(content) > MAX_MANIFEST_BYTES:
        raise Unreadable(f"manifest.json is larger than {MAX_MANIFEST_BYTES} bytes")
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as e:
        _refuse_newer(content)
        fault = e.errors()[0]
        where = ".".join(map(str, fault["loc"]))[:200] or "the whole"
        raise Unreadable(f"manifest.json is not a manifest: {where}: {fault['msg']}") from e
    for fault_of_it in (_fault_of_json(content), _fault(manifest)):
        if fault_of_it:
            raise Unreadable(f"manifest.json {fault_of_it}")
    return manifest


def manifest_bytes(manifest: Manifest) -> bytes:
    """Encode a manifest. One that is too large for readers is shortened; raises OSError (EFBIG) if that is not enough.

    Shortening removes the summaries, which the artifacts also have, and gaps after the first thousand.
    """
    content = _encoded(manifest)
    if len(content) > MAX_MANIFEST_BYTES:
        content = _encoded(_shortened(manifest))
    if len(content) > MAX_MANIFEST_BYTES:
        raise OSError(errno.EFBIG, f"the manifest is larger than {MAX_MANIFEST_BYTES} bytes: ask for less in one Investigation")
    return content


def manifest_sha256(layout: SessionLayout, session_id: str) -> str:
    """Return the SHA-256 of a session's manifest.json, in hex. Raises OSError."""
    return hashlib.sha256(layout.manifest(session_id).read_bytes()).hexdigest()


def is_report_path(path: str) -> bool:
    """Return whether a path is that of a session's report, sealed or not."""
    return path.removesuffix(SEALED_SUFFIX) == REPORT


def is_data_path(path: str) -> bool:
    """Return whether a path is `data/{category}/{file}` or `data/{file}`, with a visible, printable name, or the report's."""
    if is_report_path(path):
        return True
    folder, _, name = path.rpartition("/")
    return (
        folder in _FOLDERS
        and name.isprintable()
        and name[:1] not in ("", ".")
        and name not in CATEGORIES
        and "\\" not in name
        and len(name.encode()) <= 255
    )


def _encoded(manifest: Manifest) -> bytes:
    return orjson.dumps(manifest.to_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _shortened(manifest: Manifest) -> Manifest:
    gaps = manifest.gaps[:MAX_GAPS_IN_A_LARGE_MANIFEST]
    if more := manifest.gaps[MAX_GAPS_IN_A_LARGE_MANIFEST:]:
        severity = "gap" if any(gap.severity == "gap" for gap in more) else "note"
        message = f"left out {counted(len(more), 'gap')}, for which the manifest has no room: ask for less in one Investigation"
        gaps.append(Gap(fetcher="Investigation", target=MANIFEST, reason="SaveFailed", message=message, severity=severity))
    artifacts = [artifact.model_copy(update={"summary": ""}) for artifact in manifest.artifacts]
    return manifest.model_copy(update={"artifacts": artifacts, "gaps": gaps})


def _refuse_newer(content: bytes) -> None:
    """Raise NewerManifest if a newer version wrote it."""
    try:
        value: Any = orjson.loads(content)
        version = value["schemaVersion"]
    except (ValueError, KeyError, TypeError):
        return
    if isinstance(version, int) and version > SCHEMA_VERSION:
        owner = value.get("investigation")
        uid = owner.get("uid") if isinstance(owner, dict) else None
        raise NewerManifest(
            f"manifest.json has schema version {version}, and this version of aletheia reads up to {SCHEMA_VERSION}:"
            " use the version that wrote it, or a newer one",
            uid if isinstance(uid, str) else "",
        )


def _fault_of_json(content: bytes) -> str:
    """Return the fault of invalid JSON that the model's parser accepts (NaN and Infinity); '' if there is none."""
    if b"NaN" in content or b"Infinity" in content:
        try:
            orjson.loads(content)
        except ValueError as e:
            return f"is not a manifest: {e}"
    return ""


def _fault(manifest: Manifest) -> str:
    """Return what is wrong with the values of a manifest; '' if nothing is. The types are checked already."""
    if not is_session_id(manifest.session_id):
        return f"names {manifest.session_id[:100]!a} as its session"
    owner = manifest.investigation
    for name, value in (("namespace", owner.namespace), ("name", owner.name), ("uid", owner.uid)):
        if not _OWNER.fullmatch(value):
            return f"names {value[:100]!a} as its Investigation's {name}"
    for moment in (manifest.start_time, manifest.completion_time, manifest.expiration_time):
        if moment is not None and not _is_usable(moment):
            return f"has the time {moment.isoformat()}, which is without a zone or out of bounds"
    paths = set()
    for artifact in manifest.artifacts:
        if fault := _fault_of_artifact(artifact):
            return fault
        if artifact.path in paths:
            return f"names a path twice: {artifact.path[:200]!a}"
        paths.add(artifact.path)
    return ""


def _is_usable(moment: datetime) -> bool:
    return moment.tzinfo is not None and moment.year in _YEARS


def _fault_of_artifact(artifact: Artifact) -> str:
    if not is_data_path(artifact.path):
        return f"names {artifact.path[:200]!a}, which is no path of a data file"
    if not 0 <= artifact.size_bytes < 2**63 or not 0 <= artifact.count < 2**63:
        return f"names a size or count below zero or past 2^63 for {artifact.path}"
    if not _SHA256.fullmatch(artifact.sha256):
        return f"names no SHA-256 for {artifact.path}"
    return ""

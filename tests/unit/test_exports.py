"""Which sessions may be exported: only those that are finished, and have their data."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aletheia_operator.session.archive import export_session
from aletheia_operator.session.manifest import Manifest
from aletheia_operator.session.manifest_file import manifest_bytes, read_session
from aletheia_operator.session.tar_stream import ArchiveError
from tests.support.captures import Memory, capture


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (lambda manifest: manifest.model_copy(update={"completion_time": None, "phase": "Running"}), "has not ended"),
        (lambda manifest: manifest.model_copy(update={"expiration_time": datetime(2026, 11, 22, tzinfo=UTC)}), "has expired"),
    ],
    ids=["one that runs", "an expired one"],
)
def test_what_is_not_exported(tmp_path: Path, changed: Callable[[Manifest], Manifest], words: str) -> None:
    """The archive could not be imported, or would have no evidence: nothing is written."""
    directory = Path(capture(tmp_path, Memory({"first": [[{"line": "x"}]]})).path)
    manifest, _ = read_session(directory)
    (directory / "manifest.json").write_bytes(manifest_bytes(changed(manifest)))
    written: list[bytes | memoryview] = []
    with pytest.raises(ArchiveError, match=words):
        export_session(directory, written.append)
    assert written == []

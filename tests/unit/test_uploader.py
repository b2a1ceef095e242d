"""Uploads of sessions to a bucket: what is sent, in which order, and what is not sent again."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.clients.s3 import Bucket
from aletheia_operator.investigate import uploader
from aletheia_operator.investigate.uploader import Content
from tests.support.captures import Memory, capture
from tests.unit.uploads import ANSWERS, LARGE, PART, Archive, archive, folder_of, md5, the_gap, the_session

__all__ = ["archive"]


@pytest.mark.parametrize(("options", "prefix"), [({}, ""), ({"prefix": "cluster-a"}, "cluster-a/")])
def test_a_copy_is_the_session(archive: Archive, options: dict[str, Any], prefix: str) -> None:
    """Files are equal byte for byte. The manifest, which has the copy's place, is sent last. Nothing is looked up first."""
    archive.options = options
    snapshot = archive.capture()
    assert (snapshot.manifest.phase, snapshot.manifest.gaps) == ("Completed", [])
    assert archive.s3.objects == the_session(snapshot, prefix)
    assert snapshot.manifest.upload is not None
    assert snapshot.manifest.upload.to_json() == {
        "dataSource": "archive",
        "url": f"s3://incidents/{folder_of(snapshot, prefix)}",
    }
    names = [artifact.path for artifact in snapshot.manifest.artifacts]
    assert archive.s3.asked == [f"PUT {folder_of(snapshot, prefix)}{name}" for name in [*names, "manifest.json"]]


def test_the_progress_counts_the_files(archive: Archive) -> None:
    """It goes from none to all files without the manifest. Before the upload there is no number."""
    reported: list[int | None] = []
    snapshot = archive.capture(report=lambda shown: reported.append(shown.uploaded))
    begin = reported.index(0)
    assert set(reported[:begin]) == {None}
    assert reported[begin:] == list(range(len(snapshot.manifest.artifacts) + 1))


def test_a_file_is_read_in_pieces_and_through_no_link(tmp_path: Path) -> None:
    """It gives the same pieces as content in memory, and a link is refused."""
    (tmp_path / "file").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for content in (Content(10, "", tmp_path / "file"), Content(10, "", memory=b"0123456789")):
        assert [content.read(offset, 4) for offset in (0, 4, 8, 12)] == [b"0123", b"4567", b"89", b""]
    with pytest.raises(OSError, match="symbolic links"):
        Content(10, "", tmp_path / "link").read(0, 4)


def test_without_a_request_nothing_is_uploaded(archive: Archive) -> None:
    """Not even a DataSource is looked up."""
    assert capture(archive.root, Memory(ANSWERS), kubernetes=archive.kubernetes).manifest.upload is None
    assert (archive.s3.asked, archive.kubernetes.asked) == ([], [])


@pytest.mark.parametrize("spare", [0, -1])
def test_a_session_that_is_larger_than_the_data_source_takes(archive: Archive, spare: int) -> None:
    """The limit itself is allowed; over it nothing is sent."""
    size_bytes = archive.capture().manifest.size_bytes
    archive.s3.objects.clear()
    archive.s3.asked.clear()
    archive.options = {"maxSessionBytes": size_bytes + spare}
    archive.root = archive.root / "other"
    snapshot = archive.capture()
    if spare == 0:
        assert archive.s3.objects == the_session(snapshot)
        return
    reason, message = the_gap(snapshot)
    assert reason == "UploadFailed"
    assert (
        message == f"the session has {size_bytes} bytes, more than the maxSessionBytes {size_bytes - 1} of DataSource archive"
    )
    assert archive.s3.asked == []


def test_an_upload_in_parts(archive: Archive) -> None:
    """All parts but the last have the same size, and no part is left."""
    snapshot = archive.capture(LARGE)
    assert archive.s3.objects == the_session(snapshot)
    assert archive.s3.uploads == {}
    key = folder_of(snapshot) + snapshot.manifest.artifacts[0].path
    size_bytes = snapshot.manifest.artifacts[0].size_bytes
    assert archive.s3.asked.count(f"PUT {key}") == -(-size_bytes // PART) == 3
    assert f"HEAD {key}" in archive.s3.asked, "what was put together is verified"


class Killed(BaseException):
    """Raised instead of killing the process."""


def killed_at(archive: Archive, monkeypatch: pytest.MonkeyPatch, command: str, number: int, answers: Mapping[str, Any]) -> None:
    """Capture in a process that is killed at this request of its upload."""
    real, left = archive.s3.refuse, [number]

    def kill(bucket: Any, *arguments: Any) -> Any:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return original(bucket, *arguments)

    original = getattr(Bucket, command)
    with monkeypatch.context() as patch:
        patch.setattr(Bucket, command, kill)
        with pytest.raises(Killed):
            archive.capture(answers)
    archive.s3.refuse = real


def test_an_upload_is_resumed(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are already there are found, and not sent again. Files that differ are."""
    killed_at(archive, monkeypatch, "put", 2, ANSWERS)
    first, second = archive.s3.objects
    archive.s3.objects[second] = archive.s3.objects[second].replace(b"bj", b"BJ")
    archive.s3.checksums[second] = base64.b64encode(hashlib.sha256(archive.s3.objects[second]).digest()).decode()
    archive.s3.asked.clear()
    snapshot = archive.capture()
    assert archive.s3.objects == the_session(snapshot)
    assert [request for request in archive.s3.asked if request.startswith("PUT")] == [
        f"PUT {second}",
        f"PUT {folder_of(snapshot)}report.html",
        f"PUT {folder_of(snapshot)}manifest.json",
    ]
    assert f"HEAD {first}" in archive.s3.asked


@pytest.mark.parametrize("etags", ["of their content", "of another kind"])
def test_parts_of_an_earlier_try_are_kept(archive: Archive, monkeypatch: pytest.MonkeyPatch, etags: str) -> None:
    """Those of the upload with most parts are kept, if their ETags prove them. Other uploads of the file are aborted."""
    if etags == "of their content":
        archive.s3.etag_of = md5
    killed_at(archive, monkeypatch, "put_part", 2, LARGE)
    ((upload, (key, parts)),) = archive.s3.uploads.items()
    assert sorted(parts) == [1, 2]
    archive.s3.uploads["less"] = (key, {1: b"x"})
    archive.s3.uploads["other"] = ("another/key", {1: b"x", 2: b"y", 3: b"z"})
    archive.s3.asked.clear()
    snapshot = archive.capture(LARGE)
    assert archive.s3.objects == the_session(snapshot)
    assert archive.s3.uploads.keys() == {"other"}
    assert archive.s3.asked.count(f"PUT {key}") == (1 if etags == "of their content" else 3)
    assert upload not in archive.s3.uploads


def test_a_part_that_is_not_what_it_was_is_sent_again(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ETag shows it."""
    archive.s3.etag_of = md5
    killed_at(archive, monkeypatch, "put_part", 2, LARGE)
    ((_, (key, parts)),) = archive.s3.uploads.items()
    parts[1] = parts[1].replace(b"0", b"1")
    archive.s3.asked.clear()
    snapshot = archive.capture(LARGE)
    assert archive.s3.objects == the_session(snapshot)
    assert archive.s3.asked.count(f"PUT {key}") == 2


@pytest.mark.parametrize("answers", [ANSWERS, LARGE], ids=["small files", "a large file"])
def test_a_server_without_checksums_is_read_back(archive: Archive, answers: Mapping[str, Any]) -> None:
    """Every byte is read, at most a part at a time."""
    archive.s3.attests = False
    snapshot = archive.capture(answers)
    assert archive.s3.objects == the_session(snapshot)
    reads = sum(-(-len(content) // PART) for content in archive.s3.objects.values())
    assert sum(request.startswith("GET") for request in archive.s3.asked) == reads


def test_a_server_that_stores_something_else(archive: Archive) -> None:
    """Reading back finds it, and the upload is tried until its time is over. The gap names the file and the reason."""
    archive.s3.attests = False
    archive.s3.stores = lambda content: content.replace(b"evidence", b"evidenCe")
    sent_at: list[Any] = []

    def later(command: str, key: str, query: Mapping[str, str]) -> None:
        sent_at.append(archive.clock())
        archive.clock.advance(20)

    archive.s3.refuse = later
    reason, message = the_gap(archive.capture(timeout="2m"))
    assert reason == "UploadFailed"
    assert message.startswith(
        "the upload's timeout of 2m ran out; the last try: DataSource archive: what it has as production/"
    )
    assert message.endswith("is not what was sent, as the digest shows")
    assert sent_at[-1] - sent_at[0] <= timedelta(minutes=2)


@pytest.mark.parametrize(
    ("offset", "length", "read"), [(0, 4, b"evid"), (4, 2, b"en"), (6, 9, b"ce"), (8, 1, b""), (0, 8, b"evidence")]
)
def test_a_content_is_read_in_pieces(tmp_path: Path, offset: int, length: int, read: bytes) -> None:
    """Content of a file and content in memory give the same."""
    (tmp_path / "file").write_bytes(b"evidence")
    for content in (uploader.Content(8, "", tmp_path / "file"), uploader.Content(8, "", memory=b"evidence")):
        assert content.read(offset, length) == read

"""Uploads that fail: what is retried, what is given up, and the gap's message."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.investigate import uploader
from tests.support.captures import Memory
from tests.unit.fakes import FakeKubernetes
from tests.unit.uploads import ANSWERS, LARGE, SECRET, SOURCE, Archive, archive, md5, secret, the_gap, the_session

__all__ = ["archive"]


def refusing(status: int, commands: str, times: int, part: str = "") -> Callable[[str, str, Mapping[str, str]], int | None]:
    """Refuse the first `times` requests of these commands that have the parameter `part`."""
    left = [times]

    def refuse(command: str, key: str, query: Mapping[str, str]) -> int | None:
        if command not in commands.split() or (part and part not in query) or not left[0]:
            return None
        left[0] -= 1
        return status

    return refuse


@pytest.mark.parametrize("answers", [ANSWERS, LARGE], ids=["small files", "a large file"])
def test_a_server_that_is_away_for_a_while(archive: Archive, answers: Mapping[str, Any]) -> None:
    """The upload resumes, after more tries than those of one request."""
    archive.s3.etag_of = md5
    archive.s3.refuse = refusing(503, "PUT", 7)
    snapshot = archive.capture(answers)
    assert archive.s3.objects == the_session(snapshot)
    assert archive.s3.uploads == {}


def test_a_file_that_is_refused_is_a_gap(archive: Archive) -> None:
    """The gap comes at once, with S3's message, and nothing is tried again."""
    archive.s3.refuse = refusing(403, "PUT", 99)
    reason, message = the_gap(archive.capture())
    assert (reason, message) == ("UploadFailed", "DataSource archive answered 403: AccessDenied: refused")
    assert len(archive.s3.asked) == 1


@pytest.mark.parametrize(
    ("commands", "part", "status"),
    [("PUT", "partNumber", 400), ("PUT", "partNumber", 403), ("POST", "uploadId", 400)],
    ids=["a part", "a part without the right", "the whole"],
)
def test_parts_of_a_file_that_is_refused_do_not_stay(archive: Archive, commands: str, part: str, status: int) -> None:
    """They would cost money."""
    archive.s3.refuse = refusing(status, commands, 1, part)
    reason, message = the_gap(archive.capture(LARGE))
    assert reason == "UploadFailed"
    assert f"answered {status}" in message
    assert archive.s3.uploads == {}


def test_parts_that_cannot_be_removed_change_no_gap(archive: Archive) -> None:
    """The message says why the file was refused."""
    whole, parts = refusing(400, "POST", 1, "uploadId"), refusing(403, "DELETE", 9)
    archive.s3.refuse = lambda *asked: whole(*asked) or parts(*asked)
    _, message = the_gap(archive.capture(LARGE))
    assert "answered 400" in message
    assert len(archive.s3.uploads) == 1


def test_an_object_whose_completion_was_not_heard_of(archive: Archive) -> None:
    """When asked again, the server does not know the upload any more. The object is verified instead."""
    done: list[str] = []

    def complete_unheard(command: str, key: str, query: Mapping[str, str]) -> int | None:
        if command != "POST" or "uploadId" not in query or done:
            return None
        done.append(key)
        parts = archive.s3.uploads.pop(query["uploadId"])[1]
        archive.s3.objects[key] = b"".join(parts[number] for number in sorted(parts))
        return 503

    archive.s3.refuse = complete_unheard
    snapshot = archive.capture(LARGE)
    assert archive.s3.objects == the_session(snapshot)
    assert done


def test_rotated_credentials_count_at_once(archive: Archive) -> None:
    """A key is refused, and the Secret has another one: the upload continues with it."""

    def refuse(command: str, key: str, query: Mapping[str, str]) -> int | None:
        archive.kubernetes.objects = {**archive.kubernetes.objects, SECRET: secret("the-new-key-id")}
        return 403 if len(archive.s3.asked) == 1 else None

    archive.s3.refuse = refuse
    snapshot = archive.capture()
    assert archive.s3.objects == the_session(snapshot)


def test_credentials_that_cannot_be_read_again_change_nothing(archive: Archive) -> None:
    """The message is that of the refusal."""

    def refuse(command: str, key: str, query: Mapping[str, str]) -> int | None:
        archive.kubernetes.objects = {**archive.kubernetes.objects, SECRET: Rejected("gone")}
        return 403

    archive.s3.refuse = refuse
    assert "answered 403" in the_gap(archive.capture())[1]


@pytest.mark.parametrize(
    ("objects", "reason", "words"),
    [
        ({SOURCE: None}, "NoDataSource", "DataSource archive does not exist"),
        ({SECRET: None}, "NoDataSource", "login"),
    ],
    ids=["no DataSource", "no Secret"],
)
def test_an_upload_without_a_data_source(archive: Archive, objects: dict[str, Any], reason: str, words: str) -> None:
    """The gap keeps the reason, which says whom to ask."""

    class Without(FakeKubernetes):
        async def get(self, path: str, *_: Any, **__: Any) -> Any:
            if path in objects:
                raise Rejected("the Kubernetes API answered 404: not found", GapReason.NOT_FOUND)
            return await FakeKubernetes.get(self, path)

    archive.kubernetes = Without({SECRET: secret()})
    found, message = the_gap(archive.capture())
    assert (found, words in message) == (reason, True)
    assert archive.s3.asked == []


def test_a_cancelled_investigation_is_not_uploaded(archive: Archive) -> None:
    """Files that were already sent stay. The gap has its own reason."""
    memory = Memory(ANSWERS)

    def refuse(command: str, key: str, query: Mapping[str, str]) -> int | None:
        memory.cancel()  # type: ignore[attr-defined]
        return None

    archive.s3.refuse = refuse
    snapshot = archive.capture(memory=memory, cancel=True)
    assert len(archive.s3.objects) == 1
    assert snapshot.manifest.upload is None
    assert [(gap.reason, gap.target) for gap in snapshot.manifest.gaps] == [("Cancelled", "session.upload")]
    assert snapshot.manifest.gaps[0].message.startswith("the Investigation was cancelled before the session was uploaded")


@pytest.mark.parametrize(
    "spoil",
    [lambda path: path.unlink(), lambda path: (path.rename(path.with_name("x")), path.symlink_to("x"))],
    ids=["it is gone", "a link is in its place"],
)
def test_a_volume_that_cannot_be_read(
    archive: Archive, spoil: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gap reports it. A link is not followed, since it may lead anywhere."""
    real = uploader.Uploader.run

    def found(directory: Path) -> Path:
        return next(directory.rglob("*first*"))

    async def run(self: Any, directory: Path, *arguments: Any) -> Any:
        spoil(found(directory))
        return await real(self, directory, *arguments)

    monkeypatch.setattr(uploader.Uploader, "run", run)
    snapshot = archive.capture()
    (gap,) = snapshot.manifest.gaps
    assert gap.reason == "UploadFailed"
    assert gap.message.startswith("the session volume cannot be read: ")
    assert archive.s3.asked == []


@pytest.mark.logs_errors("uploading session")
def test_a_fault_of_our_own_is_a_gap(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session is complete without its copy. The exception is in the log."""

    async def broken(*_: object) -> Any:
        raise KeyError("secret words")

    monkeypatch.setattr(uploader.Uploader, "run", broken)
    reason, message = the_gap(archive.capture())
    assert (reason, "secret" in message) == ("UploadFailed", False)

"""The report step of a capture: the report's place, sealing, restarts, and the effects of failures."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.cli import opening
from aletheia_operator.cli.__main__ import main
from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.reader import FolderFiles, SessionReader
from aletheia_operator.clients.errors import Unavailable
from aletheia_operator.investigate import Snapshot
from aletheia_operator.investigate.report_step import SUMMARY
from aletheia_operator.session import Session, SessionLayout, age
from aletheia_operator.session.retention import expire
from aletheia_operator.session.verify import verify
from tests.unit.capturing import files, gaps, run
from tests.unit.fakes import NOW, FakeFetcher, FakeKubernetes, make_order, make_tools

SECRET, PUBLIC = age.new_identity()
SEALED: Any = {"session": {"encryption": {"recipients": [PUBLIC]}}}
ANSWERS = {"a": [[{"word": "canary-9"}]]}


def reports(snapshot: Snapshot) -> list[str]:
    return [artifact.path for artifact in snapshot.manifest.artifacts if artifact.fetcher == "Report"]


async def test_the_report_is_an_artifact_of_the_session(tmp_path: Path) -> None:
    """It is beside the manifest, which has its digest; it shows the phase and every other file."""
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher(ANSWERS)))
    assert reports(snapshot) == ["report.html"]
    assert verify(Path(snapshot.path)).intact
    page = (Path(snapshot.path) / "report.html").read_text()
    (report,) = (artifact for artifact in snapshot.manifest.artifacts if artifact.fetcher == "Report")
    assert (report.target, report.count, report.complete, report.summary) == ("report", 1, True, SUMMARY)
    assert report.time_range == list(snapshot.manifest.window)
    for words in ("Completed", *(artifact.sha256 for artifact in snapshot.manifest.artifacts if artifact.fetcher != "Report")):
        assert words in page


async def test_a_session_without_evidence_has_a_report(tmp_path: Path) -> None:
    """It lists what is missing; the phase is still Failed."""
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher({"a": [Unavailable("the source is gone")]})))
    assert (snapshot.manifest.phase, reports(snapshot)) == ("Failed", ["report.html"])
    assert "the source is gone" in (Path(snapshot.path) / "report.html").read_text()


async def test_a_sealed_session_has_a_sealed_report(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing of it is in plain text; the command makes the whole report with the key."""
    snapshot = await run(make_order(**SEALED), make_tools(tmp_path, FakeFetcher(ANSWERS)))
    assert reports(snapshot) == ["report.html.age"]
    assert (Path(snapshot.path) / "report.html.age").read_bytes().startswith(b"age-encryption.org/v1")
    assert verify(Path(snapshot.path)).intact
    key = tmp_path / "key.txt"
    key.write_text(SECRET)
    arguments = ["session", "report", f"--root={tmp_path}", snapshot.manifest.session_id]
    assert main(arguments) == 1
    assert "sealed to recipients" in capfd.readouterr().err
    assert main([*arguments, f"--identity={key}"]) == 0
    assert capfd.readouterr().out.startswith("<!doctype html>")
    wrong = tmp_path / "wrong.txt"
    wrong.write_text(age.new_identity()[0])
    markdown = ["report", *arguments[2:], "--format=markdown"]
    assert main([*markdown, f"--identity={key}"]) == 0
    assert capfd.readouterr().out.startswith("# ")
    assert main([*markdown, f"--identity={wrong}"]) == 1  # not a report without findings
    assert capfd.readouterr() == ("", "error: none of the keys opens it\n")
    assert main(["session", "decrypt", *arguments[2:], f"--identity={key}", f"--to={tmp_path / 'plain'}"]) == 0
    assert (tmp_path / "plain/report.html").read_text().startswith("<!doctype html>")


async def test_a_session_that_cannot_be_sealed_has_no_report(tmp_path: Path) -> None:
    """Its report would be in plain text."""
    order = make_order(
        serviceAccountName="reader", session={"encryption": {"passwordSecretRef": {"name": "none", "key": "password"}}}
    )
    snapshot = await run(order, make_tools(tmp_path, FakeFetcher(ANSWERS), kubernetes=FakeKubernetes({})))
    assert (snapshot.manifest.phase, files(snapshot)) == ("Failed", {"manifest.json"})


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(RuntimeError("a bug"), "InternalError", marks=pytest.mark.logs_errors("the report of session")),
        (OSError(errno.ENOSPC, "no space"), "SaveFailed"),
    ],
)
async def test_a_report_that_fails_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    """The evidence is kept, and the phase is the same as with a report."""

    def fails(*_: Any) -> Any:
        raise error

    monkeypatch.setattr("aletheia_operator.investigate.report_step.html_report", fails)
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher(ANSWERS)))
    assert (gaps(snapshot), reports(snapshot)) == ([("report", reason)], [])
    assert snapshot.manifest.gaps[0].severity == "note"
    assert snapshot.manifest.phase == "Completed"
    assert verify(Path(snapshot.path)).intact


async def test_a_report_that_was_not_finished_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remains of a killed process's report are removed."""
    real = Session.finish

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        await run(make_order(), make_tools(tmp_path, FakeFetcher(ANSWERS)))
    monkeypatch.setattr(Session, "finish", real)
    (directory,) = (tmp_path / "sessions").iterdir()
    (directory / "report.html").write_text("torn")
    (directory / "report.html.part").write_text("torn")
    (directory / "report.html.age").symlink_to("/etc/passwd")
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher(ANSWERS)))
    assert reports(snapshot) == ["report.html"]
    assert verify(directory).intact
    assert os.listdir(directory.parent) == [directory.name]


async def test_expiry_removes_the_report(tmp_path: Path) -> None:
    """It contains parts of the data."""
    for order in (make_order(), make_order("6f9619ff-8b86-d011-b42d-00cf4fc964f0", **SEALED)):
        snapshot = await run(order, make_tools(tmp_path, FakeFetcher(ANSWERS)))
        expire(SessionLayout(tmp_path), snapshot.manifest.session_id, NOW)
        assert files(snapshot) == {"manifest.json"}
        assert verify(Path(snapshot.path)).missing == ()


async def test_a_stored_report_is_shown_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is too large for memory is not cut."""
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher(ANSWERS)))
    reader = SessionReader(snapshot.manifest, FolderFiles(Path(snapshot.path)))
    whole = opening.html(reader)
    assert whole.rstrip().endswith(b"</html>")
    monkeypatch.setattr(opening, "MAX_REPORT_BYTES", len(whole))
    assert opening.html(reader) == whole
    monkeypatch.setattr(opening, "MAX_REPORT_BYTES", len(whole) - 1)
    with pytest.raises(Refused, match="larger than"):
        opening.html(reader)

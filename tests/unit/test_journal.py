"""The journal as a file, and the keys of a sealed session."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api.status import FindingObject, FindingStatus
from aletheia_operator.session import Artifact, Gap, VerdictSummary, age, journal
from aletheia_operator.session.journal import CaptureProgress, Done, Origin
from aletheia_operator.session.seal import open_by_identities, open_by_password, seal_by_password, seal_to_recipients
from aletheia_operator.text.trace_ids import TraceIds


def test_a_journal_is_not_written_through_a_link(tmp_path: Path) -> None:
    """It may lead anywhere; what it leads to stays as it is."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "journal.ndjson").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="journal"):
        journal.append(tmp_path / "journal.ndjson", [{"plan": {}}])
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("kind", ["a pipe", "a link", "a folder"])
def test_what_is_no_file_has_no_first_manifest(kind: str, tmp_path: Path) -> None:
    """A pipe is not waited for, and a link is not followed, by reading or writing."""
    path = tmp_path / "journal.ndjson"
    (tmp_path / "elsewhere").write_text('{"session":{}}\n')
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
    assert journal.first_manifest(path) is None
    if kind != "a link":  # `Session` removes it first
        assert journal.read(path, lambda artifact: True) == CaptureProgress()
    with pytest.raises(OSError, match="journal"):
        journal.append(path, [{"begun": "a"}])


@pytest.mark.parametrize("line", ["5", '"session"', "[]", '{"key":"a","artifacts":[1],"gaps":[]}', "{}"])
def test_a_damaged_line_loses_only_its_own_question(line: str, tmp_path: Path) -> None:
    """Whatever JSON it is."""
    path = tmp_path / "journal.ndjson"
    path.write_text(line + '\n{"begun":"b"}\n')
    assert journal.read(path, lambda artifact: True).deaths == {"b": 1}


def test_lines_of_a_journal_follow_each_other(tmp_path: Path) -> None:
    """Each is a line of JSON. Only owner and group may read the file."""
    path = tmp_path / "journal.ndjson"
    for number in range(3):
        journal.append(path, [{"begun": str(number)}], sync=number == 1)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"begun": str(number)} for number in range(3)]
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_line_that_may_be_lost_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only lines that a later process needs wait for a disk that syncs slowly. Lines that are appended together wait once."""
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(not os.path.isdir(f"/proc/self/fd/{descriptor}")))
    path = tmp_path / "journal.ndjson"
    counts = []
    for sync in (False, False, True, False):
        journal.append(path, [{"begun": "a"}, {"begun": "b"}], sync=sync)
        counts.append(synced.count(True))
    assert counts == [0, 0, 1, 1]
    assert synced.count(False) == 0, "the session syncs its directory"
    assert len(path.read_text().splitlines()) == 8


ARTIFACT = Artifact(
    path="data/logs/a.json",
    fetcher="F",
    target="pod/a",
    count=3,
    summary="words",
    counts="3 lines",
    time_range=["2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z"],
    size_bytes=17,
    sha256="0" * 64,
    complete=False,
    redactions={"password": 2},
    unscanned=["names"],
)
FINDING = FindingStatus(
    rule="r", severity="info", confidence="likely", object=FindingObject(kind="Pod", name="a"), message="m", first_seen=None
)
DONE = Done(
    "F/a",
    (ARTIFACT,),
    (Gap(fetcher="F", target="pod/a", reason="TooLarge", message="cut", severity="note"),),
    TraceIds(3, {"a" * 32: "t"}, {"b" * 32: "u"}, True),
    {ARTIFACT.path: Origin("kubernetes", "logs")},
    VerdictSummary(headline="it broke", findings=[FINDING]),
)


def written(done: Done, sealed: bool = False) -> dict[str, Any]:
    """The line of an answer, as the next process reads it."""
    line: dict[str, Any] = json.loads(json.dumps(done.to_line(sealed)))
    return line


@pytest.mark.parametrize("done", [DONE, Done("F/b")], ids=["all fields", "no field"])
def test_an_answer_comes_back_as_it_was(done: Done) -> None:
    """With every field, and without any."""
    assert Done.from_line(written(done)) == done


def test_a_sealed_sessions_journal_has_no_content_of_logs() -> None:
    """Trace ids are such content. All else comes back."""
    assert "trace_ids" not in written(DONE, sealed=True)
    assert Done.from_line(written(DONE, sealed=True)) == Done(
        DONE.key, DONE.artifacts, DONE.gaps, None, DONE.origins, DONE.verdict
    )


def test_trace_ids_of_another_version_are_not_known() -> None:
    """The answer itself is kept."""
    found = Done.from_line({**written(DONE), "trace_ids": {"limit": 3, "colour": "red"}})
    assert (found.trace_ids, found.artifacts) == (None, DONE.artifacts)


@pytest.mark.parametrize(
    ("lines", "whole", "expected"),
    [
        pytest.param([], True, CaptureProgress(), id="nothing"),
        pytest.param([{"plan": {"a": 1}}, {"plan": {"b": 2}}], True, CaptureProgress(plan={"b": 2}), id="the last plan holds"),
        pytest.param([{"redaction": "00ff"}], True, CaptureProgress(redaction_salt=b"\x00\xff"), id="a salt"),
        pytest.param([{"upload": "begun"}], True, CaptureProgress(upload_begun=True), id="an upload"),
        pytest.param([{"interrupted": "TimedOut"}], True, CaptureProgress(interruption="TimedOut"), id="an interruption"),
        pytest.param([{"begun": "a"}], True, {"a": 1}, id="a death"),
        pytest.param([{"begun": "a"}] * 2 + [{"begun": "b"}], True, {"a": 2, "b": 1}, id="deaths of several"),
        pytest.param([{"begun": "a"}, {"stopped": "a"}, {"begun": "a"}], True, {"a": 1}, id="a stop in good order is no death"),
        pytest.param([{"begun": "F/a"}, written(DONE)], True, CaptureProgress(done={"F/a": DONE}), id="an answer"),
        pytest.param([written(DONE), written(DONE)], False, CaptureProgress(), id="a damaged artifact"),
        pytest.param([{"begun": "F/a"}, written(DONE)], False, {"F/a": 1}, id="a damaged artifact after a death"),
        pytest.param(
            [written(Done("F/a"))], False, CaptureProgress(done={"F/a": Done("F/a")}), id="an answer without artifacts"
        ),
        pytest.param(
            [written(Done("F/a")), written(DONE)], False, CaptureProgress(), id="a damaged artifact of a later answer"
        ),
    ],
)
def test_the_progress_follows_from_the_lines(lines: list[Any], whole: bool, expected: CaptureProgress | dict[str, int]) -> None:
    """In their order."""
    progress = CaptureProgress()
    for line in lines:
        progress.take_up(line, lambda artifact: whole)
    deaths = expected if isinstance(expected, dict) else {}
    assert +progress.deaths == deaths
    progress.deaths.clear()
    assert progress == (CaptureProgress() if isinstance(expected, dict) else expected)


def test_every_artifact_of_an_answer_must_be_whole() -> None:
    """If one is damaged, the question is asked again."""
    other = ARTIFACT.model_copy(update={"path": "data/logs/b.json"})
    progress = CaptureProgress()
    progress.take_up(written(Done("F/a", (ARTIFACT, other))), lambda artifact: artifact == ARTIFACT)
    assert progress.done == {}


def test_a_damaged_line_costs_its_own_question(tmp_path: Path) -> None:
    """An incomplete last line is removed, so that the next one begins on a line of its own."""
    path = tmp_path / "journal.ndjson"
    assert journal.read(path, lambda artifact: True) == CaptureProgress()
    whole = b'{"plan": {}}\n{"key": "a"}\nnull\n{"redaction": 7}\n{"redaction": "x"}\n\xff\n{"upload": "begun"}\n'
    path.write_bytes(whole + b'{"interrupted": "Cancel')
    assert journal.read(path, lambda artifact: True) == CaptureProgress(plan={}, upload_begun=True)
    assert path.read_bytes() == whole
    modified = path.stat().st_mtime_ns
    assert journal.read(path, lambda artifact: True).upload_begun
    assert path.stat().st_mtime_ns == modified
    path.write_bytes(b'{"plan"')
    assert journal.read(path, lambda artifact: True) == CaptureProgress()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_line_that_is_not_written_whole_leaves_the_journal_as_it_was(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next line would be damaged otherwise."""
    path = tmp_path / "journal.ndjson"
    journal.append(path, [{"plan": {}}])
    before, real = path.read_bytes(), getattr(os, call)

    def full(*arguments: Any) -> Any:
        if call == "write":
            real(arguments[0], b"{")
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match="no space"):
            journal.append(path, [{"begun": "a"}])
    assert path.read_bytes() == before
    assert not [link for link in Path("/proc/self/fd").iterdir() if link.exists() and link.resolve() == path]


def test_the_wrong_kind_of_key_is_said(tmp_path: Path) -> None:
    """The message names what opens the session."""
    secret, public = age.new_identity()
    by_password, to_recipients = seal_by_password("correct horse"), seal_to_recipients([public])
    identities = age.parse_identities(secret)
    with pytest.raises(age.WrongKey, match="sealed by a password, not to recipients: name a password file"):
        open_by_identities(by_password, identities)
    with pytest.raises(age.WrongKey, match="sealed to recipients, not by a password: name a key file"):
        open_by_password(to_recipients, "correct horse")
    assert open_by_password(by_password, "correct horse").startswith("AGE-SECRET-KEY-")
    assert open_by_identities(to_recipients, identities).startswith("AGE-SECRET-KEY-")

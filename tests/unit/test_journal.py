"""The journal as a file, and which keys open a sealed session."""

import json
import os
from pathlib import Path

import pytest

from aletheia_operator.session import age, journal
from aletheia_operator.session.seal import open_by_identities, open_by_password, seal_by_password, seal_to_recipients


def test_a_journal_is_not_written_through_a_link(tmp_path: Path) -> None:
    """It may lead anywhere; what it leads to stays as it is."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "journal.ndjson").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="journal"):
        journal.append(tmp_path / "journal.ndjson", {"plan": {}})
    assert (tmp_path / "precious").read_text() == "precious"


def test_lines_of_a_journal_follow_each_other(tmp_path: Path) -> None:
    """Each is a line of JSON; only its owner and group read it."""
    path = tmp_path / "journal.ndjson"
    for number in range(3):
        journal.append(path, {"begun": str(number)}, sync=number == 1)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"begun": str(number)} for number in range(3)]
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_line_that_may_be_lost_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that syncs slowly is waited for by the first line, and by those that a later process needs."""
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(not os.path.isdir(f"/proc/self/fd/{descriptor}")))
    path = tmp_path / "journal.ndjson"
    counts = []
    for sync in (False, False, True, False):
        journal.append(path, {"begun": "a"}, sync=sync)
        counts.append(synced.count(True))
    assert counts == [1, 1, 2, 2]
    assert synced.count(False) == 1, "the directory, once"


def test_the_wrong_kind_of_key_is_said(tmp_path: Path) -> None:
    """What opens the session instead is named."""
    secret, public = age.new_identity()
    by_password, to_recipients = seal_by_password("correct horse"), seal_to_recipients([public])
    identities = age.parse_identities(secret)
    with pytest.raises(age.WrongKey, match="sealed by a password, not to recipients: name a password file"):
        open_by_identities(by_password, identities)
    with pytest.raises(age.WrongKey, match="sealed to recipients, not by a password: name a key file"):
        open_by_password(to_recipients, "correct horse")
    assert open_by_password(by_password, "correct horse").startswith("AGE-SECRET-KEY-")
    assert open_by_identities(to_recipients, identities).startswith("AGE-SECRET-KEY-")

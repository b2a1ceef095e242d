"""Stores how long a session is kept, beside it (`custody.json`): its Investigation may be gone.

The operator writes what the Investigation specifies. `aletheia session hold` writes holds that users set on the volume. Neither
changes the other's fields. One lock for the whole volume, held for milliseconds, separates holds from removals.
"""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import orjson
from pydantic import ValidationError

from aletheia_operator.api.types import GROUP, Model
from aletheia_operator.session.files import open_file, replace
from aletheia_operator.session.layout import RETENTION_RECORD, SessionLayout
from aletheia_operator.session.lock import SessionBusy, unlock

LEGAL_HOLD = f"{GROUP}/legal-hold"
"""Annotation that puts an Investigation's session on hold."""
MAX_RECORD_BYTES = 64 * 1024
UNREADABLE = "custody.json cannot be read"
_LOCK_SECONDS = 10.0


def legal_hold_of(metadata: Mapping[str, Any]) -> str | None:
    """Return the value of an Investigation's legal hold annotation, `set` if it is empty; None without one, or for `false`."""
    value = (metadata.get("annotations") or {}).get(LEGAL_HOLD)
    return None if value in (None, "false") else str(value) or "set"


class RetentionRecord(Model):
    """How long a session is kept. The default, without a file: as long as its Investigation."""

    keep: bool = False
    """Whether it is kept when its Investigation is deleted (spec.retention.keep)."""
    imported: bool = False
    """Whether it was imported from an archive. Then no Investigation determines how long it is kept."""
    legal_hold: str | None = None
    """Value of the Investigation's annotation; None without it. While it is set, nothing removes the data."""
    hold: str | None = None
    """Reason given to `aletheia session hold`; None without a hold. It works like the annotation; only `release` lifts it."""
    orphaned_since: datetime | None = None
    """When its Investigation was first found to be gone; None if it exists."""
    spared: str | None = None
    """Why the session is kept although its Investigation is gone: perhaps nobody deleted it. None: there is no such reason."""
    adopted_by: str | None = None
    """Uid of the Investigation that the session belongs to since a restore from a backup. None: it is the manifest's."""
    adopted_at: datetime | None = None
    """When it was first found to belong to that Investigation. None: it is the manifest's."""

    @property
    def hold_reason(self) -> str | None:
        """Reason of the hold; None if it is not on hold."""
        return self.hold if self.hold is not None else self.legal_hold

    @property
    def outlives_investigation(self) -> bool:
        """Whether the session is kept when its Investigation is deleted."""
        return self.keep or self.imported or self.spared is not None or self.hold_reason is not None


_DEFAULT = RetentionRecord()
_UNREADABLE = RetentionRecord(keep=True, hold=UNREADABLE)


def read_retention_record(layout: SessionLayout, session_id: str) -> RetentionRecord:
    """Read the record. One that cannot be read counts as a hold: a session is better kept too long than lost."""
    try:
        return _read(layout, session_id)
    except OSError:
        return _UNREADABLE


def _read(layout: SessionLayout, session_id: str) -> RetentionRecord:
    """Read the record; as a hold if it is damaged, or no file. Raises OSError if the volume fails: a later try may succeed."""
    path = f"{layout.sessions}/{session_id}/{RETENTION_RECORD}"  # a Path of each of thousands would take longer than the rest
    try:
        with open_file(path) as file:
            return RetentionRecord.model_validate_json(file.read(MAX_RECORD_BYTES + 1))
    except FileNotFoundError:
        return _DEFAULT
    except ValidationError:
        return _UNREADABLE
    except OSError as e:
        if e.errno in (errno.ELOOP, errno.EISDIR):
            return _UNREADABLE
        raise


def update_retention_record(layout: SessionLayout, session_id: str, **changes: Any) -> RetentionRecord:
    """Change fields of the record, and return it. Other fields stay. Raises SessionBusy, OSError."""
    return _change(layout, session_id, lambda _: changes)


def adopt(layout: SessionLayout, session_id: str, uid: str, legal_hold: str | None, now: datetime) -> RetentionRecord:
    """Record that the session belongs to an Investigation with another uid from now on, and return the record.

    `legal_hold`: value of that Investigation's annotation; None without it. Then a hold by the former annotation becomes one
    of the volume: nobody who had the right has lifted it. Raises SessionBusy, OSError.
    """

    def changes(before: RetentionRecord) -> dict[str, Any]:
        hold = before.hold if legal_hold is not None else before.hold_reason
        return {"adopted_by": uid, "adopted_at": now, "hold": hold}

    return _change(layout, session_id, changes)


def _change(layout: SessionLayout, session_id: str, changes: Callable[[RetentionRecord], Mapping[str, Any]]) -> RetentionRecord:
    with retention_lock(layout):
        before = _read(layout, session_id)  # what a failing volume hides must not be replaced
        after = before.model_copy(update=changes(before))
        if after != before:
            replace(layout.retention_record(session_id), retention_record_bytes(after))
    return after


def retention_record_bytes(record: RetentionRecord) -> bytes:
    return orjson.dumps(record.to_json(), option=orjson.OPT_APPEND_NEWLINE)


@contextmanager
def retention_lock(layout: SessionLayout) -> Iterator[None]:
    """Lock all retention records of the volume within the context. Raises SessionBusy after 10 s, OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    descriptor = os.open(layout.root / ".retention.lock", flags, 0o640)
    deadline = time.monotonic() + _LOCK_SECONDS
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as e:
                if time.monotonic() > deadline:
                    raise SessionBusy("the retention of all sessions") from e
                time.sleep(0.02)
        yield
    finally:
        unlock(descriptor)

"""How long a session is kept, as far as its directory must remember: the resource that says so may be gone."""

from datetime import datetime

import orjson
from pydantic import ValidationError

from aletheia_operator.api.types import Model
from aletheia_operator.session.files import replace
from aletheia_operator.session.layout import SessionLayout


class RetentionRecord(Model):
    """`custody.json`. Without the file: nothing holds the session but its Investigation."""

    keep: bool = False
    """Stays when its Investigation is deleted (spec.retention.keep, or imported)."""
    legal_hold: str | None = None
    """The annotation's value: while it is set nothing removes the data."""
    orphaned_since: datetime | None = None
    """When its Investigation was first found to be gone."""

    @property
    def held(self) -> bool:
        return self.keep or self.legal_hold is not None


def read_retention_record(layout: SessionLayout, session_id: str) -> RetentionRecord:
    """What is remembered. A file that cannot be read holds the session: better kept too long than lost."""
    try:
        return RetentionRecord.model_validate_json(layout.retention_record(session_id).read_bytes())
    except FileNotFoundError:
        return RetentionRecord()
    except ValidationError:
        return RetentionRecord(keep=True, legal_hold="custody.json cannot be read")


def write_retention_record(layout: SessionLayout, session_id: str, record: RetentionRecord) -> None:
    """Remember it, where it is not remembered already."""
    if record != read_retention_record(layout, session_id):
        replace(layout.retention_record(session_id), retention_record_bytes(record))


def retention_record_bytes(record: RetentionRecord) -> bytes:
    return orjson.dumps(record.to_json(), option=orjson.OPT_APPEND_NEWLINE)

"""The upload step: copies the session to object storage, with its own timeout."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aletheia_operator.api import parse_duration
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.session import UploadSpec
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.fetchers.base import INTERNAL_ERROR, DataSources, Missing
from aletheia_operator.investigate.journal_writer import JournalWriter
from aletheia_operator.investigate.order import Order, Tools
from aletheia_operator.investigate.uploader import SOURCE_TYPE, GivenUp, Uploader
from aletheia_operator.session import Manifest, Session
from aletheia_operator.session.manifest_file import manifest_bytes

log = logging.getLogger(__name__)

UPLOAD_REASONS = frozenset({GapReason.NO_DATA_SOURCE, GapReason.NOT_ALLOWED, GapReason.CANCELLED})
"""Reasons that the gap keeps. Any other reason becomes UploadFailed."""


@dataclass(frozen=True)
class UploadStep:
    """Uploads one session as its spec asks. `sent` is called with the number of files that are uploaded."""

    order: Order
    session: Session
    tools: Tools
    data_sources: DataSources
    journal: JournalWriter
    sent: Callable[[int], None]

    async def upload(self, manifest: Manifest) -> tuple[Manifest, Missing | None]:
        """Upload if requested. Returns the manifest as uploaded and None, or the given manifest and the gap if it failed."""
        wanted = self.order.spec.session.upload if self.order.spec.session else None
        if wanted is None:
            return manifest, None
        resumes = self.session.progress.upload_begun
        if not resumes:
            await self.journal.write(self.session.record_upload)
        # counted from now: no evidence is lost by a late upload, so the time in which the operator was down does not count
        limit = _Limit(self.order, self.tools, wanted, self.tools.now() + timedelta(seconds=parse_duration(wanted.timeout)))

        async def find() -> Endpoint:
            name = wanted.data_source_ref.name if wanted.data_source_ref else None
            found = await self.data_sources.find(SOURCE_TYPE, name)
            return replace(found, timeout_seconds=max(1, min(found.timeout_seconds, int(limit.left_seconds))))

        try:
            uploader = Uploader(find, self.tools.uploads, limit.wait, self.sent, resumes)
            return await uploader.run(self.session.path, manifest, manifest_bytes), None
        except SourceError as e:
            reason, message = e.reason, e.message
        except Exception:
            log.exception("uploading session %s failed", manifest.session_id)
            reason, message = GapReason.INTERNAL_ERROR, INTERNAL_ERROR
        reason = reason if reason in UPLOAD_REASONS else GapReason.UPLOAD_FAILED
        return manifest, Missing("session.upload", reason, f"{message.rstrip('.')}. The session stays on its volume")


@dataclass(frozen=True)
class _Limit:
    """The time limit of an upload: until `end`, or until the order is cancelled."""

    order: Order
    tools: Tools
    spec: UploadSpec
    end: datetime

    @property
    def left_seconds(self) -> float:
        return (self.end - self.tools.now()).total_seconds()

    async def wait(self, seconds: float) -> None:
        """Sleep for `seconds`. Raises GivenUp if the time is over, or would be over afterwards."""
        left = self.left_seconds
        if seconds and left > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.order.cancelled.wait(), min(seconds, left))
        if self.order.cancelled.is_set():
            raise GivenUp("the Investigation was cancelled before the session was uploaded", GapReason.CANCELLED)
        if left <= seconds:
            raise GivenUp(f"the upload's timeout of {self.spec.timeout} ran out")

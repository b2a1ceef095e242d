"""Writes a capture's journal. If that fails, the capture goes on: the journal only serves to resume after a crash."""

import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from aletheia_operator.investigate.gaps import gap_of, save_failed
from aletheia_operator.investigate.threads import in_thread
from aletheia_operator.session import Done, Session

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JournalWriter:
    """Writes the journal of one session, in threads that are always awaited."""

    session: Session
    saving: Executor

    async def write(self, write: Callable[..., None], *arguments: object) -> None:
        """Call one of the session's `record_...` methods with the arguments. A failure to write is logged."""
        await in_thread(self.saving, self._write, write, *arguments)

    async def record_done(self, done: Done) -> None:
        """Record a question as done, and give its files their names. An artifact that cannot be renamed becomes a gap."""
        await in_thread(self.saving, self._record_done, done)

    def _record_done(self, done: Done) -> None:
        self._write(self.session.record, done)
        refused = self.session.publish(done)
        if refused:
            kept = tuple(artifact for artifact in done.artifacts if artifact.path not in refused)
            lost = [artifact for artifact in done.artifacts if artifact.path in refused]
            gaps = [gap_of(artifact.fetcher, save_failed(artifact.target, refused[artifact.path])) for artifact in lost]
            self._write(self.session.record, replace(done, artifacts=kept, gaps=(*done.gaps, *gaps)))

    def _write(self, write: Callable[..., None], *arguments: object) -> None:
        try:
            write(*arguments)
        except OSError as e:
            log.warning("the journal of session %s cannot be written: %s", self.session.manifest.session_id, e.strerror)

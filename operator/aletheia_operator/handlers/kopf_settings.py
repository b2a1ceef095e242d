"""How kopf is set up: it only watches. It writes nothing to resources, and keeps nothing of them."""

from typing import cast

import kopf
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory

LIST_PAGE = 25  # resources that kopf parses at once, on the event loop: each may have 1.5 MB
WORKER_IDLE_SECONDS = 0.2  # kopf keeps the whole resource for so long after each event: of thousands, when it starts


class NoState(kopf.DiffBaseStorage):
    """Stores nothing of resources, so that kopf does not copy them at each event, which is slow for large ones."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        return cast("kopf.BodyEssence", {})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        pass


class NoMemories(ResourceMemories):
    """Remembers nothing of resources between two events.

    kopf's own memories take 0.9 kB and 6 objects for each resource that exists, and each full garbage collection looks at all
    of these. Only handlers of changes, daemons and indices need them.
    """

    async def recall(
        self,
        raw_body: kopf.RawBody,
        *,
        memobase: object = None,
        noticed_by_listing: bool = False,
        ephemeral: bool = False,
    ) -> ResourceMemory:
        """Return a new memory for one event. `ephemeral`: ignored, as if it was True."""
        return ResourceMemory(noticed_by_listing=noticed_by_listing)


def configure(settings: kopf.OperatorSettings) -> None:
    """Set kopf up to only watch: it writes nothing, and leaves no finalizer that would hang while the operator is down."""
    settings.networking.connect_timeout = 10
    settings.networking.request_timeout = 60
    settings.watching.inactivity_timeout = 70
    settings.watching.chunk_size = LIST_PAGE
    settings.queueing.idle_timeout = WORKER_IDLE_SECONDS
    settings.scanning.disabled = True  # the resource's definition comes with the operator; watching for it needs more rights
    settings.posting.loggers = False
    settings.persistence.diffbase_storage = NoState()

"""Remembers which Investigations the watch has shown, and finds those that it missed: then it is stale."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from aletheia_operator.api import paths
from aletheia_operator.clients.kubernetes import Kubernetes

UNNOTICED_SECONDS = 60
"""An Investigation older than this must have been shown."""
MAX_SKIPPED_LOOKS = 9
"""Looks in a row that need no list, because the watch shows what is new."""

Body = Mapping[str, Any]


class Noticed:
    """The Investigations that the watch has shown. `now` is the time of the API server's clock, too."""

    def __init__(self, kubernetes: Kubernetes, now: Callable[[], datetime]) -> None:
        self._kubernetes, self._now = kubernetes, now
        self._uids: set[str] = set()
        self._newest: dict[str, datetime] = {}
        """When the youngest that was shown was created, by namespace."""
        self._skipped = 0
        self._missed: tuple[str, ...] = ()

    def __contains__(self, uid: str) -> bool:
        return uid in self._uids

    def add(self, body: Body) -> None:
        """Remember an Investigation that the watch has shown."""
        metadata = body["metadata"]
        if metadata["uid"] in self._uids:
            return
        self._uids.add(metadata["uid"])
        namespace, created = metadata["namespace"], datetime.fromisoformat(metadata["creationTimestamp"])
        self._newest[namespace] = max(created, self._newest.get(namespace, created))

    def discard(self, uid: str) -> None:
        """Forget an Investigation that is gone."""
        self._uids.discard(uid)

    async def missed(self, namespaces: tuple[str, ...]) -> tuple[str, ...]:
        """Return the Investigations, as NAMESPACE/NAME, that the watch missed.

        `namespaces`: each has its own watch; empty: one watch shows all. A watch shows changes in their order: if it has
        shown an Investigation that is younger than UNNOTICED_SECONDS, it missed none that is older. Then they are not listed,
        which takes time from captures if there are thousands. Every tenth look lists them anyway. Raises SourceError.
        """
        before = self._now() - timedelta(seconds=UNNOTICED_SECONDS)
        if not self._missed and self._skipped < MAX_SKIPPED_LOOKS and self._are_fresh(namespaces, before):
            self._skipped += 1
            return ()
        found = []
        for path in paths.investigations(namespaces):
            async for item in self._kubernetes.list(path, metadata_only=True):
                metadata = item["metadata"]
                if metadata["uid"] not in self._uids and datetime.fromisoformat(metadata["creationTimestamp"]) < before:
                    found.append(f"{metadata['namespace']}/{metadata['name']}")
        self._missed, self._skipped = tuple(found), 0
        return self._missed

    def _are_fresh(self, namespaces: tuple[str, ...], before: datetime) -> bool:
        """Return whether every watch has shown an Investigation that was created since `before`."""
        if not namespaces:
            return any(created >= before for created in self._newest.values())
        return all(namespace in self._newest and self._newest[namespace] >= before for namespace in namespaces)

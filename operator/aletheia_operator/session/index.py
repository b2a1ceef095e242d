"""Remembers the sessions of a volume: a manifest is read again only if its file changed. All calls block."""

import hashlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.session.manifest import Manifest
from aletheia_operator.session.manifest_cache import ManifestCache, Stamp
from aletheia_operator.text.encoding import dumps

REFRESH_SECONDS, MAX_REFRESH_SECONDS = 5.0, 60.0
"""Age from which the index looks for changes again: at least, and if there are very many sessions."""
REFRESH_SHARE = 0.002
"""Share of the time in which the index looks for changes, if MAX_REFRESH_SECONDS allows. 1,000 sessions take about 10 ms, and
several times as long while captures run, which wait meanwhile."""


@dataclass(frozen=True, slots=True)
class _Known:
    namespace: str
    size_bytes: int
    """Size of the artifacts; 0 if they have expired."""
    brief: bytes = b""
    """`light` manifest, as JSON: as Python objects, thousands would take much memory. Empty: not read yet."""
    manifest_sha256: str = ""


class SessionIndex:
    """The sessions of one volume. Threads may share it. `clock` gives monotonic seconds."""

    def __init__(self, layout: SessionLayout, clock: Callable[[], float] = time.monotonic) -> None:
        self.layout = layout
        self._clock = clock
        self._guard = threading.Lock()
        self._cache = ManifestCache(layout, _known, self._count)
        self._sizes = Counter[str]()
        self._refreshed_at = float("-inf")
        self._refresh_after = REFRESH_SECONDS

    def manifests(self, namespaces: Collection[str] = ()) -> Iterator[tuple[Manifest, str]]:
        """Return the `light` manifest of each readable session, by id, with the manifest's SHA-256 in hex. Raises OSError.

        They show the present state, and are made one after the other, so that not all are in memory. `namespaces`: only their
        sessions; empty: all.
        """
        with self._guard:
            self._refresh()
            found = list(self._cache)
        wanted = (known for known in found if known.brief and (not namespaces or known.namespace in namespaces))
        return ((Manifest.model_validate_json(known.brief), known.manifest_sha256) for known in wanted)

    def sizes(self, namespaces: Collection[str] = (), *, fresh: bool = True) -> Counter[str]:
        """Return the size of the artifacts of each namespace. Raises OSError. `namespaces`: only these; empty: all.

        `fresh` False: changes by other processes may be noticed later, as in `kept_bytes`.
        """
        with self._guard:
            if fresh or self._is_due():
                self._refresh()
            wanted = {name: size for name, size in self._sizes.items() if size and (not namespaces or name in namespaces)}
        return Counter(wanted)

    def kept_bytes(self, namespace: str, without: Collection[str], quota: int) -> int:
        """Return the size of a namespace's artifacts, except of the sessions `without`. Raises OSError.

        Changes by other processes are noticed after REFRESH_SECONDS (up to MAX_REFRESH_SECONDS if there are very many
        sessions); at once if half of the `quota` is used.
        """
        with self._guard:
            if self._is_due():
                self._refresh()
                return self._kept_bytes(namespace, without)
            if 2 * self._kept_bytes(namespace, without) >= quota:
                self._refresh()
            return self._kept_bytes(namespace, without)

    def note(self, session_id: str, namespace: str, size_bytes: int) -> None:
        """Record the size of a session that this process has just finished, until its manifest is read."""
        with self._guard:
            self._cache.put(session_id, _Known(namespace, size_bytes))

    def _kept_bytes(self, namespace: str, without: Collection[str]) -> int:
        excluded = [known for session_id in without if (known := self._cache.get(session_id)) is not None]
        return self._sizes[namespace] - sum(known.size_bytes for known in excluded if known.namespace == namespace)

    def _is_due(self) -> bool:
        """Return whether it is time to look for changes by other processes."""
        return self._clock() - self._refreshed_at >= self._refresh_after

    def _refresh(self) -> None:
        began = self._clock()
        self._cache.refresh()
        self._refreshed_at = self._clock()
        seconds = (self._refreshed_at - began) / REFRESH_SHARE
        self._refresh_after = min(max(REFRESH_SECONDS, seconds), MAX_REFRESH_SECONDS)

    def _count(self, before: _Known | None, after: _Known | None) -> None:
        if before is not None:
            self._sizes[before.namespace] -= before.size_bytes
        if after is not None:
            self._sizes[after.namespace] += after.size_bytes


def _known(manifest: Manifest, content: bytes, stamp: Stamp) -> _Known:
    size_bytes = manifest.size_bytes if manifest.expiration_time is None else 0
    namespace = sys.intern(manifest.investigation.namespace)
    return _Known(namespace, size_bytes, dumps(light(manifest).to_json()), hashlib.sha256(content).hexdigest())


def light(manifest: Manifest) -> Manifest:
    """Return a manifest with one artifact of the total size instead of all: thousands of manifests must fit into memory."""
    artifacts = [artifact.model_copy(update={"size_bytes": manifest.size_bytes}) for artifact in manifest.artifacts[:1]]
    spec = {"retention": manifest.spec.get("retention")}
    return manifest.model_copy(update={"artifacts": artifacts, "gaps": [], "spec": spec, "encryption": None})

"""Posts Kubernetes Events about Investigations with the operator's own client, in the background.

Speaks POST /api/v1/namespaces/{namespace}/events (core/v1 Event).
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from aletheia_operator.api import paths
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.text.display import for_status
from aletheia_operator.text.timestamps import format_time

COMPONENT = "aletheia-operator"
MAX_WAITING = 1000  # Events; more are dropped: the status has the same information
MAX_MESSAGE = 1000  # the API server takes 1024
MAX_NAME = 220
POST_SECONDS = 10.0
CLOSE_SECONDS = 3.0

log = logging.getLogger(__name__)

Body = Mapping[str, Any]


class EventRecorder:
    """Posts Events one after the other, in the background. Call `close` at the end."""

    def __init__(self, kubernetes: Kubernetes, now: Callable[[], datetime]) -> None:
        self._kubernetes = kubernetes
        self._now = now
        self._waiting: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(MAX_WAITING)
        self._number = 0
        self._task = asyncio.create_task(self._post_all())

    def emit(self, body: Body, kind: str, reason: str, message: str) -> None:
        """Post an Event on the resource `body`: of this `kind` (Normal or Warning), reason and message. Returns at once."""
        self._number += 1
        event = event_of(body, kind, reason, message, self._now(), self._number)
        try:
            self._waiting.put_nowait((event["metadata"]["namespace"], event))
        except asyncio.QueueFull:
            log.warning("an Event is dropped, too many are waiting: %s", reason)

    async def close(self) -> None:
        """Post the waiting Events, for a bounded time, and end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._waiting.join(), CLOSE_SECONDS)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _post_all(self) -> None:
        while True:
            namespace, event = await self._waiting.get()
            try:
                async with asyncio.timeout(POST_SECONDS):
                    await self._kubernetes.create(f"/api/v1/namespaces/{namespace}/events", event)
            except (SourceError, TimeoutError) as e:
                log.warning("an Event cannot be posted (%s): %s", event["reason"], getattr(e, "message", "it took too long"))
            except Exception:
                log.exception("posting an Event failed")
            finally:
                self._waiting.task_done()


def event_of(body: Body, kind: str, reason: str, message: str, now: datetime, number: int) -> dict[str, Any]:
    """Return an Event. Its name is unique by time and `number`."""
    metadata, time = body["metadata"], format_time(now.replace(microsecond=0))
    name = f"{metadata['name'][:MAX_NAME].rstrip('.-')}.{int(now.timestamp() * 1_000_000):x}{number % 0x10000:04x}"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": paths.API_VERSION,
            "kind": "Investigation",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "type": kind,
        "reason": reason,
        "message": for_status(message, MAX_MESSAGE),
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }

"""Finds out whether the control plane still hears from a node, after a log could not be read from it.

Speaks GET /api/v1/nodes/{node} (core/v1). If a kubelet does not renew its Lease for 50 s (--node-monitor-grace-period), the
node controller sets its node's condition Ready to Unknown.
"""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

from aletheia_operator.api.types import NAME_PATTERN
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.text.display import one_line

LOOK_SECONDS = 5.0
MAX_WORD = 63


@dataclass
class NodeHealth:
    """One node, for all questions of a capture. `name` None: the pod was never on a node."""

    kubernetes: Kubernetes
    name: str | None
    lost: bool = False
    """Whether the control plane did not hear from the node when `look` was last called."""
    words: str = field(init=False)
    """The node's name, and its state unless it is ready or not known; empty without a node."""

    def __post_init__(self) -> None:
        is_valid = self.name is not None and re.fullmatch(NAME_PATTERN, self.name)  # it becomes part of a path
        self.words = self._place = f"the log is on node {self.name}" if is_valid else ""

    def explain(self, message: str) -> str:
        """Return the message of a gap of a log on this node, with the node's name and state."""
        return f"{self.words}; {message}" if self.words else message

    async def refresh(self) -> None:
        """Update `lost` and `words`. They stay as they are if the node cannot be read: another reason may be why."""
        if not self._place:
            return
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                ready = await self.kubernetes.read(f"/api/v1/nodes/{self.name}", _ready)
        except (SourceError, TimeoutError):
            return
        self.lost = ready.get("status") == "Unknown"
        if ready.get("status", "True") == "True":
            self.words = self._place
            return
        state = "has not reported to the control plane: it is down or cut off" if self.lost else "is not ready"
        since, reason = (one_line(str(ready.get(key) or "unknown"), MAX_WORD) for key in ("lastTransitionTime", "reason"))
        self.words = f"node {self.name} {state} (since {since}, {reason})"

    async def is_still_lost(self) -> bool:
        """Return whether the node was found lost before, and is still lost."""
        if self.lost:
            await self.refresh()
        return self.lost


def _ready(node: dict[str, Any]) -> dict[str, Any]:
    """Return the node's condition Ready; {} if it has none."""
    conditions = (node.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition.get("type") == "Ready"), {})

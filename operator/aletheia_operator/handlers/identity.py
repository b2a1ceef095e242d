"""The identity of this operator, which it writes into `status.operator` of Investigations that it captures."""

import asyncio
import logging

from aletheia_operator.session import SessionLayout
from aletheia_operator.session.volume import open_volume, record_operator

log = logging.getLogger(__name__)


class OperatorIdentity:
    """The name that an admin set, else the id of the session volume, which a restart does not change."""

    def __init__(self, layout: SessionLayout, name: str | None) -> None:
        self._layout = layout
        self._name = name
        self.known = ""
        """The identity; empty until the volume could be read."""

    async def get(self) -> str:
        """Return the identity. Raises OSError while the volume cannot be read."""
        if not self.known:
            self.known = await asyncio.to_thread(self._look_up)
        return self.known

    def _look_up(self) -> str:
        identity = self._name or open_volume(self._layout).id
        try:
            record_operator(self._layout, identity)
        except OSError as e:  # needed only by a later operator with another name
            log.warning("the operator's identity cannot be recorded on the session volume: %s", e)
        return identity

"""Who this operator is: what it writes into `status.operator` of what it captures."""

import asyncio

from aletheia_operator.session import SessionLayout
from aletheia_operator.session.volume import open_volume


class OperatorIdentity:
    """The name that an admin gave, or else the id of the session volume, which a restart does not change."""

    def __init__(self, layout: SessionLayout, name: str | None = None) -> None:
        self._layout = layout
        self.known = name or ""
        """Empty until the volume could be read."""

    async def get(self) -> str:
        """The identity. Raises OSError while the volume cannot be read."""
        if not self.known:
            self.known = (await asyncio.to_thread(open_volume, self._layout)).id
        return self.known

"""Investigations that wait outside of the queue, because their namespace has too many in it: only their names are in memory."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from aletheia_operator.api import paths
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.fair_slots import FairSlots
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.session import InvestigationReference
from aletheia_operator.text.log_records import fields

log = logging.getLogger(__name__)

Body = Mapping[str, Any]


@dataclass
class Postponed:
    """The Investigations that wait, in the order in which they came.

    `max_queued`: most Investigations of one namespace that wait in `slots`.
    """

    slots: FairSlots
    kubernetes: Kubernetes
    max_queued: int
    _waiting: dict[str, dict[str, InvestigationReference]] = field(init=False, default_factory=dict)  # by namespace and uid
    _admitted: dict[str, str] = field(init=False, default_factory=dict)  # uid → namespace, on its way into the queue

    def must_wait(self, owner: InvestigationReference) -> bool:
        """Return whether an Investigation may not go into the queue. One that was admitted may go.

        Others wait behind those that came before.
        """
        if owner.uid in self._admitted:
            return False
        return bool(self._waiting.get(owner.namespace)) or self._is_full(owner.namespace)

    def add(self, owner: InvestigationReference) -> bool:
        """Let an Investigation wait. Returns False if it waits already."""
        waiting = self._waiting.setdefault(owner.namespace, {})
        is_new = owner.uid not in waiting
        waiting[owner.uid] = owner
        return is_new

    def discard(self, uid: str) -> None:
        """Forget an Investigation."""
        self._admitted.pop(uid, None)
        for namespace, waiting in list(self._waiting.items()):
            if waiting.pop(uid, None) is not None and not waiting:
                del self._waiting[namespace]

    def arrived(self, uid: str) -> None:
        """Note that an Investigation that was admitted is in the queue, or needs no place there any more."""
        self._admitted.pop(uid, None)

    def admit(self, busy: Collection[str]) -> list[InvestigationReference]:
        """Return the first Investigation of each namespace that has room in its queue; it waits no longer.

        `busy`: uids that must wait for the next call.
        """
        firsts = [next(iter(waiting.values())) for namespace, waiting in self._waiting.items() if not self._is_full(namespace)]
        admitted = [first for first in firsts if first.uid not in busy]
        for owner in admitted:
            self.discard(owner.uid)
            self._admitted[owner.uid] = owner.namespace
        return admitted

    async def read(self, owner: InvestigationReference, bodies: dict[str, Body]) -> None:
        """Read an admitted Investigation into `bodies`, by uid, unless a body is there, or it is gone.

        If the API server does not answer, it waits again.
        """
        try:
            body = await self.kubernetes.get(paths.investigation(owner.namespace, owner.name))
        except SourceError as e:
            if e.reason is not GapReason.NOT_FOUND:
                about = fields(namespace=owner.namespace, name=owner.name, reason=e.reason.value)
                log.warning("%s/%s cannot be taken up yet: %s", owner.namespace, owner.name, e.message, extra=about)
                self.add(owner)
            return
        if body["metadata"]["uid"] == owner.uid:
            bodies.setdefault(owner.uid, body)

    def _is_full(self, namespace: str) -> bool:
        on_their_way = sum(of == namespace for of in self._admitted.values())
        return self.slots.waiting_of(namespace) + on_their_way >= self.max_queued

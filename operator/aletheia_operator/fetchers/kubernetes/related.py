"""Reads objects around a capture's members that several fetchers need, once for all of them.

Speaks GET on horizontalpodautoscalers and persistentvolumeclaims.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from aletheia_operator.api import Target
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.fetchers.base import Missing, Sources
from aletheia_operator.fetchers.kubernetes.members import members_of
from aletheia_operator.fetchers.kubernetes.resources import Object, missing_of, plural, read_all, read_named
from aletheia_operator.fetchers.spill import Piece, Spill
from aletheia_operator.redact.objects import redact_object
from aletheia_operator.text.encoding import dumps

MAX_BYTES = 8 * 1024 * 1024  # of one kind
MEMORY_BYTES = 256 * 1024  # of these; the others are on the session volume


@dataclass(frozen=True)
class _Answer:
    """Stored objects, and the gaps for those that could not be read."""

    objects: tuple[Piece, ...]
    missing: tuple[Missing, ...] = ()

    def decoded(self) -> tuple[Iterator[Object], list[Missing]]:
        return (orjson.loads(piece.read()) for piece in self.objects), list(self.missing)


async def autoscalers_of(sources: Sources, targets: Sequence[Target]) -> tuple[Iterator[Object], list[Missing]]:
    """Return the HorizontalPodAutoscalers that scale a member or a targeted workload (which may be gone), and the gaps.

    The iterator reads one after the other from the disk, so use it in a thread.
    """

    async def make() -> _Answer:
        kubernetes = await sources.kubernetes()
        members, _ = await (await members_of(sources, targets)).all()
        scaled = {(member.kind, member.name) for member in members}
        scaled |= {(target.workload.kind, target.workload.name) for target in targets if target.workload is not None}

        def scales(item: Object) -> bool:
            reference = item["spec"]["scaleTargetRef"]
            return (reference.get("kind"), reference.get("name")) in scaled

        kind = "HorizontalPodAutoscaler"
        keep = _keeper(sources, scales)
        return await _read(kind, read_all(kubernetes, kind, sources.namespace, keep))

    return (await sources.memo.get("autoscalers", make)).decoded()


async def claims_of(sources: Sources, targets: Sequence[Target]) -> tuple[Iterator[Object], list[Missing]]:
    """Return the existing PersistentVolumeClaims that the members' pods refer to, and the gaps. See `autoscalers_of`."""

    async def make() -> _Answer:
        kubernetes = await sources.kubernetes()
        members, _ = await (await members_of(sources, targets)).all()
        kind = "PersistentVolumeClaim"
        names = {name for member in members for name in member.references.get(kind, ())}
        keep = _keeper(sources, lambda item: True)
        return await _read(kind, read_named(kubernetes, kind, sources.namespace, names, keep))

    return (await sources.memo.get("claims", make)).decoded()


def _keeper(sources: Sources, wanted: Callable[[Object], bool]) -> Callable[[list[Object]], list[Piece]]:
    """Return a function that stores the wanted objects of a list, without secrets."""
    spill = Spill(sources.memo_scratch or sources.scratch, MEMORY_BYTES)

    def keep(items: Sequence[Object]) -> list[Piece]:
        chosen = [item for item in items if wanted(item)]
        for item in chosen:
            redact_object(item, sources.redactor.another())
        return [spill.keep(dumps(item)) for item in chosen]

    return keep


async def _read(kind: str, parts: AsyncIterator[list[Piece]]) -> _Answer:
    found: list[Piece] = []
    size_bytes = 0
    try:
        async for part in parts:
            for piece in part:
                found.append(piece)
                size_bytes += piece.size_bytes
                if size_bytes > MAX_BYTES:
                    message = f"together they are larger than {MAX_BYTES // 2**20} MiB: what came later is left out"
                    return _Answer(tuple(found), (Missing(plural(kind), GapReason.BUDGET_EXCEEDED, message),))
    except SourceError as e:
        return _Answer(tuple(found), (missing_of(kind, e),))
    return _Answer(tuple(found))

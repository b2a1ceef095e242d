"""Reads objects around a capture's members that several fetchers need, once for all of them.

Speaks GET on horizontalpodautoscalers and persistentvolumeclaims.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import orjson

from aletheia_operator.api import Target
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.fetchers.base import Missing, Sources
from aletheia_operator.fetchers.kubernetes.members import members_of
from aletheia_operator.fetchers.kubernetes.resources import Object, missing_of, plural, read_all, read_named
from aletheia_operator.text.encoding import dumps

MAX_BYTES = 8 * 1024 * 1024  # of one kind


@dataclass(frozen=True)
class _Answer:
    """Encoded objects, and the gaps for those that could not be read."""

    objects: tuple[bytes, ...]
    missing: tuple[Missing, ...] = ()

    def decoded(self) -> tuple[list[Object], list[Missing]]:
        return [orjson.loads(text) for text in self.objects], list(self.missing)


async def autoscalers_of(sources: Sources, targets: Sequence[Target]) -> tuple[list[Object], list[Missing]]:
    """Return the HorizontalPodAutoscalers that scale a member or a targeted workload (which may be gone), and the gaps."""

    async def make() -> _Answer:
        kubernetes = await sources.kubernetes()
        members, _ = await (await members_of(sources, targets)).all()
        scaled = {(member.kind, member.name) for member in members}
        scaled |= {(target.workload.kind, target.workload.name) for target in targets if target.workload is not None}

        def scales(item: Object) -> bool:
            reference = item["spec"]["scaleTargetRef"]
            return (reference.get("kind"), reference.get("name")) in scaled

        kind = "HorizontalPodAutoscaler"
        return await _read(kind, read_all(kubernetes, kind, sources.namespace), scales)

    return (await sources.memo.get("autoscalers", make)).decoded()


async def claims_of(sources: Sources, targets: Sequence[Target]) -> tuple[list[Object], list[Missing]]:
    """Return the existing PersistentVolumeClaims that the members' pods refer to, and the gaps."""

    async def make() -> _Answer:
        kubernetes = await sources.kubernetes()
        members, _ = await (await members_of(sources, targets)).all()
        kind = "PersistentVolumeClaim"
        names = {name for member in members for name in member.references.get(kind, ())}
        return await _read(kind, read_named(kubernetes, kind, sources.namespace, names), lambda item: True)

    return (await sources.memo.get("claims", make)).decoded()


async def _read(kind: str, items: AsyncIterator[Object], wanted: Callable[[Object], bool]) -> _Answer:
    found: list[bytes] = []
    size_bytes = 0
    try:
        async for item in items:
            if wanted(item):
                found.append(dumps(item))
                size_bytes += len(found[-1])
            if size_bytes > MAX_BYTES:
                message = f"together they are larger than {MAX_BYTES // 2**20} MiB: what came later is left out"
                return _Answer(tuple(found), (Missing(plural(kind), GapReason.BUDGET_EXCEEDED, message),))
    except SourceError as e:
        return _Answer(tuple(found), (missing_of(kind, e),))
    return _Answer(tuple(found))

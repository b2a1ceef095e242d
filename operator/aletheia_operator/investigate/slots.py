"""Limits concurrent questions, so that a node or server that hangs leaves slots for others."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aletheia_operator.fetchers.base import Question


class Slots:
    """At most `limit` questions at once; if there are several sources, at most half of `limit` to each.

    The next question begins while the answer to one is only saved. At most half of `limit` are: their entries take space.
    """

    def __init__(self, questions: Sequence[Question], limit: int) -> None:
        sources = {_source(question) for question in questions}
        of_one = limit if len(sources) < 2 else max(1, limit // 2)
        self._all = asyncio.Semaphore(limit)
        self._of = {source: asyncio.Semaphore(of_one) for source in sources}
        self._saving = asyncio.Semaphore(max(1, limit // 2))

    @asynccontextmanager
    async def slot(self, question: Question) -> AsyncIterator[Callable[[], Coroutine[Any, Any, None]]]:
        """Wait for a slot, and hold it within the context, or until `fetched`, which it yields, is awaited."""
        async with AsyncExitStack() as saving, AsyncExitStack() as asking:
            await asking.enter_async_context(self._of[_source(question)])
            await asking.enter_async_context(self._all)

            async def fetched() -> None:
                await saving.enter_async_context(self._saving)
                await asking.aclose()

            yield fetched


def _source(question: Question) -> tuple[str, str | None]:
    return question.fetcher, question.node

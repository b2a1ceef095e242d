"""Limits concurrent questions, so that a node or server that hangs leaves slots for others."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aletheia_operator.fetchers.base import Question


class Slots:
    """At most `limit` questions at once; if there are several sources, at most half of `limit` to each."""

    def __init__(self, questions: Sequence[Question], limit: int) -> None:
        sources = {_source(question) for question in questions}
        of_one = limit if len(sources) < 2 else max(1, limit // 2)
        self._all = asyncio.Semaphore(limit)
        self._of = {source: asyncio.Semaphore(of_one) for source in sources}

    @asynccontextmanager
    async def slot(self, question: Question) -> AsyncIterator[None]:
        """Wait for a slot, and hold it within the context."""
        async with self._of[_source(question)], self._all:
            yield


def _source(question: Question) -> tuple[str, str | None]:
    return question.fetcher, question.node

"""Runs blocking calls in threads and always awaits their end: when the caller goes on, no thread works for it any more."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


async def in_thread(executor: Executor, call: Callable[..., T], *arguments: object) -> T:
    """Call in a thread of `executor`. A cancellation is raised only after the call has ended; its result is lost then."""
    context = copy_context()  # what is logged there has the fields of this task
    return await to_the_end(asyncio.get_running_loop().run_in_executor(executor, context.run, call, *arguments))


async def to_the_end(work: Awaitable[T], undo: Callable[[T], None] | None = None) -> T:
    """Await `work` to its end, even if this task is cancelled meanwhile. The cancellation is raised afterwards.

    `undo` is called with the result if the caller was cancelled and so does not get it.
    """
    future = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError as e:
            cancelled = e
    if cancelled is None:
        return future.result()
    if future.cancelled() or future.exception() is not None:  # retrieved: asyncio would log it otherwise
        raise cancelled
    if undo is not None:
        undo(future.result())
    raise cancelled

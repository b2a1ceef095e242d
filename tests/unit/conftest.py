"""Settings of the unit tests: hypothesis with bounded work, the same cases each time, and nothing written to disk."""

import asyncio
import functools
import gc
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from aletheia_operator.fetchers.base import Missing, Outcome
from aletheia_operator.handlers.event_loop import LONG_SECONDS, LoopWatch, Pause
from aletheia_operator.session import journal
from tests.unit.loopback import Loopback

LONGEST_WAIT_SECONDS = 120
"""Time limit of an asynchronous test. On a busy machine the longest takes a tenth of it."""

settings.register_profile(
    "unit",
    deadline=None,
    max_examples=60,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],  # making the examples takes more than its 30 s on a busy machine
)
settings.load_profile("unit")


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    """A real HTTP server on the loopback interface, with answers from the test."""
    with Loopback() as server:
        yield server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Watch the event loop of every asynchronous test, and bound the test's time."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
            item.fixturenames.append("watched_loop")
            item.obj = bounded(item.obj)


def bounded(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Return the test with a time limit: a test that waits forever fails."""

    @functools.wraps(test)
    async def run(*arguments: Any, **named: Any) -> None:
        async with asyncio.timeout(LONGEST_WAIT_SECONDS):
            await test(*arguments, **named)

    return run


@pytest.fixture
async def watched_loop(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Fail a test that blocks its event loop for too long; `blocks_the_loop` marks tests that do so on purpose."""
    pauses: list[Pause] = []
    gc.freeze()  # collecting the garbage of thousands of earlier tests would be a pause
    watch = LoopWatch(pauses.append).start()
    yield
    watch.stop()
    own = [str(pause) for pause in pauses if pause.own_seconds >= LONG_SECONDS]
    assert not own or request.node.get_closest_marker("blocks_the_loop"), f"the event loop was blocked: {own}"


@pytest.fixture(autouse=True)
def undeclared_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that logs an error without declaring it: `@pytest.mark.logs_errors("part of the message", ...)`."""
    marker = request.node.get_closest_marker("logs_errors")
    declared: tuple[str, ...] = marker.args if marker else ()
    seen = _Errors()
    root = logging.getLogger()
    root.addHandler(seen)
    try:
        yield
    finally:
        root.removeHandler(seen)
    undeclared = [message for message in seen.messages if not any(part in message for part in declared)]
    assert not undeclared, f"errors were logged that the test does not declare with the mark logs_errors: {undeclared[:5]}"
    missed = [part for part in declared if not any(part in message for message in seen.messages)]
    assert not missed, f"errors that the test declares with the mark logs_errors were not logged: {missed}"


@pytest.fixture(autouse=True)
def gaps_without_words(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test in which a gap has no target or no message, or a summary is not text."""
    wordless: list[object] = []
    make_missing, make_outcome = Missing.__init__, Outcome.__init__

    def missing(self: Missing, *arguments: Any, **named: Any) -> None:
        make_missing(self, *arguments, **named)
        if not all(isinstance(text, str) and text.strip() for text in (self.target, self.message)):
            wordless.append(self)

    def outcome(self: Outcome, *arguments: Any, **named: Any) -> None:
        make_outcome(self, *arguments, **named)
        if not isinstance(self.summary, str):
            wordless.append(self)

    monkeypatch.setattr(Missing, "__init__", missing)
    monkeypatch.setattr(Outcome, "__init__", outcome)
    yield
    assert not wordless, f"these say nothing: {wordless[:5]}"


class _Errors(logging.Handler):
    """Keeps the messages of errors, and of their exceptions."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.messages.append(record.getMessage() + (f": {error!r}" if error else ""))


@pytest.fixture
def journal_waits(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each append to a journal waited for the disk."""
    found: list[bool] = []
    real = journal.append

    def append(path: Path, lines: Any, sync: bool) -> None:
        real(path, lines, sync)
        found.append(sync)

    monkeypatch.setattr(journal, "append", append)
    return found

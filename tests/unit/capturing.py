"""Shared parts of tests of captures: run one to its end or to an interruption, and read what it left."""

import asyncio
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from aletheia_operator.investigate import Order, Snapshot, Tools, investigate
from aletheia_operator.session import Artifact, is_report_path
from tests.unit.fakes import LONGEST_TEST_SECONDS, forever


async def run(order: Order, tools: Tools, report: Callable[[Snapshot], None] = lambda _: None) -> Snapshot:
    """Run a capture, with a short time limit."""
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        return await investigate(order, tools, report)


def gaps(snapshot: Snapshot) -> list[tuple[str, str]]:
    """The target and reason of each gap."""
    return [(gap.target, gap.reason) for gap in snapshot.manifest.gaps]


def evidence(snapshot: Snapshot) -> list[Artifact]:
    """The artifacts without the report."""
    return [artifact for artifact in snapshot.manifest.artifacts if not is_report_path(artifact.path)]


def counts(snapshot: Snapshot) -> dict[str, int]:
    """Number of entries of each artifact except the report, by target."""
    return {artifact.target: artifact.count for artifact in evidence(snapshot)}


def on_disk(snapshot: Snapshot) -> dict[str, Any]:
    """Content of each artifact except the report, as JSON by target. Checks digest and size."""
    found = {}
    for artifact in evidence(snapshot):
        content = (Path(snapshot.path) / artifact.path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (artifact.size_bytes, artifact.sha256)
        found[artifact.target] = json.loads(content)
    return found


def files(snapshot: Snapshot) -> set[str]:
    """Relative path of every file of the session."""
    session = Path(snapshot.path)
    return {str(path.relative_to(session)) for path in session.rglob("*") if path.is_file()}


def cancel(order: Order) -> Callable[[], Any]:
    """A step that cancels the order, and never returns."""

    async def step() -> None:
        order.cancelled.set()
        await forever()

    return step


async def interrupted(order: Order, tools: Tools, after: str) -> None:
    """Run the capture in a process that is stopped once the question `after` is done."""
    done = asyncio.Event()

    def report(snapshot: Snapshot) -> None:
        if any(artifact.target == f"thing/{after}" for artifact in snapshot.manifest.artifacts):
            done.set()

    task = asyncio.create_task(investigate(order, tools, report))
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        await done.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@contextmanager
def watched_writes() -> Iterator[list[bytes]]:
    """Collect everything that this process writes by `os.write`."""
    written: list[bytes] = []
    real = os.write

    def watched(descriptor: int, content: bytes) -> int:
        written.append(bytes(content))
        return real(descriptor, content)

    with patch.object(os, "write", watched):
        yield written

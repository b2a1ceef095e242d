"""Records of the operator's log: they have the namespace, name and session they are about, and the reason of a failure."""

import asyncio
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.clients.errors import Unavailable
from aletheia_operator.investigate.threads import in_thread
from aletheia_operator.text.log_records import JsonFormatter, PlainFormatter, about, fields, make_inert
from tests.unit.fakes import FakeFetcher
from tests.unit.supervising import Rig, make_body, no_delays

__all__ = ["no_delays"]
log = logging.getLogger("aletheia_operator.a_test")


@pytest.fixture
def written() -> Iterator[StringIO]:
    """What the operator's loggers write as JSON, with their level."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("aletheia_operator")
    before = logger.level
    logger.addHandler(handler)
    make_inert(logger)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(before)


def lines(stream: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_fields_reach_tasks_and_threads(written: StringIO) -> None:
    """Those that are begun within the context, and no others."""
    with ThreadPoolExecutor(1) as threads, about(namespace="shop", name="one"):
        with about(session="INC-1"):
            await asyncio.create_task(in_thread_and_here(threads))
        log.info("outside")
    log.info("nowhere")
    found = [{name: line.get(name) for name in ("namespace", "name", "session", "reason")} for line in lines(written)]
    whole = {"namespace": "shop", "name": "one", "session": "INC-1", "reason": None}
    assert found == [
        whole,
        whole | {"reason": "Forbidden"},
        whole | {"session": None},
        dict.fromkeys(("namespace", "name", "session", "reason")),
    ]


async def in_thread_and_here(threads: ThreadPoolExecutor) -> None:
    await in_thread(threads, log.info, "in a thread")
    log.info("here", extra=fields(reason="Forbidden", phase=None))


def test_fields_are_shown_to_people_too(written: StringIO) -> None:
    """As JSON behind the line; no text forges another field."""
    logging.getLogger("aletheia_operator").handlers[-1].setFormatter(PlainFormatter())
    with about(name='x"}\n2026 forged'):
        log.info("words")
    assert written.getvalue().endswith('words {"name": "x\\"}\\n2026 forged"}\n')
    assert written.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("answers", "phase", "level", "reason"),
    [
        ({"a": [[1]]}, "Completed", "info", "Completed"),
        ({"a": [[1]], "b": [Unavailable("down")]}, "PartiallyCompleted", "warning", "Unavailable"),
        ({"a": [Unavailable("down")]}, "Failed", "warning", "Unavailable"),
    ],
)
async def test_the_end_of_a_capture(
    answers: dict[str, Any], phase: str, level: str, reason: str, tmp_path: Path, written: StringIO
) -> None:
    """A failure is a warning, with its reasons; every line of the capture says which one and which session it is about."""
    rig = Rig(tmp_path, FakeFetcher(answers))
    rig.observe(make_body())
    await rig.until(lambda: rig.phases[-1:] == [phase])
    await rig.settled()
    found = lines(written)
    end = found[-1]
    assert (end["severity"], end["phase"], end["reason"]) == (level, phase, reason)
    assert end["session"].startswith("INC-")
    assert {(line["namespace"], line["name"]) for line in found} == {("shop", "incident")}
    assert all("session" in line for line in found[1:])


async def test_a_spec_that_is_refused_is_a_warning(tmp_path: Path, written: StringIO) -> None:
    """With its reason; nobody has to look for it in the status."""
    rig = Rig(tmp_path)
    rig.observe(make_body(targets=[{"pod": "web-0", "selector": {}}]))
    await rig.until(lambda: rig.phases[-1:] == ["Failed"])
    await rig.settled()
    (line,) = lines(written)
    assert (line["severity"], line["reason"], line["name"]) == ("warning", "InvalidSpec", "incident")

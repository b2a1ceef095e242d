"""A running container's log by the API while the node rotates it, its clock is set back, or answers are cut."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.fetchers.kubernetes import logs_by_api
from aletheia_operator.fetchers.kubernetes.containers import Run
from aletheia_operator.fetchers.kubernetes.logs_by_api import LogSource, check_rotation, read_by_api
from aletheia_operator.fetchers.kubernetes.node_health import NodeHealth
from aletheia_operator.logs.merge import merge
from tests.unit.fakes import Content, FakeKubernetes, Response, Script, make_run_log, make_window

PATH = "/api/v1/namespaces/shop/pods/web-0/log"
ROTATING = b'failed to try resolving symlinks in path "/var/log/pods/shop_web-0_uid/app/0.log": no such file or directory'
STEPS_A_SECOND = 10


def line(step: int, text: str = "", size: int = 0, nanosecond: int = 0) -> bytes:
    """A line of the tenth of a second `step` after 11:30."""
    second, tenth = divmod(step, STEPS_A_SECOND)
    stamp = f"2026-11-22T11:{30 + second // 60:02}:{second % 60:02}.{tenth}{nanosecond:08}Z"
    return f"{stamp} {text or step} {'x' * size}\n".encode()


@dataclass
class Kubelet(FakeKubernetes):
    """Shows the log's current file. `hooks` are called before the requests of their numbers; `cuts` end the next reads."""

    file: list[bytes] | None = field(default_factory=list)
    """Lines of the file; None if it was renamed and not made again yet."""
    hooks: dict[int, Any] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    """Numbers of lines after which the next reads end cleanly."""
    requests: int = 0

    @asynccontextmanager
    async def stream(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[Any]:
        if (hook := self.hooks.get(self.requests)) is not None:
            hook(self)
        self.requests += 1
        asked = dict(query or {})
        if "previous" in asked:
            raise Rejected('answered 400: previous terminated container "app" in pod "web-0" not found')
        if self.file is None:
            yield Response(Content([ROTATING]))
            return
        since = asked.get("sinceTime", "").removesuffix("Z").encode()
        lines = [line for line in self.file if line >= since]
        if "tailLines" in asked:
            lines = self.file[-int(asked["tailLines"]) :]
        elif "limitBytes" in asked:
            lines = [b"".join(lines)[: int(asked["limitBytes"])]]
        elif self.cuts:
            lines = lines[: self.cuts.pop(0)]
        answer: Script = [b"".join(lines)] if lines else []
        yield Response(Content(answer))


async def read(kubelet: Kubelet, started: str | None = None, end: str = "11:30:40") -> tuple[list[str], list[GapReason]]:
    """Return the first word of each entry, and the reasons of the gaps. The window begins at 11:30:00."""
    window = make_window("2026-11-22T11:30:00+00:00", f"2026-11-22T{end}+00:00")
    log = make_run_log(Run("app", 0, started_at=started), window)

    async def restarted() -> bool:
        return False

    source = LogSource(kubelet.real(), PATH, "app", False, NodeHealth(kubelet.real(), None))
    await read_by_api(log, source, restarted)
    await check_rotation(log, source)
    await log.end()
    assert log.result is not None
    log.result.spool.finish(2**30)
    entries: list[dict[str, Any]] = []
    for encoded in merge([log.result.spool.blocks()]):
        entries += json.loads(b"[" + encoded.block + b"]")
    log.close()
    return [entry["line"].split()[0] for entry in entries if entry["timestamp"]], [gap.reason for gap in log.missing]


BACK = [*range(100), *range(40, 90)]
TWICE_BACK = [*range(100), *range(40, 90), *range(30, 50)]
AHEAD = [*range(50), 3000, 3010, 3020, *range(50, 100)]


@pytest.mark.parametrize("steps", [BACK, TWICE_BACK, AHEAD], ids=["set back", "set back twice", "ahead for three seconds"])
@pytest.mark.parametrize("cut", range(3, 150, 7))
async def test_a_cut_after_a_clock_was_changed_loses_nothing(steps: list[int], cut: int) -> None:
    """An answer ends cleanly within a live log: every line is there once, whatever its time."""
    texts = [f"{number}" for number in range(len(steps))]
    lines = [line(step, text, nanosecond=int(text)) for step, text in zip(steps, texts, strict=True)]
    kubelet = Kubelet(file=lines, cuts=[cut, cut + 9])
    found, reasons = await read(kubelet)
    assert found == [text for step, text in zip(steps, texts, strict=True) if step <= 400]
    assert reasons == []


async def test_a_changed_clock_and_a_rotation_are_no_reason_to_double_lines() -> None:
    """A read from the beginning shows another file: its lines are kept, and a gap is added."""

    def rotate(kubelet: Kubelet) -> None:
        kubelet.file = [line(step, f"new{step}") for step in range(90, 110)]

    kubelet = Kubelet(file=[line(step, f"old{number}") for number, step in enumerate(BACK)], hooks={1: rotate})
    found, reasons = await read(kubelet)
    assert found == [f"old{number}" for number in range(len(BACK))] + [f"new{step}" for step in range(90, 110)]
    assert reasons == [GapReason.LOG_ROTATED]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the reader wait for lines without time passing; the files of these tests are old enough to show a rate."""
    monkeypatch.setattr(logs_by_api, "EMPTY_SECONDS", (0, 0, 0))


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("request_number", range(8))
@pytest.mark.parametrize("empty_for", range(4))
@pytest.mark.parametrize("renamed_for", range(2))
@pytest.mark.parametrize("cut", [None, 150])
async def test_a_rotation_at_any_request_is_said_or_loses_nothing(
    request_number: int, empty_for: int, renamed_for: int, cut: int | None
) -> None:
    """The new file is missing for some requests, and empty for some. Unread lines of the old file are reported by a gap."""
    old = [line(step, size=2000) for step in range(200)]
    late = [line(step, size=2000) for step in range(200, 210)]  # come before the rotation, after the first reads
    new = [line(step, size=2000) for step in range(210, 300)]

    def set_file(lines: list[bytes] | None) -> Any:
        return lambda kubelet: setattr(kubelet, "file", lines)

    hooks = {}
    if renamed_for:
        hooks[request_number] = set_file(None)
    if empty_for:
        hooks[request_number + renamed_for] = set_file([])
    hooks[request_number + renamed_for + empty_for] = set_file(new)
    hooks.setdefault(max(0, request_number - 1), set_file(old + late))
    kubelet = Kubelet(file=old, hooks=hooks, cuts=[] if cut is None else [cut])
    found, reasons = await read(kubelet, "2026-11-22T11:29:58Z", end="11:30:25")
    numbers = [int(text) for text in found]
    assert numbers == sorted(set(numbers)), "none twice, none in disorder"
    if set(range(251)) - set(numbers) and kubelet.requests > request_number:
        assert set(reasons) <= {GapReason.LOG_ROTATED, GapReason.LOG_INCOMPLETE}
        assert reasons


@pytest.mark.usefixtures("at_once")
async def test_a_file_that_is_made_again_at_last_is_read() -> None:
    """A kubelet that cannot find the file for a moment is asked again. Its message becomes neither an entry nor a gap."""
    kubelet = Kubelet(file=None, hooks={3: lambda kubelet: setattr(kubelet, "file", [line(step) for step in range(5)])})
    assert await read(kubelet) == ([str(step) for step in range(5)], [])


@pytest.mark.usefixtures("at_once")
async def test_a_container_that_says_nothing_is_whole() -> None:
    """An empty log is read a few times, and is no gap."""
    kubelet = Kubelet()
    assert await read(kubelet, "2026-11-22T11:00:00Z") == ([], [])
    assert kubelet.requests < 10


async def test_a_file_that_begins_in_the_windows_first_second_is_looked_into() -> None:
    """Lines of that second from before the rotation are missing too."""
    kubelet = Kubelet(file=[line(step, size=5000) for step in range(5, 200)])
    found, reasons = await read(kubelet, "2026-11-22T11:00:00Z")
    assert len(found) == 195
    assert reasons == [GapReason.LOG_ROTATED]


async def test_a_line_from_before_the_window_shows_that_nothing_was_rotated_away() -> None:
    """It costs no further request."""
    before = line(0).replace(b"11:30:00.0", b"11:29:59.5")
    kubelet = Kubelet(file=[before, *(line(step, size=5000) for step in range(5, 200))])
    found, reasons = await read(kubelet, "2026-11-22T11:00:00Z")
    assert (len(found), reasons, kubelet.requests) == (195, [], 2)

"""With hostile logs, memory and time have a limit; received data is kept, and the rest is reported."""

import asyncio
import random
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from aletheia_operator.redact import Redactor
from tests.integration.conftest import kubectl_in, operator_of, running_operator
from tests.support.http import OVER
from tests.support.kubelet import Cut, FakeKubelet, Log, fake_kubelet, since, stamped, whole
from tests.support.logs import as_kubectl_prints, kubectl_logs
from tests.support.operator import Kubectl, Operator, artifact_of, check_session, session_of
from tests.support.processes import Memory

pytestmark = pytest.mark.cluster

MOST_BYTES = 240 * 10**6  # of the operator and its parsers, each with the patterns of redaction, for any log
BEGUN = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
HELD_BACK_BYTES = 4096  # the API server sends a log in blocks of this size
GOOD = [b"good line %d" % number for number in range(3000)]
GOOD_LOG = whole(stamped(GOOD, BEGUN))


kubectl = kubectl_in("it-hostile-logs")
operator = operator_of(running_operator)


@pytest.fixture(scope="module")
def kubelet(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeKubelet]:
    with fake_kubelet(kubectl, tmp_path_factory.mktemp("kubelet")) as kubelet:
        yield kubelet


def lines_of(document: Any, name: str) -> list[str]:
    return [entry["line"] for entry in document["data"] if entry["container"] == name]


def look(
    kubelet: FakeKubelet, operator: Operator, name: str, hostile: Log, good: Log = GOOD_LOG, **spec: Any
) -> tuple[Any, Any, set[tuple[str, str]]]:
    """Investigate a pod with this log and a normal one. Returns the resource, the document, and the gaps' targets and reasons.

    Checks that the other container's log is complete, the session is intact, and memory has a limit.
    """
    kubelet.run(name, {"good": good, "hostile": hostile}, BEGUN)
    memory = Memory(operator.pid)
    logs = {"via": "api", **spec.pop("logs", {})}
    with memory.watched():
        resource = kubelet.kubectl.investigate(name, window={"lookback": "1h"}, targets=[{"pod": name}], logs=logs, **spec)
    check_session(session_of(resource))
    document = artifact_of(resource)
    assert lines_of(document, "good") == [line.decode() for line in GOOD]
    assert memory.peak < MOST_BYTES
    return resource, document, {(gap["target"], gap["reason"]) for gap in resource["status"].get("gaps", [])}


def seconds_taken(resource: Any) -> float:
    start, end = (datetime.fromisoformat(resource["status"][key]) for key in ("startTime", "completionTime"))
    return (end - start).total_seconds()


def test_a_line_of_50_mb(kubelet: FakeKubelet, operator: Operator) -> None:
    """Its beginning is kept and the cut is reported; the lines around it are complete."""
    lines = stamped([b"before", b"x" * 50_000_000, b"after"], BEGUN)
    _, document, gaps = look(kubelet, operator, "long-line", whole(lines))
    assert gaps == {("pod/long-line container/hostile (run 0)", "LineTruncated")}
    assert lines_of(document, "hostile") == ["before", "x" * 2**20, "after"]
    assert [entry.get("truncated") for entry in document["data"] if entry["container"] == "hostile"] == [None, True, None]


def test_bytes_that_are_no_text(kubelet: FakeKubelet, operator: Operator, kubectl: Kubectl) -> None:
    """NUL bytes, invalid UTF-8, control characters and noise equal what kubectl prints, byte for byte.

    Noise that looks like a secret is left out: about one line in 50 has `pw:` or the like.
    """
    noise = random.Random(7)
    texts = [b"\0", bytes(300_000), b"\xff\xfe\xc3", b"\xed\xa0\x80", b"\x1b[2J\x07", b"a\rb\r", b"\x85\xe2\x80\xa8", b""]
    random_lines = (noise.randbytes(20_000).replace(b"\n", b" ") for _ in range(100))
    texts += [line for line in random_lines if Redactor().line(line) == line]
    resource, document, _ = look(kubelet, operator, "no-text", whole(stamped(texts, BEGUN)))
    assert resource["status"]["phase"] == "Completed", resource["status"]
    mine = [entry for entry in document["data"] if entry["container"] == "hostile"]
    same = as_kubectl_prints(mine) == kubectl_logs(kubectl, "no-text", "-c", "hostile")
    assert same  # pytest would take hours to show how 9 MB of noise differ


def flood(until_second: int) -> Log:
    """Return an endless log with a thousand lines a second; after `until_second` all lines have the same time."""
    first = f"{BEGUN:%Y-%m-%dT%H:%M:%S}"
    texts = [b"ERROR lost" if number == 500 else b"INFO nothing of interest %d" % number for number in range(1000)]
    block = b"".join(line + b"\n" for line in stamped(texts, BEGUN))

    async def answer(request: web.Request) -> AsyncGenerator[bytes, None]:
        second = 0
        while not request.app[OVER].is_set():
            moment = BEGUN + timedelta(seconds=min(second, until_second))
            yield block.replace(first.encode(), f"{moment:%Y-%m-%dT%H:%M:%S}".encode())
            second += 1

    return answer


def test_a_flood_that_never_ends(kubelet: FakeKubelet, operator: Operator) -> None:
    """The deadline ends the read, and the budget limits what is kept: every error first."""
    resource, document, gaps = look(
        kubelet, operator, "flood", flood(300), timeout="6s", logs={"limits": {"bytesPerContainer": "2Mi"}}
    )
    assert resource["status"]["phase"] == "TimedOut"
    container = "pod/flood container/hostile (run 0)"
    assert gaps == {(container, "BudgetExceeded"), (container, "LogIncomplete"), ("pod/flood", "TimedOut")}
    assert seconds_taken(resource) < 15
    kept, dropped = document["metadata"]["kept"], document["metadata"]["dropped"]
    assert dropped["INFO"] > 10_000
    assert kept["ERROR"] > 50
    assert "ERROR" not in dropped
    (artifact,) = [artifact for artifact in resource["status"]["artifacts"] if artifact["target"] == "pod/flood"]
    assert artifact["sizeBytes"] < 3 * 2**20


def test_a_flood_past_the_window(kubelet: FakeKubelet, operator: Operator) -> None:
    """A log that goes on after the window is read only to the window's end."""
    end = BEGUN + timedelta(seconds=20)
    window = {"start": f"{BEGUN - timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}", "end": f"{end:%Y-%m-%dT%H:%M:%SZ}"}
    kubelet.run("past", {"hostile": flood(10**9)}, BEGUN)
    resource = kubelet.kubectl.investigate("past", window=window, targets=[{"pod": "past"}], logs={"via": "api"})
    assert resource["status"]["phase"] == "Completed", resource["status"]["gaps"]
    assert len(lines_of(artifact_of(resource), "hostile")) == 20_001


async def silent(request: web.Request) -> AsyncGenerator[bytes, None]:
    """Send no answer, not even its headers."""
    await request.app[OVER].wait()
    yield b""


def hanging(lines: list[bytes]) -> Log:
    async def answer(request: web.Request) -> AsyncGenerator[bytes, None]:
        yield since(lines, request) + b"\n".join(stamped([b"half a li"], BEGUN + timedelta(minutes=1)))
        await request.app[OVER].wait()

    return answer


def trickling(lines: list[bytes], pause_seconds: float) -> Log:
    async def answer(request: web.Request) -> AsyncGenerator[bytes, None]:
        yield since(lines, request)
        number = 0
        while not request.app[OVER].is_set():
            await asyncio.sleep(pause_seconds)
            number += 1
            yield b"\n".join([*stamped([b"drop %d" % number], BEGUN + timedelta(minutes=1, seconds=number)), b""])

    return answer


@pytest.mark.parametrize(
    ("name", "log", "before"),
    [
        ("silent", silent, []),
        ("hanging", hanging(stamped(GOOD, BEGUN)), GOOD),
        ("trickling", trickling(stamped(GOOD, BEGUN), 0.3), GOOD),
    ],
)
def test_a_stream_that_does_not_come(
    kubelet: FakeKubelet, operator: Operator, name: str, log: Log, before: list[bytes]
) -> None:
    """If it is silent, hangs or is very slow, it is given up after the timeout; received lines are kept."""
    resource, document, gaps = look(kubelet, operator, name, log, timeout="4s")
    assert resource["status"]["phase"] == "TimedOut"
    assert gaps == {(f"pod/{name} container/hostile (run 0)", "LogIncomplete"), (f"pod/{name}", "TimedOut")}
    assert seconds_taken(resource) < 10
    came = lines_of(document, "hostile")
    assert came == [line.decode() for line in before[: len(came)]]
    assert len(came) > len(before) - HELD_BACK_BYTES / len(before[0]) if before else not came


def cutting(lines: list[bytes], size_bytes: int, times: int) -> Log:
    """Return a handler that cuts the first `times` answers after `size_bytes`."""
    answers = 0

    async def answer(request: web.Request) -> AsyncGenerator[bytes, None]:
        nonlocal answers
        answers += 1
        content = since(lines, request)
        if answers > times or len(content) <= size_bytes:
            yield content
            return
        yield content[:size_bytes]
        raise Cut

    return answer


@pytest.mark.parametrize("number", [50, 5000], ids=["of a short log", "of a busy log"])
def test_a_stream_that_is_cut(kubelet: FakeKubelet, operator: Operator, number: int) -> None:
    """If a log is cut twice within a line, reading continues: every line once, and no gap."""
    texts = [b"line %d" % index for index in range(number)]
    lines = stamped(texts, BEGUN)
    size = sum(map(len, lines)) // 2
    resource, document, _ = look(kubelet, operator, f"cut-{number}", cutting(lines, size, times=2))
    assert resource["status"]["phase"] == "Completed", resource["status"]
    assert lines_of(document, "hostile") == [line.decode() for line in texts]


def stuck(lines: list[bytes], number: int) -> Log:
    """Return a handler that cuts every answer within this line at the latest, except the answer with the last line."""

    async def answer(request: web.Request) -> AsyncGenerator[bytes, None]:
        if "tailLines" in request.query:
            yield since(lines, request)
            return
        yield since(lines[: number + 1], request)[:-4]
        raise Cut

    return answer


@pytest.mark.parametrize("number", [50, 5000], ids=["of a short log", "of a busy log"])
def test_a_stream_that_is_cut_for_ever(kubelet: FakeKubelet, operator: Operator, number: int) -> None:
    """If further reads bring nothing new although there is more, the log is reported as incomplete."""
    texts = [b"line %d" % index for index in range(number)]
    name = f"cut-for-ever-{number}"
    _, document, gaps = look(kubelet, operator, name, stuck(stamped(texts, BEGUN), number // 2))
    assert gaps == {(f"pod/{name} container/hostile (run 0)", "LogIncomplete")}
    assert 0 < len(lines_of(document, "hostile")) <= number // 2 + 1


def failing(lines: list[bytes], times: int) -> Log:
    """Return a handler that answers `times` times with an error of the kubelet."""
    answers = 0

    async def answer(request: web.Request) -> AsyncGenerator[bytes, None]:
        nonlocal answers
        answers += 1
        if answers <= times:
            raise web.HTTPInternalServerError(text="the kubelet is not well")
        yield since(lines, request)

    return answer


def test_a_kubelet_that_fails(kubelet: FakeKubelet, operator: Operator) -> None:
    """A kubelet that fails briefly is asked again; one that continues to fail is a gap with its message."""
    resource, document, _ = look(kubelet, operator, "fails-twice", failing(stamped(GOOD, BEGUN), times=2))
    assert resource["status"]["phase"] == "Completed", resource["status"]
    assert lines_of(document, "hostile") == [line.decode() for line in GOOD]
    resource, document, gaps = look(kubelet, operator, "fails-always", failing([], times=10**6))
    assert gaps == {("pod/fails-always container/hostile (run 0)", "Unavailable")}
    assert "the kubelet is not well" in resource["status"]["gaps"][0]["message"]


def test_a_pod_that_is_replaced_while_it_is_read(kubelet: FakeKubelet, operator: Operator) -> None:
    """A pod of the same name and another uid is reported: the log may be its own."""
    replaced = False
    good_was_read = asyncio.Event()

    async def good(request: web.Request) -> AsyncGenerator[bytes, None]:
        if "tailLines" in request.query:  # the last question about a log
            good_was_read.set()
        yield since(stamped(GOOD, BEGUN), request)

    async def replacing(request: web.Request) -> AsyncGenerator[bytes, None]:
        nonlocal replaced
        if not replaced:
            replaced = True
            async with asyncio.timeout(30):
                await good_was_read.wait()
            await asyncio.to_thread(kubelet.kubectl, "delete", "pod", "replaced", "--force", "--grace-period=0")
            logs = {"good": GOOD_LOG, "hostile": whole(stamped([b"of the second"], BEGUN))}
            await asyncio.to_thread(kubelet.run, "replaced", logs, BEGUN)
        yield since(stamped([b"of the first"], BEGUN), request)

    resource, _, gaps = look(kubelet, operator, "replaced", replacing, good)
    assert gaps == {("pod/replaced", "PodReplaced")}
    assert resource["status"]["phase"] == "PartiallyCompleted"


def test_a_pod_that_is_deleted_while_it_is_read(kubelet: FakeKubelet, operator: Operator) -> None:
    """Lines read before are kept, and the gap reports that the pod is gone."""
    lines = stamped([b"line %d" % number for number in range(50)], BEGUN)

    async def deleting(request: web.Request) -> AsyncGenerator[bytes, None]:
        await asyncio.to_thread(kubelet.kubectl, "delete", "pod", "deleted", "--force", "--grace-period=0")
        yield since(lines, request)[:1000]
        raise Cut

    kubelet.run("deleted", {"hostile": deleting}, BEGUN)
    resource = kubelet.kubectl.investigate("deleted", targets=[{"pod": "deleted"}], logs={"via": "api"})
    assert [(gap["target"], gap["reason"]) for gap in resource["status"]["gaps"]] == [
        ("pod/deleted container/hostile (run 0)", "NotFound")
    ]
    assert lines_of(artifact_of(resource), "hostile")[:10] == [f"line {number}" for number in range(10)]

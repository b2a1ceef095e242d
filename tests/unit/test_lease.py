"""The Lease: one process at a time holds it, whatever happens to processes, clocks, requests and the API server."""

import asyncio
import copy
import json
import os
import random
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable, error_of
from aletheia_operator.clients.kill_timer import EXIT_CODE
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.clients.lease import Lease, LeaseTimes
from tests.unit.fakes import LONGEST_TEST_SECONDS
from tests.unit.loopback import Loopback, Request, reply_json

PATH = "/apis/coordination.k8s.io/v1/namespaces/here/leases"


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes at once: it never waits, and its clock jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__(_Selector(self))
        self.now = 1000.0

    def time(self) -> float:
        return self.now


class _Selector(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self._rounds = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        self._loop.now += timeout or 0
        self._rounds += 1
        assert self._rounds < 100_000, "the test does not end"
        return super().select(0)


@pytest.fixture
def virtual() -> Iterator[VirtualLoop]:
    with closing(VirtualLoop()) as loop:
        yield loop


class Leases:
    """The API server's Leases, with resource versions, latency and faults."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self.stored: dict[str, Any] = {}
        self.down = False
        self.refusal: SourceError | None = None
        self.asked = 0
        self._chance = chance
        self._version = 0

    async def get(self, path: str) -> Any:
        await self._reach()
        if path not in self.stored:
            raise Rejected("not found", GapReason.NOT_FOUND, 404)
        return await self._answer(self.stored[path])

    async def create(self, collection: str, body: Any) -> Any:
        await self._reach()
        path = f"{collection}/{body['metadata']['name']}"
        if path in self.stored:
            raise error_of(409, "it exists")
        return await self._answer(self.put(path, body))

    async def replace(self, path: str, body: Any) -> Any:
        await self._reach()
        if path not in self.stored:
            raise error_of(404, "not found")
        if body["metadata"].get("resourceVersion") != self.stored[path]["metadata"]["resourceVersion"]:
            raise error_of(409, "it was changed")
        return await self._answer(self.put(path, body))

    def put(self, path: str, body: Any) -> Any:
        self._version += 1
        body = copy.deepcopy(body)
        body["metadata"]["resourceVersion"] = str(self._version)
        self.stored[path] = body
        return body

    async def _reach(self) -> None:
        """A request on its way."""
        self.asked += 1
        if self.down or self.refusal:
            raise self.refusal or Unavailable("connection refused")
        await self._travel()

    async def _answer(self, body: Any) -> Any:
        """An answer on its way: it may get lost, although a change was made."""
        await self._travel()
        if self._chance is not None and self._chance.random() < 0.05:
            raise Unavailable("connection reset")
        return copy.deepcopy(body)

    async def _travel(self) -> None:
        if self._chance is not None:
            slow = self._chance.random() < 0.05
            await asyncio.sleep(self._chance.uniform(0, 8) if slow else self._chance.uniform(0, 0.2))


class Process:
    """A process that wants to lead. Its clock has any value and runs 1 % fast or slow; it may be stopped for a while."""

    def __init__(self, leases: Leases, chance: random.Random, acquired: Callable[["Process"], None]) -> None:
        self.loop = asyncio.get_running_loop()
        self.kill_at = float("-inf")
        self.stopped_until = float("-inf")
        offset, speed = chance.uniform(-1e9, 1e9), chance.uniform(0.99, 1.01)
        self.lease = Lease(
            cast("Any", leases),
            "here",
            "leader",
            on_renewal=self._renewed,
            clock=lambda: offset + self.loop.time() * speed,
            sleep=self._sleep,
        )
        self._acquired = acquired
        self._chance = chance

    def _renewed(self, seconds: float) -> None:
        self.kill_at = self.loop.time() + seconds

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await asyncio.sleep(max(0.0, self.stopped_until - self.loop.time()))

    async def live(self) -> None:
        """Lead whenever possible; a process that lost the Lease ends, and another follows."""
        while True:
            await self.lease.acquire()
            self._acquired(self)
            try:
                async with asyncio.timeout(self._chance.uniform(5, 100)):
                    await self.lease.keep()
            except TimeoutError:
                self.kill_at = float("-inf")  # it has stopped writing
                await self.lease.release()
            await asyncio.sleep(max(0.0, self.kill_at - self.loop.time()))
            self.lease.holder += "'"


@pytest.mark.parametrize("seed", range(40))
def test_no_process_leads_before_the_former_has_ended(seed: int, virtual: VirtualLoop) -> None:
    """An API server that is down, slow or loses answers, stopped processes and clocks that differ change nothing."""

    async def simulate() -> int:
        chance = random.Random(seed)
        leases = Leases(chance)
        times = 0

        def acquired(leader: Process) -> None:
            nonlocal times
            times += 1
            others = [process for process in processes if process is not leader]
            assert all(other.kill_at <= virtual.time() for other in others), (
                f"two lead {virtual.time() - 1000:.1f} s after the start"
            )

        processes = [Process(leases, chance, acquired) for _ in range(3)]
        tasks = [asyncio.create_task(process.live()) for process in processes]
        for _ in range(30):
            await asyncio.sleep(chance.uniform(1, 40))
            what = chance.randrange(3)
            if what == 0:
                leases.down = not leases.down
            elif what == 1:
                chance.choice(processes).stopped_until = virtual.time() + chance.uniform(1, 90)
            assert not any(task.done() for task in tasks), [task.exception() for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return times

    assert virtual.run_until_complete(simulate()) >= 2


def lease_of(leases: Leases, loop: VirtualLoop, **more: Any) -> Lease:
    return Lease(cast("Any", leases), "here", "leader", clock=loop.time, **more)


def test_a_released_lease_is_taken_without_waiting(virtual: VirtualLoop) -> None:
    """A rolling upgrade costs a retry, not the Lease's duration. The Lease counts its holders, as client-go's does."""
    leases = Leases()

    async def hand_over() -> float:
        first, second = lease_of(leases, virtual), lease_of(leases, virtual)
        await first.acquire()
        assert first.is_held and first.leader == first.holder
        waiting = asyncio.create_task(second.acquire())
        await asyncio.sleep(5)
        assert (second.is_held, second.leader) == (False, first.holder)
        began = virtual.time()
        await first.release()
        await waiting
        assert (first.is_held, second.is_held) == (False, True)
        spec = leases.stored[f"{PATH}/leader"]["spec"]
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == (second.holder, 15, 1)
        return virtual.time() - began

    assert virtual.run_until_complete(hand_over()) < 3


@pytest.mark.parametrize("seconds", [0.05, 0.15])
def test_a_lease_is_released_during_a_renewal(seconds: float, virtual: VirtualLoop) -> None:
    """The process ends while the renewal, or its answer, is on its way: the next one need not wait for the Lease's duration."""

    class Slow(Leases):
        async def _travel(self) -> None:
            await asyncio.sleep(0.1)

    leases = Slow()

    async def end() -> None:
        lease = lease_of(leases, virtual)
        await lease.acquire()
        keeping = asyncio.create_task(lease.keep())
        await asyncio.sleep(LeaseTimes().retry + seconds)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await lease.release()

    virtual.run_until_complete(end())
    assert leases.stored[f"{PATH}/leader"]["spec"]["holderIdentity"] == ""


def test_a_lost_lease_is_not_released(virtual: VirtualLoop) -> None:
    """Another process holds it by then."""
    leases = Leases()

    async def lose() -> str:
        first, second = lease_of(leases, virtual), lease_of(leases, virtual)
        await first.acquire()
        await second.acquire()
        assert await first.keep() == 0
        await first.release()
        return second.holder

    holder = virtual.run_until_complete(lose())
    assert leases.stored[f"{PATH}/leader"]["spec"]["holderIdentity"] == holder


def test_a_dead_leader_is_followed_within_20_seconds(virtual: VirtualLoop) -> None:
    """It does not renew: the Lease's duration and one try later another leads."""
    leases = Leases()

    async def follow() -> float:
        first, second = lease_of(leases, virtual), lease_of(leases, virtual)
        await first.acquire()
        keeping = asyncio.create_task(first.keep())
        waiting = asyncio.create_task(second.acquire())
        await asyncio.sleep(30)
        assert not waiting.done(), "it is renewed"
        keeping.cancel()
        began = virtual.time()
        await waiting
        return virtual.time() - began

    assert 13 < virtual.run_until_complete(follow()) < 20


def test_a_leader_without_api_server_gives_up_before_another_may_lead(virtual: VirtualLoop) -> None:
    """After 10 s, with 5 s left to stop; its process would be ended after 12.5 s. A short outage changes nothing."""
    leases = Leases()
    kills: list[float] = []

    async def lose() -> tuple[float, float]:
        lease = lease_of(leases, virtual, on_renewal=lambda seconds: kills.append(virtual.time() + seconds))
        await lease.acquire()
        keeping = asyncio.create_task(lease.keep())
        leases.down = True
        await asyncio.sleep(8)
        leases.down = False
        await asyncio.sleep(4)
        assert not keeping.done() and lease.is_held
        renewed = kills[-1] - 12.5
        leases.down = True
        left = await keeping
        assert not lease.is_held
        return virtual.time() - renewed, left

    after, left = virtual.run_until_complete(lose())
    assert after == pytest.approx(10, abs=0.1)
    assert left == pytest.approx(5, abs=0.1)


def test_without_rights_nobody_waits(virtual: VirtualLoop) -> None:
    """Who may not read the Lease learns it at once. Rights that a holder gets back before its deadline cost nothing."""
    leases = Leases()

    async def refused() -> None:
        lease = lease_of(leases, virtual)
        leases.refusal = error_of(403, "leases is forbidden")
        with pytest.raises(Rejected, match="leases is forbidden"):
            await lease.acquire()
        leases.refusal = None
        await lease.acquire()
        keeping = asyncio.create_task(lease.keep())
        leases.refusal = error_of(403, "leases is forbidden")
        await asyncio.sleep(7)
        leases.refusal = None
        await asyncio.sleep(20)
        assert not keeping.done() and lease.is_held
        leases.refusal = error_of(403, "leases is forbidden")
        assert await keeping == pytest.approx(5, abs=0.1)

    virtual.run_until_complete(refused())


@pytest.mark.parametrize("hang_seconds", [4.0, 1000.0])
def test_a_request_that_hangs_takes_no_more_than_the_time_left(hang_seconds: float, virtual: VirtualLoop) -> None:
    """The holder gives up in time although no request fails."""
    leases = Leases()

    async def lose() -> float:
        lease = lease_of(leases, virtual)
        await lease.acquire()

        async def slow(path: str, body: Any = None) -> Any:
            await asyncio.sleep(hang_seconds)
            raise Unavailable("gone")

        leases.get = leases.replace = slow  # type: ignore[method-assign]
        began = virtual.time()
        assert await lease.keep() > 4
        return virtual.time() - began

    assert virtual.run_until_complete(lose()) == pytest.approx(10, abs=0.1)


def test_a_process_that_was_suspended_does_not_ask_again(virtual: VirtualLoop) -> None:
    """After more than the deadline it has lost the Lease, even if nobody else wants it."""
    leases = Leases()
    suspended = [0.0]

    async def lose() -> float:
        lease = Lease(cast("Any", leases), "here", "leader", clock=lambda: virtual.time() + sum(suspended))
        await lease.acquire()
        suspended.append(60)
        asked = leases.asked
        left = await lease.keep()
        assert leases.asked == asked
        return left

    assert virtual.run_until_complete(lose()) == 0


def test_a_holder_that_sees_another_has_lost(virtual: VirtualLoop) -> None:
    """Somebody edited the Lease: the former holder ends at the next renewal."""
    leases = Leases()

    async def lose() -> float:
        lease = lease_of(leases, virtual)
        await lease.acquire()
        other = copy.deepcopy(leases.stored[f"{PATH}/leader"])
        other["spec"]["holderIdentity"] = "other"
        leases.put(f"{PATH}/leader", other)
        began = virtual.time()
        assert await lease.keep() == 0
        assert lease.leader == "other"
        return virtual.time() - began

    assert virtual.run_until_complete(lose()) <= 2


def test_a_lease_that_somebody_deletes_stays_with_its_holder(virtual: VirtualLoop) -> None:
    """The holder makes it again; others that have seen the holder wait as long as if it were there."""
    leases = Leases()

    async def delete() -> None:
        first, second = lease_of(leases, virtual), lease_of(leases, virtual)
        await first.acquire()
        waiting = asyncio.create_task(second.acquire())
        await asyncio.sleep(1)
        leases.stored.clear()
        await asyncio.sleep(5)
        assert not waiting.done() and not leases.stored
        keeping = asyncio.create_task(first.keep())
        await asyncio.sleep(30)
        assert first.is_held and not waiting.done()
        assert leases.stored[f"{PATH}/leader"]["spec"]["holderIdentity"] == first.holder
        for task in (keeping, waiting):
            task.cancel()

    virtual.run_until_complete(delete())


def test_a_longer_duration_of_the_holder_counts(virtual: VirtualLoop) -> None:
    """During an upgrade that shortens it, the old holder still relies on the old duration."""
    leases = Leases()

    async def wait() -> float:
        old, new = lease_of(leases, virtual, times=LeaseTimes(60)), lease_of(leases, virtual)
        await old.acquire()
        began = virtual.time()
        await new.acquire()
        return virtual.time() - began

    assert virtual.run_until_complete(wait()) >= 60


def test_times_keep_client_gos_proportions() -> None:
    """The holder gives up, then its process ends, then another may lead."""
    times = LeaseTimes()
    assert (times.duration, times.renew_deadline, times.retry) == (15, 10, 2)
    assert times.renew_deadline < times.end < times.duration


async def test_what_is_asked_of_the_api_server(loopback: Loopback) -> None:
    """A new Lease is created, renewed by an update with its resource version, and released."""
    sent: list[tuple[str, str, Any]] = []

    def answer(request: Request) -> None:
        length = int(request.headers.get("Content-Length") or 0)
        body = json.loads(request.rfile.read(length)) if length else {}
        sent.append((request.command, request.path, body))
        if request.command == "GET":
            reply_json({"kind": "Status", "message": "not found"}, 404)(request)
        else:
            reply_json({**body, "metadata": {"name": "leader", "resourceVersion": str(len(sent))}})(request)

    loopback.answers = [answer]
    client = Kubernetes(ApiClient(Configuration(host=loopback.url)))
    lease = Lease(client, "here", "leader", sleep=lambda _: asyncio.sleep(0))
    await lease.acquire()
    keeping = asyncio.create_task(lease.keep())
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        while len(sent) < 4:  # noqa: ASYNC110 (the server is a thread)
            await asyncio.sleep(0.001)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await client.close()
    assert [(method, path) for method, path, _ in sent[:3]] == [
        ("GET", f"{PATH}/leader"),
        ("POST", PATH),
        ("PUT", f"{PATH}/leader"),
    ]
    created, renewed = sent[1][2], sent[2][2]
    assert (created["apiVersion"], created["kind"]) == ("coordination.k8s.io/v1", "Lease")
    assert created["spec"]["holderIdentity"] == lease.holder
    assert renewed["metadata"]["resourceVersion"] == "2"
    assert renewed["spec"]["renewTime"] > created["spec"]["renewTime"]
    assert renewed["spec"]["acquireTime"] == created["spec"]["acquireTime"]


TIMED = """
import sys, threading, time
from aletheia_operator.clients.kill_timer import end_process_after
out = open(sys.argv[1], "ab", buffering=0)
end_process_after(60)
end_process_after(float(sys.argv[2]))
def write():
    while True:
        out.write(b"x")
for _ in range(4):
    threading.Thread(target=write).start()
print("ready", flush=True)
while True:
    sum(range(10**6))
"""


def timed(path: Path, seconds: float) -> subprocess.Popen[bytes]:
    """Start a process of five busy threads, four of which write to the file all the time."""
    environment = {**os.environ, "PYTHONPATH": "operator"}
    process = subprocess.Popen([sys.executable, "-c", TIMED, path, str(seconds)], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def test_a_busy_process_is_ended(tmp_path: Path) -> None:
    """Threads that never let the main thread run do not keep it alive."""
    process = timed(tmp_path / "written", 0.1)
    with process:
        assert process.wait(LONGEST_TEST_SECONDS) == EXIT_CODE


def test_a_stopped_process_writes_nothing_when_it_continues(tmp_path: Path) -> None:
    """SIGSTOP beyond its time, then SIGCONT: it ends without a further byte."""
    path = tmp_path / "written"
    process = timed(path, 0.3)
    with process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        size = path.stat().st_size
        threading.Event().wait(0.4)  # its time passes
        process.send_signal(signal.SIGCONT)
        assert process.wait(LONGEST_TEST_SECONDS) == EXIT_CODE
    assert path.stat().st_size - size <= 4, "at most the byte that each thread was writing"


def test_process_1_of_a_container_is_ended_too(tmp_path: Path) -> None:
    """The kernel ignores SIGALRM's default action for it. Needs the right to make a PID namespace."""
    command = ["unshare", "--fork", "--pid", "--kill-child", sys.executable, "-c", TIMED, str(tmp_path / "written"), "0.1"]
    environment = {**os.environ, "PYTHONPATH": "operator"}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=LONGEST_TEST_SECONDS, check=False)
    if b"unshare" in done.stderr:
        pytest.skip("no right to make a PID namespace")
    assert done.returncode == EXIT_CODE, done.stderr

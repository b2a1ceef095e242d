"""The leader alone works; a standby answers its probes, and a leader that lost the Lease ends."""

import asyncio
import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from aletheia_operator.handlers.leadership import Leadership
from aletheia_operator.handlers.operator import _Handlers, registry
from aletheia_operator.settings import LeaderElection, Scope, Settings
from tests.support.operator import free_port
from tests.unit.fakes import LONGEST_TEST_SECONDS


class FakeLease:
    """A Lease that others hold until `free`, and that is lost with `lost`: the seconds until another may take it."""

    name = "leader"
    holder = "me"

    def __init__(self) -> None:
        self.leader = "other"
        self.free = asyncio.Event()
        self.lost: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.released = False

    @property
    def is_held(self) -> bool:
        return self.free.is_set() and not self.released

    async def acquire(self) -> None:
        await self.free.wait()
        self.leader = self.holder

    async def keep(self) -> float:
        return await self.lost

    async def release(self) -> None:
        self.released = True


async def asked(port: int) -> Any:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/healthz") as answer:
        assert answer.status == 200
        return json.loads(await answer.read())


async def test_a_standby_says_who_leads() -> None:
    """Its probes succeed, so that a rollout goes on. The port is free when kopf needs it."""
    lease, port = FakeLease(), free_port()
    leadership = Leadership(cast("Any", lease), f"127.0.0.1:{port}")
    winning = asyncio.create_task(leadership.win())
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        while True:
            try:
                answer = await asked(port)
                break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.01)
        assert answer == {"leads": False, "leader": "other"}
        assert not leadership.leads
        lease.free.set()
        await winning
        assert leadership.leads and leadership.leader == "me"
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", port)
        server.close()
        await server.wait_closed()


async def test_an_address_that_cannot_be_used() -> None:
    """The operator's start fails with it."""
    with pytest.raises(socket.gaierror):
        await Leadership(cast("Any", FakeLease()), "256.0.0.1:80").win()


@pytest.mark.logs_errors("Lease leader is lost")
@pytest.mark.parametrize(("seconds", "stopped"), [(0.0, False), (5.0, True)])
async def test_a_lost_lease_ends_the_process(seconds: float, stopped: bool) -> None:
    """Captures are stopped before, unless another may lead already."""
    lease = FakeLease()
    done: list[str] = []
    leadership = Leadership(cast("Any", lease), "", lambda: done.append("ended"))
    lease.lost.set_result(seconds)

    async def stop() -> None:
        done.append("stopped")

    await leadership.keep(stop)
    assert done == (["stopped"] if stopped else []) + ["ended"]


@pytest.mark.logs_errors("renewing Lease leader failed", "Lease leader is lost")
async def test_an_unexpected_fault_ends_the_process_too() -> None:
    """Nobody would renew the Lease any more."""
    lease = FakeLease()
    ended = asyncio.Event()
    lease.lost.set_exception(KeyError("spec"))
    await Leadership(cast("Any", lease), "", ended.set).keep(asyncio.Event().wait)  # type: ignore[arg-type]
    assert ended.is_set()


@pytest.mark.logs_errors("Lease leader is lost")
async def test_captures_that_do_not_stop_do_not_delay_the_end() -> None:
    """They get half of the time that is left."""
    lease = FakeLease()
    ended = asyncio.Event()
    leadership = Leadership(cast("Any", lease), "", ended.set)
    lease.lost.set_result(0.1)
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        await leadership.keep(asyncio.Event().wait)  # type: ignore[arg-type]
    assert ended.is_set()


async def test_a_thread_that_may_still_write_keeps_the_lease() -> None:
    """Work on the volume that was cancelled goes on in its thread: the Lease expires instead of being released."""
    lease = FakeLease()
    leadership = Leadership(cast("Any", lease), "")

    async def work() -> None:
        with leadership.changing_the_volume():
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    with leadership.changing_the_volume():
        pass
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await leadership.resign()
    assert not lease.released
    other = Leadership(cast("Any", lease), "")
    await other.resign()
    assert lease.released


async def test_without_election_every_operator_leads() -> None:
    """Nothing is asked, nothing is served."""
    leadership = Leadership(None, "nowhere")
    await leadership.win()
    await leadership.keep(asyncio.Event().wait)  # type: ignore[arg-type]
    await leadership.resign()
    assert leadership.leads and leadership.leader == ""


async def test_the_probe_of_a_leader_names_it(tmp_path: Path) -> None:
    """/healthz has the holder of the Lease; without election it has no such field."""
    plain = Settings(session_root=tmp_path)
    electing = replace(plain, leader_election=LeaderElection(lease="leader"), scope=Scope(operator_namespace="here"))
    for settings, probes in ((plain, {"unnoticed"}), (electing, {"unnoticed", "leader"})):
        found = registry(settings)._activities.get_all_handlers()
        assert {str(handler.id) for handler in found if "." not in handler.id} == probes
    handlers = _Handlers(electing)
    handlers._leadership = Leadership(cast("Any", FakeLease()), "")
    assert await handlers.leader() == "other"

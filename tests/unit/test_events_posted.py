"""Events are posted from any task, never block, and one that is refused costs no other."""

import asyncio
from typing import Any

import pytest

from aletheia_operator.clients.errors import Rejected
from aletheia_operator.handlers import events as module
from aletheia_operator.handlers.events import EventRecorder
from tests.unit.fakes import LONGEST_TEST_SECONDS, NOW, UID, Clock, FakeKubernetes, forever

BODY = {"metadata": {"namespace": "shop", "name": "incident", "uid": UID}}


async def test_an_event_names_its_resource_and_who_says_it() -> None:
    """With the fields that kubectl describe and field selectors use; quoted text is inert and short."""
    kubernetes = FakeKubernetes()
    events = EventRecorder(kubernetes.real(), Clock())
    events.emit(BODY, "Warning", "Unavailable", "\x1b[2J" + "x" * 5000)
    await events.close()
    ((path, event),) = kubernetes.created
    assert path == "/api/v1/namespaces/shop/events"
    assert event["involvedObject"] == {
        "apiVersion": "aletheia.dev/v1alpha1",
        "kind": "Investigation",
        "namespace": "shop",
        "name": "incident",
        "uid": UID,
    }
    assert (event["type"], event["reason"]) == ("Warning", "Unavailable")
    assert event["message"].isprintable() and len(event["message"]) <= 1000
    assert event["source"]["component"] == event["reportingComponent"] == "aletheia-operator"
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-11-22T12:00:00Z"


async def test_names_are_unique_and_valid() -> None:
    """Many in one moment, of names of any length."""
    kubernetes = FakeKubernetes()
    events = EventRecorder(kubernetes.real(), Clock())
    for name in ("a" * 253, "a" * 219 + ".-b", "a"):
        for _ in range(50):
            events.emit({"metadata": {**BODY["metadata"], "name": name}}, "Normal", "Started", "")
    await events.close()
    names = [event["metadata"]["name"] for _, event in kubernetes.created]
    assert len(set(names)) == 150
    assert max(map(len, names)) <= 253
    assert not any(".." in name or "-." in name for name in names)


@pytest.mark.logs_errors("posting an Event failed: OverflowError")
async def test_a_refused_event_costs_no_other() -> None:
    """Whatever the API server says, or the client raises."""

    class Refusing(FakeKubernetes):
        async def create(self, path: str, body: Any) -> Any:
            if body["reason"] != "Good":
                raise Rejected("forbidden") if body["reason"] == "Bad" else OverflowError
            return await super().create(path, body)

    kubernetes = Refusing()
    events = EventRecorder(kubernetes.real(), Clock(NOW))
    for reason in ("Bad", "Worse", "Good"):
        events.emit(BODY, "Normal", reason, "")
    await events.close()
    assert [event["reason"] for _, event in kubernetes.created] == ["Good"]


async def test_an_api_server_that_hangs_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that do not fit into the queue are dropped, and the end does not wait for it."""

    class Hanging(FakeKubernetes):
        async def create(self, path: str, body: Any) -> Any:
            await forever()

    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.01)
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    events = EventRecorder(Hanging().real(), Clock())
    for _ in range(10):
        events.emit(BODY, "Normal", "Started", "")
        await asyncio.sleep(0)
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        await events.close()

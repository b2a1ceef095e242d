"""How kopf is set up: it watches in small pages, keeps no state on resources, and the probe answers at once."""

from pathlib import Path

import kopf
import pytest

from aletheia_operator.handlers.kopf_settings import NoMemories, configure
from aletheia_operator.handlers.operator import _Handlers, registry
from aletheia_operator.settings import Settings

SETTINGS = Settings(session_root=Path("/sessions"))


def test_resources_are_listed_in_small_pages() -> None:
    """Thousands of finished Investigations, and hostile ones of 1.5 MB, must not lie in memory all at once."""
    settings = kopf.OperatorSettings()
    configure(settings)
    assert settings.watching.chunk_size == 25
    assert settings.queueing.idle_timeout <= 1, "kopf keeps each resource for so long"


def test_kopf_keeps_no_state_on_resources() -> None:
    """Handlers of changes would copy the spec into the status, and could lose a change; event handlers do neither."""
    made = registry(SETTINGS)
    assert [handler.id for handler in made._watching.get_all_handlers()] == ["observe"]
    assert not list(made._changing.get_all_handlers())
    assert not list(made._spawning.get_all_handlers())


async def test_a_deaf_operator_says_so_at_once() -> None:
    """kopf retries any other exception for a minute, and /healthz would hang."""
    handlers = _Handlers(SETTINGS)

    class Deaf:
        unnoticed = ("shop/incident",)

    handlers.supervisor = Deaf()  # type: ignore[assignment]
    with pytest.raises(kopf.PermanentError, match="shop/incident"):
        await handlers.probe()


def test_nothing_of_a_resource_is_copied_at_each_event() -> None:
    """kopf's own storage copies the whole body, which for one of 1.5 MB takes a while on the event loop."""
    settings = kopf.OperatorSettings()
    configure(settings)
    body, patch = kopf.Body({"spec": {"targets": []}}), kopf.Patch()
    essence = settings.persistence.diffbase_storage.build(body=body)
    settings.persistence.diffbase_storage.store(body=body, patch=patch, essence=essence)
    assert (essence, settings.persistence.diffbase_storage.fetch(body=body), dict(patch)) == ({}, None, {})


async def test_kopf_remembers_nothing_of_resources() -> None:
    """Its memories of thousands of finished Investigations would stay, and each garbage collection would look at them."""
    memories = NoMemories()
    for uid in ("a", "b", "a"):
        body = kopf.RawBody({"metadata": {"uid": uid}})
        memory = await memories.recall(body, memobase={}, noticed_by_listing=True)
        assert memory.noticed_by_listing
        await memories.recall_memo(body)
    await memories.forget(body)
    assert list(memories.iter_all_memories()) == []

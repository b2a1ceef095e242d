"""The index of a volume's sessions: what it reads, and when it notices changes."""

from pathlib import Path

import pytest

from aletheia_operator.investigate import Budget
from aletheia_operator.session import InvestigationReference, Manifest, SessionLayout, manifest_cache
from aletheia_operator.session.index import REFRESH_SECONDS, SessionIndex, light
from aletheia_operator.session.manifest_file import manifest_bytes, read_session
from aletheia_operator.session.retention import expire, remove
from tests.support.captures import NOW, OWNER, Memory, capture
from tests.unit.fakes import Seconds

MUCH = 10**12


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the sessions of which the manifest was read, in order."""
    names: list[str] = []

    def counted(directory: Path) -> tuple[Manifest, bytes]:
        names.append(directory.name)
        return read_session(directory)

    monkeypatch.setattr(manifest_cache, "read_session", counted)
    return names


def captured(root: Path, name: str, namespace: str = "shop") -> Manifest:
    owner = InvestigationReference(namespace=namespace, name=name, uid=f"uid-{name}")
    return capture(root, Memory({"a": [[{"line": "x" * 1000}]]}), owner=owner).manifest


def test_a_manifest_is_read_again_only_if_it_changed(tmp_path: Path, read: list[str]) -> None:
    """Of all sessions, each is read once, then only the one that expired. A removed one is forgotten."""
    layout = SessionLayout(tmp_path)
    first, second = captured(tmp_path, "first"), captured(tmp_path, "second", "bank")
    known = SessionIndex(layout)
    assert {manifest.investigation.name for manifest, _ in known.manifests()} == {"first", "second"}
    assert sorted(read) == sorted([first.session_id, second.session_id])
    read.clear()
    expire(layout, first.session_id, NOW)
    found = {manifest.session_id: manifest for manifest, _ in known.manifests()}
    assert (found[first.session_id].expiration_time, found[second.session_id].expiration_time) == (NOW, None)
    assert read == [first.session_id]
    remove(layout, first.session_id)
    assert [manifest.session_id for manifest, _ in known.manifests()] == [second.session_id]
    assert [manifest.session_id for manifest, _ in known.manifests(["shop"])] == []
    assert read == [first.session_id]


def test_a_light_manifest_survives_the_index(tmp_path: Path) -> None:
    """It is equal to what `light` makes of the manifest, with the digest of the whole file."""
    manifest = captured(tmp_path, "first")
    ((found, digest),) = SessionIndex(SessionLayout(tmp_path)).manifests()
    assert found == light(manifest)
    assert found.size_bytes == manifest.size_bytes
    assert len(digest) == 64


def test_what_is_no_readable_session_counts_nothing(tmp_path: Path, read: list[str]) -> None:
    """Neither a damaged manifest, nor an empty or hidden directory, nor a link. The damaged one is not read again."""
    layout = SessionLayout(tmp_path)
    assert not list(SessionIndex(layout).manifests())
    manifest = captured(tmp_path, "first")
    layout.manifest(manifest.session_id).write_text("{")
    layout.session("INC-0000").mkdir()
    layout.session(".new-1").mkdir()
    layout.session("INC-1111").symlink_to(tmp_path)
    known = SessionIndex(layout)
    assert not list(known.manifests()) and not list(known.manifests())
    assert read.count(manifest.session_id) == 1
    assert known.kept_bytes("shop", (), MUCH) == 0


def test_changes_by_others_are_noticed_in_time(tmp_path: Path) -> None:
    """A session that another process removes counts for REFRESH_SECONDS at most, and not at all if the quota is short."""
    layout, clock = SessionLayout(tmp_path), Seconds()
    size = captured(tmp_path, "first").size_bytes
    second = captured(tmp_path, "second")
    known = SessionIndex(layout, clock)
    assert known.kept_bytes("shop", (), MUCH) == size + second.size_bytes
    assert known.sizes() == known.sizes(["shop"]) == {"shop": size + second.size_bytes}
    assert known.sizes(["bank"]) == {}
    assert known.kept_bytes("shop", [second.session_id, "INC-0000"], MUCH) == size
    assert known.kept_bytes("bank", [second.session_id], MUCH) == 0
    remove(layout, second.session_id)
    clock.now += REFRESH_SECONDS - 0.1
    assert known.kept_bytes("shop", (), MUCH) == size + second.size_bytes
    assert known.sizes(fresh=False) == {"shop": size + second.size_bytes}
    assert known.kept_bytes("shop", (), 3 * size) == size
    third = captured(tmp_path, "third")
    clock.now += REFRESH_SECONDS
    assert known.sizes(fresh=False) == {"shop": size + third.size_bytes}
    assert known.kept_bytes("shop", (), MUCH) == size + third.size_bytes


@pytest.mark.parametrize(("look_seconds", "age_seconds"), [(0.01, 5.0), (0.02, 10.0), (9.0, 60.0)])
def test_looks_take_a_small_share_of_the_time(
    look_seconds: float, age_seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ten thousand sessions, each look takes a while: the next one comes later, but at most a minute."""
    clock, looks = Seconds(), []

    def slow(cache: object) -> None:
        looks.append(clock.now)
        clock.now += look_seconds

    monkeypatch.setattr(manifest_cache.ManifestCache, "refresh", slow)
    known = SessionIndex(SessionLayout(tmp_path), clock)
    known.kept_bytes("shop", (), MUCH)
    for seconds in (age_seconds - 0.001, 0.002):
        clock.now += seconds
        known.kept_bytes("shop", (), MUCH)
    assert len(looks) == 2


def test_a_session_that_just_ended_counts_at_once(tmp_path: Path, read: list[str]) -> None:
    """The size that was noted counts, and later that of the manifest."""
    layout, clock = SessionLayout(tmp_path), Seconds()
    known = SessionIndex(layout, clock)
    assert known.kept_bytes("shop", (), MUCH) == 0
    manifest = captured(tmp_path, "first")
    known.note(manifest.session_id, "shop", 7)
    assert known.kept_bytes("shop", (), MUCH) == 7
    assert read == []
    clock.now += REFRESH_SECONDS
    assert known.kept_bytes("shop", (), MUCH) == manifest.size_bytes


def test_a_quota_costs_no_look_at_every_session(tmp_path: Path, read: list[str]) -> None:
    """Of ten captures under a quota, none reads the manifests of the others, and all count."""
    budget = Budget(max_namespace_bytes=MUCH, index=SessionIndex(SessionLayout(tmp_path), Seconds()))
    sizes = []
    for number in range(10):
        owner = OWNER.model_copy(update={"name": f"n{number}", "uid": f"uid-{number}"})
        sizes.append(capture(tmp_path, Memory({"a": [["x" * 1000]]}), owner=owner, budget=budget).manifest.size_bytes)
    assert len(read) == 1, "its own, before the index is a moment old"
    account = budget.open(SessionLayout(tmp_path), OWNER.namespace, "INC-0", 0)
    assert 0.9 * sum(sizes) < account.others_bytes <= sum(sizes), "without the metadata until the manifests are read"


def test_a_running_capture_is_not_counted_twice(tmp_path: Path) -> None:
    """Its manifest may be written before its account is closed: the account counts, not the manifest."""
    budget, layout = Budget(max_namespace_bytes=MUCH), SessionLayout(tmp_path)
    manifest = captured(tmp_path, "first")
    running = budget.open(layout, "shop", manifest.session_id, manifest.size_bytes)
    other = budget.open(layout, "shop", "INC-0", 0)
    assert budget.namespace_bytes(other) == manifest.size_bytes
    budget.close(running)
    assert budget.namespace_bytes(other) == manifest.size_bytes
    assert manifest_bytes(manifest) == layout.manifest(manifest.session_id).read_bytes()

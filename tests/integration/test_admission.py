"""The API server refuses invalid resources, and `kubectl explain` describes every field."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cluster.provider import Cluster
from tests.cluster.rig import RigError
from tests.invalid_specs import (
    ALLOWED_UPDATES,
    FORBIDDEN_UPDATES,
    INVALID_DATA_SOURCES,
    INVALID_INVESTIGATIONS,
    VALID_DATA_SOURCES,
    VALID_INVESTIGATIONS,
    AllowedUpdate,
    ForbiddenUpdate,
    InvalidSpec,
    ValidSpec,
)
from tests.support.api import OBJECTS, STRICT, request
from tests.support.operator import Kubectl

pytestmark = pytest.mark.cluster


def body(kind: str, spec: dict[str, Any], name: str = "row") -> dict[str, Any]:
    return {"apiVersion": "aletheia.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def resource(kind: str, spec: dict[str, Any], name: str = "row") -> str:
    return json.dumps(body(kind, spec, name), ensure_ascii=False)


def collection(kubectl: Kubectl, kind: str) -> str:
    """Return the path of the resources of this kind."""
    namespace = f"/namespaces/{kubectl.namespace}" if kind == "Investigation" else ""
    return f"{OBJECTS}{namespace}/{kind.lower()}s"


def create(kubectl: Kubectl, made: dict[str, Any], **query: str) -> dict[str, Any]:
    """Create an object as `kubectl create` does. Returns it as it is stored. Raises RigError if it is refused."""
    return request(kubectl.cluster, "POST", collection(kubectl, made["kind"]), made, STRICT | query)


@contextmanager
def stored(kubectl: Kubectl, name: str, spec: dict[str, Any]) -> Iterator[Callable[[dict[str, Any]], Any]]:
    """Store an Investigation until the context ends. Yields a function that replaces its spec, as `kubectl replace` does."""
    made = create(kubectl, body("Investigation", spec, name))
    path = f"{collection(kubectl, 'Investigation')}/{name}"

    def replace(changed: dict[str, Any]) -> Any:
        replacement = body("Investigation", changed, name)
        replacement["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
        return request(kubectl.cluster, "PUT", path, replacement, STRICT)

    try:
        yield replace
    finally:
        request(kubectl.cluster, "DELETE", path)


def rows(*kinds: tuple[str, tuple[Any, ...]]) -> list[Any]:
    return [pytest.param(kind, row, id=f"{kind}: {row.title}") for kind, table in kinds for row in table]


@pytest.mark.parametrize(("kind", "row"), rows(("Investigation", INVALID_INVESTIGATIONS), ("DataSource", INVALID_DATA_SOURCES)))
def test_invalid_specs_are_refused(kubectl: Kubectl, kind: str, row: InvalidSpec) -> None:
    """The API server refuses what the models refuse, and names the field."""
    with pytest.raises(RigError, match="(?i)" + row.word.replace("[", r"\[")):
        create(kubectl, body(kind, row.spec), dryRun="All")


@pytest.mark.parametrize(("kind", "row"), rows(("Investigation", VALID_INVESTIGATIONS), ("DataSource", VALID_DATA_SOURCES)))
def test_valid_specs_are_taken(kubectl: Kubectl, kind: str, row: ValidSpec) -> None:
    """The API server accepts what the models accept."""
    create(kubectl, body(kind, row.spec), dryRun="All")


@pytest.fixture(scope="module")
def unwatched(prepared: Cluster) -> Kubectl:
    """A namespace that no operator of these tests watches."""
    return Kubectl(prepared, "default")


@pytest.mark.parametrize("row", FORBIDDEN_UPDATES, ids=lambda row: row.title)
def test_what_was_asked_cannot_be_changed(unwatched: Kubectl, row: ForbiddenUpdate) -> None:
    """A change of the requested data is refused; the message names the field, and says to create another Investigation."""
    with stored(unwatched, "update", row.before) as replace:
        with pytest.raises(RigError, match="create another Investigation") as refused:
            replace(row.after)
        assert row.word in str(refused.value)


@pytest.mark.parametrize("row", ALLOWED_UPDATES, ids=lambda row: row.title)
def test_what_steers_can_be_changed(unwatched: Kubectl, row: AllowedUpdate) -> None:
    """`suspend`, `cancel` and retention may change at any time."""
    with stored(unwatched, "steered", row.before) as replace:
        replace(row.after)


CLIENT, SERVER, FLUX, ARGO = (
    ("apply",),
    ("apply", "--server-side"),
    ("apply", "--server-side", "--field-manager=kustomize-controller", "--force-conflicts"),
    ("apply", "--server-side", "--field-manager=argocd-controller"),
)
DRY = "--dry-run=server"
EMPTY = {
    "targets": [{"pod": "web-0"}],
    "logs": {"limits": {}},
    "events": {},
    "objects": {},
    "retention": {},
    "session": {"upload": {}},
}


@pytest.mark.parametrize(
    "ways",
    [(CLIENT, SERVER, FLUX, CLIENT), (SERVER, CLIENT, ARGO, SERVER), (FLUX, CLIENT, (*FLUX, DRY), ARGO), (ARGO, FLUX, CLIENT)],
    ids=["client first", "server first", "Flux first", "Argo CD first"],
)
def test_every_way_of_applying_takes_what_another_applied(unwatched: Kubectl, ways: tuple[tuple[str, ...], ...]) -> None:
    """Empty objects stay empty: none becomes null, nothing conflicts, and no requested field is lost."""
    for way in ways:
        unwatched(*way, "-f", "-", stdin=resource("Investigation", EMPTY, "applied"))
    try:
        spec = unwatched.get("investigation", "applied")["spec"]
        assert {name: spec[name] for name in EMPTY} == EMPTY
    finally:
        unwatched("delete", "investigation", "applied")


def test_a_field_without_a_value_is_refused_by_server_side_apply(unwatched: Kubectl) -> None:
    """`events:` is null. Client-side apply drops it; server-side apply, and so Flux, names the field."""
    manifest = resource("Investigation", {**EMPTY, "events": None}, "null")
    with pytest.raises(RigError, match=r'spec.events in body must be of type object: "null"'):
        unwatched(*FLUX, DRY, "-f", "-", stdin=manifest)
    assert "created" in unwatched(*CLIENT, DRY, "-f", "-", stdin=manifest)


@pytest.mark.parametrize("path", ["inv", "inv.spec", "inv.spec.targets", "inv.spec.metrics", "inv.status", "ds.spec"])
def test_every_field_explains_itself(kubectl: Kubectl, path: str) -> None:
    """`kubectl explain` has a description for the resource and for each of its fields."""
    explained = kubectl("explain", path)
    assert "<no description>" not in explained.lower()
    fields = explained.partition("FIELDS:\n")[2].split("\n\n")
    for field in filter(str.strip, fields):
        assert len(field.strip().splitlines()) > 1, f"no description: {field}"

"""The life of the definitions: stricter rules meet stored objects, and v1beta1 joins v1alpha1, by a real API server.

The definitions are copies in a group of their own, so that the real ones stay as they are.
"""

import copy
import json
from collections.abc import Iterator
from functools import partial
from random import Random
from typing import Any

import pytest
import yaml

from aletheia_operator.api.crd import RULES, datasource_crd, investigation_crd
from tests.cluster.provider import Cluster
from tests.cluster.rig import ROOT, RigError
from tests.support.generated import value_of
from tests.support.operator import until

pytestmark = pytest.mark.cluster
GROUP = "life.aletheia.test"
SAMPLES = sorted((ROOT / "tests" / "data" / "objects").glob("*/*.yaml"))

Object = dict[str, Any]


def moved(crd: Object) -> Object:
    """Return a copy of the definition in the group of these tests."""
    made = copy.deepcopy(crd)
    made["spec"]["group"] = GROUP
    made["spec"]["names"] |= {"shortNames": [], "categories": []}
    made["metadata"]["name"] = f"{made['spec']['names']['plural']}.{GROUP}"
    return made


def laxer(node: Any) -> Any:
    """Return a schema without rules, patterns, limits and lists of values, as an older version may have been."""
    if isinstance(node, list):
        return [laxer(item) for item in node]
    if not isinstance(node, dict):
        return node
    dropped = {RULES, "pattern", "enum", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"}
    return {key: laxer(value) for key, value in node.items() if key not in dropped or isinstance(value, dict)}


class Definitions:
    """The definitions in the test's group."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def install(self, *crds: Object) -> None:
        """Apply definitions, and wait until their versions are served."""
        for crd in crds:
            self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(crd))
            served = [version["name"] for version in crd["spec"]["versions"] if version["served"]]
            paths = [f"/apis/{GROUP}/{name}/{crd['spec']['names']['plural']}?limit=1" for name in served]
            until(partial(self.serves, paths), 30, f"{paths} are served")

    def accepts(self, item: Object) -> bool:
        """Return whether the API server would take the object."""
        try:
            body = {**item, "apiVersion": f"{GROUP}/v1alpha1"}
            self.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(body))
        except RigError:
            return False
        return True

    def delete(self, item: Object) -> None:
        self.kubectl("delete", *self.path(item), "--ignore-not-found")

    def serves(self, paths: list[str]) -> bool:
        try:
            for path in paths:
                self.kubectl("get", "--raw", path)
        except RigError:
            return False
        return True

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.cluster.run_kubectl(*arguments, stdin=stdin)

    def create(self, item: Object, version: str = "v1alpha1") -> None:
        """Create an object of ours in the test's group. Its status, if it has one, is written as the operator does."""
        body = {**item, "apiVersion": f"{GROUP}/{version}"}
        self.kubectl("create", "-f", "-", stdin=json.dumps(body))
        if "status" in item:
            self.patch(item, {"status": item["status"]}, "--subresource=status")

    def create_all(self, items: list[Object]) -> None:
        """Create objects in v1alpha1 at once."""
        listed = [{**item, "apiVersion": f"{GROUP}/v1alpha1"} for item in items]
        self.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": listed}))

    def all(self, kinds: str, version: str = "v1alpha1") -> dict[str, Object]:
        """Return spec and status of all objects of a kind, by name, as the API server converts them."""
        listed = json.loads(self.kubectl("get", f"{kinds}.{version}.{GROUP}", "-A", "-o", "json"))["items"]
        assert all(item["apiVersion"] == f"{GROUP}/{version}" for item in listed)
        return {item["metadata"]["name"]: {"spec": item["spec"], "status": item.get("status", {})} for item in listed}

    def path(self, item: Object) -> tuple[str, ...]:
        plural = {"Investigation": "investigations", "DataSource": "datasources"}[item["kind"]]
        return (f"{plural}.v1alpha1.{GROUP}", item["metadata"]["name"], *self.namespace(item))

    def namespace(self, item: Object) -> tuple[str, ...]:
        return ("-n", item["metadata"]["namespace"]) if "namespace" in item["metadata"] else ()

    def patch(self, item: Object, change: Object, *flags: str) -> None:
        self.kubectl("patch", *self.path(item), "--type=merge", "-p", json.dumps(change), *flags)

    def read(self, item: Object, version: str = "v1alpha1") -> Object:
        plural, name, *namespace = self.path(item)
        found: Object = json.loads(
            self.kubectl(
                "get", plural.replace("v1alpha1", version), name, *namespace, "-o", "json", "--show-managed-fields=false"
            )
        )
        return found


@pytest.fixture(scope="module")
def definitions(prepared: Cluster) -> Iterator[Definitions]:
    made = Definitions(prepared)
    made.install(moved(investigation_crd()), moved(datasource_crd()))
    yield made
    names = [f"{plural}.{GROUP}" for plural in ("investigations", "datasources")]
    prepared.run_kubectl("delete", "crd", *names, "--ignore-not-found", timeout_seconds=120)


def samples() -> list[Object]:
    """Objects as earlier versions stored them."""
    return [item for path in SAMPLES for item in yaml.safe_load_all(path.read_text())]


def missing(stored: Any, found: Any, path: str = "") -> Iterator[str]:
    """Yield the paths at which `found` lacks a field of `stored`, or has another value. Fields may be added."""
    if isinstance(stored, dict) and isinstance(found, dict):
        for name, value in stored.items():
            yield from missing(value, found.get(name), f"{path}.{name}")
    elif isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        for number, value in enumerate(stored):
            yield from missing(value, found[number], f"{path}[{number}]")
    elif stored != found:
        yield f"{path}: {stored!r} became {found!r}"


def kept(item: Object, found: Object) -> None:
    """Check that no field of spec and status is lost."""
    assert [*missing(item["spec"], found["spec"]), *missing(item.get("status", {}), found.get("status", {}))] == []


def test_objects_of_earlier_versions_are_kept_whole(definitions: Definitions) -> None:
    """No field of a stored object is pruned, and none gets another value."""
    assert samples()
    for item in samples():
        definitions.create(item)
        try:
            kept(item, definitions.read(item))
        finally:
            definitions.delete(item)


INVALID: list[Object] = [
    {
        "kind": "Investigation",
        "metadata": {"name": "old", "namespace": "default"},
        "spec": {"window": {"lookback": "soon"}, "events": {}, "timeout": "a while"},
    },
    {
        "kind": "DataSource",
        "metadata": {"name": "old"},
        "spec": {"type": "prometheus", "endpoint": "http://user:word@prometheus", "timeout": "forever"},
    },
]
"""Objects that an older definition accepted, and that today's refuses."""


@pytest.mark.parametrize("item", INVALID, ids=[item["kind"] for item in INVALID])
def test_stricter_rules_do_not_lock_stored_objects(definitions: Definitions, item: Object) -> None:
    """What an older definition accepted can still be labelled, marked by the operator and deleted; a new one is refused."""
    crds = [moved(investigation_crd()), moved(datasource_crd())]
    old = copy.deepcopy(crds)
    for crd in old:
        properties = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        properties["spec"] = laxer(properties["spec"])
    definitions.install(*old)
    until(lambda: definitions.accepts(item), 30, "the laxer definition is in force")
    definitions.create(item)
    try:
        definitions.install(*crds)
        another = item | {"metadata": {**item["metadata"], "name": "new"}}
        until(lambda: not definitions.accepts(another), 30, "the stricter definition is in force")
        definitions.patch(item, {"metadata": {"labels": {"team": "sre"}}})
        definitions.patch(item, {"status": {"observedGeneration": 1}}, "--subresource=status")
        kept(item | {"status": {"observedGeneration": 1}}, definitions.read(item))
    finally:
        definitions.delete(item)


BETA = "v1beta1"


def with_beta(crd: Object, stored: str, served: tuple[str, ...] = ("v1alpha1", BETA)) -> Object:
    """Return the definition with v1beta1, which has the schema of v1alpha1. `stored`: the version that is stored."""
    made = copy.deepcopy(crd)
    (alpha,) = made["spec"]["versions"]
    made["spec"]["versions"] = [
        {**copy.deepcopy(alpha), "name": name, "served": name in served, "storage": name == stored}
        for name in ("v1alpha1", BETA)
    ]
    made["spec"]["conversion"] = {"strategy": "None"}
    return made


def test_v1beta1_can_join_and_replace_v1alpha1(definitions: Definitions) -> None:
    """Objects are the same in both versions, also in each step of the migration; nothing is lost, and the spec stays immutable.

    docs/compatibility.md has the steps.
    """
    crds = [moved(investigation_crd()), moved(datasource_crd())]
    items = samples()
    for item in items:
        definitions.create(item)
    definitions.install(*(with_beta(crd, "v1alpha1") for crd in crds))
    for item in items:
        kept(item, definitions.read(item, BETA))
    definitions.install(*(with_beta(crd, BETA) for crd in crds))
    for item in items:
        definitions.patch(item, {"status": {"observedGeneration": 7}}, "--subresource=status")  # an operator of v1alpha1
        definitions.kubectl("replace", "-f", "-", stdin=json.dumps(definitions.read(item, BETA)))  # stores it as v1beta1
    for crd in crds:
        name = crd["metadata"]["name"]
        done = json.dumps({"status": {"storedVersions": [BETA]}})
        definitions.kubectl("patch", "crd", name, "--subresource=status", "--type=merge", "-p", done)
    definitions.install(*(with_beta(crd, BETA, served=(BETA,)) for crd in crds))
    for item in items:
        kept(item | {"status": item.get("status", {}) | {"observedGeneration": 7}}, definitions.read(item, BETA))
    (asked,) = [item for item in items if item["kind"] == "Investigation"]
    changed = definitions.read(asked, BETA)
    changed["spec"]["window"] = {"lookback": "3h"}
    with pytest.raises(RigError, match="create another Investigation"):
        definitions.kubectl("replace", "-f", "-", stdin=json.dumps(changed))


OBJECTS = 12
"""Generated objects of each kind."""


def structures(crd: Object) -> Object:
    """Return the definition with types and defaults alone, which decide what is pruned. Its status is written on creation."""
    made = moved(crd)
    (version,) = made["spec"]["versions"]
    version["schema"] = laxer(version["schema"])
    del version["subresources"]
    return made


def generated(crd: Object) -> list[Object]:
    """Return objects of the definition. The first has every field."""
    schema, random = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], Random(17)
    names = crd["spec"]["names"]
    metadata = {"namespace": "default"} if crd["spec"]["scope"] == "Namespaced" else {}
    return [
        {"kind": names["kind"], "metadata": {"name": f"generated-{number}", **metadata}}
        | value_of(schema, random, share=0.5 if number else 1.0)
        for number in range(OBJECTS)
    ]


def test_no_object_loses_a_field_between_the_versions(definitions: Definitions) -> None:
    """Whatever fields it has, also invalid ones of an older version: v1alpha1 → v1beta1 → v1alpha1 changes nothing."""
    crds = [structures(investigation_crd()), structures(datasource_crd())]
    definitions.install(*(with_beta(crd, "v1alpha1") for crd in crds))
    for crd in crds:
        items, kinds = generated(crd), crd["spec"]["names"]["plural"]
        until(lambda: definitions.accepts(items[0]), 30, "the definition without rules is in force")  # noqa: B023
        try:
            definitions.create_all(items)
            before, as_beta = definitions.all(kinds), definitions.all(kinds, BETA)
            assert as_beta == before
            for item in items:
                kept(item, before[item["metadata"]["name"]])
            definitions.install(with_beta(crd, BETA))
            stored = definitions.kubectl("get", f"{kinds}.{BETA}.{GROUP}", "-A", "-o", "json")
            definitions.kubectl("replace", "-f", "-", stdin=stored)
            assert definitions.all(kinds) == definitions.all(kinds, BETA) == before
        finally:
            definitions.kubectl("delete", f"{kinds}.{BETA}.{GROUP}", "--all", "-n", "default")


def test_versions_with_other_schemas_need_other_selectable_fields(definitions: Definitions) -> None:
    """A later v1beta1 with one more field is accepted if only one version has selectableFields: equal ones are refused."""
    crd = with_beta(moved(investigation_crd()), "v1alpha1")
    alpha, beta = crd["spec"]["versions"]
    beta["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["later"] = {"type": "string"}
    apply = partial(definitions.kubectl, "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-")
    with pytest.raises(RigError, match="selectableFields"):
        apply(stdin=json.dumps(crd))
    del alpha["selectableFields"]
    apply(stdin=json.dumps(crd))

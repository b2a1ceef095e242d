"""`helm upgrade` from each configuration of the chart to each other, by a real API server without nodes."""

import json
from collections.abc import Iterator
from itertools import pairwise, permutations
from typing import Any

import pytest

from tests.cluster.provider import Cluster
from tests.cluster.rig import ROOT, run
from tests.support.chart_values import CONFIGURATIONS

pytestmark = pytest.mark.cluster
CHART = ROOT / "charts" / "aletheia-operator"
NAMESPACE = "matrix"
CLAIM = {"accessModes": ["ReadWriteMany"]}
"""In each configuration, because a claim's access modes cannot be changed (docs/availability.md)."""
KINDS = (
    "clusterroles,clusterrolebindings,roles,rolebindings,deployments,configmaps,networkpolicies,services,serviceaccounts"
    ",validatingadmissionpolicies,validatingadmissionpolicybindings,datasources,apiservices,flowschemas,leases"
)


def tour(names: list[str]) -> list[str]:
    """Return a walk in which each name follows each other once: it begins and ends with the first."""
    walk, left = [names[0]], set(permutations(names, 2))
    while left:
        step = next((pair for name in names if (pair := (walk[-1], name)) in left), None) or next(iter(sorted(left)))
        walk += [step[1]] if step[0] == walk[-1] else [step[0], step[1]]
        left.discard(step)
    return [*walk, names[0]]


@pytest.fixture
def release(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with a namespace for the release, and those that its values name."""
    cluster.run_kubectl("apply", "-f", str(ROOT / "crds"))
    for name in (NAMESPACE, "shop", "bank"):
        cluster.run_kubectl("create", "namespace", name)
    yield cluster
    helm(cluster, "uninstall", "flight", "--ignore-not-found")
    cluster.run_kubectl("delete", "namespace", NAMESPACE, "shop", "bank", "--wait=false")


def helm(cluster: Cluster, *arguments: str, values: dict[str, Any] | None = None) -> str:
    command = [str(cluster.helm), f"--kubeconfig={cluster.kubeconfig}", f"--namespace={NAMESPACE}", *arguments]
    return run(command if values is None else [*command, "--values=-"], stdin=json.dumps(values or {}), timeout_seconds=120)


def owned(cluster: Cluster) -> set[str]:
    """Return the cluster-scoped objects, and those of the namespaces, that carry the release's label."""
    kinds = (
        "clusterroles,clusterrolebindings,roles,rolebindings,deployments,configmaps,networkpolicies,services,serviceaccounts"
    )
    kinds += ",validatingadmissionpolicies,validatingadmissionpolicybindings,datasources,apiservices"
    return set(cluster.run_kubectl("get", kinds, "-A", "-l", "app.kubernetes.io/instance=flight", "-o", "name").split())


def test_each_configuration_can_follow_each_other(release: Cluster) -> None:
    """No immutable field changes, nothing is left of the former one, and uninstall leaves the sessions' claim alone."""
    walk = tour(list(CONFIGURATIONS))
    assert set(pairwise(walk)) >= set(permutations(CONFIGURATIONS, 2))
    first: dict[str, set[str]] = {}
    for name in walk:
        values = CONFIGURATIONS[name] | {"crds": {"install": False}}
        values["persistence"] = values.get("persistence", {}) | CLAIM
        helm(release, "upgrade", "--install", "flight", str(CHART), values=values)
        found = owned(release)
        assert found == first.setdefault(name, found), f"{name}: {found ^ first[name]}"
    helm(release, "uninstall", "flight")
    assert owned(release) == set()
    claims = release.run_kubectl("get", "persistentvolumeclaims", "-n", NAMESPACE, "-o", "name").split()
    assert claims == ["persistentvolumeclaim/flight-aletheia-operator-sessions"]

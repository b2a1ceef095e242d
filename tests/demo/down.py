"""`down`: removes only what `up` made."""

from pathlib import Path

from tests.demo import own
from tests.demo.incident import NAMESPACE
from tests.demo.investigate import NAME, OPERATOR_NAMESPACE, RESOURCE
from tests.demo.kubernetes import Cluster
from tests.demo.steps import Steps
from tests.demo.up import NAMESPACES, RELEASE, is_labelled, is_mine

CRDS = (RESOURCE, "datasources.aletheia.dev")


def down(kubeconfig: Path | None) -> None:
    """Stop the demo's own cluster, or remove the demo from the cluster of `kubeconfig`. Raises DemoError."""
    steps = Steps()
    if kubeconfig is None:
        with steps.step(f"cluster {own.NAME} is stopped"):
            own.stop()
        return
    cluster = own.named(kubeconfig)
    existing = [cluster.get("namespace", name) for name in NAMESPACES]
    mine = [namespace["metadata"]["name"] for namespace in existing if namespace and is_labelled(namespace)]
    if not mine:
        steps.say(f"context {cluster.context} holds nothing of the demo's")
        return
    if NAMESPACE in mine and cluster.get("customresourcedefinition", RESOURCE):
        with steps.step(f"Investigation {NAME} and its evidence are removed"):
            arguments = ("delete", RESOURCE, NAME, f"--namespace={NAMESPACE}", "--ignore-not-found", "--timeout=60s")
            cluster.kubectl(*arguments, timeout=90)
    if OPERATOR_NAMESPACE in mine:
        with steps.step(f"release {RELEASE} is uninstalled"):
            cluster.helm("uninstall", RELEASE, f"--namespace={OPERATOR_NAMESPACE}", "--ignore-not-found", timeout=120)
        _remove_crds(cluster, steps)
    with steps.step(f"namespaces {', '.join(mine)} are removed"):
        cluster.kubectl("delete", "namespace", *mine, "--ignore-not-found", "--timeout=150s", timeout=180)


def _remove_crds(cluster: Cluster, steps: Steps) -> None:
    """Remove the CustomResourceDefinitions that the demo's release made, unless they are in use."""
    mine = [crd["metadata"]["name"] for crd in cluster.items("customresourcedefinitions") if is_mine(crd)]
    mine = [name for name in mine if name in CRDS]
    used = [name for name in mine if cluster.items(name, "--all-namespaces")]
    if used:
        steps.note(f"left in place, since there are objects of them: {', '.join(used)}")
    unused = [name for name in mine if name not in used]
    if unused:
        with steps.step(f"{', '.join(unused)} are removed"):
            cluster.kubectl("delete", "customresourcedefinition", *unused, "--timeout=60s", timeout=90)

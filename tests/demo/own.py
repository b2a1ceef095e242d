"""The demo's cluster: started by the rig, or that of a given kubeconfig. Both get kubectl and helm."""

from pathlib import Path

from tests.cluster import images, provider
from tests.demo.kubernetes import Cluster

NAME = "demo"


def start() -> tuple[Cluster, provider.Cluster]:
    """Return the demo's own cluster, started unless it runs, and the rig's object for it. Raises RigError."""
    rig = provider.start(NAME)
    return _reached(rig), rig


def named(kubeconfig: Path) -> Cluster:
    """Return the cluster of this kubeconfig's current context. Raises RigError or DemoError."""
    return _reached(provider.start(NAME, kubeconfig))


def stop() -> None:
    provider.stop(NAME)


def load(rig: provider.Cluster, image: images.Image) -> str:
    """Build the image if it does not exist, and load it into the demo's own cluster. Returns its name. Raises RigError."""
    rig.load_image(images.build(image))
    return image.tag


def _reached(rig: provider.Cluster) -> Cluster:
    return Cluster.named(rig.kubeconfig, tuple(dict.fromkeys((rig.kubectl.parent, rig.helm.parent))))

"""`up`: starts the demo, causes an incident, investigates it, and shows the evidence."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import images
from tests.demo import incident, investigate, own
from tests.demo.incident import NAMESPACE, OBSERVABILITY
from tests.demo.investigate import OPERATOR_NAMESPACE
from tests.demo.kubernetes import Cluster, CommandFailed
from tests.demo.steps import DemoError, Steps

ROOT = Path(__file__).resolve().parents[2]
SHOP = Path("examples/shop")
SERVERS = (Path("tests/cluster/servers/jaeger.yaml"), Path("tests/demo/prometheus.yaml"))
CHART = Path("charts/aletheia-operator")
RELEASE = "aletheia"
OPERATOR_DEPLOYMENT = f"{RELEASE}-aletheia-operator"
SHOP_WORKLOADS = ("deployment/ledger", "deployment/payments", "deployment/checkout")
MINE = {"app.kubernetes.io/part-of": "aletheia-demo"}  # label of objects that the demo made and may remove
NAMESPACES = (OPERATOR_NAMESPACE, OBSERVABILITY, NAMESPACE)
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def up(kubeconfig: Path | None, operator_image: str | None, servers_image: str | None) -> bool:
    """Run the demo. Returns whether the capture is complete, with all kinds of evidence. Raises DemoError or RigError."""
    steps = Steps()
    steps.heading("A small shop with a ledger that breaks, and an Investigation that captures the evidence")
    rig = None
    with steps.step("the cluster is up"):
        if kubeconfig is None:
            cluster, rig = own.start()
        else:
            cluster = own.named(kubeconfig)
    claim_namespaces(cluster)
    if rig and not servers_image:
        images.build(images.SERVERS)  # before the operator's image: images are built one by one, and the shop takes longer

    def image(named: str | None, built: images.Image) -> str:
        if named:
            return named
        assert rig is not None  # for a cluster of `kubeconfig` the images are given too
        return own.load(rig, built)

    servers = image(servers_image, images.SERVERS)

    def observability() -> None:
        with steps.step("Prometheus and Jaeger are ready"):
            start_observability(cluster, servers)

    def operator() -> None:
        operator = image(operator_image, images.OPERATOR)
        with steps.step("the operator is ready"):
            install_operator(cluster, operator)

    steps.together(observability, operator)
    with steps.step("the shop is open"):  # last: with each further crash of the ledger the logs of one run are lost
        start_shop(cluster, servers)
    wait_for_incident(cluster, steps)
    # only while it runs it has logs of two runs
    steps.until("the ledger runs again", 90, partial(incident.ledger_restarted, cluster))
    status = investigate.ask(cluster, steps, ROOT)
    complete = investigate.report(cluster, steps, status)
    say_what_next(cluster, steps, status, own_cluster=rig is not None)
    took = f"after {steps.elapsed_seconds:.0f} s"
    steps.heading(f"Done {took}." if complete else f"NOT complete {took}: phase {status.get('phase')}; see above.")
    return complete


def claim_namespaces(cluster: Cluster) -> None:
    """Make the demo's namespaces. Raises DemoError if one exists that the demo did not make."""
    existing = {name: cluster.get("namespace", name) for name in NAMESPACES}
    taken = [name for name, namespace in existing.items() if namespace and not is_labelled(namespace)]
    if taken:
        raise DemoError(f"namespace {', '.join(taken)} exists and is not the demo's: use a cluster without it")
    metadata = [{"name": name, "labels": MINE | RESTRICTED} for name, namespace in existing.items() if not namespace]
    # created, not applied: a later apply of the shop's own Namespace would remove the demo's label
    cluster.create(*({"apiVersion": "v1", "kind": "Namespace", "metadata": namespace} for namespace in metadata))


def is_labelled(resource: Mapping[str, Any]) -> bool:
    """Return whether the demo made the resource itself."""
    return MINE.items() <= (resource["metadata"].get("labels") or {}).items()


@contextmanager
def explained(cluster: Cluster, namespace: str) -> Iterator[None]:
    """Run a block of steps. If it fails, add the state of the namespace's pods to the message."""
    try:
        yield
    except CommandFailed as e:
        raise DemoError(f"{e}\n\n{state(cluster, namespace)}") from None


def state(cluster: Cluster, namespace: str) -> str:
    """Return the namespace's pods, its latest warnings, and the last lines of containers that are not ready."""
    there = f"--namespace={namespace}"
    warnings = cluster.items("events", there, "--field-selector=type=Warning", "--sort-by=.lastTimestamp")
    parts = [cluster.kubectl("get", "pods", there, "--output=wide").rstrip()]
    parts += [f"{event['involvedObject']['name']}: {event['message']}" for event in warnings[-5:]]
    for pod in cluster.items("pods", there):
        for container in pod["status"].get("containerStatuses") or []:
            if not container["ready"] and container["restartCount"]:
                name, run = pod["metadata"]["name"], f"--container={container['name']}"
                parts.append(cluster.kubectl("logs", there, name, run, "--previous", "--tail=5").rstrip())
    return "\n".join(parts)


def wait_ready(cluster: Cluster, namespace: str, *names: str, seconds: int = 90) -> None:
    """Wait for Deployments. Raises DemoError with the pods' state if they do not become ready."""
    with explained(cluster, namespace):
        for name in names:
            arguments = ("rollout", "status", f"deployment/{name}", f"--namespace={namespace}", f"--timeout={seconds}s")
            cluster.kubectl(*arguments, timeout=seconds + 10)


def install_operator(cluster: Cluster, image: str) -> None:
    """Install the chart by `helm upgrade --install`, with the examples' DataSources."""
    command = ["upgrade", "--install", RELEASE, str(ROOT / CHART), f"--namespace={OPERATOR_NAMESPACE}"]
    values = chart_values(image, data_sources(), install_crds=not _crds_of_others(cluster))
    with explained(cluster, OPERATOR_NAMESPACE):
        cluster.helm(*command, "--values=-", "--timeout=120s", stdin=yaml.safe_dump(values), timeout=150)
    wait_ready(cluster, OPERATOR_NAMESPACE, OPERATOR_DEPLOYMENT)


def chart_values(image: str, sources: list[dict[str, Any]], install_crds: bool) -> dict[str, Any]:
    """Return the chart's values for this image, for example localhost/name:tag or host:5000/name@sha256:digest."""
    name, _, digest = image.partition("@")
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:  # the colon belongs to a registry's port
        repository, tag = name, ""
    if not (tag or digest):
        raise DemoError(f"image {image} has no tag")
    return {
        "image": {"repository": repository, "tag": tag, "digest": digest},
        "dataSources": sources,
        "persistence": {"keep": False},
        "crds": {"install": install_crds},
    }


def data_sources() -> list[dict[str, Any]]:
    """Return the examples' DataSources in the form of the chart's values."""
    text = (ROOT / "examples/datasources.yaml").read_text(encoding="utf-8")
    return [{"name": document["metadata"]["name"], **document["spec"]} for document in yaml.safe_load_all(text)]


def is_mine(resource: Mapping[str, Any]) -> bool:
    """Return whether the demo's helm release owns the resource."""
    marks = resource["metadata"].get("annotations") or {}
    return (marks.get("meta.helm.sh/release-name"), marks.get("meta.helm.sh/release-namespace")) == (
        RELEASE,
        OPERATOR_NAMESPACE,
    )


def _crds_of_others(cluster: Cluster) -> bool:
    crd = cluster.get("customresourcedefinition", investigate.RESOURCE)
    return crd is not None and not is_mine(crd)


def start_observability(cluster: Cluster, image: str) -> None:
    """Start Prometheus and Jaeger, and wait until they are ready."""
    jaeger, prometheus = ((ROOT / file).read_text(encoding="utf-8").replace(images.SERVERS.tag, image) for file in SERVERS)
    cluster.kubectl("apply", f"--namespace={OBSERVABILITY}", "--filename=-", stdin=jaeger)
    cluster.kubectl("apply", "--filename=-", stdin=prometheus)
    wait_ready(cluster, OBSERVABILITY, "prometheus", "jaeger")


def start_shop(cluster: Cluster, image: str) -> None:
    """Start the shop, or restart it, so that the incident begins within the Investigation's window."""
    reopened = cluster.get("deployment", "ledger", f"--namespace={NAMESPACE}") is not None
    if reopened:  # remove everything of the last run: its deleted pods would be gaps of this Investigation
        everything = ("--cascade=foreground", "--ignore-not-found", "--timeout=60s")
        cluster.kubectl("delete", *SHOP_WORKLOADS, f"--namespace={NAMESPACE}", *everything, timeout=90)
        cluster.kubectl("delete", "events", "--all", f"--namespace={NAMESPACE}")
    manifests = cluster.kubectl("kustomize", str(ROOT / SHOP)).replace(images.SERVERS.tag, image)
    cluster.kubectl("apply", "--filename=-", stdin=manifests)
    wait_ready(cluster, NAMESPACE, "checkout")


def wait_for_incident(cluster: Cluster, steps: Steps) -> None:
    """Wait until Kubernetes, Prometheus and Jaeger show the incident, and print what they show."""
    steps.note(steps.until("the ledger crashes", 120, partial(incident.ledger_restarted, cluster)))
    steps.note(steps.until("payments fails", 60, partial(incident.payments_fail, cluster)))
    steps.note(steps.until("traces fail", 60, partial(incident.traces_fail, cluster)))


def say_what_next(cluster: Cluster, steps: Steps, status: Mapping[str, Any], own_cluster: bool) -> None:
    """Print complete commands to continue with."""
    steps.heading("What to type next")
    in_namespace = f"-n {NAMESPACE}"
    pod = f"-n {OPERATOR_NAMESPACE} deploy/{OPERATOR_DEPLOYMENT}"
    lines = [
        f"export KUBECONFIG={cluster.kubeconfig} PATH={os.pathsep.join(map(str, cluster.programs))}:$PATH",
        f"kubectl describe investigation {investigate.NAME} {in_namespace}",
        f"kubectl get investigation {investigate.NAME} {in_namespace} -o yaml",
    ]
    session = status.get("session") or {}
    if path := session.get("path"):
        copy = f"import sys, tarfile; tarfile.open(fileobj=sys.stdout.buffer, mode='w|').add('{path}', '{session['id']}')"
        lines += [
            f"kubectl exec {pod} -- cat {path}/report.html > report.html   # open it in a browser",
            f"kubectl exec {pod} -- aletheia session report {session['id']} --format markdown   # for a chat",
            f"kubectl exec {pod} -- python3 -m json.tool {path}/manifest.json",
            f'kubectl exec {pod} -- python3 -c "{copy}" | tar x   # a copy of the evidence',
        ]
    lines.append("make demo-down" + ("" if own_cluster else f" KUBECONFIG_FILE={cluster.kubeconfig}"))
    for line in lines:
        steps.say(f"  {line}")

"""The shared operator and namespace, for tests that need no special operator."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.provider import Cluster
from tests.cluster.rig import ROOT
from tests.support.gitops import Site, running_site
from tests.support.logs import verification
from tests.support.operator import Kubectl, Operator, free_port, pod, until

NAMESPACE = "aletheia-integration"


@pytest.fixture(scope="session")
def prepared(cluster: Cluster) -> Cluster:
    """The cluster with the project's resource definitions."""
    cluster.run_kubectl("apply", "-f", str(ROOT / "crds"))
    # `kubectl wait` fails for new definitions that have no conditions yet
    established = "-o=jsonpath={.items[*].status.conditions[?(@.type=='Established')].status}"
    crds = ("crd/investigations.aletheia.dev", "crd/datasources.aletheia.dev")
    until(lambda: cluster.run_kubectl("get", *crds, established) == "True True", 30, "the API server serves them")
    return cluster


def make_namespace(cluster: Cluster, name: str) -> Kubectl:
    kubectl = Kubectl(cluster, name)
    cluster.run_kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=true", timeout_seconds=120)
    cluster.run_kubectl("create", "namespace", name)
    until(lambda: "default" in kubectl("get", "serviceaccounts", "-o", "name"), 30, "the namespace has its service account")
    return kubectl


@contextmanager
def namespace(cluster: Cluster, name: str) -> Iterator[Kubectl]:
    """kubectl in a new namespace of this name, which is deleted afterwards."""
    kubectl = make_namespace(cluster, name)
    try:
        yield kubectl
    finally:
        cluster.run_kubectl("delete", "namespace", name, "--wait=false")


@contextmanager
def running_operator(kubectl: Kubectl, directory: Path, *options: str) -> Iterator[Operator]:
    """An operator that watches this namespace. Its session volume is `directory`/root."""
    operator = Operator(kubectl.cluster, directory / "root", [kubectl.namespace], options).start()
    try:
        yield operator
    finally:
        operator.stop()


@contextmanager
def node_reading_operator(kubectl: Kubectl, directory: Path) -> Iterator[Operator]:
    """An operator that may read log files from nodes."""
    with running_operator(kubectl, directory, "--node-logs", *verification(kubectl, directory)) as operator:
        yield operator


def kubectl_in(name: str) -> Any:
    """Return a module's fixture `kubectl`: kubectl in a namespace of its own, with this name."""

    @pytest.fixture(scope="module")
    def kubectl(prepared: Cluster) -> Iterator[Kubectl]:
        with namespace(prepared, name) as kubectl:
            yield kubectl

    return kubectl


def operator_of(run: Callable[[Kubectl, Path], AbstractContextManager[Operator]]) -> Any:
    """Return a module's fixture `operator`: an operator of its own, which `run` starts for the module's namespace."""

    @pytest.fixture(scope="module")
    def operator(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
        with run(kubectl, tmp_path_factory.mktemp("own")) as operator:
            yield operator

    return operator


@pytest.fixture(scope="session")
def kubectl(prepared: Cluster) -> Iterator[Kubectl]:
    """kubectl in the namespace that `operator` watches."""
    with namespace(prepared, NAMESPACE) as kubectl:
        yield kubectl


@pytest.fixture(scope="session")
def metrics_port() -> int:
    """The port of /metrics of `operator`."""
    return free_port()


@pytest.fixture(scope="session")
def operator(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory, metrics_port: int) -> Iterator[Operator]:
    options = f"--operator-namespace={kubectl.namespace}", f"--metrics-listen=127.0.0.1:{metrics_port}"
    with running_operator(kubectl, tmp_path_factory.mktemp("volume"), *options) as operator:
        yield operator


def start_speaker(kubectl: Kubectl) -> None:
    """Start a pod that writes a line, and wait until it runs."""
    kubectl.apply(pod("speaker", "echo evidence; sleep 3600"))
    kubectl.wait("pod/speaker", "condition=Ready")


@pytest.fixture(scope="module")
def speaker(kubectl: Kubectl) -> str:
    """A pod that has logs."""
    start_speaker(kubectl)
    until(lambda: "evidence" in kubectl("logs", "speaker"), 30, "the pod has spoken")
    return "speaker"


@pytest.fixture
def own_namespace(prepared: Cluster, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """A namespace for one test."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:40].strip("-")
    with namespace(prepared, f"it-{name}") as kubectl:
        yield kubectl


@pytest.fixture(scope="module")
def site(prepared: Cluster, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A namespace for the tests with a GitOps engine, with an operator of its own."""
    engine = request.path.stem.removeprefix("test_")
    with namespace(prepared, f"it-{engine}") as kubectl, running_site(kubectl, tmp_path_factory.mktemp(engine)) as site:
        yield site


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"

"""pytest fixtures of the rig: pytest_plugins = ["tests.cluster.fixtures"]."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import provider
from tests.cluster.provider import Cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cluster")
    for name, settings in {
        "--kubeconfig": {"default": None, "help": "run in this cluster; it is neither created nor deleted"},
        "--keep-cluster": {"action": "store_true", "help": "leave the cluster that the tests started, for the next run"},
    }.items():
        try:
            group.addoption(name, **settings)  # type: ignore[arg-type]
        except ValueError:  # pytest-kind has options with the same names and meanings
            continue


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A real cluster: that of --kubeconfig, or a new one, which is stopped at the end without --keep-cluster.

    Its name is $ALETHEIA_CLUSTER, by default `test`: parallel runs need different clusters.
    """
    kubeconfig = pytestconfig.getoption("kubeconfig")
    if kubeconfig is None and (missing := provider.missing()):
        unavailable = f"no cluster: {missing}"
        if os.environ.get("CI") == "true":
            pytest.fail(unavailable)
        pytest.skip(unavailable)
    started = provider.start(os.environ.get("ALETHEIA_CLUSTER", "test"), Path(kubeconfig) if kubeconfig else None)
    with pytest.MonkeyPatch.context() as patch:  # kubectl has cached an earlier cluster with this address
        patch.setenv("KUBECACHEDIR", str(tmp_path_factory.mktemp("kubectl-cache")))
        yield started
    if not pytestconfig.getoption("keep_cluster"):
        started.stop()

"""What the tests of GitOps engines share: a namespace with an operator, and stories that are told side by side."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.rig import ROOT, run
from tests.support.operator import Kubectl, Operator, investigation, pod

AT_ONCE = 8
IMMUTABLE = "to ask again, create another Investigation"
EMPTY: dict[str, Any] = {"events": {}, "objects": {}, "retention": {}, "session": {"upload": {}}, "logs": {"limits": {}}}
"""Fields of a spec that are empty objects: they must not become null in any way of applying."""


@dataclass(frozen=True)
class Site:
    """A namespace with a pod `speaker` and an operator with its session volume at `root`."""

    kubectl: Kubectl
    root: Path

    def sessions(self, name: str) -> list[str]:
        """Return the ids of the sessions of Investigations of this name, also of deleted ones."""
        manifests = [json.loads(path.read_bytes()) for path in self.root.glob("sessions/*/manifest.json")]
        return [found["sessionId"] for found in manifests if found["investigation"]["name"] == name]

    def resource(self, name: str) -> Any:
        return self.kubectl.get("investigation", name)

    def names(self, prefix: str) -> list[str]:
        """Return the names of the Investigations that begin with this."""
        listed = [line.partition("/")[2] for line in self.kubectl("get", "investigations", "-o", "name").splitlines()]
        return [name for name in listed if name.startswith(prefix)]

    def is_gone(self, name: str) -> bool:
        return name not in self.names(name)

    def captured(self, name: str) -> Any:
        """Wait until the Investigation has ended, and check that it was captured once. Returns it."""
        resource = self.kubectl.ended(name)
        assert resource["status"]["phase"] == "Completed", resource["status"]
        assert self.sessions(name) == [resource["status"]["session"]["id"]]
        return resource

    def aletheia(self, *arguments: str) -> str:
        """Run the command line in the namespace. Returns its output."""
        where = (f"--namespace={self.kubectl.namespace}", f"--kubeconfig={self.kubectl.cluster.kubeconfig}")
        path = f"{self.kubectl.cluster.kubectl.parent}:{os.environ['PATH']}"
        environment = {"PYTHONPATH": str(ROOT / "operator"), "PATH": path}
        return run([sys.executable, "-m", "aletheia_operator.cli", *arguments, *where], env=environment)


@contextmanager
def running_site(kubectl: Kubectl, directory: Path) -> Iterator[Site]:
    """Run a pod and an operator in an empty namespace."""
    kubectl.apply(pod("speaker", "echo evidence; sleep 3600"))
    kubectl.wait("pod/speaker", "condition=Ready")
    operator = Operator(kubectl.cluster, directory / "root", [kubectl.namespace], ["--sweep-seconds=1"]).start()
    try:
        yield Site(kubectl, directory / "root")
    finally:
        operator.stop()


def question(name: str, **spec: Any) -> dict[str, Any]:
    """Return an Investigation of the logs of the pod."""
    return investigation(name, **{"targets": [{"pod": "speaker"}], "logs": {}, **spec})


def settings(name: str, **data: str) -> dict[str, Any]:
    """Return a ConfigMap, as an example of what else is applied together with an Investigation."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def annotated(resource: dict[str, Any], **annotations: str) -> dict[str, Any]:
    """Return the resource with these annotations."""
    return {**resource, "metadata": {**resource["metadata"], "annotations": annotations}}


@dataclass
class SideBySide:
    """Tests of a module that mostly wait, and run at the same time: all of them begin when the first one is due.

    `decorate` makes a test of a function with one argument. The fixture `stories` of the module starts them by `running`.
    """

    stories: dict[str, Callable[[Any], None]] = field(default_factory=dict)

    def decorate(self, story: Callable[[Any], None]) -> Callable[[Mapping[str, Future[None]]], None]:
        def test(stories: Mapping[str, Future[None]]) -> None:
            stories[story.__name__].result(300)

        self.stories[story.__name__] = story
        test.__name__, test.__doc__ = story.__name__, story.__doc__
        return test

    @contextmanager
    def running(self, request: pytest.FixtureRequest, argument: Any) -> Iterator[Mapping[str, Future[None]]]:
        """Start the stories of the module's selected tests with this argument."""
        selected = [item.name for item in request.session.items if item.path == request.path and item.name in self.stories]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield {name: pool.submit(self.stories[name], argument) for name in selected}


def empty_system(site: Site) -> Kubectl:
    """Delete the namespace that deploy/ installs the operator into. Returns a kubectl for it."""
    there = Kubectl(site.kubectl.cluster, "aletheia-system")
    there("delete", "namespace", "aletheia-system", "--ignore-not-found", timeout_seconds=120)
    return there


def check_uninstalled(there: Kubectl) -> None:
    """Check that an engine has removed the operator of deploy/, and kept what evidence depends on. Then remove that too."""
    assert there("get", "deployments", "-o", "name") == ""
    kept = ("namespace/aletheia-system", "pvc/aletheia-operator-sessions", "crd/investigations.aletheia.dev")
    assert len(there("get", *kept, "-o", "name").split()) == len(kept)
    there("delete", "namespace", "aletheia-system", "--wait=false")

"""One cluster, accessed with kubectl and helm through one context of one kubeconfig only."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.demo.steps import DemoError

TIMEOUT_SECONDS = 60.0


class CommandFailed(DemoError):
    """kubectl or helm failed."""


@dataclass(frozen=True)
class Cluster:
    """The cluster of `context` in `kubeconfig`. `programs`: folders with kubectl and helm, searched before PATH."""

    kubeconfig: Path
    context: str
    programs: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @classmethod
    def named(cls, kubeconfig: Path, programs: tuple[Path, ...] = ()) -> "Cluster":
        """Return the cluster of the kubeconfig's current context; later changes of the context have no effect.

        Raises DemoError if there is no context.
        """
        if not kubeconfig.is_file():
            raise DemoError(f"there is no kubeconfig {kubeconfig}")
        context = cls(kubeconfig, "", programs)._run("kubectl", ["config", "current-context"]).strip()
        return cls(kubeconfig.resolve(), context, programs)

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = TIMEOUT_SECONDS) -> str:
        """Return the output of a kubectl command. Raises CommandFailed."""
        return self._run("kubectl", [f"--context={self.context}", *arguments], stdin, timeout)

    def helm(self, *arguments: str, stdin: str | None = None, timeout: float = TIMEOUT_SECONDS) -> str:
        """Return the output of a helm command. Raises CommandFailed."""
        return self._run("helm", [f"--kube-context={self.context}", *arguments], stdin, timeout)

    def get(self, *arguments: str) -> Any:
        """Return `kubectl get ... -o json`; None if a single object does not exist."""
        text = self.kubectl("get", *arguments, "--ignore-not-found", "--output=json")
        return json.loads(text) if text else None

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the objects of a `kubectl get` that lists."""
        found = self.get(*arguments)
        return list(found["items"]) if found else []

    def ask(self, namespace: str, service: str, path: str, parameters: Mapping[str, str | int]) -> Any:
        """GET a service's path through the API server. Returns the JSON answer."""
        proxied = f"/api/v1/namespaces/{namespace}/services/{service}/proxy{path}?{urlencode(parameters)}"
        return json.loads(self.kubectl("get", "--raw", proxied))

    def create(self, *objects: Mapping[str, Any]) -> None:
        """Create these objects by `kubectl create`. Does nothing if there are none."""
        if objects:
            self.kubectl("create", "--filename=-", stdin="\n".join(json.dumps(object) for object in objects))

    def _run(self, program: str, arguments: Sequence[str], stdin: str | None = None, timeout: float = TIMEOUT_SECONDS) -> str:
        path = os.pathsep.join([*map(str, self.programs), self.environment.get("PATH", os.defpath)])
        environment = {**self.environment, "PATH": path, "KUBECONFIG": str(self.kubeconfig)}
        command = [program, f"--kubeconfig={self.kubeconfig}", *arguments]
        shown = f"{program} {' '.join(arguments)}"
        try:
            done = subprocess.run(
                command, input=stdin, env=environment, capture_output=True, text=True, timeout=timeout, check=False
            )
        except FileNotFoundError:
            raise DemoError(f"{program} is not on PATH") from None
        except subprocess.TimeoutExpired:
            raise CommandFailed(f"{shown}: no answer within {timeout:.0f} s") from None
        if done.returncode != 0:
            raise CommandFailed(f"{shown}: {done.stderr.strip() or f'exit code {done.returncode}'}")
        return done.stdout

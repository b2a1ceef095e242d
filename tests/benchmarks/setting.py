"""Shared parts of the benchmarks that need a cluster."""

import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.cluster import provider
from tests.cluster.rig import ROOT
from tests.support.operator import Kubectl, until


def setting(stack: ExitStack, kubeconfig: Path | None, namespace: str) -> tuple[Kubectl, Path]:
    """Return a namespace of a cluster (by default a new cluster) and a directory; all are removed when the stack is closed."""
    cluster = provider.start("test", kubeconfig)
    if kubeconfig is None:
        stack.callback(cluster.stop)
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    cluster.run_kubectl("apply", "-f", str(ROOT / "crds"))
    cluster.run_kubectl("create", "namespace", namespace)
    stack.callback(cluster.run_kubectl, "delete", "namespace", namespace, timeout_seconds=600)
    kubectl = Kubectl(cluster, namespace)
    until(lambda: kubectl("get", "serviceaccounts", "-o", "name"), 30, "the namespace has its service account")
    return kubectl, directory


def at_once(commands: Sequence[Sequence[str]], paths: Sequence[Path], timeout_seconds: float) -> None:
    """Run commands at the same time, each with output to its file. Raises RuntimeError if one fails."""
    files = [path.open("wb") for path in paths]
    running = [subprocess.Popen(command, stdout=file) for command, file in zip(commands, files, strict=True)]
    for process, file in zip(running, files, strict=True):
        if process.wait(timeout_seconds) != 0:
            raise RuntimeError(f"{process.args!r} failed")
        file.close()


def timed(work: Callable[[], None]) -> float:
    """Return the seconds that a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began

"""Clusters for tests and the demo: the cluster of a given kubeconfig, kind, or the node without Docker.

A cluster is reached only by its own kubeconfig file. $KUBECONFIG and ~/.kube/config are never read. This package changes and
stops only what it started under the same name.
"""

import os
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import images, programs
from tests.cluster.rig import HERE, RigError, bin_dir, cache_dir, run, step

CONTEXT_PREFIX = "aletheia-"


@dataclass(frozen=True)
class Cluster:
    """A running cluster. `provider` is "kubeconfig", "kind" or "node"; programs and kubeconfig are absolute paths."""

    name: str
    provider: str
    kubeconfig: Path
    kubectl: Path
    helm: Path

    def load_image(self, archive: Path) -> None:
        """Load the image of this archive (Docker's format) into the cluster. Raises RigError."""
        tag, _ = images.identity(archive)
        raise RigError(
            f"{tag} cannot be loaded into the cluster of {self.kubeconfig}: push it to a registry that the cluster pulls from, "
            "and name it there"
        )

    def stop(self) -> None:
        """Stop what `start` started. Does nothing for a cluster of a given kubeconfig."""

    def run_kubectl(self, *arguments: str, stdin: str | None = None, timeout_seconds: float = 60) -> str:
        """Return kubectl's output. Raises RigError."""
        command: list[str | Path] = [self.kubectl, f"--kubeconfig={self.kubeconfig}", *arguments]
        return run(command, stdin=stdin, timeout_seconds=timeout_seconds)


@dataclass(frozen=True)
class Node(Cluster):
    """The cluster of the script `node`: one node, which workers can join."""

    def load_image(self, archive: Path) -> None:
        _load(archive, self.name)

    def stop(self) -> None:
        _node(self.name, "down")

    @property
    def inside(self) -> Sequence[str]:
        """A command that runs the command after it in the namespaces of the first node."""
        return _inside(self.name)

    def join(self, name: str) -> "Worker":
        """Boot another node, or leave a healthy one as it is. Raises RigError."""
        worker = Worker(self.name, name)
        worker.boot()
        return worker


@dataclass(frozen=True)
class Worker:
    """Another node of a `Node` cluster. `name` is unique in that cluster. Methods raise RigError."""

    cluster: str
    name: str

    @property
    def node(self) -> str:
        """Name of its Node object."""
        return f"{CONTEXT_PREFIX}{self.cluster}-{self.name}"

    @property
    def inside(self) -> Sequence[str]:
        """A command that runs the command after it in the worker's namespaces: it is cut off and killed with the worker."""
        return _inside(self.cluster, self.name)

    def boot(self) -> None:
        """Boot it, also after `kill`, and wait until it is ready. Its disk is that of before."""
        with step(f"booting worker {self.name} of node {self.cluster}"):
            _node(self.cluster, "join", self.name)

    def load_image(self, archive: Path) -> None:
        _load(archive, self.cluster, self.name)

    def cut(self) -> None:
        """Drop every packet between it and the rest of the cluster, until `mend`."""
        _node(self.cluster, "cut", self.name)

    def mend(self) -> None:
        _node(self.cluster, "mend", self.name)

    def kill(self) -> None:
        """End it at once, as a power failure does."""
        _node(self.cluster, "kill", self.name)

    def leave(self) -> None:
        """End it, and remove its state and its Node object."""
        _node(self.cluster, "leave", self.name)


@dataclass(frozen=True)
class Kind(Cluster):
    """A kind cluster, made and deleted by pytest-kind."""

    kind: Path

    def load_image(self, archive: Path) -> None:
        with step(f"loading {archive.name} into kind cluster {CONTEXT_PREFIX}{self.name}"):
            run([self.kind, "load", "image-archive", str(archive), f"--name={CONTEXT_PREFIX}{self.name}"])

    def stop(self) -> None:
        run([self.kind, "delete", "cluster", f"--name={CONTEXT_PREFIX}{self.name}", f"--kubeconfig={self.kubeconfig}"])


def start(
    name: str, kubeconfig: Path | None = None, log_max_size: str | None = None, restart_period: str | None = None
) -> Cluster:
    """Return the cluster of this kubeconfig; without it the cluster of this name, started unless it runs.

    `log_max_size`: size at which the node without Docker rotates a container's log. `restart_period`: longest delay before it
    restarts a container, for example `2s`. None: the kubelet's default.

    Raises RigError, with what is missing, if no cluster can be started.
    """
    if kubeconfig is not None:
        if not kubeconfig.is_file():
            raise RigError(f"there is no kubeconfig {kubeconfig}")
        programs.clients()
        return Cluster(name, "kubeconfig", kubeconfig.resolve(), bin_dir() / "kubectl", bin_dir() / "helm")
    if reason := missing():
        raise RigError(reason)
    return (
        _start_kind(name)
        if images.docker_answers()
        else _start_node(name, LOG_MAX_SIZE=log_max_size or "", RESTART_PERIOD=restart_period or "")
    )


def missing() -> str:
    """Return why no cluster can be started on this machine; '' if one can be."""
    if images.docker_answers():
        return ""
    release = Path("/etc/os-release")
    debian = release.exists() and re.search(r"^ID=debian$", release.read_text(), re.MULTILINE)
    lacks = [
        what
        for what, there in (
            ("Debian", debian),
            ("root", os.geteuid() == 0),
            ("Go to build its programs", (bin_dir() / "kube").exists() or shutil.which("go")),
        )
        if not there
    ]
    if not lacks:
        return ""
    return f"no Docker engine answers (kind needs one), and the node without Docker needs {', '.join(lacks)}"


def stop(name: str) -> None:
    """Stop the cluster of this name that `start` started."""
    if images.docker_answers():
        if (kubeconfig := _kind_kubeconfig(name)).exists():
            programs.build(programs.KIND)
            Kind(name, "kind", kubeconfig, bin_dir() / "kubectl", bin_dir() / "helm", bin_dir() / "kind").stop()
    else:
        _node(name, "down")


def _start_kind(name: str) -> Kind:
    from pytest_kind import KindCluster  # imported only if Docker runs, so that the demo needs no test dependency otherwise

    programs.clients()
    programs.build(programs.KIND)
    kind, kubectl = bin_dir() / "kind", bin_dir() / "kubectl"
    kubeconfig = _kind_kubeconfig(name)
    kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    with step(f"starting kind cluster {CONTEXT_PREFIX}{name}"):
        KindCluster(CONTEXT_PREFIX + name, kubeconfig, kind_path=kind, kubectl_path=kubectl).create()
    return Kind(name, "kind", kubeconfig, kubectl, bin_dir() / "helm", kind)


def _kind_kubeconfig(name: str) -> Path:
    return cache_dir() / "kind" / name / "kubeconfig"


def _start_node(name: str, **settings: str) -> Node:
    with ThreadPoolExecutor(1) as aside:
        if not (bin_dir() / "kube").exists():
            aside.submit(
                images.prepare
            )  # mostly waits for the network while Go uses the processors; a failure is tried again later
        programs.node()
    with step(f"starting node {name}"):
        kubeconfig = Path(_node(name, "up", **settings).strip())
    return Node(name, "node", kubeconfig, bin_dir() / "kubectl", bin_dir() / "helm")


def _load(archive: Path, name: str, worker: str = "") -> None:
    tag, image_id = images.identity(archive)
    present = dict(line.split() for line in _node(name, "images", WORKER=worker).splitlines())
    # containerd lists an image under its tag and under its id, with the same manifest
    if image_id not in present or present.get(tag) != present[image_id]:
        with step(f"loading {tag} into {f'worker {worker} of ' if worker else ''}node {name}"):
            _node(name, "load", str(archive), WORKER=worker)


def _inside(name: str, worker: str = "") -> Sequence[str]:
    settings = {"NODE": name, "WORKER": worker, "ALETHEIA_CACHE": str(cache_dir())}
    return ["env", *(f"{key}={value}" for key, value in settings.items()), str(HERE / "node"), "exec"]


def _node(name: str, *command: str, **env: str) -> str:
    env |= {"NODE": name, "ALETHEIA_CACHE": str(cache_dir())}
    return run([HERE / "node", *command], env=env, timeout_seconds=300)

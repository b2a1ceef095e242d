"""The programs that the rig needs: Debian packages and Go modules. Each is made once and kept in the cache.

tools/ is one Go module, so that the Kubernetes programs, kubectl, helm and stern share their compiled packages; actionlint/,
argocd/, checks/ (of the chart), flux/, hotrod/, jaeger/, loki/ and versitygw/ are separate modules, because they need other
versions of the same packages.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.rig import HERE, RigError, bin_dir, cache_dir, exclusively, run, step

GO_NEEDED = (1, 25)
KUBERNETES = "v1.34.4"
HELM = "v4.0.5"
FLUX_VERSION = "v1.9.6"
NODE_PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
    "kubectl",
)

# command -> the Debian package that has it
NODE_COMMANDS = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "ip": "iproute2",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "pgrep": "procps",
}
IMAGE_COMMANDS = {"buildah": "buildah", "mmdebstrap": "mmdebstrap"}


@dataclass(frozen=True)
class Go:
    """Programs of one Go module (a directory here), by the packages that they are built from."""

    module: str
    programs: dict[str, str]
    links: tuple[str, ...] = ()
    kubernetes: str = KUBERNETES
    """Version that Kubernetes' programs of the module report."""


KUBE = Go("tools", {"kube": ".", "helm": "helm.sh/helm/v4/cmd/helm"}, links=NODE_PROGRAMS)
CLIENTS = Go("tools", {"kubectl": "k8s.io/kubernetes/cmd/kubectl", "helm": "helm.sh/helm/v4/cmd/helm"})
KIND = Go("tools", {"kind": "sigs.k8s.io/kind"})
STERN = Go("tools", {"stern": "github.com/stern/stern"})
CHECKS = Go(
    "checks",
    {
        "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform",
        "kube-score": "github.com/zegl/kube-score/cmd/kube-score",
        "helm-docs": "github.com/norwoodj/helm-docs/cmd/helm-docs",
    },
)
API_SERVERS = {"1.34": KUBERNETES, "1.35": "v1.35.4", "1.36": "v1.36.3"}
"""Version of the API server to test with, by minor. The node has one of them; each other has a module, apiserver-MINOR/."""
JAEGER = Go("jaeger", {"jaeger": "github.com/jaegertracing/jaeger/cmd/all-in-one"})
HOTROD = Go("hotrod", {"hotrod": "github.com/jaegertracing/jaeger/examples/hotrod"})
LOKI = Go("loki", {"loki": "github.com/grafana/loki/v3/cmd/loki"})
ARGOCD = Go("argocd", {"argocd-engine": "argocd-engine"})
FLUX = Go("flux", {"kustomize-controller": "github.com/fluxcd/kustomize-controller"})
ACTIONLINT = Go("actionlint", {"actionlint": "github.com/rhysd/actionlint/cmd/actionlint"})
VERSITYGW = Go("versitygw", {"versitygw": "github.com/versity/versitygw/cmd/versitygw"})


def node() -> None:
    """Build the programs of the node without Docker, kubectl and helm."""
    debian(NODE_COMMANDS)
    busybox()
    build(KUBE)


def node_programs() -> None:
    """Build the Go programs of the node."""
    build(KUBE)


def api_server(minor: str) -> Path:
    """Build the API server of this minor, and return its path. Raises RigError for a minor without a module."""
    if minor not in API_SERVERS:
        raise RigError(f"there is no API server of Kubernetes {minor}, only {', '.join(API_SERVERS)}")
    version = API_SERVERS[minor]
    if version == KUBERNETES:
        return bin_dir() / "kube-apiserver"
    name = f"kube-apiserver-{minor}"
    build(Go(f"apiserver-{minor}", {name: "k8s.io/kubernetes/cmd/kube-apiserver"}, kubernetes=version))
    return bin_dir() / name


def clients() -> None:
    """Build kubectl and helm, for a cluster that another program runs."""
    if not (bin_dir() / "kube").exists():
        build(CLIENTS)


def debian(commands: dict[str, str]) -> None:
    """Install the packages of missing commands."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    missing = sorted({package for command, package in commands.items() if not shutil.which(command, path=path)})
    if not missing:
        return
    with exclusively("apt"), step(f"installing {' '.join(missing)}"):
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-qq"], env=quiet)
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], env=quiet)


def unpacked(package: str) -> Path:
    """Unpack a Debian package in the cache. It is not installed, because an installed server would also be started."""
    target = cache_dir() / "debian" / package
    with exclusively(f"debian-{package}"):
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with exclusively("apt"), step(f"fetching Debian's {package}"), tempfile.TemporaryDirectory(dir=target.parent) as folder:
            try:
                run(["apt-get", "download", "-qq", package], cwd=Path(folder))
            except RigError:
                run(["apt-get", "update", "-qq"])
                run(["apt-get", "download", "-qq", package], cwd=Path(folder))
            (archive,) = Path(folder).glob("*.deb")
            run(["dpkg-deb", "--extract", archive, Path(folder) / "files"])
            (Path(folder) / "files").rename(target)
    return target


def prometheus() -> tuple[Path, Path]:
    """Return the paths of prometheus and promtool: those on PATH, or Debian's."""
    found = shutil.which("prometheus"), shutil.which("promtool")
    if found[0] and found[1]:
        return Path(found[0]), Path(found[1])
    programs = unpacked("prometheus") / "usr/bin"
    return programs / "prometheus", programs / "promtool"


def flux_crds() -> list[Path]:
    """Return the files with Flux's definitions, of Kustomizations and their sources. They are part of the Go modules."""
    modules = [f"github.com/fluxcd/{name}-controller@{FLUX_VERSION}" for name in ("kustomize", "source")]
    printed = run(["go", "mod", "download", "-json", *modules], cwd=HERE / "flux")
    folders = [Path(line.split('"')[3]) / "config/crd/bases" for line in printed.splitlines() if line.startswith('\t"Dir"')]
    return sorted(path for folder in folders for path in folder.glob("*.yaml"))


def busybox() -> Path:
    """Make a root directory with busybox and its applets: the node's image for sandboxes and small pods."""
    root = cache_dir() / "busybox"
    with exclusively("busybox"):
        if root.exists():
            return root
        new = root.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        (new / "bin").mkdir(parents=True)
        (new / "tmp").mkdir()
        (new / "tmp").chmod(0o1777)
        program = shutil.copy(unpacked("busybox-static") / "bin/busybox", new / "bin")
        for applet in set(run([program, "--list"]).split()) - {"busybox"}:
            (new / "bin" / applet).symlink_to("busybox")
        new.rename(root)
    return root


def build(go: Go) -> None:
    """Build the programs unless they were already built from the same sources by the same command."""
    sources = HERE / go.module
    stamp = bin_dir() / f".{'-'.join(go.programs)}.built-from"
    command = _go_build(go.kubernetes)
    with exclusively(f"go-{go.module}"):
        wanted = _digest(sorted(sources.iterdir()), *command)
        wanted_files = [bin_dir() / name for name in (*go.programs, *go.links)]
        if all(file.exists() for file in wanted_files) and stamp.exists() and stamp.read_text() == wanted:
            return
        _check_go()
        bin_dir().mkdir(parents=True, exist_ok=True)
        with step(f"building {', '.join(go.programs)} with Go"), tempfile.TemporaryDirectory(dir=bin_dir()) as folder:
            # below 1 GiB the compiler collects no garbage: that saves a quarter of the time
            environment = {"CGO_ENABLED": "0", "GOWORK": "off", "GOGC": "off", "GOMEMLIMIT": "1GiB"}
            run([*command, "-o", f"{folder}/", *go.programs.values()], cwd=sources, env=environment, timeout_seconds=3600)
            for link in go.links:
                (Path(folder) / link).symlink_to("kube")
            for name in (*go.programs, *go.links):  # a running program's file can be replaced, but not written to
                package = go.programs.get(name, name)
                made = "kube" if package == "." else package.rsplit("/", 1)[-1]
                (Path(folder) / made).replace(bin_dir() / name)
        stamp.write_text(wanted)


def _go_build(kubernetes: str) -> list[str]:
    minor = kubernetes.split(".")[1]
    values = {
        "k8s.io/component-base/version.gitVersion": kubernetes,
        "k8s.io/component-base/version.gitMajor": "1",
        "k8s.io/component-base/version.gitMinor": minor,
        "helm.sh/helm/v4/internal/version.version": HELM,
        "helm.sh/helm/v4/internal/version.kubeClientVersionMajor": "1",
        "helm.sh/helm/v4/internal/version.kubeClientVersionMinor": minor,
        "helm.sh/helm/v4/pkg/chart/common.k8sVersionMajor": "1",
        "helm.sh/helm/v4/pkg/chart/common.k8sVersionMinor": minor,
    }
    linker = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in values.items())])
    return ["go", "build", "-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false", f"-ldflags={linker}"]


def _check_go() -> None:
    needed = f"Go {GO_NEEDED[0]}.{GO_NEEDED[1]} or newer is needed on PATH to build the cluster's programs"
    if not shutil.which("go"):
        raise RigError(needed)
    version = run(["go", "env", "GOVERSION"], cwd=HERE).strip()
    numbers = re.match(r"go(\d+)\.(\d+)", version)
    if numbers and (int(numbers[1]), int(numbers[2])) < GO_NEEDED:
        raise RigError(f"{needed}; this is {version}")


def _digest(files: Sequence[Path], *words: str) -> str:
    digest = hashlib.sha256("\0".join(words).encode())
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()

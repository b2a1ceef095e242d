"""An API server without nodes, of any minor of Kubernetes: etcd, kube-apiserver and a few controllers, on loopback.

The API server is built from its Go module (apiserver-MINOR/); etcd, the controllers and kubectl are those of the node.
"""

import contextlib
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.cluster import programs
from tests.cluster.rig import RigError, bin_dir, run, step

CONTROLLERS = (
    "namespace-controller",
    "serviceaccount-controller",
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "root-ca-certificate-publisher-controller",
)
BOOT_SECONDS = 120
KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: {name}, cluster: {{server: "https://127.0.0.1:{port}", certificate-authority: "{authority}"}}}}]
users: [{{name: {name}, user: {{token: {token}}}}}]
contexts: [{{name: {name}, context: {{cluster: {name}, user: {name}}}}}]
current-context: {name}
"""


@contextlib.contextmanager
def control_plane(minor: str, directory: Path, flags: Sequence[str] = ()) -> Iterator[Path]:
    """Run the API server of this minor ("1.35"), with its state in `directory`. Yields its kubeconfig. Raises RigError.

    `flags`: more flags of the API server.
    A minor that apiserver-MINOR/ does not exist for must be that of the node.
    """
    programs.node_programs()
    server = programs.api_server(minor)
    client, peer, secure, controllers = _free_ports(4)
    kubeconfig, token, key = directory / "kubeconfig", secrets.token_hex(16), directory / "sa.key"
    run(["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key])
    (directory / "tokens.csv").write_text(f"{token},admin,1,system:masters\n")
    etcd = f"http://127.0.0.1:{client}"
    authority = directory / "certificates" / "apiserver.crt"
    with contextlib.ExitStack() as processes:

        def start(program: Path, *flags: str) -> subprocess.Popen[bytes]:
            return processes.enter_context(_running(program, flags, directory))

        peers = (f"--listen-peer-urls=http://127.0.0.1:{peer}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}")
        start(
            bin_dir() / "etcd",
            *(f"--data-dir={directory}/etcd", "--unsafe-no-fsync", "--log-level=warn", *peers),
            *(f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}"),
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
        )
        api = start(
            server,
            *(f"--etcd-servers={etcd}", "--bind-address=127.0.0.1", f"--secure-port={secure}"),
            *(f"--cert-dir={authority.parent}", f"--token-auth-file={directory}/tokens.csv", "--authorization-mode=RBAC"),
            *("--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}"),
            *(f"--service-account-signing-key-file={key}", "--service-cluster-ip-range=10.0.0.0/24"),
            "--endpoint-reconciler-type=none",
            *flags,
        )
        kubeconfig.write_text(KUBECONFIG.format(name=f"aletheia-{minor}", port=secure, authority=authority, token=token))
        with step(f"starting the API server of Kubernetes {minor}"):
            _wait(kubeconfig, api, directory / f"{server.name}.log")
        start(
            bin_dir() / "kube-controller-manager",
            *(f"--kubeconfig={kubeconfig}", "--leader-elect=false", f"--controllers={','.join(CONTROLLERS)}"),
            *("--bind-address=127.0.0.1", f"--secure-port={controllers}", f"--cert-dir={directory}/controllers"),
            *(f"--service-account-private-key-file={key}", f"--root-ca-file={authority}"),
        )
        yield kubeconfig


@contextlib.contextmanager
def _running(program: Path, flags: Sequence[str], directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process until the end of the context. Its output goes to NAME.log in `directory`."""
    with (directory / f"{program.name}.log").open("wb") as log:
        process = subprocess.Popen([program, *flags], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(kubeconfig: Path, api: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the API server is ready. Raises RigError with the end of its log."""
    deadline = time.monotonic() + BOOT_SECONDS
    while True:
        try:
            run([bin_dir() / "kubectl", f"--kubeconfig={kubeconfig}", "get", "--raw", "/readyz"], timeout_seconds=10)
            return
        except RigError as e:
            if api.poll() is None and time.monotonic() < deadline:
                time.sleep(0.2)
                continue
            end = "\n".join(log.read_text().splitlines()[-10:])
            raise RigError(f"the API server is not ready: {e}\n{end}") from e


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for listening in sockets:
            listening.bind(("127.0.0.1", 0))
        return [int(listening.getsockname()[1]) for listening in sockets]

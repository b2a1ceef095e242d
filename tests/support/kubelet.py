"""A kubelet that misbehaves on purpose: an HTTPS server with a Node in the real cluster.

It serves a kubelet's endpoints for logs: `/containerLogs/{namespace}/{pod}/{container}`, which the API server asks for
`pods/log`, and `/logs/pods/{namespace}_{pod}_{uid}/{container}/`, the files. Its pods do not run: the test sets their status.
"""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote, unquote

import yaml
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.cluster.provider import Cluster
from tests.cluster.rig import RigError
from tests.support.http import serving
from tests.support.operator import Kubectl, container, pod

HEARTBEAT_SECONDS = 10.0  # as a kubelet's

Log = Callable[[web.Request], AsyncGenerator[bytes, None]]
"""Yields the answer in pieces. Raising `Cut` breaks the connection; an HTTPException before the first piece is the answer."""


class Cut(Exception):
    """The connection breaks here."""


def stamped(texts: Iterable[bytes], start: datetime, step: timedelta = timedelta(milliseconds=1)) -> list[bytes]:
    """Return lines with their times, as in the pods/log API."""
    return [f"{start + number * step:%Y-%m-%dT%H:%M:%S.%f}000Z ".encode() + text for number, text in enumerate(texts)]


def in_file(lines: Iterable[bytes]) -> bytes:
    """Return the same lines in the format of a file on the node."""
    return b"".join(line.replace(b" ", b" stdout F ", 1) + b"\n" for line in lines)


def since(lines: Sequence[bytes], request: web.Request) -> bytes:
    """Return the part of the lines that the request asks for, as a kubelet answers."""
    start = request.query.get("sinceTime", "").removesuffix("Z").encode()
    chosen = [line for line in lines if line >= start]
    if "tailLines" in request.query:
        chosen = chosen[-int(request.query["tailLines"]) :]
    content = b"".join(line + b"\n" for line in chosen)
    return content[: int(request.query.get("limitBytes", len(content)))]


def whole(lines: Sequence[bytes]) -> Log:
    """Return a log that serves these lines as a kubelet does."""

    async def answer(request: web.Request) -> AsyncGenerator[bytes, None]:
        yield since(lines, request)

    return answer


@dataclass
class FakeKubelet:
    """`logs` are by `pod/container`, files by `pod/container` and name. `asked` has the path of every request."""

    kubectl: Kubectl
    node: str
    logs: dict[str, Log] = field(default_factory=dict)
    files: dict[str, dict[str, bytes | Log]] = field(default_factory=dict)
    listing: Callable[[str], None] = lambda directory: None
    """Called before a directory is listed."""
    asked: list[str] = field(default_factory=list)

    def run(self, name: str, logs: dict[str, Log], started: datetime) -> None:
        """Create a pod on this node with these containers, which run since `started`."""
        self.run_many({name: logs}, started)

    def run_many(self, pods: dict[str, dict[str, Log]], started: datetime, labels: dict[str, str] | None = None) -> None:
        """Create pods on this node, each with the logs of its containers."""
        tolerations = [{"operator": "Exists"}]
        running = {"running": {"startedAt": f"{started:%Y-%m-%dT%H:%M:%SZ}"}}
        common = {"image": "none", "imageID": "none", "ready": True, "restartCount": 0, "state": running}
        resources, statuses = [], []
        for name, logs in pods.items():
            self.logs |= {f"{name}/{path}": log for path, log in logs.items()}
            containers = [container(app, "") for app in logs]
            resources.append(pod(name, "", labels, nodeName=self.node, tolerations=tolerations, containers=containers))
            ids = {app: f"none://{name}/{app}" for app in logs}
            status = {
                "phase": "Running",
                "containerStatuses": [{"name": app, "containerID": ids[app], **common} for app in logs],
            }
            metadata = {"name": name, "namespace": self.kubectl.namespace}
            statuses.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status})
        self.kubectl.apply(*resources, timeout_seconds=300)
        of_status = ("--server-side", "--subresource=status", "-f", "-")
        items = json.dumps({"apiVersion": "v1", "kind": "List", "items": statuses})
        self.kubectl("apply", *of_status, stdin=items, timeout_seconds=300)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request of the API server or the operator."""
        self.asked.append(request.path)
        kind, *rest = [unquote(part) for part in request.rel_url.raw_path.strip("/").split("/")]
        if kind == "containerLogs":
            if request.query.get("previous") == "true":  # no container of this kubelet has restarted
                text = f'previous terminated container "{rest[-1]}" in pod "{rest[1]}" not found'
                return web.Response(status=400, text=text)
            log = self.logs.get("/".join(rest[1:]))
            return await _stream(request, log) if log else web.Response(status=404)
        if kind != "logs" or len(rest) < 3:
            return web.Response(status=404)
        directory = f"{rest[1].split('_')[1]}/{rest[2]}"
        if len(rest) == 3:
            self.listing(directory)
        files = self.files.get(directory)
        if files is None:
            return web.Response(status=404)
        if len(rest) == 3:
            links = "".join(f'<a href="{quote(name)}">{name}</a>\n' for name in sorted(files))
            return web.Response(text=f"<pre>\n{links}</pre>\n", content_type="text/html")
        content = files.get(rest[3])
        if not isinstance(content, bytes):
            return await _stream(request, content) if content else web.Response(status=404)
        part = content[request.http_range]
        if "Range" not in request.headers:
            return web.Response(body=part)
        start = request.http_range.start or 0
        headers = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(content)}"}
        return web.Response(status=206, body=part, headers=headers)


async def _stream(request: web.Request, log: Log) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
    with suppress(ConnectionError):  # the client has read enough
        async with aclosing(log(request)) as pieces:
            try:
                async for piece in pieces:
                    if not answer.prepared:
                        await answer.prepare(request)
                    await answer.write(piece)
                    await asyncio.sleep(0)  # a write that does not have to wait does not notice a closed connection
                    if request.transport is None:
                        break
            except Cut:
                if not answer.prepared:
                    await answer.prepare(request)
                if request.transport is not None:
                    request.transport.abort()
    if not answer.prepared:
        await answer.prepare(request)
    return answer


@contextmanager
def fake_kubelet(kubectl: Kubectl, directory: Path, node: str = "fake-kubelet") -> Iterator[FakeKubelet]:
    """Run a kubelet until the context ends, with a Node that runs only pods with its name in the spec."""
    kubelet = FakeKubelet(kubectl, node)
    address = address_towards(kubectl.cluster)
    with serving(_serving_certificate(kubectl.cluster, address, directory), address) as serve:
        port = int(serve(kubelet.answer).rpartition(":")[2])
        taint = {"key": "aletheia.dev/fake", "effect": "NoSchedule"}
        kubectl.apply(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}, "spec": {"unschedulable": True, "taints": [taint]}}
        )
        try:
            status = {
                "addresses": [{"type": "InternalIP", "address": address}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            }
            kubectl("patch", "node", node, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
            with _heartbeat(kubectl.cluster, node):
                yield kubelet
        finally:
            kubectl(
                "delete", "pods", f"--field-selector=spec.nodeName={node}", "--grace-period=0", "--force", timeout_seconds=600
            )
            kubectl("delete", "node", node)


@contextmanager
def _heartbeat(cluster: Cluster, node: str) -> Iterator[None]:
    """Renew the node's Lease within the context. Without it the control plane takes the node for lost after a minute.

    As a kubelet does, it tries again later if the API server does not answer.
    """
    ended = threading.Event()
    kubectl = Kubectl(cluster, "kube-node-lease")

    def renew() -> None:
        spec = {
            "holderIdentity": node,
            "leaseDurationSeconds": 40,
            "renewTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        }
        kubectl.apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": node}, "spec": spec})

    def keep() -> None:
        while not ended.wait(HEARTBEAT_SECONDS):
            with suppress(RigError):
                renew()

    renew()
    renewing = threading.Thread(target=keep)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        kubectl("delete", "lease", node, "--ignore-not-found")


def address_towards(cluster: Cluster) -> str:
    """Return this machine's address as the API server sees it."""
    server = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    host, _, port = server.removeprefix("https://").rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, int(port)))
        return str(probe.getsockname()[0])


def _serving_certificate(cluster: Cluster, address: str, directory: Path) -> ssl.SSLContext:
    """Make a certificate for this address, signed by the rig's CA; in other clusters self-signed, as most kubelets' are."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake-kubelet")])
    issuer, issuer_key = name, key
    pki = cluster.kubeconfig.parent / "pki"
    if (pki / "ca.key").exists():
        issuer = x509.load_pem_x509_certificate((pki / "ca.crt").read_bytes()).subject
        loaded = serialization.load_pem_private_key((pki / "ca.key").read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        issuer_key = loaded
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    pem = directory / "fake-kubelet.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    return context

"""Prometheus, Jaeger with its example application, Loki and an S3 server, as processes or as pods.

Each process listens on free ports of one address, keeps its files in the given directory, and is killed when its context ends.
"""

import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from tests.cluster import programs
from tests.cluster.provider import Cluster
from tests.cluster.rig import HERE, RigError, bin_dir, run

START_SECONDS = 120.0
NOTHING_TO_SCRAPE = "global: {scrape_interval: 1s}\n"

_direct = build_opener(ProxyHandler({}))  # the machine's proxy cannot reach these servers


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus; `url` has no slash at its end."""

    url: str


@dataclass(frozen=True)
class Jaeger:
    """A running Jaeger: `url` is its query API, `otlp_url` takes spans by OTLP/HTTP."""

    url: str
    otlp_url: str

    def send(self, document: Mapping[str, Any]) -> None:
        """Store the spans of an OTLP/JSON document ({"resourceSpans": [...]}). Raises RigError when Jaeger refuses it."""
        body = json.dumps(document).encode()
        request = Request(f"{self.otlp_url}/v1/traces", body, {"Content-Type": "application/json"})
        try:
            with _direct.open(request, timeout=10):
                pass
        except URLError as e:
            raise RigError(f"Jaeger does not take the spans: {e}") from e


@contextmanager
def prometheus(
    directory: Path,
    *,
    config: str = NOTHING_TO_SCRAPE,
    openmetrics: str | None = None,
    address: str = "127.0.0.1",
    flags: Sequence[str] = (),
    path: str = "",
) -> Iterator[Prometheus]:
    """Run Prometheus with this configuration and these samples (OpenMetrics text with timestamps, ending in # EOF).

    `path`: prefix of its URLs, if the flags set one.
    """
    program, promtool = programs.prometheus()
    directory.mkdir(parents=True, exist_ok=True)
    config_file, data = directory / "prometheus.yml", directory / "data"
    config_file.write_text(config)
    if openmetrics is not None:
        samples = directory / "samples.openmetrics"
        samples.write_text(openmetrics)
        run([promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", samples, data])
    with free_ports(address, 1) as (port,):
        url = f"http://{address}:{port}{path}"
        command = [
            str(program),
            f"--config.file={config_file}",
            f"--storage.tsdb.path={data}",
            f"--web.listen-address={address}:{port}",
        ]
        # keeps samples of any age: a test's history may be long ago
        command += ["--storage.tsdb.retention.time=100y", *flags]
    with process(command, directory / "prometheus.log", lambda: answers(f"{url}/-/ready")):
        yield Prometheus(url)


@contextmanager
def jaeger(directory: Path, *, address: str = "127.0.0.1", flags: Sequence[str] = ()) -> Iterator[Jaeger]:
    """Run Jaeger with its traces in memory."""
    programs.build(programs.JAEGER)
    directory.mkdir(parents=True, exist_ok=True)
    listeners = (
        "query.http-server.host-port",
        "collector.otlp.http.host-port",
        "admin.http.host-port",
        "query.grpc-server.host-port",
        "collector.otlp.grpc.host-port",
        "collector.http-server.host-port",
        "collector.grpc-server.host-port",
        "http-server.host-port",
        "processor.jaeger-compact.server-host-port",
        "processor.jaeger-binary.server-host-port",
        "processor.zipkin-compact.server-host-port",
    )
    with free_ports(address, len(listeners)) as ports:
        at = dict(zip(listeners, ports, strict=True))
        command = [str(bin_dir() / "jaeger"), *(f"--{name}={address}:{port}" for name, port in at.items()), *flags]
    query, otlp, admin = (f"http://{address}:{port}" for port in ports[:3])
    with process(command, directory / "jaeger.log", lambda: answers(f"{admin}/") and answers(f"{query}/api/services")):
        yield Jaeger(query, otlp)


@dataclass(frozen=True)
class HotRod:
    """Jaeger's example application, instrumented with OpenTelemetry: four services in one process; its log has trace ids."""

    url: str
    log: Path

    def get(self, path: str) -> None:
        """Send one request of a customer. Raises URLError if it is refused."""
        with _direct.open(f"{self.url}{path}", timeout=30):
            pass


@contextmanager
def hotrod(directory: Path, jaeger: Jaeger, *, address: str = "127.0.0.1") -> Iterator[HotRod]:
    """Run HotROD, which sends its spans to this Jaeger. It listens on all addresses."""
    programs.build(programs.HOTROD)
    directory.mkdir(parents=True, exist_ok=True)
    services = ("frontend", "customer", "driver", "route")
    with free_ports(address, len(services)) as ports:
        options = [f"--{name}-service-port={port}" for name, port in zip(services, ports, strict=True)]
    url, log = f"http://{address}:{ports[0]}", directory / "hotrod.log"
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.otlp_url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    command = [str(bin_dir() / "hotrod"), "all", *options]
    with process(command, log, lambda: answers(f"{url}/metrics"), environment):
        yield HotRod(url, log)


LOKI = """
auth_enabled: true
server: {{http_listen_address: {address}, http_listen_port: {http}, grpc_listen_address: {address}, grpc_listen_port: {grpc}}}
common:
  instance_addr: {address}
  path_prefix: {directory}
  replication_factor: 1
  ring: {{instance_addr: {address}, kvstore: {{store: inmemory}}}}
  storage: {{filesystem: {{chunks_directory: {directory}/chunks, rules_directory: {directory}/rules}}}}
memberlist: {{bind_addr: [{address}], bind_port: {gossip}}}
schema_config:
  configs:
    - {{from: 2020-01-01, store: tsdb, object_store: filesystem, schema: v13, index: {{prefix: index_, period: 24h}}}}
limits_config: {{reject_old_samples: false, allow_structured_metadata: false}}
analytics: {{reporting_enabled: false}}
"""


@dataclass(frozen=True)
class Loki:
    """A running Loki for several tenants."""

    url: str

    def push(self, tenant: str, streams: Sequence[Mapping[str, Any]]) -> None:
        """Store lines: {"stream": labels, "values": [[nanoseconds, line], ...]}. Raises RigError if Loki refuses them."""
        body = json.dumps({"streams": streams}).encode()
        headers = {"Content-Type": "application/json", "X-Scope-OrgID": tenant}
        try:
            with _direct.open(Request(f"{self.url}/loki/api/v1/push", body, headers), timeout=10):
                pass
        except URLError as e:
            raise RigError(f"Loki does not take the lines: {e}") from e

    def flush(self) -> None:
        """Write the lines to the store: Loki finds lines of earlier days only there."""
        with _direct.open(Request(f"{self.url}/flush", method="POST"), timeout=30):
            pass


@contextmanager
def loki(directory: Path, *, address: str = "127.0.0.1") -> Iterator[Loki]:
    """Run Loki with its files in the directory."""
    programs.build(programs.LOKI)
    directory.mkdir(parents=True, exist_ok=True)
    with free_ports(address, 3) as (http, grpc, gossip):
        settings = LOKI.format(address=address, http=http, grpc=grpc, gossip=gossip, directory=directory)
    config = directory / "loki.yaml"
    config.write_text(settings)
    url = f"http://{address}:{http}"
    command = [str(bin_dir() / "loki"), f"-config.file={config}", "-target=all"]
    with process(command, directory / "loki.log", lambda: answers(f"{url}/ready")):
        yield Loki(url)


@dataclass(frozen=True)
class S3:
    """A running S3 server (versitygw): a bucket is a folder of `directory`, an object a file in it."""

    url: str
    directory: Path
    access_key: str = "an-access-key"
    secret_key: str = "a-secret-key-0123456789"

    def bucket(self, name: str) -> Path:
        """Make a bucket, and return its folder."""
        (self.directory / name).mkdir()
        return self.directory / name


@contextmanager
def s3(
    directory: Path, *, address: str = "127.0.0.1", flags: Sequence[str] = (), tls: ssl.SSLContext | None = None
) -> Iterator[S3]:
    """Run an S3 server with its objects below the directory. `tls`: use https and trust the certificate of the flags."""
    programs.build(programs.VERSITYGW)
    objects = directory / "objects"
    objects.mkdir(parents=True, exist_ok=True)
    with free_ports(address, 1) as (port,):
        server = S3(f"http{'s' if tls else ''}://{address}:{port}", objects)
    keys = ["--access", server.access_key, "--secret", server.secret_key]
    command = [str(bin_dir() / "versitygw"), "--port", f"{address}:{port}", *keys, "--health", "/health", *flags]
    with process([*command, "posix", str(objects)], directory / "versitygw.log", lambda: answers(f"{server.url}/health", tls)):
        yield server


@contextmanager
def process(
    command: Sequence[str], log: Path, ready: Callable[[], bool], env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the context ends; enter it when the server is ready. Raises RigError with the end of its log."""
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env) as server,
    ):
        try:
            deadline = time.monotonic() + START_SECONDS
            while not ready():
                if server.poll() is not None or time.monotonic() > deadline:
                    end = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
                    raise RigError(f"{Path(command[0]).name} did not get ready:\n{end}")
                time.sleep(0.05)
            yield server
        finally:
            server.kill()  # none of its data is kept, and Jaeger takes seconds to end gracefully


@contextmanager
def free_ports(address: str, count: int) -> Iterator[list[int]]:
    """Yield `count` free ports; they stay reserved until the context ends, so they are all different."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for listening in sockets:
            listening.bind((address, 0))
        yield [listening.getsockname()[1] for listening in sockets]


def answers(url: str, tls: ssl.SSLContext | None = None) -> bool:
    """Return whether the server answers this GET with success."""
    try:
        with (build_opener(ProxyHandler({}), HTTPSHandler(context=tls)) if tls else _direct).open(url, timeout=2):
            return True
    except OSError:
        return False


def deploy(cluster: Cluster, namespace: str) -> None:
    """Run both servers as pods in a namespace that exists; the cluster needs the image SERVERS. Returns when they are ready."""
    manifests = [f"--filename={HERE / 'servers' / name}" for name in ("prometheus.yaml", "jaeger.yaml")]
    cluster.run_kubectl("apply", f"--namespace={namespace}", *manifests)
    for name in ("prometheus", "jaeger"):
        cluster.run_kubectl(
            "rollout", "status", f"deployment/{name}", f"--namespace={namespace}", "--timeout=90s", timeout_seconds=100
        )

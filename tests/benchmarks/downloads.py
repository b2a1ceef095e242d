"""50 downloads at the same time beside a capture: `python -m tests.benchmarks.downloads`.

In pairs: a capture of logs alone, then the same capture while 50 clients download from the artifacts API over TLS. Log source,
capture, artifacts API and clients share the processors of this machine, so the cost of the clients counts as well.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from aletheia_operator.fetchers import FETCHERS
from aletheia_operator.investigate import investigate
from aletheia_operator.logs.pool import Parsers
from aletheia_operator.serve.speed import SpeedLimit
from tests.benchmarks.capturing import peak_mb
from tests.benchmarks.fetching import UNLIMITED
from tests.benchmarks.sessions import SESSION, make_session
from tests.cluster import programs
from tests.unit.artifacts_server import ALICE, serving, sessions
from tests.unit.fakes import make_order, make_pod, make_tools
from tests.unit.kubernetes_api import CORE, KubernetesApi
from tests.unit.loopback import Request

DOWNLOADS = 50
MEGABYTES = 10
BEGUN_BYTES = 100_000_000
"""After so many bytes all clients have connected, and the limit of the speed has begun."""
PATH = "data/logs/kubernetes_large.json"
PODS = 4
LINES = 400_000
LINE = (
    b"2026-11-22T11:59:00.000000000Z 2026-11-22 11:59:00,123 INFO  [worker-3] org.example.shop.Checkout: order 4711 of user\n"
)
LIMITS = {"bytesPerContainer": "8Gi", "bytesPerInvestigation": "100Gi"}
MOST_SLOWDOWN = 0.1
MOST_MB = 256


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.downloads", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--unlimited", action="store_true", help="serve as fast as possible")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--capture", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve, Counted(UNLIMITED if options.unlimited else None)))
        return 0
    if options.capture is not None:
        print(asyncio.run(capture(options.capture)))
        return 0
    programs.debian({"curl": "curl"})
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder), ["--unlimited"] if options.unlimited else []) as server:
        return compare(server, options.rounds)


def compare(server: "Server", rounds: int) -> int:
    """Capture in turns alone and beside downloads, and print the times. Returns 1 over a limit."""
    alone: list[float] = []
    beside: list[float] = []
    found: list[Downloads] = []
    for _ in range(rounds):
        alone.append(captured())
        with server.downloads() as downloads:
            beside.append(captured())
        found.append(downloads)
    mb, speeds = found[-1].mb, [downloads.megabytes_a_second for downloads in found]
    ratios = [slow / fast - 1 for fast, slow in zip(alone, beside, strict=True)]
    slowdown = statistics.median(ratios)
    print(f"seconds of a capture alone: {_shown(alone)}; beside {DOWNLOADS} downloads: {_shown(beside)}")
    costs = [downloads.seconds_a_gb for downloads in found]
    print(f"MB/s of the downloads: {_shown(speeds)}; processor time of their server, s a GB: {_shown(costs)}")
    print(f"memory of the server: {mb:.0f} MB (at most {MOST_MB})")
    print(
        f"slowdown: {slowdown:.1%} (at most {MOST_SLOWDOWN:.0%}); of each pair: {', '.join(f'{each:.1%}' for each in ratios)}"
    )
    return 0 if slowdown <= MOST_SLOWDOWN and mb <= MOST_MB else 1


def captured() -> float:
    """Capture the logs of some pods in a process of its own. Returns the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.benchmarks.downloads", f"--capture={folder}"]
        return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


class Source(KubernetesApi):
    """The Kubernetes API with some pods, each with a long log."""

    def __init__(self) -> None:
        super().__init__({f"{CORE}/pods/web-{number}": make_pod(f"web-{number}") for number in range(PODS)})
        for pod in self.objects.values():
            assert not isinstance(pod, int)
            pod["metadata"]["creationTimestamp"] = "2026-11-22T11:00:00Z"

    def _answer(self, request: Request) -> None:
        if not request.path.partition("?")[0].endswith("/log"):
            super()._answer(request)
            return
        request.head(200)
        block = LINE * 1000
        for _ in range(LINES // 1000):
            request.wfile.write(block)


async def capture(folder: Path) -> float:
    """Capture once. Returns the seconds."""
    order = make_order(targets=[{"pod": f"web-{number}"} for number in range(PODS)], logs={"limits": LIMITS})
    async with Source().serve() as kubernetes:
        tools = make_tools(folder, *FETCHERS, kubernetes=kubernetes, parsers=Parsers(), max_artifact_bytes=2**40)
        began = time.perf_counter()
        manifest = (await investigate(order, tools, lambda snapshot: None)).manifest
        seconds = time.perf_counter() - began
        await tools.parsers.close()
    lines = sum(artifact.count for artifact in manifest.artifacts if artifact.fetcher == "KubernetesLogs")
    assert lines == PODS * LINES, (manifest.phase, lines, manifest.gaps)
    return seconds


class Counted(SpeedLimit):
    """A limit that knows how much was sent."""

    sent = 0

    async def wait(self, size: int) -> None:
        self.sent += size
        await super().wait(size)


async def serve(folder: Path, speed_limit: Counted) -> None:
    """Serve one session. Prints its address, and for each line of standard input bytes sent, processor time, memory in MB."""
    async with serving(folder, speed_limit) as api:
        make_session(api.root / "sessions" / SESSION, {PATH: MEGABYTES})
        (folder / "ca.pem").write_text(api.serving.pem)
        certificate = str(api.front_proxy.server(folder, "front-proxy"))
        print(json.dumps({"port": api.server.port, "certificate": certificate}), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(speed_limit.sent, time.process_time(), peak_mb(), flush=True)


@dataclass
class Downloads:
    """What some downloads had cost when they ended. `mb`: peak memory of the server; `seconds_a_gb`: its processor time."""

    megabytes_a_second: float = 0.0
    seconds_a_gb: float = 0.0
    mb: float = 0.0


class Server:
    """The artifacts API in a process of its own."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self._folder = folder
        command = [sys.executable, "-m", "tests.benchmarks.downloads", f"--serve={folder}", *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "Server":
        assert self._process.stdout is not None
        self._about = orjson.loads(self._process.stdout.readline())
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()

    def spent(self) -> tuple[int, float, float]:
        """Return the bytes that were sent until now, the processor time in seconds, and the peak memory in MB."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        sent, seconds, mb = self._process.stdout.readline().split()
        return int(sent), float(seconds), float(mb)

    @contextmanager
    def downloads(self) -> Iterator[Downloads]:
        """Download with 50 clients, again and again, within the context. All have connected when it begins."""
        url = f"https://127.0.0.1:{self._about['port']}{sessions()}/{SESSION}/files/{PATH}?[1-1000000]"
        limits = ["--parallel", "--parallel-max", str(DOWNLOADS), "--parallel-immediate", "--no-progress-meter"]
        keys = ["--cacert", f"{self._folder / 'ca.pem'}", "--cert", self._about["certificate"]]
        headers = [word for name, value in ALICE.items() for word in ("--header", f"{name}: {value}")]
        command = ["curl", "--fail", *limits, *keys, *headers, "--output", "/dev/null", url]
        found, at_first = Downloads(), self.spent()[0]
        with subprocess.Popen(command) as clients:
            try:
                while self.spent()[0] - at_first < BEGUN_BYTES:
                    time.sleep(0.1)
                began, (sent_before, seconds_before, _) = time.perf_counter(), self.spent()
                yield found
                assert clients.poll() is None, "the downloads have ended early"
                sent, seconds, found.mb = self.spent()
                found.megabytes_a_second = (sent - sent_before) / 1e6 / (time.perf_counter() - began)
                found.seconds_a_gb = (seconds - seconds_before) / (sent - sent_before) * 1e9
            finally:
                clients.terminate()


def _shown(numbers: list[float]) -> str:
    return ", ".join(f"{number:.1f}" for number in numbers)


if __name__ == "__main__":
    sys.exit(main())

"""Cost of 50 downloads at the same time for a capture: `python -m tests.benchmarks.downloads`.

A process serves a session over TLS to 50 clients. Its processor time per gigabyte, at the speed of an API server, is not
available to a capture on the same two cores. Its memory must stay flat.
"""

import argparse
import asyncio
import json
import resource
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

import aiohttp

from aletheia_operator.session import InvestigationReference
from tests.benchmarks.capturing import peak_mb
from tests.support.captures import Memory, capture
from tests.unit.artifacts_server import ALICE, listed, serving, sessions

DOWNLOADS = 50
MEGABYTES = 40
PASSED_ON_MB_A_SECOND = 60
"""Speed of a kube-apiserver on two cores (`kubectl get --raw`)."""
CORES = 2
MOST_SHARE = 0.1
MOST_MB = 256


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.downloads", description=__doc__)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.benchmarks.downloads", "--serve", folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdin is not None and server.stdout is not None
            served = asyncio.run(download(json.loads(server.stdout.readline())))
            server.stdin.close()
            spent = json.loads(server.stdout.readline())
    seconds_a_gb = spent["seconds"] / (served / 1e9)
    share = seconds_a_gb * PASSED_ON_MB_A_SECOND / 1000 / CORES
    print(f"{DOWNLOADS} downloads of {MEGABYTES} MB: {seconds_a_gb:.2f} s of processor time a GB")
    print(f"memory: {spent['mb']:.0f} MB (at most {MOST_MB})")
    print(f"at {PASSED_ON_MB_A_SECOND} MB/s: {share:.1%} of {CORES} cores (at most {MOST_SHARE:.0%})")
    return 0 if share <= MOST_SHARE and spent["mb"] <= MOST_MB else 1


async def serve(folder: Path) -> None:
    """Serve one session until standard input ends. Prints its address, and at the end its cost."""
    async with serving(folder) as api:
        batches = [[{"line": "x" * 1_000_000}]] * MEGABYTES
        owner = InvestigationReference(namespace="shop", name="payments", uid="uid-1")
        result = await asyncio.to_thread(capture, api.root, Memory({"large": batches}), owner=owner)
        path = max((artifact["sizeBytes"], path) for path, artifact in listed(Path(result.path)).items())[1]
        certificate = str(api.front_proxy.server(folder, "front-proxy"))
        before = _seconds()
        about = {"port": api.server.port, "ca": api.serving.pem, "certificate": certificate, "path": path}
        print(json.dumps(about), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        print(json.dumps({"seconds": _seconds() - before, "mb": peak_mb()}), flush=True)


async def download(about: dict[str, str]) -> int:
    """Download the file with 50 clients at the same time. Returns the total of bytes."""
    context = ssl.create_default_context(cadata=about["ca"])
    context.load_cert_chain(about["certificate"])
    connector = aiohttp.TCPConnector(ssl=context, limit=DOWNLOADS)
    address = f"https://127.0.0.1:{about['port']}{sessions()}/payments/files/{about['path']}"
    async with aiohttp.ClientSession(connector=connector) as client, asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_download(client, address)) for _ in range(DOWNLOADS)]
    return sum(task.result() for task in running)


async def _download(client: aiohttp.ClientSession, address: str) -> int:
    size = 0
    async with client.get(address, headers=ALICE) as answer:
        answer.raise_for_status()
        async for block in answer.content.iter_any():
            size += len(block)
    return size


def _seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())

"""`fetch` compared with curl, through a real API server: `python -m tests.benchmarks.fetching`.

Both download the same file of the artifacts API from a kube-apiserver, in turns. `fetch` also compares the digest and syncs the
file. Client, API server and artifacts API share the processors of this machine.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from aletheia_operator.api.paths import ARTIFACTS_ROOT
from aletheia_operator.serve.speed import SpeedLimit
from tests.benchmarks.sessions import SESSION, make_session
from tests.cluster import programs
from tests.cluster.control_plane import control_plane
from tests.cluster.rig import bin_dir, run
from tests.support.operator import until
from tests.unit.artifacts_server import serving

LEAST_RATIO = 0.7
UNLIMITED = 1e12
"""Bytes a second. The limit of the artifacts API would hide what `fetch` costs."""
CUT = (18, 56, 92)
"""curl's exit codes for an answer that was cut: the API server ends each answer after 60 s."""
LARGE = "data/logs/kubernetes_large.json"
MINOR = "1.34"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fetching", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve, options.megabytes))
        return 0
    programs.debian({"curl": "curl"})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        served = stack.enter_context(served_session(folder, options.megabytes))
        (folder / "api").mkdir()
        flags = (
            f"--requestheader-client-ca-file={served['authority']}",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={served['certificate']}",
            f"--proxy-client-key-file={served['certificate']}",
        )
        kubeconfig = stack.enter_context(control_plane(MINOR, folder / "api", flags))
        register(kubeconfig, int(served["port"]))
        return compare(Bench(kubeconfig, folder), options.megabytes, options.rounds)


async def serve(folder: Path, megabytes: int) -> None:
    """Serve one session until standard input ends. Prints what the API server needs to know."""
    async with serving(folder, SpeedLimit(UNLIMITED)) as api:
        make_session(api.root / "sessions" / SESSION, {LARGE: megabytes}, "default")
        authority = folder / "front-proxy-ca.pem"
        authority.write_text(api.front_proxy.pem)
        certificate = api.front_proxy.server(folder, "front-proxy")
        print(json.dumps({"port": api.server.port, "authority": str(authority), "certificate": str(certificate)}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextmanager
def served_session(folder: Path, megabytes: int) -> Iterator[dict[str, str]]:
    """Run `serve` in another process. Yields what it prints."""
    command = [sys.executable, "-m", "tests.benchmarks.fetching", f"--serve={folder}", f"--megabytes={megabytes}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None and server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.stdin.close()


def register(kubeconfig: Path, port: int) -> None:
    """Register the artifacts API with the API server, and wait until it is available."""
    version = "v1alpha1"
    group = ARTIFACTS_ROOT.split("/")[2]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "artifacts", "namespace": "default"},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
    }
    registered = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}"},
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": 1000,
            "versionPriority": 15,
            "insecureSkipTLSVerify": True,
            "service": {"name": "artifacts", "namespace": "default", "port": port},
        },
    }
    kubectl: list[str | Path] = [bin_dir() / "kubectl", f"--kubeconfig={kubeconfig}"]
    run([*kubectl, "apply", "-f", "-"], stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": [service, registered]}))
    names: list[str | Path] = [
        *kubectl,
        "get",
        "apiservice",
        f"{version}.{group}",
        "-o=jsonpath={.status.conditions[0].status}",
    ]
    until(lambda: run(names) == "True", 60, "the artifacts API is available")


@dataclass(frozen=True)
class Bench:
    """An API server with the artifacts API. Downloads go to `folder`."""

    kubeconfig: Path
    folder: Path

    def curl(self) -> None:
        """Download the file, and continue each time the API server has ended the answer. Raises CalledProcessError."""
        config = yaml.safe_load(self.kubeconfig.read_text())
        server, headers, file = config["clusters"][0]["cluster"], self.folder / "headers", self.folder / "large"
        headers.write_text(f"Authorization: Bearer {config['users'][0]['user']['token']}\n")
        url = f"{server['server']}{ARTIFACTS_ROOT}/namespaces/default/sessions/{SESSION}/files/{LARGE}"
        command = ["curl", "-sS", "--fail", "--cacert", server["certificate-authority"], "--header", f"@{headers}"]
        while True:
            done = subprocess.run([*command, "-C", "-", "-o", str(file), url], check=False)
            if done.returncode not in CUT:
                file.unlink()  # `fetch` removes its copy, too: both write to memory that was used before
                return done.check_returncode()

    def fetch(self) -> None:
        """Download the session into a new folder. Raises CalledProcessError."""
        root = tempfile.mkdtemp(dir=self.folder)
        program = [sys.executable, "-m", "aletheia_operator.cli", f"--kubeconfig={self.kubeconfig}", "--namespace=default"]
        path = f"{bin_dir()}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path}
        subprocess.run([*program, "fetch", "large", f"--root={root}"], check=True, stdout=subprocess.DEVNULL, env=environment)
        run(["rm", "-r", root])


def compare(bench: Bench, megabytes: int, rounds: int) -> int:
    """Download in turns, and print the speeds. Returns 1 if `fetch` is too slow."""
    theirs, ours = [], []
    for _ in range(rounds):
        theirs.append(_timed(bench.curl))
        ours.append(_timed(bench.fetch))
    ratio = statistics.median(theirs) / statistics.median(ours)
    speeds = [", ".join(f"{megabytes / seconds:.0f}" for seconds in found) for found in (theirs, ours)]
    print(f"{megabytes} MB, MB/s: curl {speeds[0]}; fetch {speeds[1]}")
    print(f"speed of fetch: {ratio:.2f} of curl's (at least {LEAST_RATIO})")
    return 0 if ratio >= LEAST_RATIO else 1


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())

"""Export and import of a large session, compared with `tar | age`: `python -m tests.benchmarks.sessions`.

Both read and write the same bytes in the same directory, in turns; the memory is the peak of the process that does the work.
"""

import argparse
import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aletheia_operator.session import Artifact, InvestigationReference, Manifest
from aletheia_operator.session.age import new_identity
from aletheia_operator.session.manifest_file import manifest_bytes
from tests.cluster import programs

SESSION = "INC-7F3A"
FILES = 4
BLOCK = os.urandom(2**20)
MOST_MB = 100
LEAST_RATIO = 0.7


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sessions", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=2000)
    options = parser.parse_args()
    programs.debian({"age": "age"})
    with tempfile.TemporaryDirectory() as folder:
        return measure(Path(folder), options.megabytes)


def measure(folder: Path, megabytes: int) -> int:
    sizes = {f"data/logs/kubernetes_{number}.json": megabytes // FILES for number in range(FILES)}
    make_session(folder / "here/sessions" / SESSION, sizes)
    secret, public = new_identity()
    (folder / "key").write_text(secret)
    (folder / "theirs").mkdir()
    (folder / "there").mkdir()
    at = shlex.quote(str(folder))
    cli = f"{shlex.quote(sys.executable)} -m aletheia_operator.cli session"
    theirs, files = f"{at}/theirs.tar.age", f"{at}/theirs/{SESSION}/data/logs/*"
    pairs = {
        "export": (
            run(f"exec {cli} export {SESSION} --root {at}/here > {at}/ours.tar"),
            run(f"tar -C {at}/here/sessions -c {SESSION} | age -r {public} > {theirs} && sync {theirs}"),
        ),
        "import": (
            run(f"exec {cli} import {at}/ours.tar --root {at}/there"),
            run(f"age -d -i {at}/key {theirs} | tar -C {at}/theirs -x && sync {files}"),
        ),
    }
    print(f"session of {megabytes} MB in {FILES} files; speed ratio: above 1 is faster than tar and age")
    good = True
    for name, (ours, peer) in pairs.items():
        ratio, cpu_ratio = peer.seconds / ours.seconds, peer.cpu_seconds / ours.cpu_seconds
        print(f"{name}  {ours}; tar and age {peer}; speed ratio {ratio:.2f}, by CPU time {cpu_ratio:.2f}")
        good = good and ratio >= LEAST_RATIO and ours.peak_mb <= MOST_MB
    return 0 if good else 1


@dataclass(frozen=True)
class Cost:
    """The cost of one command: wall time, CPU time of all its processes, peak RSS of the largest in MB of 10^6 bytes."""

    seconds: float
    cpu_seconds: float
    peak_mb: float

    def __str__(self) -> str:
        return f"{self.seconds:5.1f} s, {self.cpu_seconds:5.1f} s CPU, {self.peak_mb:3.0f} MB"


def run(command: str) -> Cost:
    began = time.perf_counter()
    pid = subprocess.Popen(["bash", "-o", "pipefail", "-c", command], stdout=subprocess.DEVNULL).pid
    _, status, usage = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(f"failed: {command}")
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return Cost(time.perf_counter() - began, cpu_seconds, usage.ru_maxrss * 1024 / 1e6)


def make_session(directory: Path, megabytes_of: Mapping[str, int], namespace: str = "shop") -> None:
    """Write a finished session with files of logs. `megabytes_of`: the size of each, by its path."""
    (directory / "data/logs").mkdir(parents=True)
    now = datetime.now(UTC)
    manifest = Manifest(
        session_id=SESSION,
        investigation=InvestigationReference(namespace=namespace, name="large", uid="1"),
        spec={},
        window=("2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z"),
        phase="Completed",
        start_time=now,
        completion_time=now,
        operator_version="0",
        artifacts=[make_artifact(directory, path, megabytes) for path, megabytes in megabytes_of.items()],
    )
    (directory / "manifest.json").write_bytes(manifest_bytes(manifest))


def make_artifact(directory: Path, path: str, megabytes: int) -> Artifact:
    digest = hashlib.sha256()
    with (directory / path).open("wb") as file:
        for _ in range(megabytes * 10**6 // len(BLOCK)):
            file.write(BLOCK)
            digest.update(BLOCK)
        size = file.tell()
    return Artifact(
        path=path,
        fetcher="KubernetesLogs",
        target="pod/large",
        count=1,
        summary="",
        time_range=["2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z"],
        size_bytes=size,
        sha256=digest.hexdigest(),
        complete=True,
    )


if __name__ == "__main__":
    sys.exit(main())

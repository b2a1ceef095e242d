"""Days of small captures in minutes: `python -m tests.benchmarks.soak`. Fails if descriptors, threads, memory or files grow.

An hour is simulated by `--seconds` of real time, and retention is shortened in proportion. In each hour Investigations of
several kinds are created: some end by themselves, some are cancelled or deleted, some have a gap. Their data expires, and they
are removed by their time to live or the history limit. The operator is restarted twice, once by SIGTERM and once by SIGKILL;
the rest is one long life of a process, in which the last third is compared with the middle.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aletheia_operator.api import paths
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes, connect
from tests.benchmarks.storm import ALL, Watch, memory_mb, prepared, watched_operator
from tests.cluster.provider import Cluster
from tests.cluster.rig import say
from tests.support.operator import Operator, free_port, investigation, until

RESTARTS = (1 / 6, 1 / 3)
"""Parts of the time after which the operator is restarted: first by SIGTERM, then by SIGKILL."""
OPTIONS = ("--sweep-seconds=2", "--retain-grace-seconds=5", "--orphan-grace-seconds=5", "--retain-history-limit=15")
TARGETS = [{"pod": "speaker"}]
KINDS: tuple[dict[str, Any], ...] = (
    {"targets": TARGETS, "ttlSecondsAfterFinished": 20},
    {"targets": TARGETS, "retention": {"artifactsSeconds": 10}},
    {"targets": [{"pod": "missing"}, *TARGETS]},
    {"targets": TARGETS, "logs": {"previous": True}},  # deleted by its user
    {"targets": TARGETS, "timeout": "1m"},  # cancelled by its user
)
DELETED, CANCELLED = 3, 4
GROWTH = (("descriptors", 0, 4), ("threads", 0, 4), ("memory_mb", 8, 0), ("files", 10, 40), ("investigations", 10, 40))
"""What may grow between two thirds: by how many percent, and by how much besides."""
CALM_SECONDS = 60.0


@dataclass(frozen=True)
class Sample:
    """What there is at the end of one hour, when nothing runs."""

    hour: int
    descriptors: int
    threads: int
    memory_mb: float
    files: int
    investigations: int

    @classmethod
    def take(cls, hour: int, operator: Operator, investigations: int) -> "Sample":
        pids = [operator.pid, *map(int, Path(f"/proc/{operator.pid}/task/{operator.pid}/children").read_text().split())]
        memory = sum(memory_mb(pid, "VmRSS") for pid in pids)
        threads = len(os.listdir(f"/proc/{operator.pid}/task"))
        files = sum(len(names) for _, _, names in os.walk(operator.root))
        return cls(hour, len(os.listdir(f"/proc/{operator.pid}/fd")), threads, memory, files, investigations)


@dataclass
class Soak:
    """A cluster with an operator, and what is created there."""

    kubernetes: Kubernetes
    namespaces: Sequence[str]
    operator: Operator
    watch: Watch
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    captures: int = 0

    async def hour(self, count: int, seconds: float) -> None:
        """Create `count` Investigations within `seconds`, and wait until those that nobody deletes have ended."""
        ends = time.monotonic() + seconds
        titles = []
        for left in range(count, 0, -1):
            titles.append(await self._one(next(self.numbers)))
            await asyncio.sleep(max(0.0, (ends - time.monotonic()) / left / 2))
        kept = [title for title in titles if title is not None]
        await self.watch.until(kept, len(kept))
        self.captures += count
        await asyncio.sleep(max(0.0, ends - time.monotonic()))

    async def _one(self, number: int) -> str | None:
        """Create one Investigation. Returns its title; None if it is deleted at once."""
        kind = number % len(KINDS)
        namespace, name = self.namespaces[number % len(self.namespaces)], f"soak-{number:06}"
        path = paths.investigation(namespace, name)
        made = await self.kubernetes.create(path.rpartition("/")[0], investigation(name, **KINDS[kind]))
        if kind == DELETED:
            await self.kubernetes.delete(path, made["metadata"]["uid"])
            return None
        if kind == CANCELLED:
            with suppress(SourceError):  # it may have ended
                await self.kubernetes.patch(path, {"spec": {"cancel": True}})
        return f"{namespace}/{name}"

    async def number_of_investigations(self) -> int:
        """Return how many Investigations there are."""
        return sum([1 async for _ in self.kubernetes.list(ALL, metadata_only=True)])

    def restart(self, end: Callable[[], None]) -> None:
        end()
        self.operator.start()


async def soak(options: argparse.Namespace, cluster: Cluster, directory: Path, namespaces: Sequence[str]) -> list[Sample]:
    """Run all hours. Returns a sample for each."""
    kubernetes = await connect(cluster.kubeconfig)
    flags = [*OPTIONS, *options.option]
    async with watched_operator(kubernetes, cluster, directory / "volume", free_port(), flags) as (operator, watch):
        run = Soak(kubernetes, namespaces, operator, watch)
        restarts = {int(options.hours * part): end for part, end in zip(RESTARTS, (operator.stop, operator.kill), strict=True)}
        samples = []
        for hour in range(options.hours):
            if hour in restarts:
                await asyncio.to_thread(run.restart, restarts[hour])
            await run.hour(options.captures, options.seconds)
            samples.append(Sample.take(hour, operator, await run.number_of_investigations()))
            if hour % 6 == 5:
                say(f"{samples[-1]}")
        say(f"{run.captures} Investigations in {options.hours} simulated hours")
        await asyncio.to_thread(
            until, lambda: not list((operator.root / "sessions").glob("*/*.part")), CALM_SECONDS, "no parts"
        )
        return samples


def faults(samples: Sequence[Sample]) -> list[str]:
    """Return what grew between the middle and the last third of the last life of the process."""
    life = samples[int(len(samples) * RESTARTS[-1]) :]
    third = max(1, len(life) // 3)
    middle, last = life[third : 2 * third], life[-third:]
    found = []
    for name, percent, more in GROWTH:
        before, after = (statistics.median(getattr(sample, name) for sample in part) for part in (middle, last))
        most = before * (1 + percent / 100) + more
        print(f"{name:15} {before:8.1f} → {after:8.1f} (at most {most:.1f})")
        if after > most:
            found.append(f"{name} grew from {before:.1f} to {after:.1f}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="run in this cluster; default: one that is started for it")
    parser.add_argument("--hours", type=int, default=72, help="simulated hours")
    parser.add_argument("--seconds", type=float, default=10, help="real seconds of a simulated hour")
    parser.add_argument("--captures", type=int, default=40, help="Investigations in a simulated hour")
    parser.add_argument("--namespaces", type=int, default=5)
    parser.add_argument("--option", action="append", default=[], help="a further flag of the operator")
    options = parser.parse_args()
    with prepared("soak", options.kubeconfig, options.namespaces) as (cluster, directory, namespaces):
        samples = asyncio.run(soak(options, cluster, directory, namespaces))
    found = faults(samples)
    print("\n".join(found) or "nothing grew")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())

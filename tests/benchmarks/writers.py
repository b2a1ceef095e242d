"""Watches the Leases and pods of captures, to show that no session had two writers at the same time.

Two processes never write to a session if each one gets the Lease only after the one before it has given it back, or has ended.
The kubelet says when a container ended, in whole seconds; the Lease says when it was acquired. The nodes' clocks must agree.
"""

import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from aletheia_operator.handlers.fence import PREFIX
from tests.support.operator import Kubectl

LEASES = "{.metadata.name}|{.spec.holderIdentity}|{.spec.acquireTime}{'\\n'}"
PODS = "{.metadata.name}|{.status.containerStatuses[*].state.terminated.finishedAt}{'\\n'}"


@dataclass
class Handovers:
    """How Leases of captures went from one process to the next."""

    given_back: int = 0
    """Times that a process gave its Lease back."""
    after_end: int = 0
    """Times that a Lease was acquired after its process had ended."""
    unknown: list[str] = field(default_factory=list)
    """Leases that were acquired while the end of their process was not known."""
    too_early: list[str] = field(default_factory=list)
    """Leases that were acquired before their process had ended."""

    def __str__(self) -> str:
        known = f"{self.given_back} times given back, {self.after_end} times acquired after the end of the process before"
        return f"{known}, {len(self.unknown)} times after an unknown end, {len(self.too_early)} times too early"


def handovers(leases: Iterable[str], pods: Iterable[str]) -> Handovers:
    """Return the handovers that the lines of two watches show, with the fields of LEASES and PODS."""
    ends = {name: end for name, _, end in (line.strip().partition("|") for line in pods) if end}
    found, holders = Handovers(), dict[str, str]()
    for line in leases:
        name, holder, acquired = line.strip().split("|")
        before, holders[name] = holders.get(name, ""), holder
        if not name.startswith(PREFIX) or not before or holder == before:
            continue
        end = ends.get(before.rpartition("_")[0])
        if not holder:
            found.given_back += 1
        elif end is None:
            found.unknown.append(f"{name}: from {before} to {holder}")
        elif datetime.fromisoformat(end) > datetime.fromisoformat(acquired):
            found.too_early.append(f"{name}: {before} ended at {end}, and {holder} acquired it at {acquired}")
        else:
            found.after_end += 1
    return found


@contextmanager
def watched(system: Kubectl, selector: str, directory: Path) -> Iterator[Callable[[], Handovers]]:
    """Watch within the context. Yields a function that returns the handovers until now."""
    with ExitStack() as stack:
        commands = {
            "leases": ["leases", "-o", f"jsonpath={LEASES}"],
            "pods": ["pods", "-l", selector, "-o", f"jsonpath={PODS}"],
        }
        for name, arguments in commands.items():
            kubectl = [str(system.cluster.kubectl), f"--kubeconfig={system.cluster.kubeconfig}", "-n", system.namespace]
            file = stack.enter_context((directory / name).open("wb"))
            process = subprocess.Popen([*kubectl, "get", "--watch", *arguments], stdout=file)
            stack.callback(process.wait)
            stack.callback(process.terminate)

        def read() -> Handovers:
            lines = [(directory / name).read_text().splitlines() for name in commands]
            return handovers(*lines)

        yield read

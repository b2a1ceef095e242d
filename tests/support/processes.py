"""Memory and processor time of processes of this machine, from /proc."""

import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

SAMPLE_SECONDS = 0.05
WHOLE_SECONDS = 1.0
DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"


def image_environment() -> dict[str, str]:
    """Return the image's settings of the memory allocator, so that memory is measured as in the image."""
    return dict(re.findall(r"\b(MALLOC_\w+)=(\d+)", DOCKERFILE.read_text()))


@dataclass
class Memory:
    """Memory (bytes) and processor time (seconds) of an operator and its log parsers, sampled.

    Memory is what the limit of a container counts: a page of memory once, also if forked processes share it, and files' pages
    once: those of the process that maps most. To count it, the kernel stops the process for a moment, so it is counted only
    when the processes have more pages than before, and each WHOLE_SECONDS.
    """

    pid: int
    peak: int = 0
    seconds: dict[int, float] = field(default_factory=dict)
    spent: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watched(self) -> Iterator[None]:
        self.peak = 0
        before = dict(self.seconds)
        self._over.clear()
        thread = threading.Thread(target=self._sample, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            self.spent = sum(self.seconds.values()) - sum(before.values())

    def _sample(self) -> None:
        most, counted_at = 0, 0.0
        while not self._over.wait(SAMPLE_SECONDS):
            pids = [self.pid, *parsers(self.pid)]
            resident, now = sum(map(resident_pages, pids)), time.monotonic()
            if resident > most or now - counted_at > WHOLE_SECONDS:
                most, counted_at = max(most, resident), now
                self.peak = max(self.peak, used(pids))
            self.seconds |= {pid: processor_seconds(pid) or self.seconds.get(pid, 0.0) for pid in pids}


def children(pid: int) -> list[int]:
    """Return the ids of the processes that any thread of a process has started."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):  # the process has ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (thread / "children").read_text().split())
    return found


def parsers(pid: int) -> list[int]:
    """Return the ids of an operator's log parsers, and of their template."""
    found = []
    for child in children(pid):
        if is_parser(child):
            found += [child, *parsers(child)]
    return found


def is_parser(pid: int) -> bool:
    """Return whether a child has started its program: until then its memory is its parent's."""
    try:
        return b"logs.template_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def used(pids: Iterable[int]) -> int:
    """Return the memory (bytes) of some processes together, counting what they share once."""
    found = [sizes for pid in pids if (sizes := _memory(pid))]
    private = sum(sizes["Pss_Anon"] for sizes in found)
    return private + max((sizes["Rss"] - sizes["Anonymous"] for sizes in found), default=0)


def _memory(pid: int) -> dict[str, int]:
    """Return the sizes (bytes) that the kernel tells of a process; empty if it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {name: int(size) * 1024 for name, size in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}


def resident_pages(pid: int) -> int:
    """Return the resident pages of a process, those that it shares included; 0 if it has ended. Cheap."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

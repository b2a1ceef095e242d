"""Memory and processor time of processes of this machine, from /proc."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

SAMPLE_SECONDS = 0.02
DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"


def image_environment() -> dict[str, str]:
    """Return the image's settings of the memory allocator, so that memory is measured as in the image."""
    return dict(re.findall(r"\b(MALLOC_\w+)=(\d+)", DOCKERFILE.read_text()))


@dataclass
class Memory:
    """Resident memory (bytes) and processor time (seconds) of a process and its children, sampled."""

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
        while not self._over.wait(SAMPLE_SECONDS):
            pids = [self.pid, *(pid for pid in children(self.pid) if is_worker(pid))]
            self.peak = max(self.peak, sum(resident(pid) for pid in pids))
            self.seconds |= {pid: processor_seconds(pid) or self.seconds.get(pid, 0.0) for pid in pids}


def children(pid: int) -> list[int]:
    """Return the ids of the processes that any thread of a process has started."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # the process has ended
            found += map(int, (thread / "children").read_text().split())
    return found


def is_worker(pid: int) -> bool:
    """Return whether a child has started its program: until then its memory is its parent's."""
    try:
        return b"logs.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

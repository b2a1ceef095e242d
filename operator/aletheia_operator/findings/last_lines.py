"""Keeps the last lines of each run of a container, from blocks of encoded entries."""

from collections import deque
from dataclasses import dataclass, field

import orjson

from aletheia_operator.findings.entry_text import cut_middle, text_of
from aletheia_operator.findings.finding import Artifact, Link
from aletheia_operator.findings.line_groups import run_of
from aletheia_operator.findings.log_facts import LAST_LINES, MAX_LINE, Line, RunFacts
from aletheia_operator.text.batches import KEY, Encoded

_HEAD_AT = (KEY.stop + 2, len(b'{"timestamp":null,'))  # where an entry's container begins
MAX_BYTES = 1024 * 1024  # of lines that are kept encoded


@dataclass
class LastLines:
    """Keeps the last lines of the runs that are known before the first entry. Decodes them at the end, or if they are many."""

    _runs: dict[bytes, RunFacts] = field(default_factory=dict)
    """By the bytes that begin a run's entries after their time."""
    _kept: dict[bytes, deque[tuple[bytes, int]]] = field(default_factory=dict)
    """Encoded entries with their number in the artifact."""
    _size_bytes: int = 0
    _latest: tuple[Encoded, int] | None = None
    _latest_run: bytes = b""

    def expect(self, container: str, run: int | None, facts: RunFacts) -> None:
        """Keep the last lines of this run in `facts`."""
        head = {"container": container} | ({} if run is None else {"run": run})
        self._runs[orjson.dumps(head)[1:-1] + b","] = facts

    def read(self, entries: Encoded, artifact: Artifact, before: int) -> None:
        """Read a block. `before`: number of entries of the artifact before it.

        Its last lines are kept when the next block comes, and only if that has too few lines of the same run.
        """
        run = run_of(entries.first) if entries.alike else b""  # such blocks have entries of one run only
        if not run or run != self._latest_run or entries.count < LAST_LINES:
            self._take_latest(artifact)
        self._latest, self._latest_run = (entries, before), run

    def _take_latest(self, artifact: Artifact) -> None:
        """Keep the last lines of the latest block."""
        if self._latest is None:
            return
        (entries, before), self._latest = self._latest, None
        block = entries.block
        for head in self._runs:
            for start, end, number in reversed(_last_of(head, block, entries.count)):
                self._kept.setdefault(head, deque(maxlen=LAST_LINES)).append((block[start:end], before + number))
                self._size_bytes += end - start
        if self._size_bytes > MAX_BYTES:
            self._decode(artifact)

    def end(self, artifact: Artifact) -> None:
        """Add all lines to the facts of their runs."""
        self._take_latest(artifact)
        self._decode(artifact)

    def _decode(self, artifact: Artifact) -> None:
        """Add the lines that are kept encoded to the facts of their runs."""
        for head, kept in self._kept.items():
            for line, number in kept:
                entry = orjson.loads(line.removesuffix(b","))
                level, stamp = str(entry.get("level") or ""), str(entry["timestamp"] or "")
                link = Link(artifact, number)
                self._runs[head].lines.append(Line(cut_middle(text_of(entry), MAX_LINE), level, stamp, link, "head" in entry))
        self._kept.clear()
        self._size_bytes = 0


def _last_of(head: bytes, block: bytes, count: int) -> list[tuple[int, int, int]]:
    """Return start, end and number of the last entries that begin with `head` after their time, the last first."""
    found: list[tuple[int, int, int]] = []
    at, number, counted = len(block), count - 1, len(block)
    while len(found) < LAST_LINES and (at := block.rfind(head, 0, at)) >= 0:
        start = block.rfind(b"\n", 0, at) + 1
        number, counted = number - block.count(b"\n", start, counted), start
        if at - start in _HEAD_AT:
            end = block.find(b"\n", at)
            found.append((start, len(block) if end < 0 else end, number))
        at = start
    return found

"""Keeps the last errors of each run of a container, from blocks of encoded entries. Decodes them at the end."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from aletheia_operator.findings.entry_text import text_of
from aletheia_operator.findings.line_groups import run_of
from aletheia_operator.findings.log_facts import LAST_ERRORS
from aletheia_operator.findings.stack_reasons import has_continuation, may_have_continuations, with_reason
from aletheia_operator.text.batches import Encoded

MAX_BYTES = 2_000  # of an error that is kept encoded
_LOOKED_AT = 16 * LAST_ERRORS  # last errors of a block, in which the last errors of each run are looked for


@dataclass
class LastErrors:
    """The last LAST_ERRORS errors of each run, with their place in the artifact. Those with a stack trace are decoded at once.

    The errors of a block are kept when the next block comes, and only if that has too few errors of the same run.
    """

    _kept: dict[bytes, deque[tuple[int, bytes | Mapping[str, Any]]]] = field(default_factory=dict)
    _latest: tuple[list[int], Encoded, int, int] | None = None
    _latest_run: bytes = b""

    def read(self, serious: list[int], entries: Encoded, before: int, runs: int) -> None:
        """Read a block. `serious`: the numbers of its errors; `before`: number of entries before it; `runs`: known runs."""
        if not serious:
            return
        run = run_of(entries.first) if entries.alike else b""  # such blocks have entries of one run only
        if not run or run != self._latest_run or len(serious) < LAST_ERRORS:
            self._take_latest()
        self._latest, self._latest_run = (serious[-_LOOKED_AT:], entries, before, runs), run

    def _take_latest(self) -> None:
        """Keep the last errors of the latest block."""
        if self._latest is None:
            return
        (serious, entries, before, runs), self._latest = self._latest, None
        if self._latest_run:
            chosen = [(self._latest_run, number) for number in serious[-LAST_ERRORS:]]
        else:
            chosen = _last_of_runs(serious, entries, runs)
        continued = may_have_continuations(entries)
        for run, number in chosen:
            error: bytes | Mapping[str, Any] = entries.line(number)
            at = number
            if len(error) > MAX_BYTES or (continued and has_continuation(number, entries)):
                error, at = with_reason(entries.entry(number), number, entries)
            self._kept.setdefault(run, deque(maxlen=LAST_ERRORS)).append((before + at, error))

    @property
    def last_text(self) -> str:
        """The text of the last error; '' without one."""
        self._take_latest()
        last = max((errors[-1] for errors in self._kept.values()), key=lambda pair: pair[0], default=None)
        return text_of(_decoded(last[1])) if last is not None else ""

    def all(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield the errors of all runs in order, with their number in the artifact."""
        self._take_latest()
        kept = [pair for errors in self._kept.values() for pair in errors]
        for at, error in sorted(kept, key=lambda pair: pair[0]):
            yield at, _decoded(error)


def _last_of_runs(serious: list[int], entries: Encoded, runs: int) -> list[tuple[bytes, int]]:
    """Return the last LAST_ERRORS of these errors of each run, in order, with the run. `runs`: known runs."""
    found: list[tuple[bytes, int]] = []
    seen = Counter[bytes]()
    for number in reversed(serious):
        if seen.total() >= LAST_ERRORS * max(1, runs):
            break
        run = run_of(entries.line(number))
        seen[run] += 1
        if seen[run] <= LAST_ERRORS:
            found.append((run, number))
    return found[::-1]


def _decoded(error: bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = orjson.loads(error.removesuffix(b",")) if isinstance(error, bytes) else error
    return found

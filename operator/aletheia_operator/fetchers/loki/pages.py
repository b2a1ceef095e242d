"""Reads the lines of one query page by page, forward in time.

Times are nanoseconds since the Unix epoch; `start` is included, `end` is not. A page begins at the last moment of the page
before, so it repeats lines of that moment. Each line is left out as often as the page before had it.

Servers and proxies may return fewer lines than requested without saying so. Therefore only a page without lines ends a query,
not a short page.
"""

import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from itertools import pairwise

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import REQUEST_REFUSED, SourceError
from aletheia_operator.clients.http import Http
from aletheia_operator.clients.json_stream import JsonStream
from aletheia_operator.fetchers.base import Missing, Outcome
from aletheia_operator.fetchers.loki.answer import Line, Page, StreamRedaction, error_text, read
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.redact import Redactor
from aletheia_operator.scratch import Scratch
from aletheia_operator.text.sizes import counted
from aletheia_operator.text.timestamps import format_nanoseconds

PAGE_ENTRIES = 1_000
MAX_PAGE_ENTRIES = 5_000
"""Loki's default for max_entries_limit_per_query: it refuses larger pages."""
MIN_PAGE_ENTRIES = 8
"""Smallest page to request. If even this is too large for maxResponseBytes, single lines are too large."""
MAX_PAGES = 2_000
"""Most requests for one query."""
MAX_WARNING_CHARACTERS = 300
_TOO_MANY = re.compile("limit|too many", re.IGNORECASE)


@dataclass
class Pages:
    """Reads the pages of one query from `start`, which advances with each page, to `end`. Adds gaps to `outcome`."""

    http: Http
    endpoint: Endpoint
    scratch: Callable[[], Scratch]
    query: str
    start: int
    end: int
    target: str
    outcome: Outcome
    redaction: StreamRedaction = field(default_factory=lambda: StreamRedaction(Redactor()))
    size: int = PAGE_ENTRIES
    ceiling: int = MAX_PAGE_ENTRIES
    """Largest page that the server has not refused."""
    _crowded: list[tuple[int, int]] = field(init=False, default_factory=list)
    """Moments with more lines than the server returns, each with the number that it returned."""

    def add_gap(self, message: str, reason: GapReason = GapReason.BUDGET_EXCEEDED) -> None:
        """Add a gap with this message and reason, unless it is there already."""
        missing = Missing(self.target, reason, message)
        if missing not in self.outcome.missing:
            self.outcome.missing.append(missing)

    def _add_gaps_of_faults(self, step: "_Step") -> None:
        """Add a gap for each warning of the server, and for each way in which its answer is wrong."""
        for warning in step.page.warnings:
            self.add_gap(f"the server warns: {self.endpoint.quoter(warning, MAX_WARNING_CHARACTERS)}", GapReason.UNAVAILABLE)
        if step.outside:
            self.add_gap(
                "the server returned lines outside the requested time: they are left out, and other lines may be missing",
                GapReason.INVALID_RESPONSE,
            )
        if step.backward:
            self.add_gap(
                "the server returned the latest lines first although the earliest were requested: earlier ones may be missing",
                GapReason.INVALID_RESPONSE,
            )

    def _add_gap_of_crowded_times(self) -> None:
        """Add one gap for all moments with more lines than the server returns."""
        if self._crowded:
            (moment, count), *others = self._crowded
            more = f", and as many at {counted(len(others), 'later time')}" if others else ""
            self.add_gap(
                f"{count} lines or more have the same time {format_nanoseconds(moment)}{more}: the server returns no more lines"
                " of one time than that, so others are missing; narrow the query"
            )

    async def walk(self) -> AsyncGenerator[tuple[Page, list[Line]], None]:
        """Yield each page with its new lines, which the page before did not have, in order. Advancing closes the page.

        Raises SourceError. A page that broke off has `broken` set and is the last one.
        """
        known = Counter[bytes]()  # lines of the moment `start` that were yielded
        passed: tuple[int, int] | None = None  # the moment that was just passed, and how many lines it had
        try:
            for _ in range(MAX_PAGES):
                if self.start >= self.end:
                    return
                size = self.size
                step = await self._page(size, known)
                if step is None:
                    continue
                try:
                    full = len(step.page.lines) >= size
                    if full and step.last == self.start and size < self.ceiling:  # more lines of one moment than a page holds
                        self.size = self.ceiling
                        continue
                    self._add_gaps_of_faults(step)
                    if passed and step.last is not None:  # a server that returns all lines would have returned these before
                        self._crowded.append(passed)
                    passed = None
                    yield step.page, step.fresh
                    if step.page.broken is not None or step.last is None:
                        return
                    known, passed = self._advance(step, full, known)
                finally:
                    step.page.spill.close()
            self.add_gap(
                f"the server returns so few lines at a time that {MAX_PAGES} requests did not get all; narrow the query"
            )
        finally:
            self._add_gap_of_crowded_times()

    def _advance(self, step: "_Step", full: bool, known: Counter[bytes]) -> tuple[Counter[bytes], tuple[int, int] | None]:
        """Advance `start`. Returns the known lines of the new `start`, and the passed moment with its line count, if any."""
        assert step.last is not None
        if step.last > self.start:
            self.start = step.last
            return step.of_last, None
        if step.fresh and not full:  # there may be more lines of this moment
            return known | step.of_last, None
        left = (self.start, step.of_last.total())
        self.start += 1
        if full:
            self._crowded.append(left)
        return Counter(), None if full else left

    async def _page(self, size: int, known: Counter[bytes]) -> "_Step | None":
        """Request at most `size` lines from `start` on. None: the server refused that size, and `size` is smaller now."""
        parameters = [("query", self.query), ("start", str(self.start)), ("end", str(self.end))]
        parameters += [("limit", str(size)), ("direction", "forward")]
        pages: list[Page] = []

        def take(stream: JsonStream) -> _Step:
            for page in pages:
                page.spill.close()
            pages.append(Page(Spill(self.scratch), redaction=self.redaction))
            read(stream, self.endpoint, pages[-1], size)
            return _step(pages[-1], self.start, self.end, known)

        try:
            return await self.http.stream_json(self.endpoint, "/loki/api/v1/query_range", parameters, take, error_text)
        except SourceError as e:
            page = pages[-1] if pages else None
            smaller = self._smaller(size, e)
            if page is None or not page.lines or smaller:
                if page is not None:
                    page.spill.close()
                if smaller:
                    return None
                raise
            page.broken = e
            return _step(page, self.start, self.end, known)
        except BaseException:
            for page in pages:
                page.spill.close()
            raise

    def _smaller(self, size: int, error: SourceError) -> bool:
        """Halve the page size if the server refused it or the page was too large. Returns whether it did."""
        refused = error.status in REQUEST_REFUSED and _TOO_MANY.search(error.message) is not None and size > 1
        if not refused and not (error.reason is GapReason.TOO_LARGE and size > MIN_PAGE_ENTRIES):
            return False
        self.size = size // 2
        self.ceiling = self.size
        return True


@dataclass
class _Step:
    """A page with its lines sorted by time. Lines outside the requested time are only counted by `outside`."""

    page: Page
    fresh: list[Line]
    """Lines that the page before did not have."""
    of_last: Counter[bytes]
    """Number of each line of the last moment, by digest."""
    last: int | None
    """Moment of the last line. None: there are no lines."""
    outside: bool
    """Whether the server returned lines outside the requested time."""
    backward: bool
    """Whether later lines of a stream came before earlier ones."""


def _step(page: Page, start: int, end: int, known: Counter[bytes]) -> _Step:
    backward = any(
        line.stream == next_line.stream and line.moment > next_line.moment for line, next_line in pairwise(page.lines)
    )
    lines = sorted(line for line in page.lines if start <= line.moment < end)
    before, fresh = known.copy(), []
    for line in lines:
        if line.moment == start and before[digest := page.digest(line)] > 0:
            before[digest] -= 1
        else:
            fresh.append(line)
    last = lines[-1].moment if lines else None
    of_last = Counter(page.digest(line) for line in lines if line.moment == last)
    return _Step(page, fresh, of_last, last, len(lines) < len(page.lines), backward)

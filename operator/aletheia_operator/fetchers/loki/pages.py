"""Pages through the lines of one query, forward in time.

Times are nanoseconds since the Unix epoch; `start` is included, `end` is not. A page begins at the last moment of the page
before, so it repeats lines of that moment. Equal lines are counted, and each is left out as often as the page before had it.
"""

import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.http import Http
from aletheia_operator.clients.json_stream import JsonStream
from aletheia_operator.fetchers.base import Findings, Missing
from aletheia_operator.fetchers.loki.answer import Line, Page, error_text, read
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.scratch import Scratch
from aletheia_operator.text.timestamps import format_nanoseconds

PAGE_ENTRIES = 1_000
MAX_PAGE_ENTRIES = 5_000
"""Loki's default for max_entries_limit_per_query, the largest page that it answers."""
MIN_PAGE_ENTRIES = 8
"""A smaller page that is too large has lines that no page can hold."""
MAX_SAID = 300
_TOO_MANY = re.compile("limit|too many", re.IGNORECASE)


@dataclass
class Pages:
    """Pages forward from `start`, which advances with each page."""

    http: Http
    endpoint: Endpoint
    scratch: Callable[[], Scratch]
    query: str
    start: int
    end: int
    target: str
    findings: Findings
    size: int = PAGE_ENTRIES
    ceiling: int = MAX_PAGE_ENTRIES
    """Largest page that the server has not refused."""

    def miss(self, message: str) -> None:
        """Add a gap: there were more lines than could be read."""
        self.findings.missing.append(Missing(self.target, GapReason.BUDGET_EXCEEDED, message))

    def _warn(self, warnings: Sequence[str]) -> None:
        """Say once what the server warns of."""
        for warning in warnings:
            message = f"the server warns: {self.endpoint.quoter(warning, MAX_SAID)}"
            missing = Missing(self.target, GapReason.UNAVAILABLE, message)
            if missing not in self.findings.missing:
                self.findings.missing.append(missing)

    async def walk(self) -> AsyncGenerator[tuple[Page, list[Line]], None]:
        """Yield each page with its lines that were not in the page before, in order. Asking for the next page closes it.

        Raises SourceError. A page that broke off has `broken` and is the last one.
        """
        known = Counter[bytes]()
        at_end = False
        while not at_end and self.start < self.end:
            size = self.size
            step = await self._page(size, known)
            if step is None:
                continue
            try:
                at_end = len(step.page.lines) < size
                if not at_end and step.last == self.start and size < self.ceiling:  # more lines of one moment than a page holds
                    self.size = self.ceiling
                    continue
                if not at_end and step.last == self.start:
                    self.miss(
                        f"{size} lines or more have the same time {format_nanoseconds(step.last)}, which Loki cannot page"
                        " through: of these no others are here; narrow the query"
                    )
                    step.last += 1
                known = step.of_last
                self.start = step.last
                self._warn(step.page.warnings)
                yield step.page, step.fresh
                if step.page.broken is not None:
                    return
            finally:
                step.page.spill.close()

    async def _page(self, size: int, known: Counter[bytes]) -> "_Step | None":
        """Ask for at most `size` lines from `start` on. None: the server refused so many, and the next page is smaller."""
        parameters = [("query", self.query), ("start", str(self.start)), ("end", str(self.end))]
        parameters += [("limit", str(size)), ("direction", "forward")]
        pages: list[Page] = []

        def take(stream: JsonStream) -> _Step:
            for page in pages:
                page.spill.close()
            pages.append(Page(Spill(self.scratch)))
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
        """Halve the page size, and return whether that may help: the server refused so many lines, or they are too large."""
        refused = error.status in (400, 422) and _TOO_MANY.search(error.message) is not None and size > 1
        if not refused and not (error.reason is GapReason.TOO_LARGE and size > MIN_PAGE_ENTRIES):
            return False
        self.size = size // 2
        self.ceiling = self.size
        return True


@dataclass
class _Step:
    """A page, sorted."""

    page: Page
    fresh: list[Line]
    """Lines that were not in the page before."""
    of_last: Counter[bytes]
    """Number of each line of the last moment, by digest."""
    last: int
    """Moment of the last line; the end of the window if there are no lines."""


def _step(page: Page, start: int, end: int, known: Counter[bytes]) -> _Step:
    page.lines.sort()
    before, fresh = known.copy(), []
    for line in page.lines:
        if line.moment == start and before[digest := page.digest(line)] > 0:
            before[digest] -= 1
        else:
            fresh.append(line)
    last = page.lines[-1].moment if page.lines else end
    return _Step(page, fresh, Counter(page.digest(line) for line in page.lines if line.moment == last), last)

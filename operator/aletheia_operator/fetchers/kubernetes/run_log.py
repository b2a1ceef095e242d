"""One run of one container on its way from a source of lines through the parser into a spool."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.fetchers.base import Missing, Window
from aletheia_operator.logs.lines import Lines
from aletheia_operator.logs.pool import ParsedRun, Parsers, WorkerEnded
from aletheia_operator.logs.run_parser import Position, RunParser, sort_key
from aletheia_operator.logs.spool import Spool
from aletheia_operator.scratch import Scratch
from aletheia_operator.text.display import one_line
from aletheia_operator.text.timestamps import NANOSECONDS, format_nanoseconds, to_nanoseconds

DISORDER_NANOSECONDS = NANOSECONDS  # stdout and stderr are stamped apart: a line may stand behind a later one


@dataclass(frozen=True)
class Run:
    """One run of a container: the present one, or the one before the last restart."""

    container: str
    previous: bool = False
    not_started: str | None = None  # why there is no log
    started_at: str | None = None

    def __str__(self) -> str:
        return f"container/{self.container}" + (" (previous)" if self.previous else "")


@dataclass(frozen=True)
class LogLimits:
    """Budgets of one pod, in bytes of its entries."""

    bytes_per_container: int
    bytes_per_pod: int
    max_line_bytes: int
    sample_percent: int = 100


@dataclass
class RunLog:
    """The log of a run as it is read: feed it chunks, then ask what it became."""

    run: Run
    window: Window
    limits: LogLimits
    scratch: Callable[[], Scratch]
    parsers: Parsers
    form: Literal["api", "cri"]
    target: str

    def __post_init__(self) -> None:
        self.start = format_nanoseconds(to_nanoseconds(self.window.start))
        end = to_nanoseconds(self.window.end)
        self._stop = format_nanoseconds(end + DISORDER_NANOSECONDS)
        self._end = format_nanoseconds(end + 999)  # the window has whole microseconds
        self._begin()

    def _begin(self) -> None:
        parser = RunParser(
            container=self.run.container,
            previous=self.run.previous,
            start=self.start,
            end=self._end,
            form=self.form,
            max_line_bytes=self.limits.max_line_bytes,
        )
        spool = Spool(self.scratch, self.limits.bytes_per_container, self.limits.sample_percent)
        self.parsed: ParsedRun = self.parsers.run(parser, spool)
        self.fragment = self._rest = b""
        self.missing: list[Missing] = []

    async def begin_again(self, form: Literal["api", "cri"] | None = None) -> None:
        """Forget what was read."""
        await self.close()
        self.form = form or self.form
        self._begin()

    @property
    def spool(self) -> Spool:
        """What is kept, after `settle`."""
        return self.parsed.capture.spool

    @property
    def position(self) -> Position:
        return self.parsed.position

    @property
    def past_the_end(self) -> bool:
        return self.position.last > self._stop

    async def read(self, chunks: AsyncIterator[bytes]) -> None:
        """Take whole lines as they come, until the chunks or the window end.

        What had come when it breaks off, or is cancelled, is taken all the same.
        """
        lines = Lines(self.limits.max_line_bytes)
        self._rest = b""
        try:
            async for chunk in chunks:
                if (block := lines.add(chunk)) is not None:
                    await self.feed(block)
                if self.past_the_end or self._is_past(chunk):
                    return
        finally:
            rest = lines.rest()
            end = rest.rfind(b"\n") + 1
            self._rest = rest[end:]
            if end and not self.past_the_end:
                await self.feed(rest[:end])
            with self._told():
                await self.parsed.drain()

    def _is_past(self, chunk: bytes) -> bool:
        """Whether the last whole line of a chunk lies behind the window: the rest of the log may be endless, or slow."""
        end = chunk.rfind(b"\n")
        stamp = chunk[chunk.rfind(b"\n", 0, end) + 1 : end][: len(self._stop)]
        return stamp[-1:] == b"Z" and sort_key(stamp.decode("ascii", "replace")) == stamp.decode() > self._stop

    async def look_at_fragment(self, news: bool) -> None:
        """Note the last line of the last `read` where it had no end, and was not whole before. `news`: other lines came."""
        parser = await self.settle()
        if news:
            self.fragment = b""
        if self._rest and not parser.skip:
            self.fragment = self._rest
            if not self._rest[:1].isdigit():  # no log line: the node's words
                await self.feed_fragment()

    async def feed_fragment(self) -> None:
        """Take the last line as it is: nothing more of it comes. The beginning of a timestamp alone is no line."""
        fragment, self.fragment = self.fragment, b""
        if fragment and (b" " in fragment or not fragment[:1].isdigit()):
            parser = await self.settle()
            parser.skip = 0
            await self.feed(fragment)

    async def feed(self, lines: bytes) -> None:
        """Take whole lines; only the last of all may lack its end."""
        with self._told():
            await self.parsed.feed(lines)

    async def read_again(self) -> str:
        """Skip what was parsed when the next lines begin with the second that is returned; empty: there was nothing yet."""
        parser = await self.settle()
        parser.read_again()
        return min(parser.seen, default="")

    async def finish(self) -> RunParser:
        """The parser at the end of the run, with what it held back in the spool."""
        parser = await self.settle()
        with self._told():
            self.parsed.capture.end_run()
        if parser.words is not None:
            self.say(GapReason.LOG_UNAVAILABLE, one_line(parser.words, 300))
        if parser.truncated_at is not None:
            limit = self.limits.max_line_bytes
            self.say(
                GapReason.LINE_TRUNCATED,
                f"a line at {parser.truncated_at} was cut at {limit} bytes (spec.logs.limits.lineBytes)",
            )
        return parser

    def say(self, reason: GapReason, message: str) -> None:
        """Something of this run is missing."""
        self.missing.append(Missing(f"{self.target} {self.run}", reason, message))

    async def close(self) -> None:
        """Give back what the run holds."""
        with suppress(WorkerEnded, OSError):
            await self.parsed.settle()
        self.spool.close()

    async def settle(self) -> RunParser:
        """The parser as it is now."""
        with self._told():
            return (await self.parsed.settle()).parser

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Faults of the parsing as a source's."""
        try:
            yield
        except WorkerEnded as e:
            raise Unavailable("the operator's log parser ended unexpectedly, perhaps short of memory") from e
        except OSError as e:
            message = f"the session volume refused the write: {e.strerror or e}"
            raise Rejected(message, GapReason.SAVE_FAILED) from e

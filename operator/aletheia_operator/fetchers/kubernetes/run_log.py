"""One run of one container on its way from a source of lines to a parser, and back as what it became."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.fetchers.base import Missing, Window
from aletheia_operator.fetchers.kubernetes.containers import Run
from aletheia_operator.logs.entry_writer import RunSettings
from aletheia_operator.logs.framing import Form
from aletheia_operator.logs.lines import Lines
from aletheia_operator.logs.pool import PARSER_FAILURES, ParsedRun, Parsers
from aletheia_operator.logs.position import Position
from aletheia_operator.logs.run import RunOrder, RunResult
from aletheia_operator.scratch import Scratch
from aletheia_operator.text.display import one_line
from aletheia_operator.text.timestamps import NANOSECONDS, format_nanoseconds, to_nanoseconds

DISORDER_NANOSECONDS = NANOSECONDS  # stdout and stderr are stamped apart: a line may stand behind a later one
LINES_PAST_THE_END = 1000  # in a row, after which the rest of a log is not read: one alone may come of a clock that was set
STREAM_FIELDS = 3  # blanks before the text of a line in a node's file


class ParserFailed(Unavailable):
    """The operator's parser ended, or met a fault, over a run: what was read of it is lost, and can be read again."""

    def __init__(self) -> None:
        super().__init__("the operator's log parser failed", GapReason.INTERNAL_ERROR)


@dataclass(frozen=True)
class LogLimits:
    """Budgets of one pod, in bytes of its entries."""

    bytes_per_container: int
    bytes_per_pod: int
    max_line_bytes: int
    sample_percent: int = 100


@dataclass
class RunLog:
    """The log of a run as it is read: `read` chunks, then `end`.

    What raises SourceError says that the session volume refused the entries (SaveFailed), or that the parser failed.
    """

    run: Run
    window: Window
    limits: LogLimits
    scratch: Callable[[], Scratch]
    parsers: Parsers
    target: str
    form: Form = "api"
    missing: list[Missing] = field(default_factory=list)
    fragment: bytes = b""
    """The last line of a look, if it had no end."""
    size_bytes: int = 0
    """Of the lines that were read."""
    complete: bool = False
    """It was read to its end, or that of the window; what is missing was said."""
    via: Literal["", "api", "node"] = ""
    result: RunResult | None = None
    alone: bool = False
    """Parse it in a worker that has no other run: it may be the one over which a worker failed."""
    plain: bool = False
    """Do not look for levels, messages and fields."""
    _rest: bytes = b""
    _parsed: ParsedRun | None = None

    def __post_init__(self) -> None:
        self.start = format_nanoseconds(to_nanoseconds(self.window.start))
        end = to_nanoseconds(self.window.end)
        self.stop = format_nanoseconds(end + DISORDER_NANOSECONDS)
        self._end = format_nanoseconds(end + 999)  # the window has whole microseconds

    def begin_again(self, form: Form | None = None) -> None:
        """Forget what was read, and what was said of it."""
        self.close()
        self.form = form or self.form
        self.missing, self.complete, self.size_bytes = [], False, 0
        self.fragment = self._rest = b""
        self.result = None

    @property
    def position(self) -> Position:
        if self.result is not None:
            return self.result.position
        return Position() if self._parsed is None else self._parsed.position

    @property
    def past_the_end(self) -> bool:
        """Whether the rest of the log surely lies behind the window: it may be endless."""
        return self.position.past >= LINES_PAST_THE_END

    async def read(self, chunks: AsyncIterator[bytes]) -> None:
        """Take whole lines as they come, until the chunks or the window end.

        What had come when it breaks off, or is cancelled, is taken all the same. `position` is up to date afterwards.
        """
        lines = Lines(self.limits.max_line_bytes)
        self._rest = b""
        try:
            async for chunk in chunks:
                if (block := lines.add(chunk)) is not None:
                    await self._feed(block)
                    if self.past_the_end or self.position.detached:
                        return
        finally:
            rest = lines.rest()
            end = rest.rfind(b"\n") + 1
            self._rest = rest[end:]
            if end and not self.past_the_end:
                await self._feed(rest[:end])
            await self._drain()

    async def look_at_fragment(self, new_lines: bool) -> None:
        """Remember an unterminated last line for the next look. `new_lines`: whether this look added complete lines."""
        if new_lines:
            self.fragment = b""
        if self._rest and not self.position.skip:
            self.fragment = self._rest
            if not self._rest[:1].isdigit():  # no log line: the node's words
                await self.feed_fragment()

    async def feed_fragment(self) -> None:
        """Take the unterminated last line of the API's answers: nothing more of it comes."""
        fragment, self.fragment = self.fragment, b""
        if fragment and (b" " in fragment or not fragment[:1].isdigit()):  # the beginning of a time alone is no line
            if self.position.skip:
                await self.ask("accept")
            await self._feed(fragment)
            await self._drain()

    async def feed_rest(self) -> None:
        """Take the unterminated last line of a file, whose runtime died over it, or is still writing it."""
        rest, self._rest = self._rest, b""
        if rest and (rest.count(b" ") >= STREAM_FIELDS or not rest[:1].isdigit()):
            await self._feed(rest)
            await self._drain()

    async def ask(self, operation: Literal["read_again", "accept", "no_words"]) -> None:
        """Do what RunParser has by this name, after all that was read."""
        with self._told():
            await (await self._open()).ask(operation)

    async def end(self) -> None:
        """Nothing more comes: get what the run became, and say what the parser knows to be missing."""
        if self.result is not None:
            return
        with self._told():
            self.result = await (await self._open()).end()
        self._parsed = None
        position = self.result.position
        if self.result.refused is not None:
            self.say(GapReason.SAVE_FAILED, f"the session volume refused the write: {self.result.refused}")
        if position.words is not None:
            self.say(GapReason.LOG_UNAVAILABLE, one_line(position.words, 300))
        elif position.untimed and self.form == "api":
            self.say(GapReason.LOG_INCOMPLETE, "the node said something in the midst of the log: see the entry without a time")
        if position.truncated_at is not None:
            limit = self.limits.max_line_bytes
            self.say(
                GapReason.LINE_TRUNCATED,
                f"a line at {position.truncated_at} was cut at {limit} bytes (spec.logs.limits.lineBytes)",
            )

    def say(self, reason: GapReason, message: str, severity: Literal["gap", "note"] = "gap") -> None:
        """Something of this run is missing."""
        missing = Missing(f"{self.target} {self.run}", reason, message, severity)
        if missing not in self.missing:
            self.missing.append(missing)

    def close(self) -> None:
        """Give back what the run holds."""
        parsed, self._parsed = self._parsed, None
        if parsed is not None:
            parsed.close()
        if self.result is not None:
            self.result.spool.close()

    async def _open(self) -> ParsedRun:
        if self._parsed is None:
            settings = RunSettings(
                container=self.run.container,
                run=self.run.number,
                previous=self.run.previous,
                start=self.start,
                end=self._end,
                max_line_bytes=self.limits.max_line_bytes,
                form=self.form,
                plain=self.plain,
            )
            order = RunOrder(settings, self.scratch(), self.limits.bytes_per_container, self.limits.sample_percent)
            self._parsed = await self.parsers.open(order, alone=self.alone)
        return self._parsed

    async def _feed(self, lines: bytes) -> None:
        self.size_bytes += len(lines)
        with self._told():
            await (await self._open()).feed(lines)

    async def _drain(self) -> None:
        if self._parsed is not None:
            with self._told():
                await self._parsed.drain()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Give faults of the parsing as a source's."""
        try:
            yield
        except PARSER_FAILURES as e:
            raise ParserFailed from e
        except OSError as e:
            message = f"the session volume refused the write: {e.strerror or e}"
            raise Rejected(message, GapReason.SAVE_FAILED) from e

"""Passes the log of one run of a container from its source to a parser, and gets the result back."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.fetchers.base import Missing, Window
from aletheia_operator.fetchers.kubernetes.containers import Run
from aletheia_operator.logs.framing import SECOND_LENGTH, Form
from aletheia_operator.logs.lines import Lines
from aletheia_operator.logs.pool import PARSER_FAILURES, ParsedRun, Parsers
from aletheia_operator.logs.position import Position
from aletheia_operator.logs.run import Operation, RunOrder, RunResult
from aletheia_operator.logs.run_settings import RunSettings
from aletheia_operator.redact import Redactor
from aletheia_operator.scratch import Scratch
from aletheia_operator.text.display import one_line
from aletheia_operator.text.timestamps import NANOSECONDS, format_nanoseconds, to_nanoseconds

DISORDER_NANOSECONDS = NANOSECONDS  # stdout and stderr get their times separately: a line may follow a later one
LINES_PAST_THE_END = 1000  # consecutive lines after which the rest is not read: fewer may result from a changed clock
STREAM_FIELDS = 3  # blanks before the text of a line in a node's file


class ParserFailed(Unavailable):
    """The log parser ended or failed during a run. What was read of the run is lost, and can be read again."""

    def __init__(self) -> None:
        super().__init__("the operator's log parser failed", GapReason.INTERNAL_ERROR)


@dataclass(frozen=True)
class LogLimits:
    """Budgets of one pod, in bytes of entries."""

    bytes_per_container: int
    bytes_per_pod: int
    max_line_bytes: int
    sample_percent: int = 100


@dataclass
class RunLog:
    """The log of a run while it is read: `read` chunks, then `end`.

    Methods raise SourceError if the session volume refuses the entries (SaveFailed), or if the parser fails.
    """

    run: Run
    window: Window
    limits: LogLimits
    scratch: Callable[[], Scratch]
    parsers: Parsers
    target: str
    namespace: str = ""
    """Namespace of its pod: namespaces take turns at the parsers."""
    form: Form = "api"
    missing: list[Missing] = field(default_factory=list)
    fragment: bytes = b""
    """Unterminated last line of a read; empty if it was complete."""
    size_bytes: int = 0
    """Bytes of the lines that were read."""
    complete: bool = False
    """Whether reading is over: at the log's end, at the end of the window, or given up. Its gaps were added."""
    empty: bool = False
    """Whether the API showed no line of it, in the window or before."""
    via: Literal["", "api", "node"] = ""
    result: RunResult | None = None
    alone: bool = False
    """Parse it in a worker without other runs: it may have made a worker fail."""
    redactor: Redactor = field(default_factory=Redactor)
    """The redactor of the capture."""
    plain: bool = False
    """Do not look for levels, messages and fields."""
    _rest: bytes = b""
    _parsed: ParsedRun | None = None

    def __post_init__(self) -> None:
        self.start = format_nanoseconds(to_nanoseconds(self.window.start))
        self.since = format_nanoseconds(to_nanoseconds(self.window.start) - NANOSECONDS)[:SECOND_LENGTH]
        """Second from which it is read. A line from before the window shows that its beginning was not rotated away."""
        end = to_nanoseconds(self.window.end)
        self.stop = format_nanoseconds(end + DISORDER_NANOSECONDS)
        self._end = format_nanoseconds(end + 999)  # the window has whole microseconds

    def begin_again(self, form: Form | None = None) -> None:
        """Forget what was read, and its gaps."""
        self.close()
        self.form = form or self.form
        self.missing, self.complete, self.empty, self.size_bytes = [], False, False, 0
        self.fragment = self._rest = b""
        self.result = None

    def give_up(self, reason: GapReason, message: str) -> None:
        """Forget what was read, and add a gap in its place."""
        self.begin_again()
        self.add_gap(reason, message)
        self.complete = True

    @property
    def position(self) -> Position:
        if self.result is not None:
            return self.result.position
        return Position() if self._parsed is None else self._parsed.position

    @property
    def past_the_end(self) -> bool:
        """Whether the rest of the log is certainly after the window. The log may be endless."""
        return self.position.past >= LINES_PAST_THE_END

    async def read(self, chunks: AsyncIterator[bytes]) -> None:
        """Parse whole lines as they arrive, until the chunks or the window end.

        If `chunks` breaks off or the call is cancelled, the lines so far are parsed. `position` is up to date afterwards.
        """
        lines = Lines(self.limits.max_line_bytes)
        self._rest = b""
        try:
            async for chunk in chunks:
                if (block := lines.add(chunk)) is not None:
                    await self._feed(block)
                    if self.past_the_end or self.position.detached or self.position.set_back:
                        return
        finally:
            rest = lines.rest()
            end = rest.rfind(b"\n") + 1
            self._rest = rest[end:]
            if end and not self.past_the_end:
                await self._feed(rest[:end])
            await self._drain()

    async def remember_fragment(self, new_lines: bool) -> None:
        """Remember an unterminated last line for the next read. `new_lines`: whether this read added complete lines."""
        if new_lines:
            self.fragment = b""
        if self._rest and not self.position.skip:
            self.fragment = self._rest
            if not self._rest[:1].isdigit():  # not a log line: an error message of the node
                await self.feed_fragment()

    async def feed_fragment(self) -> None:
        """Parse the unterminated last line of the API's answers: no more of it will come."""
        fragment, self.fragment = self.fragment, b""
        if fragment and (b" " in fragment or not fragment[:1].isdigit()):  # the beginning of a time alone is no line
            if self.position.skip:
                await self.call_parser("accept")
            await self._feed(fragment)
            await self._drain()

    async def feed_rest(self) -> None:
        """Parse the unterminated last line of a file: its runtime died while writing it, or is still writing it."""
        rest, self._rest = self._rest, b""
        if rest and (rest.count(b" ") >= STREAM_FIELDS or not rest[:1].isdigit()):
            await self._feed(rest)
            await self._drain()

    async def call_parser(self, operation: Operation) -> None:
        """Call the RunParser's method of this name, after all that was read."""
        with self._parser_errors():
            await (await self._open()).call(operation)

    async def end(self) -> None:
        """Finish the run: get its result, and add the parser's gaps."""
        if self.result is not None:
            return
        with self._parser_errors():
            self.result = await (await self._open()).end()
        self._parsed = None
        position = self.result.position
        if self.result.refused is not None:
            self.add_gap(GapReason.SAVE_FAILED, f"the session volume refused the write: {self.result.refused}")
        if position.node_message is not None:
            self.add_gap(GapReason.LOG_UNAVAILABLE, one_line(position.node_message, 300))
        elif position.untimed and self.form == "api":
            self.add_gap(GapReason.LOG_INCOMPLETE, "the node reports an error within the log: see the entry without a time")
        if position.truncated_at is not None:
            limit = self.limits.max_line_bytes
            self.add_gap(
                GapReason.LINE_TRUNCATED,
                f"a line at {position.truncated_at} was cut at {limit} bytes (spec.logs.limits.lineBytes)",
            )

    def add_gap(self, reason: GapReason, message: str, severity: Literal["gap", "note"] = "gap") -> None:
        """Add a gap of this run."""
        missing = Missing(f"{self.target} {self.run}", reason, message, severity)
        if missing not in self.missing:
            self.missing.append(missing)

    def close(self) -> None:
        """Release the parser and the scratch file."""
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
                redactor=self.redactor.another(),
            )
            order = RunOrder(settings, self.scratch(), self.limits.bytes_per_container, self.limits.sample_percent)
            self._parsed = await self.parsers.open(order, self.namespace, alone=self.alone)
        return self._parsed

    async def _feed(self, lines: bytes) -> None:
        self.size_bytes += len(lines)
        with self._parser_errors():
            await (await self._open()).feed(lines)

    async def _drain(self) -> None:
        if self._parsed is not None:
            with self._parser_errors():
                await self._parsed.drain()

    @contextmanager
    def _parser_errors(self) -> Iterator[None]:
        """Raise errors of the parser as SourceError."""
        try:
            yield
        except PARSER_FAILURES as e:
            raise ParserFailed from e
        except OSError as e:
            message = f"the session volume refused the write: {e.strerror or e}"
            raise Rejected(message, GapReason.SAVE_FAILED) from e

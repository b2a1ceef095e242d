"""Reads a run of a container through the API server, again from its last line until nothing new comes.

Speaks GET /api/v1/namespaces/{namespace}/pods/{pod}/log (core/v1, with `timestamps=true`). The API has no parameter for the end
of the window, and its start has whole seconds: the parser drops lines outside of the window.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.kubernetes.run_log import ParserFailed, RunLog
from aletheia_operator.logs.framing import SECOND_LENGTH, sort_key
from aletheia_operator.logs.lines import BLOCK_BYTES
from aletheia_operator.text.timestamps import NANOSECONDS, parse_nanoseconds, to_nanoseconds

MAX_BROKEN_READS = 3  # in a row, without a new line
ROTATED_BYTES = 768 * 1024  # a rotation is inferred if at least so many are missing by the log's rate
BUSY_LINES = 2000
YOUNG_SECONDS = 2.0  # a younger file does not show the log's rate
_TAIL_BYTES = 256 * 1024
_HEAD_BYTES = 4 * 1024 * 1024
_FIRST_LINE_BYTES = 64
_WORDS_OF_KUBELETS = ("unable to retrieve container logs for ", "failed to ", "rpc error: ")
_PART_BYTES = 8 * 1024  # runtimes write longer lines in parts


@dataclass(frozen=True)
class LogSource:
    """The place of a run's log in the API. `previous`: the API's parameter of this name."""

    kubernetes: Kubernetes
    path: str
    container: str
    previous: bool

    def query(self, **more: str) -> dict[str, str]:
        query = {"container": self.container, "timestamps": "true"}
        return query | ({"previous": "true"} if self.previous else {}) | more

    async def glance(self, most: int, **more: str) -> bytes:
        """Return the first `most` bytes of an answer. Raises SourceError."""
        async with self.kubernetes.stream(self.path, self.query(**more)) as response:
            parts, size = [], 0
            async for chunk in response.content.iter_any():
                parts.append(chunk)
                size += len(chunk)
                if size > most:
                    break
        return b"".join(parts)

    async def first_time(self, since: str | None = None) -> str:
        """Return the time of the first line; '' without lines. `since`: only lines from this second on. Raises SourceError."""
        more = {"limitBytes": str(_FIRST_LINE_BYTES)} | ({"sinceTime": f"{since}Z"} if since else {})
        return _time_of(await self.glance(_FIRST_LINE_BYTES, **more)) or ""


async def read_by_api(log: RunLog, source: LogSource, restarted: Callable[[], Awaitable[bool]]) -> None:
    """Read a run within the window, again from its last line if it breaks off. Adds gaps to `log`.

    If the connection between the node and the API server breaks, the answer ends like a complete one. So a second read checks
    for more lines; if that breaks off too, the log's last line is compared. A read that does not continue the earlier one
    shows another run or a rotated log: `restarted` tells which. The log of a container that restarted is left incomplete.

    The function is long because each way in which a read can end decides on the next one.
    """
    if log.position.lines:
        await log.ask("read_again")
    broken, since = 0, log.position.since or log.start[:SECOND_LENGTH]
    while True:
        lines, fragment = log.position.lines, log.fragment
        error: SourceError | None = None
        try:
            async with source.kubernetes.stream(source.path, source.query(sinceTime=f"{since}Z")) as response:
                await log.read(response.content.iter_chunked(BLOCK_BYTES))
            await log.look_at_fragment(log.position.lines > lines)
            if log.past_the_end:
                break
            if log.position.detached:
                if await restarted():
                    return
                await _say_hole(log)
                continue
            if log.position.latest > log.stop:
                break
            news = (lines, fragment) != (log.position.lines, log.fragment)
            busy = log.position.lines >= BUSY_LINES and not log.fragment
            goes_on = await _goes_on(log, source) if busy or (not news and _may_be_cut(log)) else None
            if busy and goes_on is False:
                break
            if goes_on and not news and not await _ends_with_a_part(log, source):
                error = Unavailable("the stream ends before the log does")
        except ParserFailed:
            raise
        except Unavailable as e:
            error = e
            await log.look_at_fragment(log.position.lines > lines)
        except Rejected as e:
            if e.reason == GapReason.SAVE_FAILED:
                raise
            log.say(*_explain(e, source.previous))
            log.complete = True
            return
        news = (lines, fragment) != (log.position.lines, log.fragment)
        broken = 0 if news else broken + 1
        if not news and (error is None or broken >= MAX_BROKEN_READS):
            break
        await log.ask("read_again")
        since = log.position.since or since
    await log.feed_fragment()
    if error is not None:
        last = log.position.last
        reason = GapReason.LOG_INCOMPLETE if last else error.reason
        log.say(reason, f"the log broke off{f' after {last}' if last else ''}: {error.message}")
    await _look_at_words(log, source)
    log.complete = True


async def _say_hole(log: RunLog) -> None:
    position = log.position
    log.say(
        GapReason.LOG_ROTATED,
        "the node rotated the log while it was read: what came between"
        f" {position.latest} and {position.detached} may be missing",
    )
    await log.ask("accept")


async def _look_at_words(log: RunLog, source: LogSource) -> None:
    """Tell an error message of the node from the rest of a line that began before the window: then the log has lines.

    A known message of kubelets is not checked: the API may show another run by now.
    """
    if log.position.words is not None and not log.position.words.startswith(_WORDS_OF_KUBELETS):
        try:
            if await source.first_time():
                await log.ask("no_words")
        except ParserFailed:
            raise
        except SourceError:
            return


def _may_be_cut(log: RunLog) -> bool:
    """Return whether a read without new lines may have been cut off: within a line, or before the lines that were read."""
    position = log.position
    return bool(log.fragment) or position.skip > 0 or (position.lines == 0 and position.words is None)


async def _goes_on(log: RunLog, source: LogSource) -> bool | None:
    """Return whether more lines of the window may follow, by the log's last line; None if it does not tell.

    For a busy log this is cheaper than to read its last seconds again.
    """
    key = _time_of(await source.glance(_TAIL_BYTES, tailLines="1"))
    if key is None:
        return None
    latest = _time_of(log.fragment) or log.position.latest
    return key >= log.start and key > latest and latest <= log.stop


async def _ends_with_a_part(log: RunLog, source: LogSource) -> bool:
    """Return whether the log's last record is the last part of the line that was read last.

    Runtimes write long lines in parts. Each part has its own time; the line has that of its first part.
    """
    time, _, text = (await source.glance(_TAIL_BYTES, tailLines="1")).partition(b" ")
    latest = log.position.latest
    if not latest or _time_of(time) is None:
        return False
    answer = await source.glance(_HEAD_BYTES, sinceTime=f"{latest[:SECOND_LENGTH]}Z")
    line = answer[answer.rfind(b"\n", 0, len(answer) - 1) + 1 :]
    return len(line) > max(len(text), _PART_BYTES) and line.endswith(text) and _time_of(line) == latest


def _time_of(line: bytes) -> str | None:
    return sort_key(line.partition(b" ")[0].decode("ascii", "replace"))


async def check_rotation(log: RunLog, source: LogSource) -> None:
    """Add a gap if the node has rotated away the beginning of the window.

    The API shows only the current file and no sign of rotation, so it is inferred: the container ran before the file's first
    line, for longer than it takes to fill a file at the log's rate. If the file's first line lies behind the window, or the
    file is too young to show a rate, the rate of the file's beginning is used. Kubernetes cuts the time of the start to whole
    seconds, so up to a second without lines is none.
    """
    started, position = log.run.started_at, log.position
    begun, wanted = parse_nanoseconds((started or "").encode()), parse_nanoseconds(log.start.encode())
    if begun is None or wanted is None or not position.first:
        return
    read_from = parse_nanoseconds(position.first.encode())
    if read_from is None or read_from - max(begun, wanted) < NANOSECONDS:
        return  # no time for earlier lines
    try:
        begins = parse_nanoseconds((await source.first_time()).encode())
        if begins is None or begins <= max(begun, wanted):
            return
        rate = await _rate(log, source, begins)
    except SourceError:
        return
    if rate * (begins - begun - NANOSECONDS) / NANOSECONDS >= ROTATED_BYTES:
        say_rotated(log, position.first, started or "")


async def _rate(log: RunLog, source: LogSource, begins: int) -> float:
    """Return the bytes per second that the API's log has from the moment `begins` on."""
    size, last = log.size_bytes, parse_nanoseconds(log.position.last.encode()) or begins
    seconds = (last - begins) / NANOSECONDS
    if seconds < YOUNG_SECONDS:
        age = (to_nanoseconds(datetime.now(UTC)) - begins) / NANOSECONDS
        if 0 <= age < YOUNG_SECONDS:
            await asyncio.sleep(YOUNG_SECONDS - age)
        head = await source.glance(_HEAD_BYTES, limitBytes=str(_HEAD_BYTES))
        lines = head.rpartition(b"\n")[0]
        size = len(lines)
        last = parse_nanoseconds((_time_of(lines.rpartition(b"\n")[2]) or "").encode()) or begins
        seconds = (last - begins) / NANOSECONDS
    return size / max(seconds, 1.0)


def say_rotated(log: RunLog, first: str, started: str) -> None:
    log.say(
        GapReason.LOG_ROTATED,
        f"the log that the node still has begins at {first}, and the container runs since {started}: what came before was"
        " rotated away. An earlier Investigation, logs.via: node or a larger containerLogMaxSize would have it",
    )


def _explain(error: Rejected, previous: bool) -> tuple[GapReason, str]:
    if "is waiting to start" in error.message:
        return GapReason.CONTAINER_NOT_STARTED, error.message
    if previous and "previous terminated container" in error.message:
        return GapReason.LOG_UNAVAILABLE, f"the run before the last restart is gone from the node: {error.message}"
    return error.reason, error.message

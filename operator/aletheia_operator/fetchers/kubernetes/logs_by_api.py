"""Reads a run of a container through the API server, again from its last line until no new line comes.

Speaks GET /api/v1/namespaces/{namespace}/pods/{pod}/log (core/v1, with `timestamps=true`). The API has no parameter for the end
of the window, and its start has whole seconds: the parser drops lines outside of the window.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.clients.kubernetes_bodies import read_up_to
from aletheia_operator.fetchers.kubernetes.node_health import NodeHealth
from aletheia_operator.fetchers.kubernetes.run_log import ParserFailed, RunLog
from aletheia_operator.logs.framing import SECOND_LENGTH, sort_key
from aletheia_operator.logs.lines import BLOCK_BYTES
from aletheia_operator.text.timestamps import NANOSECONDS, parse_nanoseconds, to_nanoseconds

MAX_BROKEN_READS = 3  # in a row, without a new line
ROTATED_BYTES = 256 * 1024  # a rotation is inferred if this much is missing by the log's rate: a quarter of the smallest file
EMPTY_SECONDS = (0.1, 0.3, 0.6)  # waits for a line of an empty log of a running container: it may just have been rotated
YOUNG_SECONDS = 2.0  # a younger file does not show the log's rate, and a younger container need not have written
_TAIL_BYTES = 256 * 1024
_HEAD_BYTES = 4 * 1024 * 1024
_FIRST_LINE_BYTES = 64
NO_PREVIOUS = "previous terminated container"  # in the kubelet's refusal
_ROTATION_MESSAGES = ("failed to try resolving symlinks", "failed to open log file")  # its file is renamed, then made again
_KUBELET_MESSAGES = ("unable to retrieve container logs for ", "failed to ", "rpc error: ")
_CONTAINER_GONE_MESSAGES = (" is terminated", " is not available")  # the kubelet knows no container of the pod by this name
_PART_BYTES = 8 * 1024  # runtimes write longer lines in parts


@dataclass(frozen=True)
class LogSource:
    """The place of a run's log in the API. `previous`: the API's parameter of this name."""

    kubernetes: Kubernetes
    path: str
    container: str
    previous: bool
    node: NodeHealth
    """The node that has the log."""

    def query(self, **more: str) -> dict[str, str]:
        query = {"container": self.container, "timestamps": "true"}
        return query | ({"previous": "true"} if self.previous else {}) | more

    async def read_head(self, max_bytes: int, **more: str) -> bytes:
        """Return an answer, or its first `max_bytes` bytes and maybe some more. Raises SourceError."""
        async with self.kubernetes.stream(self.path, self.query(**more)) as response:
            parts: list[bytes] = []
            await read_up_to(response, parts, max_bytes)
        return b"".join(parts)

    async def first_time(self, since: str | None = None) -> str:
        """Return the time of the first line; '' without lines. `since`: only lines from this second on. Raises SourceError."""
        more = {"limitBytes": str(_FIRST_LINE_BYTES)} | ({"sinceTime": f"{since}Z"} if since else {})
        return _time_of(await self.read_head(_FIRST_LINE_BYTES, **more)) or ""

    async def last_time(self) -> str:
        """Return the time of the last line; '' without lines. Raises SourceError."""
        return _time_of(await self.read_head(_TAIL_BYTES, tailLines="1")) or ""

    async def last_two_times(self) -> tuple[str, str]:
        """Return the times of the last line but one and of the last; '' without such a line. Raises SourceError."""
        answer = await self.read_head(2 * _TAIL_BYTES, tailLines="2")
        lines = answer.removesuffix(b"\n").split(b"\n")
        if len(answer) > 2 * _TAIL_BYTES:  # cut: the first of the two may fill it
            lines = [lines[0], await self.read_head(_TAIL_BYTES, tailLines="1")]
        times = ["", *(_time_of(line) or "" for line in lines)]
        return times[-2], times[-1]


class NextStep(Enum):
    """What to do after a read."""

    READ_AGAIN = "read again from the last seconds on: there were new lines, or some are missing"
    READ_ALL_AGAIN = "read again from the beginning: a clock was set back, and lines older than the last seconds are missing"
    WAIT = "look again later: the log has no line at all"
    CHECK_RUN = "find out whether the log was rotated, or the container restarted: its lines are others than before"
    END = "nothing: the log was read to its end, or to the end of the window"


async def read_by_api(log: RunLog, source: LogSource, restarted: Callable[[], Awaitable[bool]]) -> None:
    """Read a run within the window, again from its last line until no new line comes. Adds gaps to `log`.

    `restarted` returns whether the API shows another run instead. Then the log is left incomplete.
    """
    if await source.node.is_still_lost():  # an earlier log of this node was waited for in vain
        log.add_gap(GapReason.UNAVAILABLE, source.node.explain("this log was not asked for"))
        log.complete = True
        return
    if log.position.lines:
        await log.call_parser("read_again")
    broken, since = 0, _since(log)
    waits = [] if log.run.finished_at else list(EMPTY_SECONDS)
    while True:
        before, error = (log.position.lines, log.fragment), None
        try:
            step = await _read_once(log, source, since)
        except ParserFailed:
            raise
        except Unavailable as e:
            step, error = NextStep.READ_AGAIN, e
            await log.remember_fragment(log.position.lines > before[0])
            await source.node.refresh()
        except Rejected as e:
            if e.reason == GapReason.SAVE_FAILED:
                raise
            log.add_gap(*_explain(e, source.previous))
            log.complete = True
            return
        if step is NextStep.WAIT and not waits:
            log.empty = not log.position.lines
            step = NextStep.END if log.empty else NextStep.CHECK_RUN
        if step is NextStep.CHECK_RUN:
            if await restarted():
                return
            _add_gap_of_skipped_lines(log)
            step = NextStep.READ_AGAIN if log.position.detached else NextStep.END
            await log.call_parser("accept")
        broken = 0 if before != (log.position.lines, log.fragment) else broken + (error is not None)
        if step is NextStep.END or broken >= (1 if source.node.lost else MAX_BROKEN_READS):
            break
        if step is NextStep.WAIT:
            await asyncio.sleep(waits.pop(0))
        await log.call_parser("read_from_start" if step is NextStep.READ_ALL_AGAIN else "read_again")
        since = _since(log, from_beginning=step is NextStep.READ_ALL_AGAIN)
    await log.feed_fragment()
    if error is not None:
        _add_gap_of_broken_log(log, source, error)
    await _check_node_message(log, source)
    log.complete = True


def _add_gap_of_broken_log(log: RunLog, source: LogSource, error: Unavailable) -> None:
    last, node = log.position.last, source.node
    reason = GapReason.LOG_INCOMPLETE if last else GapReason.UNAVAILABLE if node.lost else error.reason
    message = f"the log broke off{f' after {last}' if last else ''}: {error.message}"
    log.add_gap(reason, node.explain(message))


def _since(log: RunLog, *, from_beginning: bool = False) -> str:
    """Return the second from which a read starts."""
    return (not from_beginning and log.position.since) or log.since


async def _read_once(log: RunLog, source: LogSource, since: str) -> NextStep:
    """Read from this second on, and return the next step. Raises SourceError.

    If the connection between the node and the API server breaks, the answer ends like a complete one. So the log's last line
    is compared with the last one that was read.
    """
    before = (log.position.lines, log.fragment)
    async with source.kubernetes.stream(source.path, source.query(sinceTime=f"{since}Z")) as response:
        await log.read(response.content.iter_chunked(BLOCK_BYTES))
    await log.remember_fragment(log.position.lines > before[0])
    position, new_lines = log.position, before != (log.position.lines, log.fragment)
    if log.past_the_end:
        return NextStep.END
    if position.detached:
        return NextStep.CHECK_RUN
    if position.set_back:
        return NextStep.READ_ALL_AGAIN
    if log.fragment and new_lines:
        return NextStep.READ_AGAIN  # perhaps that line is complete by then
    if position.node_message is not None and not position.node_message.startswith(_ROTATION_MESSAGES):
        return NextStep.END
    before_tail, tail = await source.last_two_times()
    latest, behind = _time_of(log.fragment) or position.latest, position.latest > log.stop
    if not tail:
        return NextStep.END if behind else NextStep.READ_AGAIN if new_lines else NextStep.WAIT
    if tail == latest == before_tail and new_lines:
        return NextStep.READ_AGAIN  # the last of several lines of this moment may be missing
    if tail == latest or (behind and tail > latest) or (tail < log.start and not position.lines):
        return NextStep.END
    if tail < position.since and since > log.since:
        return NextStep.READ_ALL_AGAIN
    if new_lines:
        return NextStep.READ_AGAIN
    if tail < log.start or await _ends_with_a_part(log, source):
        return NextStep.END
    raise Unavailable("the stream ends before the log does")


def add_note_of_empty_log(log: RunLog) -> None:
    """Add a note if the node may have rotated away all lines of a log before the first read.

    The new file of a rotated log is empty until the container writes again. Call it when it is certain which run's log was
    read. A log with a gap needs no note: the gap says why it has no line.
    """
    if not log.empty or log.missing:
        return
    begun = parse_nanoseconds((log.run.started_at or "").encode())
    ended = parse_nanoseconds((log.run.finished_at or log.stop).encode())
    if begun is not None and ended is not None and ended - begun > YOUNG_SECONDS * NANOSECONDS:
        log.add_gap(
            GapReason.LOG_ROTATED,
            f"the log has no line, and the container was started at {log.run.started_at}: it wrote none, or the node rotated"
            " the log after its last line. logs.via: node would tell",
            "note",
        )


def _add_gap_of_skipped_lines(log: RunLog) -> None:
    position = log.position
    what = f"between {position.latest} and {position.detached}" if position.detached else f"after {position.latest}"
    log.add_gap(GapReason.LOG_ROTATED, f"the node rotated the log while it was read: lines {what} may be missing")


async def _check_node_message(log: RunLog, source: LogSource) -> None:
    """Drop a supposed error message of the node if the log has lines: it is the rest of a line from before the window.

    A known message of kubelets is not checked: the API may show another run now.
    """
    if log.position.node_message is not None and not log.position.node_message.startswith(_KUBELET_MESSAGES):
        try:
            if await source.first_time():
                await log.call_parser("drop_node_message")
        except ParserFailed:
            raise
        except SourceError:
            return


async def _ends_with_a_part(log: RunLog, source: LogSource) -> bool:
    """Return whether the log's last record is the last part of the line that was read last.

    Runtimes write long lines in parts. Each part has its own time; the line has that of its first part.
    """
    time, _, text = (await source.read_head(_TAIL_BYTES, tailLines="1")).partition(b" ")
    latest = log.position.latest
    if not latest or _time_of(time) is None:
        return False
    answer = await source.read_head(_HEAD_BYTES, sinceTime=f"{latest[:SECOND_LENGTH]}Z")
    line = answer[answer.rfind(b"\n", 0, len(answer) - 1) + 1 :]
    return len(line) > max(len(text), _PART_BYTES) and line.endswith(text) and _time_of(line) == latest


def _time_of(line: bytes) -> str | None:
    return sort_key(line.partition(b" ")[0].decode("ascii", "replace"))


async def check_rotation(log: RunLog, source: LogSource) -> None:
    """Add a gap if the node has rotated away the beginning of the window.

    The API shows only the current file and no sign of rotation, so it is inferred: the file begins within the window, and the
    container ran before its first line, for longer than it takes to fill a part of a file at the log's rate, which may have
    been higher before. If the first line is after the window, or the file is too young to show a rate, the rate of the
    file's beginning is used. Kubernetes cuts the time of the start to whole seconds, so a second without lines is ignored.

    If the API does not answer, nothing can be inferred, which is a gap; a note if the node no longer has the log.
    """
    started, first = log.run.started_at, log.position.first
    begun, begins = parse_nanoseconds((started or "").encode()), parse_nanoseconds(first.encode())
    if begun is None or begins is None or first <= log.start or begins - begun < NANOSECONDS:
        return
    try:
        if await source.node.is_still_lost():
            raise Unavailable(source.node.words)
        earlier = await source.first_time()
        if earlier and earlier < first:
            return
        rate = await _rate(log, source, begins)
    except SourceError as e:
        message = f"whether the node rotated away what came before {first} is not known: {e.message}"
        log.add_gap(GapReason.LOG_INCOMPLETE, message, "note" if isinstance(e, Rejected) else "gap")
        return
    if rate * (begins - begun - NANOSECONDS) / NANOSECONDS >= ROTATED_BYTES:
        add_rotation_gap(log, first, started or "")


async def _rate(log: RunLog, source: LogSource, begins: int) -> float:
    """Return the bytes per second that the API's log has from the moment `begins` on."""
    size, last = log.size_bytes, parse_nanoseconds(log.position.last.encode()) or begins
    seconds = (last - begins) / NANOSECONDS
    if seconds < YOUNG_SECONDS:
        age = (to_nanoseconds(datetime.now(UTC)) - begins) / NANOSECONDS
        if 0 <= age < YOUNG_SECONDS:
            await asyncio.sleep(YOUNG_SECONDS - age)
        head = await source.read_head(_HEAD_BYTES, limitBytes=str(_HEAD_BYTES))
        lines = head.rpartition(b"\n")[0]
        size = len(lines)
        last = parse_nanoseconds((_time_of(lines.rpartition(b"\n")[2]) or "").encode()) or begins
        seconds = (last - begins) / NANOSECONDS
    return size / max(seconds, 1.0)


def add_rotation_gap(log: RunLog, first: str, started: str) -> None:
    log.add_gap(
        GapReason.LOG_ROTATED,
        f"the log that the node still has begins at {first}, and the container runs since {started}: what came before was"
        " rotated away. An earlier Investigation, logs.via: node or a larger containerLogMaxSize would have it",
    )


def _explain(error: Rejected, previous: bool) -> tuple[GapReason, str]:
    if "is waiting to start" in error.message:
        return GapReason.CONTAINER_NOT_STARTED, error.message
    if any(words in error.message for words in _CONTAINER_GONE_MESSAGES):
        return GapReason.LOG_UNAVAILABLE, f"the node no longer has this container: {error.message}"
    if previous and NO_PREVIOUS in error.message:
        return GapReason.LOG_UNAVAILABLE, f"the run before the last restart is gone from the node: {error.message}"
    return error.reason, error.message

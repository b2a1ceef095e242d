"""Logs by way of the pods/log API.

Speaks GET /api/v1/namespaces/{namespace}/pods/{pod}/log (core/v1, with `timestamps=true`). The API knows no end of a log's
window and only whole seconds of its start: both are cut while parsing.
"""

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.kubernetes.run_log import Run, RunLog
from aletheia_operator.logs.lines import BLOCK_BYTES
from aletheia_operator.logs.run_parser import sort_key
from aletheia_operator.text.timestamps import NANOSECONDS, parse_nanoseconds

MAX_BROKEN_READS = 3  # in a row, without a new line
ROTATED_BYTES = 10 * 1024 * 1024  # least size at which a kubelet rotates by default (containerLogMaxSize)
BUSY_LINES = 2000
_SECOND_LENGTH = len("2026-11-22T15:21:11")
_TAIL_BYTES = 256 * 1024
_HEAD_BYTES = 4 * 1024 * 1024


async def read_by_api(log: RunLog, kubernetes: Kubernetes, path: str) -> None:
    """Read a run within the window, again from its last line while it breaks off. What is missing is said in the log.

    A connection that breaks off between the node and the API server ends like a log that is over: only a second look tells,
    and where that breaks off too, the log's last line.
    """
    broken, since = 0, log.start[:_SECOND_LENGTH]
    while True:
        position, fragment = log.position, log.fragment
        error: SourceError | None = None
        try:
            async with kubernetes.stream(path, {**_query(log.run), "sinceTime": f"{since}Z"}) as response:
                await log.read(response.content.iter_chunked(BLOCK_BYTES))
            await log.look_at_fragment(position != log.position)
            if log.past_the_end:
                return
            news = (position, fragment) != (log.position, log.fragment)
            busy = log.position.lines >= BUSY_LINES and not log.fragment
            goes_on = await _goes_on(log, kubernetes, path) if busy or (not news and await _may_be_cut(log)) else None
            if busy and goes_on is False:
                return
            if goes_on and not news:
                error = Unavailable("the stream ends before the log does")
        except Unavailable as e:
            error = e
            await log.look_at_fragment(position != log.position)
        except Rejected as e:
            if e.reason == GapReason.SAVE_FAILED:
                raise
            log.say(*_explain(e, log.run))
            return
        news = (position, fragment) != (log.position, log.fragment)
        broken = 0 if news else broken + 1
        if not news and (error is None or broken >= MAX_BROKEN_READS):
            break
        since = await log.read_again() or since
    await log.feed_fragment()
    if error is not None:
        last = log.position.last
        reason = GapReason.LOG_INCOMPLETE if last else error.reason
        log.say(reason, f"the log broke off{f' after {last}' if last else ''}: {error.message}")


async def _may_be_cut(log: RunLog) -> bool:
    """Whether a look that brought nothing new looks like one that was cut: within a line, or before what was read already."""
    parser = await log.settle()
    return bool(log.fragment) or parser.skip > 0 or (log.position.lines == 0 and parser.words is None)


async def _goes_on(log: RunLog, kubernetes: Kubernetes, path: str) -> bool | None:
    """Whether the log's last line is later than all that was read; None where it does not tell.

    Of a busy log that is cheaper to ask than its last seconds again.
    """
    tail = await _glance(kubernetes, path, {**_query(log.run), "tailLines": "1"})
    stamp, _, _ = tail.partition(b" ")
    key = sort_key(stamp.decode("ascii", "replace"))
    fragment = sort_key(log.fragment.partition(b" ")[0].decode("ascii", "replace")) or ""
    return None if key is None else key >= log.start and key > max(log.position.last, fragment)


async def _glance(kubernetes: Kubernetes, path: str, query: dict[str, str], most: int = _TAIL_BYTES) -> bytes:
    """The beginning of an answer that is short by its nature."""
    async with kubernetes.stream(path, query) as response:
        parts, size = [], 0
        async for chunk in response.content.iter_any():
            parts.append(chunk)
            size += len(chunk)
            if size > most:
                break
    return b"".join(parts)


async def check_rotation(log: RunLog, kubernetes: Kubernetes, path: str) -> None:
    """Say so where the node has rotated away what the window begins with.

    The API shows the present file alone and no sign of rotation, so it is inferred: the container ran before the file's first
    line, for longer than it takes at the log's rate to fill a file. Where even the file's first line lies behind the window,
    the rate is that of its beginning.
    """
    started, size = log.run.started_at, log.spool.size_bytes
    all_behind = size == 0 and log.position.last > log.start
    if started is None or (size < ROTATED_BYTES // 100 and not all_behind):
        return
    most = _HEAD_BYTES if all_behind else 64
    try:
        head = await _glance(kubernetes, path, {**_query(log.run), "limitBytes": str(most)}, most)
    except SourceError:
        return
    if all_behind and (size := len(head)) < ROTATED_BYTES // 100:
        return
    last_line = head.rpartition(b"\n")[0].rpartition(b"\n")[2]  # that is whole
    final = last_line.partition(b" ")[0] if all_behind else log.position.last.encode()
    begins, begun = parse_nanoseconds(head.partition(b" ")[0]), parse_nanoseconds(started.encode())
    last, wanted = parse_nanoseconds(final), parse_nanoseconds(log.start.encode())
    if begins is None or begun is None or last is None or wanted is None or begins <= max(begun, wanted):
        return
    seconds = max((last - begins) / NANOSECONDS, 0.1 if all_behind else 1.0)
    if size / seconds * ((begins - begun) / NANOSECONDS) >= ROTATED_BYTES:
        say_rotated(log, head.partition(b" ")[0].decode(), started)


def say_rotated(log: RunLog, first: str, started: str) -> None:
    log.say(
        GapReason.LOG_ROTATED,
        f"the log that the node still has begins at {first}, and the container runs since {started}: what came before was"
        " rotated away. An earlier Investigation, logs.via: node or a larger containerLogMaxSize would have it",
    )


def _query(run: Run) -> dict[str, str]:
    query = {"container": run.container, "timestamps": "true"}
    return query | {"previous": "true"} if run.previous else query


def _explain(error: Rejected, run: Run) -> tuple[GapReason, str]:
    if "is waiting to start" in error.message:
        return GapReason.CONTAINER_NOT_STARTED, error.message
    if run.previous and "previous terminated container" in error.message:
        return GapReason.LOG_UNAVAILABLE, f"the run before the last restart is gone from the node: {error.message}"
    return error.reason, error.message

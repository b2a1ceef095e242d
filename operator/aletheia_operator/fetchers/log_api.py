"""Logs by way of the pods/log API.

Speaks GET /api/v1/namespaces/{namespace}/pods/{pod}/log (core/v1, with `timestamps=true`). The API knows no end of a log's
window and only whole seconds of its start: both are cut while parsing.
"""

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.log_lines import BLOCK_BYTES
from aletheia_operator.fetchers.log_run import Run, RunLog
from aletheia_operator.text.entries import sort_key
from aletheia_operator.text.timestamps import NANOSECONDS, parse_nanoseconds

MAX_BROKEN_READS = 3  # in a row, without a new line
ROTATED_BYTES = 10 * 1024 * 1024  # least size at which a kubelet rotates by default (containerLogMaxSize)
BUSY_LINES = 2000
_SECOND_LENGTH = len("2026-11-22T15:21:11")
_TAIL_BYTES = 256 * 1024


async def read_by_api(log: RunLog, kubernetes: Kubernetes, path: str) -> None:
    """Read a run within the window, again from its last line while it breaks off. What is missing is said in the log.

    A connection that breaks off between the node and the API server ends like a log that is over: only a second look tells.
    """
    broken, since = 0, log.start[:_SECOND_LENGTH]
    while True:
        position, fragment = log.position, log.fragment
        error: SourceError | None = None
        try:
            async with kubernetes.stream(path, {**_query(log.run), "sinceTime": f"{since}Z"}) as response:
                await log.read(response.content.iter_chunked(BLOCK_BYTES))
            await log.look_at_fragment(position != log.position)
            if log.past_the_end or await _is_all(log, kubernetes, path):
                return
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


async def _is_all(log: RunLog, kubernetes: Kubernetes, path: str) -> bool:
    """Whether the log's last line was read: of a busy log cheaper to ask than its last seconds again."""
    if log.fragment or log.position.lines < BUSY_LINES:
        return False
    tail = await _glance(kubernetes, path, {**_query(log.run), "tailLines": "1"})
    lines = tail.splitlines()
    key = sort_key(lines[-1].partition(b" ")[0].decode("ascii", "replace")) if lines else None
    return key is not None and key <= log.position.last


async def _glance(kubernetes: Kubernetes, path: str, query: dict[str, str]) -> bytes:
    """The beginning of an answer that is short by its nature."""
    async with kubernetes.stream(path, query) as response:
        parts, size = [], 0
        async for chunk in response.content.iter_any():
            parts.append(chunk)
            size += len(chunk)
            if size > _TAIL_BYTES:
                break
    return b"".join(parts)


async def check_rotation(log: RunLog, kubernetes: Kubernetes, path: str) -> None:
    """Say so where the node has rotated away what the window begins with.

    The API shows the present file alone and no sign of rotation, so it is inferred: the container ran before the file's first
    line, for longer than it takes at the log's rate to fill a file.
    """
    first, started = log.parsed.capture.parser.first, log.run.started_at
    if not first or started is None or log.spool.size_bytes < ROTATED_BYTES // 100:
        return
    try:
        head = await _glance(kubernetes, path, {**_query(log.run), "limitBytes": "64"})
    except SourceError:
        return
    begins, begun = parse_nanoseconds(head.partition(b" ")[0]), parse_nanoseconds(started.encode())
    last = parse_nanoseconds(log.position.last.encode())
    wanted = parse_nanoseconds(log.start.encode())
    if begins is None or begun is None or last is None or wanted is None or begins <= max(begun, wanted):
        return
    seconds = max((last - begins) / NANOSECONDS, 1.0)
    if log.spool.size_bytes / seconds * ((begins - begun) / NANOSECONDS) >= ROTATED_BYTES:
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
    if error.reason == GapReason.FORBIDDEN:
        message = f"{error.message}. A Role with the verb get on pods/log, bound to that user, would allow it"
        return GapReason.FORBIDDEN, message
    return error.reason, error.message

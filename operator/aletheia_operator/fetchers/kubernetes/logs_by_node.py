"""Reads a container's log files from its node, with rotated files and those of earlier runs.

The kubelet keeps them as /var/log/pods/{namespace}_{pod}_{uid}/{container}/{restart}.log. A rotated file has the time of its
rotation as suffix; all but the latest are compressed (kubernetes: pkg/kubelet/logs/container_log_manager.go). The kubelet keeps
one or two ended containers, and removes older ones with their files.
"""

import asyncio
import html
import re
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.clients.kubelet import Kubelets
from aletheia_operator.fetchers.kubernetes.logs_by_api import add_rotation_gap
from aletheia_operator.fetchers.kubernetes.run_log import DISORDER_NANOSECONDS, RunLog
from aletheia_operator.logs.framing import sort_key
from aletheia_operator.logs.lines import BLOCK_BYTES
from aletheia_operator.text.timestamps import NANOSECONDS, format_nanoseconds, parse_nanoseconds

MAX_LISTING_BYTES = 256 * 1024
MAX_ROUNDS = 20  # while the kubelet rotates
SETTLED_ROUNDS = 5  # listings after which a run with only rotated files has no other file
ROTATION_SECONDS = 0.1  # a runtime needs less to open the next file after a rotation
WRITING = "~"  # sorts after every time
SEEK_BYTES = 4 * 1024 * 1024  # a smaller file is read from its beginning
DEFAULT_MAX_FILES = 5  # of a run, that a kubelet keeps by default (containerLogMaxFiles)
_PROBE_BYTES = 64 * 1024
_INFLATED_BYTES = 256 * 1024
_LINK = re.compile(r'href="([^"]{1,1024})"')
_FILE = re.compile(r"(\d{1,9})\.log(?:\.(\d{8}-\d{6})(\.gz)?)?", re.ASCII)
_UID = re.compile(r"[0-9a-fA-F-]{1,64}")


class DamagedFile(Unavailable):
    """A compressed file ends before its content does."""


def directory_uid(uid: str, mirror: str | None) -> str:
    """Return the part of a pod's directory name that identifies it: the uid, or a static pod's annotation `mirror`.

    Users who may write annotations could name another pod's directory with it. So it is only used if it is a hash.
    """
    return mirror if mirror is not None and _UID.fullmatch(mirror) else uid


@dataclass(frozen=True, order=True)
class LogFile:
    """A file of one run. Files sort in the order in which they were written."""

    restart: int
    rotated: str
    """Time of its rotation, or WRITING."""
    name: str

    @property
    def identity(self) -> tuple[int, str]:
        """Run and rotation time: equal before and after compression."""
        return self.restart, self.rotated

    @property
    def is_rotated(self) -> bool:
        return self.rotated != WRITING

    @classmethod
    def being_written(cls, restart: int) -> "LogFile":
        return cls(restart, WRITING, f"{restart}.log")


@dataclass(frozen=True)
class Directory:
    """The log files of one container on its node."""

    kubelets: Kubelets
    address: str
    path: str

    @classmethod
    def of(cls, kubelets: Kubelets, address: str, namespace: str, pod: str, uid: str, container: str) -> "Directory":
        return cls(kubelets, address, f"/logs/pods/{quote(f'{namespace}_{pod}_{uid}/{container}')}/")

    async def files(self) -> list[LogFile]:
        """Return every log file once, oldest first, also if it exists with and without compression. Raises SourceError."""
        content = b""
        async with self.kubelets.open(self.address, self.path) as response:
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > MAX_LISTING_BYTES:
                    raise Rejected("the kubelet's listing of log files is too long", GapReason.TOO_LARGE)
        names = {unquote(html.unescape(link)) for link in _LINK.findall(content.decode("utf-8", "replace"))}
        found = [(name, _FILE.fullmatch(name)) for name in sorted(names)]  # a compressed file comes after its other name
        files = [LogFile(int(match[1]), match[2] or WRITING, name) for name, match in found if match]
        return sorted({file.identity: file for file in files}.values())

    @asynccontextmanager
    async def opened(self, file: LogFile, start: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a file. Its content begins at a line before `start`, or at the file's beginning. Raises SourceError.

        The kubelet keeps it open: the content is that of this file, also if it is renamed or removed meanwhile.
        """
        path = self.path + quote(file.name)
        async with self.kubelets.open(self.address, path) as response:
            if file.name.endswith(".gz"):
                yield _inflated(response.content.iter_any(), file.name)
                return
            size = response.content_length or 0
            if size <= SEEK_BYTES:
                yield response.content.iter_chunked(BLOCK_BYTES)
                return
        offset = await self._seek(path, start, size)
        async with self.kubelets.open(self.address, path, offset) as response:
            chunks = response.content.iter_chunked(BLOCK_BYTES)
            yield _from_next_line(chunks) if offset else chunks  # the offset lies anywhere in a line

    async def _seek(self, path: str, start: str, size: int) -> int:
        """Return an offset before which every line is older than `start`, found by bisection."""
        moment = parse_nanoseconds(start.encode())
        before = start if moment is None else format_nanoseconds(moment - DISORDER_NANOSECONDS)
        low, high = 0, size
        while high - low > SEEK_BYTES:
            middle = (low + high) // 2
            stamp = await self._greatest_stamp(path, middle)
            if stamp is None or stamp >= before:
                high = middle
            else:
                low = middle
        return low

    async def _greatest_stamp(self, path: str, offset: int) -> str | None:
        """Return the greatest time of the whole lines after `offset`. A single time may be wrong: clocks are set back."""
        async with self.kubelets.open(self.address, path, offset, offset + _PROBE_BYTES) as response:
            content = await response.content.read(_PROBE_BYTES)
        keys = (sort_key(line.partition(b" ")[0].decode("ascii", "replace")) for line in content.split(b"\n")[1:])
        return max((key for key in keys if key), default=None)


async def read_by_node(log: RunLog, directory: Directory, files: list[LogFile]) -> None:
    """Read a run within the window from its listed files. Raises SourceError if that fails.

    Rotated files do not change, so each is read once. The file that is being written is opened, and then the files are listed
    again: if none was rotated meanwhile, it is the one that follows those that were read.
    """
    read: dict[tuple[int, str], LogFile] = {}
    removed: list[LogFile] = []
    settled = 0  # rounds in a row that found no file that is being written, and no new one
    for _ in range(MAX_ROUNDS):
        for file in files:
            if file.is_rotated and file.identity not in read:
                if not await _read_rotated(log, directory, file):
                    removed.append(file)
                    if log.position.lines:
                        _add_gap_of_removed_files(log, removed)
                read[file.identity] = file
                if log.past_the_end:
                    return _finish(log, files, removed)
        writing = LogFile.being_written(log.run.number or 0)
        try:
            async with directory.opened(writing, log.start) as chunks:
                files = await _files_of(log, directory)
                if all(file.identity in read for file in files if file.is_rotated):
                    await log.read(chunks)
                    await log.feed_rest()
                    return _finish(log, [*read.values(), writing], removed)
        except Rejected as e:
            if e.reason != GapReason.NOT_FOUND:
                raise
            files = await _files_of(log, directory)  # it is being rotated, or was removed
            settled = settled + 1 if all(file.identity in read for file in files) else 0
            if files and settled == SETTLED_ROUNDS:
                return _finish(log, list(read.values()), removed)
            await asyncio.sleep(ROTATION_SECONDS if settled else 0)
        if not files:
            log.add_gap(GapReason.LOG_INCOMPLETE, "the node removed this run's log while it was read")
            return _finish(log, list(read.values()), [])
        if read and not any(file.identity in read for file in files if file.is_rotated):
            log.add_gap(GapReason.LOG_ROTATED, "the node removed files while others were read, perhaps also unlisted ones")
    raise Unavailable("the kubelet rotates this log faster than it can be read")


async def _files_of(log: RunLog, directory: Directory) -> list[LogFile]:
    """Return the run's files; [] if they were removed, also with the whole directory. Raises SourceError."""
    try:
        return [file for file in await directory.files() if file.restart == log.run.number]
    except Rejected as e:
        if e.reason == GapReason.NOT_FOUND:
            return []
        raise


async def _read_rotated(log: RunLog, directory: Directory, file: LogFile) -> bool:
    """Read a rotated file. If it is gone, look for it under the name that it has after compression.

    Returns whether it was there. Raises SourceError.
    """
    for name in dict.fromkeys((file.name, f"{file.name.removesuffix('.gz')}.gz")):
        try:
            async with directory.opened(replace(file, name=name), log.start) as chunks:
                await log.read(chunks)
                await log.feed_rest()
            return True
        except DamagedFile as e:
            last = log.position.last
            log.add_gap(GapReason.LOG_INCOMPLETE, f"{e.message}: its lines{f' after {last}' if last else ''} are missing")
            await log.feed_rest()
            return True
        except Rejected as e:
            if e.reason != GapReason.NOT_FOUND:
                raise
    return False


def _finish(log: RunLog, files: list[LogFile], removed: list[LogFile]) -> None:
    """Add the gaps. `removed`: listed files that were gone before they were read."""
    if log.position.untimed and not log.position.first:
        raise Rejected("the node's file of this log is neither in CRI's nor in Docker's form", GapReason.INVALID_RESPONSE)
    if removed and not (log.position.first and log.position.first <= log.start):
        _add_gap_of_removed_files(log, removed)
    _check_rotation(log, files)
    log.complete = True


def _add_gap_of_removed_files(log: RunLog, files: list[LogFile]) -> None:
    names = ", ".join(file.name for file in files)
    log.add_gap(GapReason.LOG_ROTATED, f"the node removed files of this run before they were read: {names}")


def _check_rotation(log: RunLog, files: list[LogFile]) -> None:
    """Add a gap if the kubelet has removed the run's first files, and the window begins before the files that are left.

    The files that are left show no sign of that, so it is inferred: the container ran before the first line, and there are as
    many files as a kubelet keeps, or the time before would have filled another file at the log's rate.
    """
    started, first = log.run.started_at, log.position.first
    if started is None or first <= log.start or log.missing or not any(file.is_rotated for file in files):
        return
    begins, begun = parse_nanoseconds(first.encode()), parse_nanoseconds(started.encode())
    last = parse_nanoseconds(log.position.last.encode())
    if begins is None or begun is None or last is None:
        return
    silent = begins - begun
    if silent > 2 * NANOSECONDS and (len(files) >= DEFAULT_MAX_FILES or silent >= (last - begins) / len(files)):
        add_rotation_gap(log, first, started)


async def _from_next_line(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Leave out all up to the first line feed."""
    inside = False
    async for chunk in chunks:
        if not inside:
            end = chunk.find(b"\n") + 1
            if not end:
                continue
            inside, chunk = True, chunk[end:]
        yield chunk


async def _inflated(chunks: AsyncIterator[bytes], name: str) -> AsyncIterator[bytes]:
    """Decompress a gzip file. Raises DamagedFile after yielding all that could be read."""
    inflate = zlib.decompressobj(wbits=31)
    try:
        async for chunk in chunks:
            while chunk:
                yield await asyncio.to_thread(
                    inflate.decompress, chunk, _INFLATED_BYTES
                )  # a small chunk may inflate to a very large one
                chunk = inflate.unconsumed_tail or inflate.unused_data
                if inflate.eof and chunk:  # another member
                    inflate = zlib.decompressobj(wbits=31)
    except zlib.error as e:
        raise DamagedFile(f"the compressed log file {name} is damaged", GapReason.INVALID_RESPONSE) from e
    if not inflate.eof:
        raise DamagedFile(f"the compressed log file {name} is cut short", GapReason.INVALID_RESPONSE)

"""Logs by way of the node: the files of a container, rotated ones and those of runs before included.

The kubelet keeps them as /var/log/pods/{namespace}_{pod}_{uid}/{container}/{restart}.log; a rotated one has the time of its
rotation as suffix, and but for the latest is compressed (kubernetes: pkg/kubelet/logs/container_log_manager.go).
"""

import html
import re
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote, unquote

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.clients.kubelet import Kubelets
from aletheia_operator.fetchers.kubernetes.logs_by_api import say_rotated
from aletheia_operator.fetchers.kubernetes.run_log import DISORDER_NANOSECONDS, RunLog
from aletheia_operator.logs.lines import BLOCK_BYTES
from aletheia_operator.logs.run_parser import sort_key
from aletheia_operator.text.timestamps import format_nanoseconds, parse_nanoseconds

MAX_LISTING_BYTES = 1024 * 1024
MAX_ATTEMPTS = 3  # while the kubelet rotates
SEEK_BYTES = 4 * 1024 * 1024  # a smaller file is read from its beginning
_PROBE_BYTES = 64 * 1024
_INFLATED_BYTES = 256 * 1024
_LINK = re.compile(r'href="([^"]{1,1024})"')
_FILE = re.compile(r"(\d{1,9})\.log(?:\.(\d{8}-\d{6})(\.gz)?)?")


@dataclass(frozen=True, order=True)
class LogFile:
    """A file of one run; in the order in which they were written."""

    restart: int
    rotated: str  # `~` for the one that is being written, so that it sorts last
    name: str

    @property
    def identity(self) -> tuple[int, str]:
        """The same before and after it is compressed."""
        return self.restart, self.rotated


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
        """Every log file, oldest first. Raises SourceError."""
        content = b""
        async with self.kubelets.open(self.address, self.path) as response:
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > MAX_LISTING_BYTES:
                    raise Rejected("the kubelet's listing of log files is too long", GapReason.TOO_LARGE)
        names = {unquote(html.unescape(link)) for link in _LINK.findall(content.decode("utf-8", "replace"))}
        found = [(name, _FILE.fullmatch(name)) for name in names]
        return sorted(LogFile(int(match[1]), match[2] or "~", name) for name, match in found if match)

    async def chunks(self, file: LogFile, start: str) -> AsyncIterator[bytes]:
        """The file's content, from a line that was written before `start`, or from the beginning."""
        path = self.path + quote(file.name)
        if file.name.endswith(".gz"):
            async with self.kubelets.open(self.address, path) as response:
                async for chunk in _inflated(response.content.iter_any()):
                    yield chunk
            return
        async with self.kubelets.open(self.address, path) as response:
            size = response.content_length or 0
            if size <= SEEK_BYTES:
                async for chunk in response.content.iter_chunked(BLOCK_BYTES):
                    yield chunk
                return
        offset = await self._seek(path, start, size)
        async with self.kubelets.open(self.address, path, offset) as response:
            inside = offset == 0
            async for chunk in response.content.iter_chunked(BLOCK_BYTES):
                if not inside:  # the offset lies anywhere in a line
                    end = chunk.find(b"\n") + 1
                    if not end:
                        continue
                    inside, chunk = True, chunk[end:]
                yield chunk

    async def _seek(self, path: str, start: str, size: int) -> int:
        """An offset before which every line is older than `start`, found by bisecting."""
        moment = parse_nanoseconds(start.encode())
        before = start if moment is None else format_nanoseconds(moment - DISORDER_NANOSECONDS)
        low, high = 0, size
        while high - low > SEEK_BYTES:
            middle = (low + high) // 2
            stamp = await self._first_stamp(path, middle)
            if stamp is None or stamp >= before:
                high = middle
            else:
                low = middle
        return low

    async def _first_stamp(self, path: str, offset: int) -> str | None:
        """Time of the first whole line from `offset` on."""
        async with self.kubelets.open(self.address, path, offset, offset + _PROBE_BYTES) as response:
            content = await response.content.read(_PROBE_BYTES)
        for line in content.split(b"\n")[1:]:
            stamp = line.partition(b" ")[0].decode("ascii", "replace")
            if key := sort_key(stamp):
                return key
        return None


async def read_by_node(log: RunLog, directory: Directory) -> None:
    """Read a run within the window from its files. Raises SourceError where that cannot be done: then nothing is known of it.

    The files are listed again at the end: where the kubelet rotated meanwhile, what was read may lack a file.
    """
    for _ in range(MAX_ATTEMPTS):
        files = await directory.files()
        all_read = await _read_files(log, directory, _of_run(files, log))
        after = await directory.files()
        if all_read and [file.identity for file in files] == [file.identity for file in after]:
            _check_rotation(log, (await log.settle()).first, files)
            return
        await log.begin_again()
    raise Unavailable("the kubelet rotates this log faster than it can be read")


def _of_run(files: list[LogFile], log: RunLog) -> list[LogFile]:
    """Files of the run: the latest restart's, or all those before."""
    if not files:
        raise Rejected("the node has no log file of this container", GapReason.NOT_FOUND)
    latest = files[-1].restart
    chosen = [file for file in files if (file.restart < latest) == log.run.previous]
    if not chosen:
        raise Rejected("the node has no log file of the run before the last restart", GapReason.NOT_FOUND)
    return chosen


async def _read_files(log: RunLog, directory: Directory, files: list[LogFile]) -> bool:
    """Whether every file was there, as far as the window goes."""
    for file in files:
        try:
            await log.read(directory.chunks(file, log.start))
        except Rejected as e:
            if e.reason != GapReason.NOT_FOUND:
                raise
            return False  # compressed or removed meanwhile
        if log.past_the_end:
            break
    return True


def _check_rotation(log: RunLog, first: str, files: list[LogFile]) -> None:
    started = log.run.started_at
    own = [file for file in files if (file.restart == files[-1].restart) != log.run.previous]
    if started is None or not first or not any(file.rotated != "~" for file in own):
        return
    begins, begun = parse_nanoseconds(first.encode()), parse_nanoseconds(started.encode())
    if begins is not None and begun is not None and first > log.start and begins - begun > 60 * 10**9:
        say_rotated(log, first, started)


async def _inflated(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    inflate = zlib.decompressobj(wbits=31)
    try:
        async for chunk in chunks:
            while chunk:
                yield inflate.decompress(chunk, _INFLATED_BYTES)
                chunk = inflate.unconsumed_tail
    except zlib.error as e:
        raise Unavailable("a compressed log file is damaged", GapReason.INVALID_RESPONSE) from e

"""Reads parts of artifacts: the metadata, all entries, or entries by their numbers. Memory is flat. All calls block.

An artifact has one entry on each line (`session.artifact`). Lines are counted in blocks, and only short lines are parsed, so
no call holds the interpreter's lock for long.
"""

import errno
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import orjson

from aletheia_operator.session.artifact import HEAD_LINES, entry_lines, metadata_of
from aletheia_operator.session.files import open_file_below

BLOCK_BYTES = 256 * 1024
MAX_LINE_BYTES = 512 * 1024
"""Longer lines are not parsed."""
READ_SECONDS = 3.0
"""Processor time for reading. The report lists the artifacts that were not read within that time."""
WAITING = 4
"""Elapsed time may be this many times the processor time: volumes may be slow, and machines busy."""


class Files(Protocol):
    """The artifacts of a session as plain text."""

    def open(self, path: str) -> BinaryIO:
        """Open an artifact by its path in the manifest. Raises OSError if it cannot be read."""
        ...


@dataclass(frozen=True)
class PlainFiles:
    """The files of a session that is not sealed. `directory`: the session's."""

    directory: Path

    def open(self, path: str) -> BinaryIO:
        return open_file_below(self.directory, path)


class NoFiles:
    """The files of a sealed session if its key is not known: none can be read."""

    def open(self, path: str) -> BinaryIO:
        raise PermissionError(errno.EACCES, "sealed", path)


@dataclass
class Reading:
    """Reads a session's artifacts within a time limit. `left_out`: paths of artifacts that were not read to the end."""

    files: Files
    seconds: float = READ_SECONDS
    left_out: set[str] = field(default_factory=set)
    _begun: tuple[float, float] | None = None

    def metadata(self, path: str) -> Mapping[str, Any]:
        """Return the artifact's metadata; {} if they cannot be read or are too long."""
        with self._opened(path) as file:
            if file is not None:
                file.readline(MAX_LINE_BYTES)
                line = file.readline(MAX_LINE_BYTES)
                with suppress(ValueError):
                    return metadata_of(line)
        return {}

    def entries(self, path: str) -> Iterator[tuple[int, Any]]:
        """Yield the artifact's entries with their numbers. Entries longer than MAX_LINE_BYTES are left out."""
        with self._opened(path) as file:
            if file is None:
                return
            for _ in range(HEAD_LINES):
                while (head := file.readline(MAX_LINE_BYTES)) and not head.endswith(b"\n"):
                    pass
            with suppress(ValueError):  # cut short
                for number, line in enumerate(entry_lines(file, MAX_LINE_BYTES)):
                    if line is None:
                        self.left_out.add(path)
                    elif (entry := _parsed(line)) is not None:
                        yield number, entry
                    if self._is_over(path):
                        return

    def at(self, path: str, numbers: Iterable[int]) -> dict[int, Any]:
        """Return the entries with these numbers. Numbers without a readable entry are left out."""
        wanted = sorted({number for number in numbers if number >= 0})
        found: dict[int, Any] = {}
        if not wanted:
            return found
        with self._opened(path) as file:
            if file is None:
                return found
            for number, start in self._starts(file, path, wanted):
                here = file.tell()
                file.seek(start)
                line = file.readline(MAX_LINE_BYTES)
                file.seek(here)
                if line.endswith(b"\n") and (entry := _parsed(line)) is not None:
                    found[number] = entry
        return found

    def _starts(self, file: BinaryIO, path: str, wanted: list[int]) -> Iterator[tuple[int, int]]:
        """Yield each wanted entry's number, and the offset of its line. Callers that seek must restore the position."""
        lines, offset, index = 0, 0, 0  # lines and bytes before the block; index of the next wanted
        while block := file.read(BLOCK_BYTES):
            count = block.count(b"\n")
            at, passed = 0, lines
            while index < len(wanted) and wanted[index] + HEAD_LINES <= lines + count:
                while passed < wanted[index] + HEAD_LINES:
                    at = block.index(b"\n", at) + 1
                    passed += 1
                yield wanted[index], offset + at
                index += 1
            if index == len(wanted) or self._is_over(path):
                return
            lines, offset = lines + count, offset + len(block)

    @contextmanager
    def _opened(self, path: str) -> Iterator[BinaryIO | None]:
        """Open an artifact; yield None if it cannot be read, or no time is left."""
        if self._is_over(path):
            yield None
            return
        try:
            file = self.files.open(path)
        except OSError:
            self.left_out.add(path)
            yield None
            return
        with file:
            yield file

    def _is_over(self, path: str) -> bool:
        now = time.thread_time(), time.monotonic()
        begun = self._begun = self._begun or now
        if now[0] - begun[0] <= self.seconds and now[1] - begun[1] <= WAITING * self.seconds and self.seconds:
            return False
        self.left_out.add(path)
        return True


def _parsed(line: bytes) -> Any:
    """Return the entry on a line; None for the line after the last entry, and for a damaged line."""
    with suppress(ValueError):
        return orjson.loads(line.rstrip(b",\n"))
    return None

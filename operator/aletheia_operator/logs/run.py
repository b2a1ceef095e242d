"""One run of a container on its way from lines to entries that wait; it moves between processes, and its file with it."""

import socket
from dataclasses import dataclass

from aletheia_operator.logs.run_parser import Position, RunParser
from aletheia_operator.logs.spool import Spool


@dataclass
class RunCapture:
    """The parser of a run, and the spool of what it became."""

    parser: RunParser
    spool: Spool

    @property
    def position(self) -> Position:
        return self.parser.position

    def feed(self, lines: bytes) -> None:
        """Take whole lines; only the last of all may lack its end. Raises OSError where the volume refuses the entries."""
        self.spool.add(self.parser.feed(lines))

    def end_run(self) -> None:
        """Nothing more comes. Raises OSError."""
        self.spool.add(self.parser.end_run())

    def send_file(self, files: socket.socket) -> None:
        """Give the spool's file away; the rest goes as a pickle, behind it."""
        if self.spool.file.is_open:
            socket.send_fds(files, [b"f"], [self.spool.file.descriptor])
            self.spool.file.release()

    def receive_file(self, files: socket.socket) -> None:
        """Take the spool's file, where it has one."""
        if self.spool.file.is_open:
            _, (descriptor,), _, _ = socket.recv_fds(files, 1, 1)
            self.spool.file.take(descriptor)

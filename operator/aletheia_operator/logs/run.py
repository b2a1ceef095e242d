"""One run of a container in a worker process, on its way from lines to entries that wait in a file."""

from dataclasses import dataclass

from aletheia_operator.logs.entry_writer import RunSettings
from aletheia_operator.logs.levels import LevelCount
from aletheia_operator.logs.position import Position
from aletheia_operator.logs.run_parser import RunParser
from aletheia_operator.logs.spool import Spool
from aletheia_operator.scratch import Scratch


@dataclass(frozen=True)
class RunOrder:
    """A run to be parsed: by which settings, into which scratch, and how much of it is to be kept."""

    settings: RunSettings
    scratch: Scratch
    max_bytes: int
    sample_percent: int


@dataclass(frozen=True)
class RunResult:
    """What a run became. The spool's file travels apart."""

    position: Position
    count: LevelCount
    spool: Spool
    refused: str | None = None
    """Why the session volume refused entries; what came before is kept."""


class WorkerFault(Exception):
    """A worker met a fault of its own while it did what was asked: the run is lost, the worker goes on."""


class RunCapture:
    """Parses a run, and keeps its entries."""

    def __init__(self, order: RunOrder) -> None:
        self._parser = RunParser(order.settings)
        self.spool = Spool(order.scratch, order.max_bytes, order.sample_percent)
        self._refused: OSError | None = None

    def feed(self, lines: bytes) -> Position:
        """Take whole lines; only the last of all may lack its end. Raises OSError if the volume refuses the entries."""
        if self._refused is None:
            try:
                self.spool.add(self._parser.feed(lines))
            except OSError as e:
                self._refused = e
        if self._refused is not None:
            raise OSError(self._refused.errno, self._refused.strerror)
        return self._parser.position

    def read_again(self) -> Position:
        """See RunParser.read_again."""
        self._parser.read_again()
        return self._parser.position

    def accept(self) -> Position:
        """See RunParser.accept."""
        self._parser.accept()
        return self._parser.position

    def no_words(self) -> Position:
        """See RunParser.no_words."""
        self._parser.no_words()
        return self._parser.position

    def end(self) -> RunResult:
        """Nothing more comes."""
        try:
            if self._refused is None:
                self.spool.add(self._parser.end_run())
                self.spool.end()
        except OSError as e:
            self._refused = e
        refused = None if self._refused is None else self._refused.strerror or type(self._refused).__name__
        return RunResult(self._parser.position, self._parser.count, self.spool, refused)

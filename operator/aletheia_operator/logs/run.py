"""One run of a container in a worker process: parses lines, and stores the entries in a file."""

from collections import Counter
from dataclasses import dataclass, field

from aletheia_operator.logs.entry_writer import RunSettings
from aletheia_operator.logs.levels import LevelCount
from aletheia_operator.logs.position import Position
from aletheia_operator.logs.run_parser import RunParser
from aletheia_operator.logs.spool import Spool
from aletheia_operator.scratch import Scratch


@dataclass(frozen=True)
class RunOrder:
    """The order to parse a run: its settings, the scratch file for entries, and the budget."""

    settings: RunSettings
    scratch: Scratch
    max_bytes: int
    sample_percent: int


@dataclass(frozen=True)
class RunResult:
    """The result of a run. The spool's open file is sent separately."""

    position: Position
    count: LevelCount
    spool: Spool
    redactions: Counter[str] = field(default_factory=Counter)
    """How many secrets were removed, by rule."""
    refused: str | None = None
    """Why the session volume refused entries; earlier ones are kept. None: it refused none."""


class WorkerFault(Exception):
    """A request failed in a worker: its run is lost, the worker goes on."""


class RunCapture:
    """Parses a run, and stores its entries."""

    def __init__(self, order: RunOrder) -> None:
        self._parser = RunParser(order.settings)
        self.spool = Spool(order.scratch, order.max_bytes, order.sample_percent)
        self._redactions = order.settings.redactor.counts
        self._refused: OSError | None = None

    def feed(self, lines: bytes) -> Position:
        """Parse whole lines; only the run's last line may be incomplete. Raises OSError if the volume refuses the entries."""
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

    def read_from_start(self) -> Position:
        """See RunParser.read_from_start."""
        self._parser.read_from_start()
        return self._parser.position

    def accept(self) -> Position:
        """See RunParser.accept."""
        self._parser.accept()
        return self._parser.position

    def drop_node_message(self) -> Position:
        """See RunParser.drop_node_message."""
        self._parser.drop_node_message()
        return self._parser.position

    def end(self) -> RunResult:
        """End the run and return its result."""
        try:
            if self._refused is None:
                self.spool.add(self._parser.end_run())
                self.spool.end()
        except OSError as e:
            self._refused = e
        refused = None if self._refused is None else self._refused.strerror or type(self._refused).__name__
        return RunResult(self._parser.position, self._parser.count, self.spool, self._redactions, refused)

"""One run of a container in a worker process: parses lines, and stores the entries in a file."""

from aletheia_operator.logs.position import Position
from aletheia_operator.logs.run import Operation, RunOrder, RunResult
from aletheia_operator.logs.run_parser import RunParser
from aletheia_operator.logs.spool import Spool


class RunSpooler:
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

    def call(self, operation: Operation) -> Position:
        """Call the RunParser's method of this name."""
        getattr(self._parser, operation)()
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

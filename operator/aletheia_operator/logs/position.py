"""Tracks how far the log of one run was read, and which lines a further read skips."""

from dataclasses import dataclass, field
from typing import NamedTuple

from aletheia_operator.logs.framing import SECOND_LENGTH

SECONDS_LOOKED_BACK = 2  # lines may come a little late: a further read starts a second before the latest line


class Position(NamedTuple):
    """How far a run was read. Times are empty before the first line."""

    last: str = ""
    """The greatest time of a line."""
    lines: int = 0
    latest: str = ""
    """The time of the line that was read last. It is less than `last` after a clock was set back."""
    past: int = 0
    """Consecutive lines, up to the latest, that are later than the window."""
    first: str = ""
    """The time of the first line, inside or outside of the window."""
    since: str = ""
    """The second from which a further read starts."""
    skip: int = 0
    """Lines that a further read still has to skip."""
    detached: str = ""
    """The time of a further read's first line if it is later than all lines read before: lines between may be missing."""
    set_back: bool = False
    """Whether the clock was set back within a further read that did not start from the beginning: lines may be missing."""
    node_message: str | None = None
    """Error message that the node sent instead of a log; None if it sent a log."""
    untimed: int = 0
    """Lines without a time."""
    truncated_at: str | None = None
    """The time of the first line that was cut; None if no line was."""


@dataclass
class ReadProgress:
    """Counts the lines of one run. A further read starts at a whole second, so the last lines are counted by second.

    After a clock was set back, a read that starts at the last seconds misses lines. If that may have happened, a further read
    starts from the beginning, and skips lines by their number.
    """

    last: str = ""
    latest: str = ""
    past: int = 0
    first: str = ""
    second: str = ""
    """The second of the latest line."""
    of_second: int = 0
    """Lines of that second since the last `note`."""
    skip: int = 0
    detached: str = ""
    set_back: bool = False
    partial: bool = False
    """Whether this read did not start from the beginning."""
    look_has_lines: bool = False
    """Whether this read has had a line with a time."""
    lines: int = 0
    _seen: dict[str, int] = field(default_factory=dict)  # lines of the last seconds, by second
    _joined: bool = True  # this read has had a line that was read before
    _from: str = ""  # the time of the first line of the current file: rotation begins another file
    _lost: int = 0  # lines of earlier files
    _by_number: bool = False
    _went_back: bool = False  # the clock, by more than SECONDS_LOOKED_BACK

    @property
    def since(self) -> str:
        """Return the second from which a further read starts; '' for the beginning."""
        return "" if self._went_back else min(self._seen, default="")

    def position(self, node_message: str | None, untimed: int, truncated_at: str | None) -> Position:
        """Return the position after the lines so far. For the parameters see Position."""
        self.note()
        return Position(
            last=self.last,
            lines=self.lines,
            latest=self.latest,
            past=self.past,
            first=self.first,
            since=self.since,
            skip=self.skip,
            detached=self.detached,
            set_back=self.set_back,
            node_message=node_message,
            untimed=untimed,
            truncated_at=truncated_at,
        )

    def read_again(self, *, from_beginning: bool = False) -> None:
        """Begin a further read, from `since` on, or from the beginning. Lines that were read before are skipped."""
        self.note()
        self._by_number = from_beginning or not self.since
        self.skip = self.lines - self._lost if self._by_number else sum(self._seen.values())
        self.partial = not self._by_number
        self._joined, self.detached, self.set_back, self.look_has_lines = self.skip == 0, "", False, False

    def accept(self) -> None:
        """Let the next read begin after all lines read so far. Lines between are lost."""
        self.note()
        self._seen.clear()
        self.second, self._from, self._lost = "", "", self.lines
        self.read_again()

    def is_new(self, key: str) -> bool:
        """Return whether a line was not read before.

        If the line makes this read `detached` (it is of another file) or `set_back`, the line and all after it are dropped.
        """
        self.look_has_lines = True
        if not self.skip:
            self.set_back = self.partial and key < self.second
            return True
        if (self._joined or key == self._from) if self._by_number else key <= self.last:
            self.skip -= 1
            self._joined = True
            return False
        self.skip = 0  # if lines are left to skip, the node has rotated them away meanwhile
        if not self._joined:
            self.detached = key
        return True

    @property
    def ended(self) -> bool:
        """Whether the rest of this read is useless."""
        return self.set_back or bool(self.detached)

    def add(self, key: str) -> None:
        """Count a line."""
        if key[:SECOND_LENGTH] == self.second:
            self.of_second += 1
        else:
            self.begin_second(key)
        self.latest = key
        if key > self.last:
            self.last = key

    def add_all(self, first: str, last: str, count: int) -> None:
        """Count lines of one second that are in order of time: `count` lines from `first` to `last`."""
        self.add(first)
        self.of_second += count - 1
        self.latest = last
        self.last = max(self.last, last)

    def begin_second(self, key: str) -> None:
        """Count a line of another second than the previous line's."""
        self.first = self.first or key
        self._from = self._from or key
        self.look_has_lines = True
        self.note()
        self.second, self.of_second = key[:SECOND_LENGTH], 1

    def note(self) -> None:
        """Add the lines of the current second to the counts."""
        if self.of_second:
            self._seen[self.second] = self._seen.get(self.second, 0) + self.of_second
            while len(self._seen) > SECONDS_LOOKED_BACK:
                oldest = min(self._seen)
                self._went_back = self._went_back or oldest == self.second
                del self._seen[oldest]
            self.lines += self.of_second
            self.of_second = 0

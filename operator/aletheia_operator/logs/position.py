"""How far the log of one run was read, and what a further look at it skips."""

from dataclasses import dataclass, field
from typing import NamedTuple

from aletheia_operator.logs.framing import SECOND_LENGTH

SECONDS_LOOKED_BACK = 2  # lines may come a little late: a further look starts a second before the latest line


class Position(NamedTuple):
    """How far a run was read. Times are empty before the first line."""

    last: str = ""
    """The greatest time of a line."""
    lines: int = 0
    latest: str = ""
    """The time of the line that came last: less than `last` after a clock was set back."""
    past: int = 0
    """Lines in a row, up to the latest, that lie behind the window."""
    first: str = ""
    """The time of the first line, within the window or not."""
    since: str = ""
    """The second from which a further look reads."""
    skip: int = 0
    """Lines that a further look has still to skip."""
    detached: str = ""
    """The time of the line with which a further look began, behind all that was read before: something may lie between."""
    words: str | None = None
    """What came in place of a log: the node's words why it has none."""
    untimed: int = 0
    """Lines without a time."""
    truncated_at: str | None = None
    """The time of the first line that was cut."""


@dataclass
class Progress:
    """Counts the lines of one run. The API reads again from whole seconds, so those of the last seconds are counted apart."""

    last: str = ""
    latest: str = ""
    past: int = 0
    first: str = ""
    second: str = ""
    """The second of the latest line."""
    of_second: int = 0
    """Lines of that second since `note`."""
    skip: int = 0
    detached: str = ""
    look_has_lines: bool = False
    """This look has shown a line with a time."""
    lines: int = 0
    _seen: dict[str, int] = field(default_factory=dict)  # lines of the last seconds, by second
    _joined: bool = True  # this look has shown a line that was read before

    @property
    def since(self) -> str:
        return min(self._seen, default="")

    def read_again(self) -> None:
        """Begin a further look, with the lines from `since` on: skip those that were read."""
        self.note()
        self.skip = sum(self._seen.values())
        self._joined, self.detached, self.look_has_lines = self.skip == 0, "", False

    def accept(self) -> None:
        """Let the next look begin behind what was read: what lies between cannot be had."""
        self.note()
        self._seen.clear()
        self.read_again()

    def is_new(self, key: str) -> bool:
        """Whether the line of this time was not read before. A look whose first line lies behind all that was is detached."""
        self.look_has_lines = True
        if self.skip:
            if key <= self.last:
                self.skip -= 1
                self._joined = True
                return False
            self.skip = 0  # where lines are left to skip, the node has put them aside meanwhile
            if not self._joined:
                self.detached = key
        return True

    def add(self, key: str) -> None:
        """Count a line."""
        if key[:SECOND_LENGTH] == self.second:
            self.of_second += 1
        else:
            self.begin_second(key)
        self.latest = key
        if key > self.last:
            self.last = key

    def begin_second(self, key: str) -> None:
        """Count a line of another second than the one before."""
        if not self.first:
            self.first = key
        self.look_has_lines = True
        self.note()
        self.second, self.of_second = key[:SECOND_LENGTH], 1

    def note(self) -> None:
        """Take the lines of the present second into account."""
        if self.of_second:
            self._seen[self.second] = self._seen.get(self.second, 0) + self.of_second
            while len(self._seen) > SECONDS_LOOKED_BACK:
                del self._seen[min(self._seen)]
            self.lines += self.of_second
            self.of_second = 0

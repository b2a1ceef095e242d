"""Parses the log of one run of a container, as a node or the API server sent it, into entries."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from aletheia_operator.logs.entry_writer import EntryWriter
from aletheia_operator.logs.framing import BEFORE_TEXT, SECOND_LENGTH, STREAM, TEXT_AT, Line, decode_lines
from aletheia_operator.logs.known_lines import KnownLines
from aletheia_operator.logs.known_shapes import shapes_of
from aletheia_operator.logs.levels import LevelCount
from aletheia_operator.logs.marks import CONTEXT_LINES, Parsed
from aletheia_operator.logs.position import Position, ReadProgress
from aletheia_operator.logs.redaction import RedactedFraming
from aletheia_operator.logs.run_settings import RunSettings

MAX_NODE_MESSAGE = 1000  # characters of an error message of the node in place of a log


@dataclass
class RunParser:
    """Parses one run of one container: `feed` it blocks of whole lines, then `end_run`."""

    settings: RunSettings
    _progress: ReadProgress = field(default_factory=ReadProgress)
    _node_message: str | None = None
    _untimed: int = 0

    def __post_init__(self) -> None:
        self._form, self._start, self._end = self.settings.form, self.settings.start, self.settings.end
        self._framing = RedactedFraming(self._form, self.settings.max_line_bytes, self.settings.redactor)
        self._writer = EntryWriter(self.settings)
        self._known = KnownLines(self.settings, self._progress, self._framing, self._writer)

    @property
    def count(self) -> LevelCount:
        return self._writer.count

    @property
    def position(self) -> Position:
        message = None if self._progress.first or self._node_message is None else self._node_message[:MAX_NODE_MESSAGE]
        return self._progress.position(message, self._untimed, self._writer.truncated_at)

    def read_again(self) -> None:
        """Begin a further read, from `position.since` on: lines that were parsed before are skipped."""
        self._progress.read_again()

    def read_from_start(self) -> None:
        """Begin a further read, from the window's start on: lines that were parsed before are skipped."""
        self._progress.read_again(from_beginning=True)

    def accept(self) -> None:
        """Let the next read begin after all lines read so far. Lines between are lost."""
        self._progress.accept()

    def drop_node_message(self) -> None:
        """Forget the node's error message: it was the rest of a line from before the window."""
        self._node_message = None

    def feed(self, block: bytes) -> Parsed:
        """Parse whole lines; only the run's last line may be incomplete. Returns all entries but the last few.

        The next call or `end_run` returns these. Lines of a read that ended (`ReadProgress.ended`) are dropped.
        """
        if not self._progress.ended:
            shapes = shapes_of(block)
            redacted = self._framing.begin(block, shapes)
            if redacted is not block:
                shapes = shapes_of(redacted)
            lines, broken = decode_lines(redacted)
            unended = -1 if lines[-1] == "" else len(lines) - 1
            if unended < 0:
                lines.pop()
            others = enumerate(lines) if shapes is None or self._framing.each else self._known.others(lines, shapes, unended)
            self._feed(others, broken, unended)
        return self._writer.take(CONTEXT_LINES)

    def end_run(self) -> Parsed:
        """Return the remaining entries."""
        for line in self._framing.unfinished():  # the runtime is still writing these, or died while writing
            if self._start <= line.key <= self._end:
                self._writer.add_line(line, False)
        if self._node_message is not None and not self._progress.first:
            self._writer.add_untimed(self._node_message, None)
        return self._writer.take(0)

    def _feed(self, lines: Iterator[tuple[int, str]], broken: dict[int, bytes], unended: int) -> None:
        before_text, text_at, of_file = BEFORE_TEXT[self._form], TEXT_AT[self._form], self._form == "file"
        progress, add_line = self._progress, self._writer.add_line
        for number, text in lines:
            fraction = text[20:29]
            if (
                text[29:text_at] in before_text
                and text[:SECOND_LENGTH] == progress.second
                and text[19:20] == "."
                and fraction.isdecimal()
                and fraction.isascii()
                and self._framing.is_simple
            ):
                key = text[:30]
                exact = broken[number][text_at:] if number in broken else None
                line = Line(key, key, text[text_at:], exact, text[STREAM] if of_file else None)
            else:
                framed = self._framing.read(text, broken.get(number))
                if framed is None:
                    continue
                if framed is False:
                    self._without_time(*self._framing.untimed(text, broken.get(number)))
                    continue
                line, key = framed, framed.key
            if not progress.is_new(key):
                continue
            if progress.ended:
                return
            progress.add(key)
            if self._start <= key <= self._end:
                progress.past = 0
                add_line(line, number != unended)
            else:
                progress.past = progress.past + 1 if key > self._end else 0

    def _without_time(self, text: str, exact: bytes | None) -> None:
        """Handle a line of no known form.

        A line of a file is kept in its place. The API gives each line a time, with two exceptions: an answer may begin with the
        rest of a line that began before `since`; and a node may send an error message in place of a log.
        """
        progress = self._progress
        if self._form == "file":
            self._untimed += 1
            if not progress.first or self._start <= progress.latest <= self._end:
                self._writer.add_untimed(text, exact)
        elif progress.look_has_lines:
            if not self._untimed:  # a further read would bring the same again
                self._writer.add_untimed(text, exact)
            self._untimed += 1
        elif self._node_message is None and not progress.first:
            self._node_message = text

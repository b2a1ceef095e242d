"""Parses the log of one run of a container, as a node or the API server sent it, into entries."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from aletheia_operator.logs.entry_writer import EntryWriter
from aletheia_operator.logs.forms import LONGEST_SHAPE, MAX_PARSED
from aletheia_operator.logs.framing import BEFORE_TEXT, CANONICAL_LENGTH, SECOND_LENGTH, STREAM, TEXT_AT, Line, decode_lines
from aletheia_operator.logs.known_shapes import ALIKE, KnownShapes, Warnings
from aletheia_operator.logs.levels import LevelCount
from aletheia_operator.logs.marks import ALIKE_BITS, CONTEXT_LINES, Parsed
from aletheia_operator.logs.position import Position, ReadProgress
from aletheia_operator.logs.redaction import RedactedFraming
from aletheia_operator.logs.run_settings import RunSettings
from aletheia_operator.text.batches import LEVEL_CODES, SERIOUS_CODE
from aletheia_operator.text.timestamps import parse_nanoseconds

WARNING_CODE = LEVEL_CODES.index("WARN")
MAX_NODE_MESSAGE = 1000  # characters of an error message of the node in place of a log


@dataclass
class RunParser:
    """Parses one run of one container: `feed` it blocks of whole lines, then `end_run`."""

    settings: RunSettings
    _progress: ReadProgress = field(default_factory=ReadProgress)
    _shapes: KnownShapes = field(default_factory=KnownShapes)
    _warnings: Warnings = field(default_factory=Warnings)
    _node_message: str | None = None
    _untimed: int = 0

    def __post_init__(self) -> None:
        self._form, self._start, self._end = self.settings.form, self.settings.start, self.settings.end
        self._framing = RedactedFraming(self._form, self.settings.max_line_bytes, self.settings.redactor)
        self._writer = EntryWriter(self.settings)

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
            block = self._framing.begin(block)
            lines, broken = decode_lines(block)
            unended = -1 if lines[-1] == "" else len(lines) - 1
            if unended < 0:
                lines.pop()
            each = broken or self._framing.each
            self._feed(enumerate(lines) if each else self._unknown(lines, block, unended), broken, unended)
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

    def _unknown(self, lines: list[str], block: bytes, unended: int) -> Iterator[tuple[int, str]]:
        """Handle the lines of known shapes, and yield the others, in order. Most logs have lines of few shapes.

        The fastest case is a known line that is in order, within the window, and in the same second as the line before. The
        function is long because a call for each line would cost more than its work.
        """
        alike = block.translate(ALIKE)
        longest = min(self.settings.max_line_bytes // 4, MAX_PARSED)
        easy = b"\0" not in alike and len(max(lines, key=len, default="")) <= longest
        progress, out, parts_of_lines = self._progress, self._writer.out, self._framing.parts
        known_as, add_entry, add_mark = self._shapes.get, out.entries.append, out.marks.append
        start, end, partial = self._start, self._end, progress.partial
        last, limit, of_second = progress.last, "", 0
        key, head, head_code, error, near = progress.latest, "", 0, "", out.near
        warnings, number_of = self._warnings, self._warnings.number_of
        quick = not progress.skip and not parts_of_lines
        steady, join = easy and quick, "".join
        for number, (text, shape) in enumerate(zip(lines, alike.decode().split("\n"), strict=False)):
            message_at = text.find(": ", SECOND_LENGTH, LONGEST_SHAPE) + 2
            known = known_as(shape[:message_at])
            if steady and known is not None and last <= (stamped := text[:CANONICAL_LENGTH]) < limit and not near:
                _, zeros, code, pieces, parts = known
                if code < SERIOUS_CODE and not zeros and text[message_at : message_at + 1].isalpha() and number != unended:
                    of_second += 1
                    last = key = head = stamped
                    head_code = code
                    pieces[1::2] = parts(text)
                    add_entry(join(pieces))
                    add_mark(code if code != WARNING_CODE else code | (warnings.get(shape) or number_of(shape)) << ALIKE_BITS)
                    continue
            if (
                known is None
                or not text[message_at : message_at + 1].isalpha()
                or not (easy or ("\0" not in shape and len(text) <= longest))
                or not quick
                or number == unended
                or (text[:SECOND_LENGTH] != progress.second and not _is_second(text))
                or (partial and text[:SECOND_LENGTH] < progress.second)
            ):
                self._note(last, key, of_second, head, head_code, error)
                yield number, text
                last, limit, of_second = progress.last, "", 0
                key, head, near = progress.latest, "", out.near
                quick = not progress.skip and not parts_of_lines
                steady = easy and quick
                if known is None and message_at > SECOND_LENGTH and not self.settings.plain:
                    self._shapes.learn(shape[:message_at], text, self._form, self._writer.head)
                continue
            stamp, zeros, code, _, _ = known
            key = text[:stamp] + zeros if zeros else text[:stamp]
            if last <= key < limit:
                of_second += 1
                last = key
            else:
                if key[:SECOND_LENGTH] == progress.second:
                    of_second += 1
                else:
                    progress.of_second += of_second
                    progress.begin_second(key)
                    of_second = 0
                last = max(last, key)
                limit = min(progress.second + "~", end) if last >= start else ""
                if not start <= key <= end:
                    progress.past = progress.past + 1 if key > end else 0
                    continue
                progress.past = 0
            head, head_code, error = key, code, text[message_at:] if code >= SERIOUS_CODE else ""
            out.add(known.entry_of(text), code, False, self._alike(shape, text[message_at:], code))
            near = out.near
        self._note(last, key, of_second, head, head_code, error)

    def _alike(self, shape: str, message: str, code: int) -> int:
        """Return the number that lines share which differ only in digits; 0 if not known. Counts the message of an error."""
        number = self._writer.count.add_message(message) if code >= SERIOUS_CODE else 0
        number = self._warnings.number_of(shape) if code == WARNING_CODE else number
        return number if code <= SERIOUS_CODE else 0

    def _note(self, last: str, latest: str, of_second: int, head: str, head_code: int, error: str) -> None:
        """Update the position after known lines. `head`, `head_code`, `error`: time, level and message of the last, or ''."""
        self._progress.last, self._progress.latest = last, latest
        self._progress.of_second += of_second
        if head:
            self._writer.heads.begin(head, head_code >= SERIOUS_CODE, warns=head_code == WARNING_CODE, message=error)

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


def _is_second(text: str) -> bool:
    """Return whether a line begins with a valid second: no date like the 31st of February."""
    return parse_nanoseconds(f"{text[:SECOND_LENGTH]}Z".encode()) is not None

"""Groups the lines of a block that differ only in digits, so that one of them is decoded for all. Bounded.

A storm repeats few lines. To translate and count a line takes a hundredth of the time that decoding it takes.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TypeVar

from aletheia_operator.findings.stack_reasons import may_have_continuations, shown_of
from aletheia_operator.findings.templates import Place, Template
from aletheia_operator.text.batches import KEY, SERIOUS_CODE, Encoded

Key = TypeVar("Key", bytes, int)
MAX_LINE = 2_000  # bytes of an entry; longer ones are decoded
MAX_KNOWN = 4_096
_TIMED = b'{"timestamp":"'
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_HEXADECIMAL = bytes.maketrans(b"abcdefABCDEF", b"000000000000")
_HEXADECIMAL_WORD = b"0abcdefABCDEF-"
_LONG = re.compile(rb"0{8,}+(?:-0{4,12}+)*+")
"""Hexadecimal numbers, for example trace ids and UUIDs, after all their digits became 0."""
LEAST = 8  # characters of such a number
FEW = 16  # groups of a block
VARIED = 0.5  # share of different lines of a block from which on hexadecimal words are left out at once


@dataclass(frozen=True, slots=True)
class Known:
    """The place in which lines are counted. `run`: of their container; `traced`: stack traces follow them."""

    template: Template
    place: Place
    run: int | None
    traced: bool = False


@dataclass(slots=True)
class Group:
    """Lines of a block that are alike. `first`, `last`: their numbers; `known`: where they are counted; None if not known."""

    key: bytes | int
    first: int
    last: int
    count: int
    known: Known | None

    @property
    def continues(self) -> bool:
        """Whether the lines continue an earlier one."""
        return isinstance(self.key, bytes) and b'"head":' in self.key[:300]


@dataclass(slots=True)
class Block:
    """The chosen lines of a block that have no number, their keys, and the groups of all chosen lines by their first line."""

    numbers: list[int]
    keys: list[bytes]
    alike: Sequence[int]
    groups: list[Group]
    left_out: int = 0
    """Number of lines in no group, because there were too many new groups."""

    def numbers_of(self, group: Group, most: int) -> list[int]:
        """Return the numbers of the first lines of a group, at most `most`."""
        found: list[int] = []
        at = -1 if isinstance(group.key, bytes) else group.first - 1
        while len(found) < min(most, group.count):
            if isinstance(group.key, bytes):
                at = self.keys.index(group.key, at + 1)
                found.append(self.numbers[at])
            else:
                at = self.alike.index(group.key, at + 1)
                found.append(at)
        return found


@dataclass
class LineGroups:
    """The groups of one artifact's lines that were decoded, by the container and run, and the line's key.

    The key is the number that the parser gave to lines that differ only in digits, or else the encoded line without digits.
    """

    _known: dict[bytes, dict[bytes | int, Known]] = field(default_factory=dict)
    _ignored: dict[bytes, set[bytes]] = field(default_factory=dict)
    _size: int = 0
    _may_be_alike: bool = True
    """Whether lines of the last varied block differed only in hexadecimal words."""

    def of(self, entries: Encoded, numbers: list[int], most_new: int | None = None) -> tuple[bytes, Block]:
        """Return the groups of these lines, and the name under which `remember` takes them.

        `most_new`: maximum number of new groups of lines without a number; None: any number.
        """
        if not entries.alike or may_have_continuations(entries):
            return self._by_text(entries, numbers, most_new)
        ends = _ends_of_alike(entries.alike, numbers)
        if 0 in ends:
            run, block = self._by_text(entries, [number for number in numbers if not entries.alike[number]], most_new)
        else:
            run, block = run_of(entries.line(numbers[0])), Block([], [], (), [])
        block.alike = entries.alike
        known = self._known.get(run, {})
        block.groups += [Group(key, *ends[key], known.get(key)) for key in ends if key]
        block.groups.sort(key=lambda group: group.first)
        return run, block

    def _by_text(self, entries: Encoded, numbers: list[int], most_new: int | None) -> tuple[bytes, Block]:
        """Return the groups of these lines by their text."""
        run, keys = _keys_of(entries, numbers)
        counts = Counter(keys)
        if self._may_be_alike and len(numbers) > 1 and len(counts) > VARIED * len(numbers):
            keys = [*map(_without_words, keys)]
            different, counts = len(counts), Counter(keys)
            self._may_be_alike = len(counts) <= VARIED * different
        known, ignored = self._known.get(run, {}), self._ignored.get(run, ())
        ends = _ends_of_few(keys, numbers, counts) if len(counts) <= FEW else _ends_of_many(keys, numbers)
        some: Iterable[bytes] = counts
        if most_new is not None and len(counts) > most_new:
            old = counts.keys() & known.keys()
            some = chain(old, islice((key for key in counts if key not in old), most_new))
        groups = [Group(key, *ends[key], counts[key], known.get(key)) for key in some if key not in ignored]
        groups.sort(key=lambda group: group.first)
        left_out = 0 if some is counts else len(numbers) - sum(group.count for group in groups)
        return run, Block(numbers, keys, (), groups, left_out)

    def find_alike(self, run: bytes, group: Group) -> Known | None:
        """Return where lines are counted that differ only in hexadecimal numbers too; None if no such line was read."""
        if isinstance(group.key, int):
            return None
        plain = _without_numbers(group.key)
        return self._known.get(run, {}).get(plain) if plain != group.key else None

    def remember(self, run: bytes, group: Group, known: Known) -> None:
        """Remember where the lines of a group are counted. Forgets all if there are too many."""
        key = group.key
        if isinstance(key, bytes) and len(key) > MAX_LINE:
            return
        self._make_room()
        plain = key if isinstance(key, int) else _without_numbers(key)
        self._known.setdefault(run, {}).update({key: known, plain: known})

    def ignore(self, run: bytes, group: Group) -> None:
        """Leave out lines like these from now on."""
        if isinstance(group.key, bytes) and len(group.key) <= MAX_LINE:
            self._make_room()
            self._ignored.setdefault(run, set()).add(group.key)

    def _make_room(self) -> None:
        if self._size >= MAX_KNOWN:
            self._known.clear()
            self._ignored.clear()
            self._size = 0
        self._size += 2


def _ends_of_alike(alike: Sequence[int], numbers: list[int]) -> dict[int, tuple[int, int, int]]:
    """Return the first and the last line of each group, and how many it has. 0: the lines without a number."""
    start, end = numbers[0], numbers[-1] + 1
    if end - start == len(numbers):
        data = array("H", alike[start:end]).tobytes()
        half, other = data[0::2], data[1::2]
        if other.count(other[:1]) == len(other):  # then one byte of each number is enough, and bytes are counted quickly
            found = {alike[start + half.index(byte)]: byte for byte in set(half)}
            return {key: (start + half.find(byte), start + half.rfind(byte), half.count(byte)) for key, byte in found.items()}
    keys = [alike[number] for number in numbers]
    counts = Counter(keys)
    ends = _ends_of_few(keys, numbers, counts) if len(counts) <= FEW else _ends_of_many(keys, numbers)
    return {key: (*ends[key], count) for key, count in counts.items()}


def _ends_of_few(keys: list[Key], numbers: list[int], counts: Iterable[Key]) -> dict[Key, tuple[int, int]]:
    """Return the numbers of the first and the last line with each key. Quick for few different keys."""
    backwards = keys[::-1]
    return {key: (numbers[keys.index(key)], numbers[-1 - backwards.index(key)]) for key in counts}


def _ends_of_many(keys: list[Key], numbers: list[int]) -> dict[Key, tuple[int, int]]:
    """Return the numbers of the first and the last line with each key."""
    last = dict(zip(keys, numbers, strict=True))
    first = dict(zip(reversed(keys), reversed(numbers), strict=True))
    return {key: (first[key], last[key]) for key in last}


def _keys_of(entries: Encoded, numbers: list[int]) -> tuple[bytes, list[bytes]]:
    """Return the container and run of all these lines (b'' if they differ), and each line without its digits.

    The key of an error has the first line of the stack trace that follows it, too.
    """
    chosen, codes = entries.lines_of(numbers), entries.codes
    joined = entries.block if len(numbers) == entries.count else b"\n".join(chosen)
    keys = joined.translate(_DIGITS).split(b"\n")
    if numbers[-1] == entries.count - 1:
        keys[-1] += b","  # the last entry of a block has no separator
    run = run_of(chosen[0])
    if joined.count(run) != len(numbers):
        keys = [run_of(line) + key for line, key in zip(chosen, keys, strict=True)]
        run = b""
    if may_have_continuations(entries):
        for at, number in enumerate(numbers):
            if codes[number] >= SERIOUS_CODE:
                keys[at] += shown_of(number, entries).translate(_DIGITS)
    return run, keys


def _without_numbers(key: bytes) -> bytes:
    """Return a key without the long hexadecimal numbers in it."""
    if len(key) > MAX_LINE:
        return key
    parts, last = [], 0
    for number in _LONG.finditer(key.translate(_HEXADECIMAL), KEY.stop):
        parts.append(key[last : number.start()])
        last = number.end()
    return b"#".join([*parts, key[last:]]) if parts else key


def _without_words(key: bytes) -> bytes:
    """Return a key without the words that are long hexadecimal numbers. Quicker than `_without_numbers`, and finds fewer."""
    if len(key) > MAX_LINE:
        return key
    words = key.split(b" ")
    return b" ".join([b"#" if len(word) >= LEAST and not word.strip(_HEXADECIMAL_WORD) else word for word in words])


def run_of(line: bytes) -> bytes:
    """Return the members of an encoded entry that name its container and run."""
    return b",".join(line.split(b",", 3)[1:3])


def stamp_of(line: bytes) -> str:
    """Return the time of an encoded entry; '' if it has none."""
    return line[KEY.start : line.find(b'"', KEY.start)].decode() if line.startswith(_TIMED) else ""

"""Recognises lines that differ from an earlier one only in digits, without decoding them: bursts repeat few lines. Bounded."""

from dataclasses import dataclass, field

from aletheia_operator.findings.templates import PEERS_LOOKED_FOR, Place, Template
from aletheia_operator.findings.words import CALLS
from aletheia_operator.text.batches import KEY

MAX_LINE = 2_000  # bytes of an entry; longer ones are decoded
MAX_KNOWN = 4_096
DECODED_EACH = 32
"""One in this many lines that are alike is decoded again."""
_DIGITS = bytes.maketrans(b"123456789", b"000000000")


@dataclass(frozen=True, slots=True)
class Known:
    """The place in which a line is counted. `run`: of its container."""

    template: Template
    place: Place
    run: int | None


@dataclass
class SeenLines:
    """The decoded lines of one artifact, by their text without digits."""

    _known: dict[bytes, Known] = field(default_factory=dict)

    def find(self, line: bytes) -> Known | None:
        """Return where an encoded entry is counted; None if it must be decoded: it is new, or its words are still needed."""
        if len(line) > MAX_LINE or (known := self._known.get(_without_digits(line))) is None:
            return None
        if not known.place.count % DECODED_EACH:
            return None  # its stack trace may now name another cause
        needs_peer = known.template.category in CALLS and known.place.count <= PEERS_LOOKED_FOR
        return None if needs_peer else known

    def add(self, line: bytes, known: Known) -> None:
        """Remember where an entry with a timestamp is counted."""
        if len(line) > MAX_LINE or line[KEY.stop : KEY.stop + 1] != b'"':
            return
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[_without_digits(line)] = known


def _without_digits(line: bytes) -> bytes:
    """Return an encoded entry without its timestamp, with its container and run as they are, and 0 for every later digit."""
    at = line.find(b',"l', KEY.stop)  # level or line
    return line[KEY.stop : at] + line[at:].translate(_DIGITS)

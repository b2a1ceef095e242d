"""Finds the names that a misspelt name may have meant. Pure; takes up to some tenths of a second: not for the event loop."""

from collections import Counter
from collections.abc import Iterable
from difflib import get_close_matches
from heapq import nlargest
from itertools import islice

MAX_NAMES = 2_000
MAX_CHARACTERS = 100
MAX_COMPARED = 30
"""Names that are compared closely. Each takes time quadratic in its length."""
MAX_NEAR = 3
SIMILARITY = 0.6
"""Least similarity of a near name: 1 is equal, 0 has nothing in common (difflib.SequenceMatcher.ratio)."""


def nearest(name: str, names: Iterable[str], similarity: float = SIMILARITY) -> list[str]:
    """Return at most three of the first 2,000 `names`, the nearest first, ignoring case; [] if none is near."""
    known: dict[str, str] = {}
    for candidate in likely(name, islice(names, MAX_NAMES)):
        known.setdefault(_comparable(candidate), candidate)
    return [known[near] for near in get_close_matches(_comparable(name), known, MAX_NEAR, similarity)]


def likely(name: str, names: Iterable[str]) -> list[str]:
    """Return the MAX_COMPARED names that share most letters and pairs of letters with `name`, to be compared closely."""
    wanted = _pairs(name)
    return nlargest(MAX_COMPARED, names, key=lambda other: _shared(wanted, _pairs(other)))


def hint(name: str, names: Iterable[str]) -> str:
    """Return `; the nearest names: a, b`, to append to a message; '' if none is near."""
    near = nearest(name, names)
    return f"; the nearest names: {', '.join(near)}" if near else ""


def _comparable(name: str) -> str:
    return name[:MAX_CHARACTERS].casefold()


def _pairs(name: str) -> Counter[str]:
    """Count the letters and the pairs of adjacent letters. The first letter also counts as a pair with the beginning."""
    name = _comparable(name)
    return Counter(name) + Counter(map("".join, zip(f"\0{name}", name, strict=False)))


def _shared(these: Counter[str], those: Counter[str]) -> float:
    """Return the similarity of two counts, from 0 to 1 (Dice coefficient)."""
    return 2 * (these & those).total() / max(1, these.total() + those.total())

"""The names that a misspelt one may have meant. Pure; takes up to some tenths of a second, so not for the event loop."""

from collections import Counter
from collections.abc import Iterable
from difflib import get_close_matches
from heapq import nlargest
from itertools import islice

MAX_NAMES = 2_000
MAX_CHARACTERS = 100
MAX_COMPARED = 30
"""Names that are compared closely, which takes time with the square of their length."""
MAX_NEAR = 3
SIMILARITY = 0.6  # of 1


def nearest(name: str, names: Iterable[str], similarity: float = SIMILARITY) -> list[str]:
    """At most three of `names`, the nearest first, in any case of letters; [] if none is near. Looks at the first 2,000."""
    known: dict[str, str] = {}
    for one in likely(name, islice(names, MAX_NAMES)):
        known.setdefault(_comparable(one), one)
    return [known[one] for one in get_close_matches(_comparable(name), known, MAX_NEAR, similarity)]


def likely(name: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that are worth a close comparison: they share most letters, and pairs of them, with `name`."""
    wanted = _pairs(name)
    return nlargest(MAX_COMPARED, names, key=lambda one: _shared(wanted, _pairs(one)))


def hint(name: str, names: Iterable[str]) -> str:
    """`; the nearest names: a, b`, to add to a message; empty if none is near."""
    near = nearest(name, names)
    return f"; the nearest names: {', '.join(near)}" if near else ""


def _comparable(name: str) -> str:
    return name[:MAX_CHARACTERS].casefold()


def _pairs(name: str) -> Counter[str]:
    """The letters, and the pairs of letters that follow one another, with the beginning as one."""
    name = _comparable(name)
    return Counter(name) + Counter(map("".join, zip(f"\0{name}", name, strict=False)))


def _shared(these: Counter[str], those: Counter[str]) -> float:
    """How much two have in common, of 1: twice what they share, of all that they have."""
    return 2 * (these & those).total() / max(1, these.total() + those.total())

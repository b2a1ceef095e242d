"""The names that a misspelt one may have meant. Pure; takes up to about a tenth of a second, so not for the event loop."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

MAX_NAMES = 2_000
MAX_CHARACTERS = 100
MAX_NEAR = 3
SIMILARITY = 0.6  # of 1


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """At most three of `names`, the nearest first, in any case of letters; [] if none is near. Compares the first 2,000."""
    known: dict[str, str] = {}
    for one in islice(names, MAX_NAMES):
        known.setdefault(one[:MAX_CHARACTERS].casefold(), one)
    return [known[one] for one in get_close_matches(name[:MAX_CHARACTERS].casefold(), known, MAX_NEAR, SIMILARITY)]


def hint(name: str, names: Iterable[str]) -> str:
    """`; the nearest names: a, b`, to add to a message; empty if none is near."""
    near = nearest(name, names)
    return f"; the nearest names: {', '.join(near)}" if near else ""

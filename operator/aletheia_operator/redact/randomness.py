"""Tells random texts from words by the changes between digits, small and capital letters."""

from itertools import pairwise

from aletheia_operator.redact.patterns import compiled

MIN_CHANGES = 0.38
"""Least share of neighbours of different classes (digit, small, capital). It is about 0.6 in random text, and 0.3 in names of
classes: `OAuth2TokenFilter`."""
_WORD = r"[A-Za-z0-9!#^*+]{7,}"
"""A word of a password: names of code have none of the other characters."""

_VARIABLE = (
    r"^(?:[A-Za-z_]+\.)*(?:[a-z]{2,}|[A-Z]{1,4})?\d{0,3}(?:[A-Z][a-z]{2,}\d{0,3})*"
    r"(?:Key|Token|Secret|Pass|Password|Passphrase|Pwd|Creds?|Credentials?|Auth)\d?$"
)
"""Words with capitals, and numbers, that name a secret: `S3SecretKey`, `secrets.OAuth2Token`."""


def class_of(byte: int) -> str:
    """Return `d` for a digit, `a` for a small and `c` for a capital letter, `o` for others."""
    if 48 <= byte <= 57:
        return "d"
    return "a" if 97 <= byte <= 122 else "c" if 65 <= byte <= 90 else "o"


def share_of_changes(classes: list[str]) -> float:
    """Return how many neighbours are of different classes, as a share of all characters."""
    return sum(before != after for before, after in pairwise(classes)) / len(classes)


def is_variable(value: bytes) -> bool:
    """Return whether a value is the name of a variable that has a secret, in words with capitals."""
    return compiled(_VARIABLE).search(value) is not None


def has_random_word(value: bytes) -> bool:
    """Return whether a word in a value has digits, small and capital letters as in passwords: not as in names of code."""
    for word in compiled(_WORD).finditer(value):
        if is_variable(word.group()):
            continue
        classes = [class_of(byte) for byte in word.group()]
        if {"a", "c", "d"}.issubset(classes) and ("o" in classes or share_of_changes(classes) >= MIN_CHANGES):
            return True
    return False
